// StateController's ModelAdmin: what operators ask, and waiting for what comes of it.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/state/state_controller.h"
#include "server/state/state_report.h"

namespace paramd {
namespace {

// How often a load that somebody watches tells how far it is.
constexpr absl::Duration kProgressInterval = absl::Milliseconds(200);
// How long Unload waits for requests to hand back the version's memory.
constexpr absl::Duration kGoneTimeout = absl::Seconds(5);

bool Serves(const ServingStatus& status, const std::string& name, int64_t number) {
  const ModelStatus* const model = FindModel(status, name);
  return model != nullptr &&
         std::any_of(model->versions.begin(), model->versions.end(), [&](const VersionStatus& v) {
           return v.number == number && v.state == VersionState::kServing;
         });
}

absl::Status CheckServes(const ServingStatus& status, const std::string& name, int64_t number) {
  if (Serves(status, name, number)) return absl::OkStatus();
  std::string serving;
  std::string is = "is not loaded";
  if (const ModelStatus* const model = FindModel(status, name); model != nullptr) {
    for (const VersionStatus& version : model->versions) {
      if (version.state == VersionState::kServing) {
        StrAppend(&serving, serving.empty() ? "" : ", ", version.number);
      }
      if (version.number != number) continue;
      is = StrCat("does not serve, it is ", VersionStateName(version.state));
      if (!version.reason.empty()) StrAppend(&is, " (", version.reason, ")");
    }
  }
  return absl::FailedPreconditionError(StrCat("version ", number, " of model '", name, "' ", is,
                                              "; serving: ", serving.empty() ? "none" : serving));
}

// What a Load is about.
std::vector<int64_t> VersionsAskedFor(const WantedModel& model, std::optional<int64_t> version) {
  if (version) return {*version};
  std::vector<int64_t> numbers;
  for (const WantedVersion& known : model.versions) {
    if (known.selected) numbers.push_back(known.number);
  }
  return numbers;
}

LoadEvent EventOf(const ModelStatus* model, int64_t number) {
  LoadEvent event = {.version = number, .state = "pending"};
  if (model == nullptr) return event;
  for (const VersionStatus& known : model->versions) {
    if (known.number != number || !known.desired) continue;
    event.state = VersionStateName(known.state);
    event.stage = known.progress.stage;
    event.bytes_done = known.progress.bytes_done;
    event.bytes_total = known.progress.bytes_total;
  }
  return event;
}

NameState ToState(const NameEntry& entry) { return {entry.name, entry.version, entry.previous}; }

}  // namespace

std::optional<absl::Status> StateController::OutcomeOf(const std::string& name,
                                                       const std::vector<int64_t>& numbers) const {
  const ServingStatus status = parts_.versions->status();
  const ModelStatus* const model = FindModel(status, name);
  MutexLock lock(&mutex_);
  if (published_ < revision_) return std::nullopt;
  const WantedModel* const wanted = state_.FindModel(name);
  absl::Status outcome;
  for (const int64_t number : numbers) {
    const WantedVersion* const version = wanted == nullptr ? nullptr : wanted->FindVersion(number);
    if (version == nullptr || !IsWanted(*wanted, *version)) {
      return absl::AbortedError(
          StrCat("version ", number, " of model '", name, "' was unloaded while it was loaded"));
    }
    const VersionStatus* newest = nullptr;
    for (size_t i = 0; model != nullptr && i < model->versions.size(); ++i) {
      const VersionStatus& known = model->versions[i];
      if (known.number == number && known.revision == version->revision && known.desired) {
        newest = &known;
      }
    }
    if (newest == nullptr) return std::nullopt;
    if (newest->state == VersionState::kFailed) {
      if (outcome.ok()) outcome = newest->error;
    } else if (newest->state != VersionState::kServing ||
               (active_ && WouldPromote(*wanted, number))) {
      return std::nullopt;  // On its way, or `default` is about to move to it.
    }
  }
  return outcome;
}

absl::Status StateController::WaitForLoad(const std::string& name,
                                          const std::vector<int64_t>& numbers,
                                          const std::function<void(const LoadEvent&)>& progress) {
  const absl::Time start = parts_.clock->Now();
  std::map<int64_t, LoadEvent> told;
  while (true) {
    const uint64_t seen = Changes();
    const std::optional<absl::Status> outcome = OutcomeOf(name, numbers);
    if (progress) {
      const ServingStatus status = parts_.versions->status();
      for (const int64_t number : numbers) {
        LoadEvent event = EventOf(FindModel(status, name), number);
        LoadEvent& last = told[number];
        if (last.state == event.state && last.stage == event.stage &&
            last.bytes_done == event.bytes_done) {
          continue;
        }
        event.seconds = absl::ToDoubleSeconds(parts_.clock->Now() - start);
        last = event;
        progress(event);
      }
    }
    if (outcome) return *outcome;
    // Bytes that were read change nothing in the states: who watches looks again.
    PARAMD_RETURN_IF_ERROR(WaitForChange(
        seen, progress ? parts_.clock->Now() + kProgressInterval : absl::InfiniteFuture()));
  }
}

void StateController::WaitUntilGone(const std::string& name, std::optional<int64_t> version) {
  const absl::Time deadline = parts_.clock->Now() + kGoneTimeout;
  while (parts_.clock->Now() < deadline) {
    const uint64_t seen = Changes();
    const ServingStatus status = parts_.versions->status();
    const ModelStatus* const model = FindModel(status, name);
    if (model == nullptr) return;
    const bool there =
        !version || std::any_of(model->versions.begin(), model->versions.end(),
                                [&](const VersionStatus& v) { return v.number == *version; });
    if (!there || parts_.step) return;
    if (!WaitForChange(seen, deadline).ok()) return;
  }
}

// ---- ModelAdmin. ----

absl::StatusOr<std::vector<LoadPlan>> StateController::Load(
    const LoadCommand& command, const std::function<void(const LoadEvent&)>& progress) {
  PARAMD_ASSIGN_OR_RETURN(std::vector<ListedModel> listing, parts_.list(command.model));
  if (listing.size() != 1) return absl::InternalError("the repository listed no model");
  if (command.config.has_value()) {
    if (!parts_.reconfigure) return absl::UnimplementedError("configurations are not taken here");
    PARAMD_RETURN_IF_ERROR(parts_.reconfigure(*command.config, &listing.front()));
  }
  const ListedModel& listed = listing.front();
  const auto edit = [&](DesiredState* state) {
    return command.version ? LoadVersion(listed, *command.version, state)
                           : LoadSelected(listed, state);
  };
  if (!listed.error.empty() && (!command.version || listed.versions.empty())) {
    if (!command.dry_run) {
      // So that it is readable.
      const auto note = [&](DesiredState* state) { return LoadSelected(listed, state); };
      PARAMD_RETURN_IF_ERROR(CommitIfActive(note).status());
    }
    return absl::FailedPreconditionError(listed.error);
  }
  // What it would be like; the same edit is made in earnest below.
  DesiredState wanted;
  PARAMD_RETURN_IF_ERROR(ReadStored(&wanted).status());
  PARAMD_RETURN_IF_ERROR(edit(&wanted));
  if (command.dry_run) return PlanVersions(wanted, listed.name, command.version);
  std::vector<int64_t> numbers;
  PARAMD_ASSIGN_OR_RETURN(const uint64_t revision, CommitIfActive([&](DesiredState* state) {
                            PARAMD_RETURN_IF_ERROR(edit(state));
                            numbers =
                                VersionsAskedFor(*state->FindModel(listed.name), command.version);
                            return absl::OkStatus();
                          }));
  PARAMD_RETURN_IF_ERROR(WaitUntilPublished(revision));
  PARAMD_RETURN_IF_ERROR(WaitForLoad(listed.name, numbers, progress));
  if (!parts_.plan) return std::vector<LoadPlan>();
  // Afterwards it costs nothing; before, every file would be read twice.
  return PlanVersions(wanted, listed.name, command.version);
}

absl::StatusOr<std::vector<LoadPlan>> StateController::PlanVersions(
    const DesiredState& state, const std::string& name, std::optional<int64_t> version) const {
  const std::vector<int64_t> numbers = VersionsAskedFor(*state.FindModel(name), version);
  std::vector<LoadPlan> plans;
  for (const DesiredModel& model : parts_.desired(state)) {
    if (model.name != name) continue;
    for (const DesiredVersion& wished : model.versions) {
      if (std::find(numbers.begin(), numbers.end(), wished.number) == numbers.end()) continue;
      PARAMD_ASSIGN_OR_RETURN(plans.emplace_back(), PlanOne(model, wished));
    }
  }
  return plans;
}

absl::Status StateController::Unload(const std::string& model, std::optional<int64_t> version,
                                     bool force) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t revision, CommitIfActive([&](DesiredState* state) {
                            return version ? UnloadVersion(model, *version, force, state)
                                           : UnloadModel(model, state);
                          }));
  PARAMD_RETURN_IF_ERROR(WaitUntilPublished(revision));
  WaitUntilGone(model, version);
  return absl::OkStatus();
}

