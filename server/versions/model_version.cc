#include "server/versions/model_version.h"

#include <utility>

#include "runtime/model.h"
#include "server/batching/batcher.h"
#include "server/observability/metrics.h"

namespace paramd {

std::string_view VersionStateName(VersionState state) {
  switch (state) {
    case VersionState::kPending:
      return "pending";
    case VersionState::kLoading:
      return "loading";
    case VersionState::kWarming:
      return "warming";
    case VersionState::kServing:
      return "serving";
    case VersionState::kDraining:
      return "draining";
    case VersionState::kUnloaded:
      return "unloaded";
    case VersionState::kFailed:
      return "failed";
  }
  return "unknown";
}

ModelVersion::ModelVersion(VersionId id, WeightsIdentity weights,
                           std::unique_ptr<const Model> model,
                           std::unique_ptr<VersionMetrics> metrics,
                           std::unique_ptr<Batcher> batcher, absl::Time loaded_at, std::any config)
    : id_(std::move(id)),
      weights_(std::move(weights)),
      loaded_at_(loaded_at),
      config_(std::move(config)),
      model_(std::move(model)),
      metrics_(std::move(metrics)),
      batcher_(std::move(batcher)) {}

ModelVersion::~ModelVersion() = default;

ModelHandle::ModelHandle(std::unique_ptr<const ModelVersion> version,
                         std::function<void(std::unique_ptr<const ModelVersion>)> retire)
    : version_(version.release(), [retire = std::move(retire)](const ModelVersion* last) {
        retire(std::unique_ptr<const ModelVersion>(last));
      }) {}

}  // namespace paramd
