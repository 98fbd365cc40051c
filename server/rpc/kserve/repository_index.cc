#include "server/rpc/kserve/repository_index.h"

#include <string>
#include <string_view>

#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::string_view StateName(VersionState state) {
  switch (state) {
    case VersionState::kServing:
      return "READY";
    case VersionState::kPending:
    case VersionState::kLoading:
    case VersionState::kWarming:
      return "LOADING";
    case VersionState::kDraining:
      return "UNLOADING";
    case VersionState::kUnloaded:
    case VersionState::kFailed:
      return "UNAVAILABLE";
  }
  return "UNKNOWN";
}

std::string ReasonOf(const VersionStatus& version) {
  if (version.state == VersionState::kUnloaded) return "unloaded";
  return version.reason;
}

}  // namespace

void FillRepositoryIndex(const ServingStatus& status, bool ready,
                         inference::RepositoryIndexResponse* response) {
  const auto add = [response](const std::string& name, const std::string& version,
                              std::string_view state, const std::string& reason) {
    inference::RepositoryIndexResponse::ModelIndex* const entry = response->add_models();
    entry->set_name(name);
    entry->set_version(version);
    entry->set_state(std::string(state));
    entry->set_reason(reason);
  };
  for (const ModelStatus& model : status.models) {
    bool listed = false;
    for (const VersionStatus& version : model.versions) {
      if (ready && version.state != VersionState::kServing) continue;
      add(model.name, StrCat(version.number), StateName(version.state), ReasonOf(version));
      listed = true;
    }
    if (!listed && !ready) add(model.name, "", "UNAVAILABLE", model.error);
  }
}

}  // namespace paramd