absl::StatusOr<NameState> StateController::MoveName(
    const std::string& model, absl::FunctionRef<absl::StatusOr<NameEntry>(DesiredState*)> move) {
  PARAMD_RETURN_IF_ERROR(CheckActive());
  NameEntry moved;
  bool behind = false;
  // A version counts as serving only once all that was decided before is in
  // force: an earlier edit may be about to unload it.
  const auto edit = [&](DesiredState* state, uint64_t revision) -> absl::Status {
    // The document first: it knows whether there is such a model.
    PARAMD_ASSIGN_OR_RETURN(moved, move(state));
    const ServingStatus status = parts_.versions->status();
    behind = status.revision < revision;
    return behind ? absl::AbortedError("what serves is not what is desired yet")
                  : CheckServes(status, model, moved.version);
  };
  absl::StatusOr<uint64_t> revision = CommitAt(edit);
  for (int attempt = 0; behind && attempt < kCommitAttemptsMax; ++attempt) {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t now,
                            CommitIfActive([](DesiredState*) { return absl::OkStatus(); }));
    PARAMD_RETURN_IF_ERROR(WaitUntilPublished(now));
    behind = false;
    revision = CommitAt(edit);
  }
  PARAMD_RETURN_IF_ERROR(revision.status());
  PARAMD_RETURN_IF_ERROR(WaitUntilPublished(*revision));
  LOG(INFO) << "'" << moved.name << "' of " << model << " points at version " << moved.version;
  return ToState(moved);
}

