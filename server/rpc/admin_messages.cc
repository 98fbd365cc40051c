#include "server/rpc/admin_messages.h"

#include <utility>

namespace paramd {

v1::VersionState VersionStateOf(std::string_view name) {
  constexpr std::pair<std::string_view, v1::VersionState> kStates[] = {
      {"pending", v1::VERSION_STATE_PENDING},   {"loading", v1::VERSION_STATE_LOADING},
      {"warming", v1::VERSION_STATE_WARMING},   {"serving", v1::VERSION_STATE_SERVING},
      {"draining", v1::VERSION_STATE_DRAINING}, {"unloaded", v1::VERSION_STATE_UNLOADED},
      {"failed", v1::VERSION_STATE_FAILED},
  };
  for (const auto& [known, state] : kStates) {
    if (known == name) return state;
  }
  return v1::VERSION_STATE_UNSPECIFIED;
}

void FillPlan(const LoadPlan& plan, v1::LoadPlan* message) {
  message->set_model(plan.model);
  message->set_version(plan.version);
  message->set_parameter_bytes(plan.parameter_bytes);
  message->set_resident_bytes(plan.resident_bytes);
  message->set_scratch_bytes(plan.scratch_bytes);
  message->set_arena_bytes(plan.arena_bytes);
  message->set_freed_bytes(plan.freed_bytes);
  message->set_needed_bytes(plan.needed_bytes);
  message->set_left_bytes(plan.left_bytes);
  message->set_capacity_bytes(plan.capacity_bytes);
  message->set_fits(plan.verdict.ok());
  message->set_refusal(std::string(plan.verdict.message()));
}

void FillProgress(const LoadEvent& event, v1::LoadProgress* message) {
  message->set_version(event.version);
  message->set_state(VersionStateOf(event.state));
  message->set_stage(event.stage);
  message->set_bytes_done(event.bytes_done);
  message->set_bytes_total(event.bytes_total);
  message->set_seconds(event.seconds);
}

void FillName(const NameState& name, v1::NameState* message) {
  message->set_name(name.name);
  message->set_version(name.version);
  message->set_previous(name.previous);
}

void FillState(const StateReport& state, std::string_view model, v1::GetStateResponse* message) {
  message->set_revision(state.revision);
  message->set_converged(state.converged);
  for (const ModelReport& report : state.models) {
    if (!model.empty() && report.model != model) continue;
    v1::ModelAdminState* known = message->add_models();
    known->set_model(report.model);
    known->set_auto_promote(report.auto_promote);
    known->set_error(report.error);
    for (const NameState& name : report.names) FillName(name, known->add_names());
    for (const VersionReport& version : report.versions) {
      v1::VersionAdminState* one = known->add_versions();
      one->set_version(version.version);
      one->set_desired(version.desired);
      one->set_why(version.why);
      one->set_state(VersionStateOf(version.state));
      one->set_reason(version.reason);
      one->set_generation(version.generation);
      one->set_weights_id(version.weights_id);
    }
  }
}

void FillVerify(const VerifyReport& report, v1::VerifyReport* message) {
  message->set_model(report.model);
  message->set_version(report.version);
  message->set_entries(report.entries);
  message->set_bytes(report.bytes);
  message->set_seconds(report.seconds);
  message->set_intact(report.status.ok());
  message->set_difference(std::string(report.status.message()));
}

void FillUpgrade(const KeeperClient::UpgradeStatus& status, v1::UpgradeStatusResponse* message) {
  const auto phase = [&status] {
    switch (status.phase) {
      case KeeperClient::UpgradeStatus::Phase::kNone:
        return v1::UPGRADE_PHASE_NONE;
      case KeeperClient::UpgradeStatus::Phase::kStarting:
        return v1::UPGRADE_PHASE_STARTING;
      case KeeperClient::UpgradeStatus::Phase::kDraining:
        return v1::UPGRADE_PHASE_DRAINING;
      case KeeperClient::UpgradeStatus::Phase::kDone:
        return v1::UPGRADE_PHASE_DONE;
      case KeeperClient::UpgradeStatus::Phase::kFailed:
        return v1::UPGRADE_PHASE_FAILED;
    }
    return v1::UPGRADE_PHASE_UNSPECIFIED;
  };
  message->set_phase(phase());
  message->set_serving_pid(status.serving_pid);
  message->set_message(status.message);
}

}  // namespace paramd
