#include "server/status_page.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_format.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::string Since(absl::Time then, absl::Time now) {
  return absl::FormatDuration(absl::Trunc(now - then, absl::Seconds(1)));
}

void AppendModel(const ModelStatus& model, absl::Time now, std::string* page) {
  StrAppend(page, "\n", model.name, model.ready ? "" : model.failed ? "  FAILED" : "  not ready");
  if (model.default_version != 0) StrAppend(page, "  default=", model.default_version);
  for (const DesiredName& name : model.names) {
    if (name.name != "default" || name.version != model.default_version) {
      StrAppend(page, "  ", name.name, "->", name.version);
    }
  }
  StrAppend(page, "\n");
  if (!model.error.empty()) StrAppend(page, "  error: ", model.error, "\n");
  for (const VersionStatus& version : model.versions) {
    absl::StrAppendFormat(page, "  %-8d %-9s for %s", version.number,
                          ToAbsl(VersionStateName(version.state)), Since(version.since, now));
    if (version.weights.generation != 0) {
      absl::StrAppendFormat(page, "  generation %d  weights %s  handles %d  loaded in %s",
                            version.weights.generation, version.weights.weights_id.substr(0, 12),
                            version.holders, absl::FormatDuration(version.load_took));
    }
    if (version.desired && !version.why.empty()) StrAppend(page, "\n           ", version.why);
    if (!version.reason.empty()) StrAppend(page, "\n           ", version.reason);
    StrAppend(page, "\n");
  }
}

double Seconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

nlohmann::ordered_json VersionJson(const StatusPageInput& input, const ModelStatus& model,
                                   const VersionStatus& version) {
  nlohmann::ordered_json json = {{"version", version.number},
                                 {"state", VersionStateName(version.state)},
                                 {"since", Seconds(version.since)},
                                 {"desired", version.desired},
                                 {"why", version.why},
                                 {"reason", version.reason}};
  if (version.state == VersionState::kLoading || version.state == VersionState::kWarming) {
    json["stage"] = version.progress.stage;
    json["bytes_done"] = version.progress.bytes_done;
    json["bytes_total"] = version.progress.bytes_total;  // 0: not known yet.
  }
  if (version.weights.generation != 0) {
    json["generation"] = StrCat(version.weights.generation);
    json["weights_id"] = version.weights.weights_id;
    json["load_seconds"] = absl::ToDoubleSeconds(version.load_took);
  }
  if (const auto it = input.scalars.find({model.name, version.number}); it != input.scalars.end()) {
    json["weights"] = it->second.weights;
    json["biases"] = it->second.biases;
  }
  return json;
}

}  // namespace

std::string StatusJson(const StatusPageInput& input) {
  nlohmann::ordered_json models = nlohmann::ordered_json::array();
  for (const ModelStatus& model : input.serving.models) {
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const DesiredName& name : model.names) {
      names.push_back({{"name", name.name}, {"version", name.version}});
    }
    nlohmann::ordered_json versions = nlohmann::ordered_json::array();
    for (const VersionStatus& version : model.versions) {
      versions.push_back(VersionJson(input, model, version));
    }
    models.push_back({{"model", model.name},
                      {"ready", model.ready},
                      {"error", model.error},
                      {"default_version", model.default_version},
                      {"names", std::move(names)},
                      {"versions", std::move(versions)}});
  }
  const nlohmann::ordered_json json = {
      {"build", input.build},
      {"now", Seconds(input.now)},
      {"started", Seconds(input.started)},
      {"ready", input.readiness.ok()},
      {"not_ready", std::string(input.readiness.message())},
      {"converged", input.serving.converged},
      {"threads_per_stream", input.threads_per_stream},
      {"models", std::move(models)}};
  // A reason may quote a file's bytes; what is no UTF-8 is replaced.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string StatusPage(const StatusPageInput& input) {
  std::string page =
      StrCat(input.build, "\nup ", Since(input.started, input.now), ", ",
             input.readiness.ok() ? "ready" : "not ready: ", FromAbsl(input.readiness.message()),
             "\n", input.crashes, " crashes of workers, ", input.quarantined,
             " versions in quarantine\n\nMODELS\n");
  if (input.serving.models.empty()) StrAppend(&page, "\nnone\n");
  for (const ModelStatus& model : input.serving.models) AppendModel(model, input.now, &page);
  absl::StrAppendFormat(&page,
                        "\nQUEUES AND STREAMS\n\n"
                        "streams  %d of %d busy, %d threads each\n"
                        "queued   %d requests, %d bytes\n"
                        "arenas   %d bytes\n",
                        input.executor.streams_busy, input.streams, input.threads_per_stream,
                        input.executor.requests, input.executor.bytes, input.executor.arena_bytes);
  StrAppend(&page, "\nPARAMETERS\n\n", input.ledger.ToString());
  return page;
}

}  // namespace paramd