absl::StatusOr<NameState> StateController::Promote(const std::string& model,
                                                   const std::string& name, int64_t version) {
  return MoveName(model, [&](DesiredState* state) {
    return PointName(model, name.empty() ? kDefaultName : name, version, Now(), state);
  });
}

absl::StatusOr<NameState> StateController::Rollback(const std::string& model,
                                                    const std::string& name) {
  return MoveName(model, [&](DesiredState* state) {
    return RollBackName(model, name.empty() ? kDefaultName : name, Now(), state);
  });
}

absl::StatusOr<NameState> StateController::RemoveName(const std::string& model,
                                                      const std::string& name) {
  NameEntry removed;
  const auto edit = [&](DesiredState* state) -> absl::Status {
    PARAMD_ASSIGN_OR_RETURN(removed, paramd::RemoveName(model, name, Now(), state));
    return absl::OkStatus();
  };
  PARAMD_ASSIGN_OR_RETURN(const uint64_t revision, CommitIfActive(edit));
  PARAMD_RETURN_IF_ERROR(WaitUntilPublished(revision));
  return ToState(removed);
}

absl::Status StateController::SetAutoPromote(const std::string& model, bool on) {
  const absl::Status committed = CommitIfActive([&](DesiredState* state) {
                                   return paramd::SetAutoPromote(model, on, state);
                                 }).status();
  // A version may serve already that was not promoted while it was off.
  if (committed.ok() && on) PromoteNew(parts_.versions->status());
  return committed;
}

absl::StatusOr<StateReport> StateController::GetState() const {
  DesiredState state;
  PARAMD_ASSIGN_OR_RETURN(const StoredState stored, ReadStored(&state));
  return ReportState(stored.revision, state, parts_.versions->status());
}

