#include "server/state/state_report.h"

#include <algorithm>
#include <map>
#include <utility>

#include "runtime/model.h"
#include "runtime/params/parameter_set.h"
#include "server/state/state_edits.h"

namespace paramd {
namespace {

VersionReport ReportVersion(const WantedModel* model, int64_t number, const VersionStatus* actual) {
  VersionReport report;
  report.version = number;
  const WantedVersion* const wanted = model == nullptr ? nullptr : model->FindVersion(number);
  if (wanted != nullptr) {
    report.desired = IsWanted(*model, *wanted);
    report.why = WhyWanted(*model, *wanted);
    report.reason = wanted->error;
  }
  if (actual != nullptr) {
    report.state = VersionStateName(actual->state);
    report.reason = actual->reason;
    report.generation = actual->weights.generation;
    report.weights_id = actual->weights.weights_id;
  } else {
    const bool broken = wanted != nullptr && !wanted->error.empty();
    report.state = VersionStateName(broken           ? VersionState::kFailed
                                    : report.desired ? VersionState::kPending
                                                     : VersionState::kUnloaded);
  }
  return report;
}

ModelReport ReportModel(const std::string& name, const WantedModel* wanted,
                        const ModelStatus* actual) {
  ModelReport report;
  report.model = name;
  std::multimap<int64_t, const VersionStatus*> versions;
  if (actual != nullptr) {
    report.error = actual->error;
    for (const VersionStatus& version : actual->versions) {
      versions.emplace(version.number, &version);
    }
  }
  if (wanted != nullptr) {
    report.auto_promote = wanted->auto_promote;
    report.error = wanted->error;
    if (wanted->unloaded) report.error = "unloaded by an operator";
    for (const NameEntry& entry : wanted->names) {
      report.names.push_back({entry.name, entry.version, entry.previous});
    }
    for (const WantedVersion& version : wanted->versions) {
      if (versions.count(version.number) == 0) versions.emplace(version.number, nullptr);
    }
  }
  for (const auto& [number, status] : versions) {
    report.versions.push_back(ReportVersion(wanted, number, status));
    // Two loads of one number: only the one that is wanted is desired.
    if (status != nullptr && !status->desired) report.versions.back().desired = false;
  }
  return report;
}

}  // namespace

const ModelStatus* FindModel(const ServingStatus& status, const std::string& name) {
  for (const ModelStatus& model : status.models) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

StateReport ReportState(uint64_t revision, const DesiredState& desired,
                        const ServingStatus& actual) {
  StateReport report;
  report.revision = revision;
  report.converged = actual.converged && actual.revision >= revision;
  std::map<std::string, std::pair<const WantedModel*, const ModelStatus*>> models;
  for (const WantedModel& model : desired.models) models[model.name].first = &model;
  for (const ModelStatus& model : actual.models) models[model.name].second = &model;
  for (const auto& [name, both] : models) {
    report.models.push_back(ReportModel(name, both.first, both.second));
  }
  return report;
}

std::vector<VerifyReport> VerifyServing(const ServingStatus& status, const RoutingTable& routing,
                                        const Clock& clock, const std::string& model) {
  std::vector<VerifyReport> reports;
  for (const ModelStatus& known : status.models) {
    if (!model.empty() && known.name != model) continue;
    for (const VersionStatus& version : known.versions) {
      if (version.state != VersionState::kServing) continue;
      const absl::StatusOr<ModelHandle> handle =
          routing.Find(known.name, {.number = version.number});
      if (!handle.ok()) continue;
      const ParameterSet& parameters = (*handle)->model().parameters();
      VerifyReport& report = reports.emplace_back();
      report.model = known.name;
      report.version = version.number;
      report.entries = parameters.entries().size();
      for (const ParameterRef& entry : parameters.entries()) report.bytes += entry.bytes().size();
      const absl::Time start = clock.Now();
      report.status = parameters.Verify();
      report.seconds = absl::ToDoubleSeconds(clock.Now() - start);
    }
  }
  return reports;
}

}  // namespace paramd