absl::StatusOr<std::vector<VerifyReport>> StateController::Verify(const std::string& model) const {
  const ServingStatus status = parts_.versions->status();
  if (!model.empty() && FindModel(status, model) == nullptr) {
    return absl::NotFoundError(StrCat("there is no model '", model, "'"));
  }
  std::vector<VerifyReport> reports = VerifyServing(status, *parts_.routing, *parts_.clock, model);
  for (const VerifyReport& report : reports) {
    if (report.status.ok()) {
      LOG(INFO) << report.model << "/" << report.version << ": " << report.bytes
                << " bytes are what was sealed";
    } else {
      LOG(ERROR) << report.model << "/" << report.version
                 << " differs in memory: " << report.status;
    }
    if (parts_.on_verified) parts_.on_verified(report);
  }
  return reports;
}

absl::StatusOr<LoadPlan> StateController::PlanOne(const DesiredModel& model,
                                                  const DesiredVersion& version) const {
  if (!parts_.plan) return absl::UnimplementedError("this daemon cannot plan loads");
  PlanRequest request;
  request.load = {.id = {model.name, version.number},
                  .directory = version.directory,
                  .revision = version.revision,
                  .config = model.config};
  if (model.swap_order == SwapOrder::kMemoryFirst) {
    const ServingStatus status = parts_.versions->status();
    if (const ModelStatus* const known = FindModel(status, model.name); known != nullptr) {
      for (const VersionStatus& serving : known->versions) {
        const bool stays =
            std::any_of(model.versions.begin(), model.versions.end(), [&](const DesiredVersion& v) {
              return v.number == serving.number && v.revision == serving.revision && !v.fallback;
            });
        if (serving.state == VersionState::kServing && !stays) {
          request.goes_first.push_back({model.name, serving.number});
        }
      }
    }
  }
  absl::StatusOr<LoadPlan> plan = parts_.plan(request);
  if (plan.ok()) return plan;
  LoadPlan refused;
  refused.model = model.name;
  refused.version = version.number;
  refused.verdict = plan.status();
  return refused;
}

absl::StatusOr<std::vector<LoadPlan>> StateController::Plan(const std::string& model) const {
  PARAMD_ASSIGN_OR_RETURN(const std::vector<ListedModel> listing, parts_.list(model));
  DesiredState state;
  PARAMD_RETURN_IF_ERROR(ReadStored(&state).status());
  if (model.empty()) {
    ApplyListing(listing, &state);
  } else {
    for (const ListedModel& listed : listing) {
      PARAMD_RETURN_IF_ERROR(ApplyModel(listed, &state));
    }
  }
  std::vector<LoadPlan> plans;
  for (const DesiredModel& wanted : parts_.desired(state)) {
    if (!model.empty() && wanted.name != model) continue;
    if (!wanted.error.empty()) {
      LoadPlan& broken = plans.emplace_back();
      broken.model = wanted.name;
      broken.verdict = absl::FailedPreconditionError(wanted.error);
    }
    for (const DesiredVersion& version : wanted.versions) {
      if (version.fallback) continue;
      if (version.refusal.empty()) {
        PARAMD_ASSIGN_OR_RETURN(plans.emplace_back(), PlanOne(wanted, version));
      } else {
        LoadPlan& broken = plans.emplace_back();
        broken.model = wanted.name;
        broken.version = version.number;
        broken.verdict = absl::FailedPreconditionError(version.refusal);
      }
    }
  }
  return plans;
}

absl::Status StateController::Rescan(const std::string& model) {
  const absl::StatusOr<std::vector<ListedModel>> listing = parts_.list(model);
  if (!model.empty() && absl::IsNotFound(listing.status())) {
    return CommitIfActive([&](DesiredState* state) {
             ApplyMissing(model, state);
             return absl::OkStatus();
           })
        .status();
  }
  PARAMD_RETURN_IF_ERROR(listing.status());
  return CommitIfActive([&](DesiredState* state) {
           if (model.empty()) {
             ApplyListing(*listing, state);
             return absl::OkStatus();
           }
           return ApplyModel(listing->front(), state);
         })
      .status();
}

}  // namespace paramd
