// ModelVersion: one loaded, immutable version of one model.
// ModelHandle: what a request holds while it uses one.
//
// States, moved only by VersionManager's control thread:
//
//   kPending -> kLoading -> kWarming -> kServing -> kDraining -> kUnloaded
//                   \___________\________________________________> kFailed
//
// Only kServing versions are in the routing snapshot, so a request can never
// obtain a handle to anything else. kDraining means "no new handles"; the
// version is destroyed on the control thread once the last handle is dropped,
// never on a request thread: unmapping must not land in the latency of the
// request that happened to be last.
//
// Thread-safety: everything reachable through a ModelHandle may be used from
// any thread. One ModelHandle object is not itself thread-safe.
#ifndef PARAMD_SERVER_VERSIONS_MODEL_VERSION_H_
#define PARAMD_SERVER_VERSIONS_MODEL_VERSION_H_

#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace paramd {

class Batcher;         // server/batching/batcher.h
class Model;           // runtime/model.h
class VersionMetrics;  // server/observability/metrics.h

struct VersionId {
  std::string model;   // As in the repository folder.
  int64_t number = 0;  // >= 1; higher is newer.
  friend bool operator==(const VersionId&, const VersionId&) = default;
};

enum class VersionState : uint8_t {
  kPending,
  kLoading,
  kWarming,
  kServing,
  kDraining,
  kUnloaded,
  kFailed,
};

// "pending", "loading", ...
std::string_view VersionStateName(VersionState state);

// What identifies the weights of one load.
struct WeightsIdentity {
  uint64_t generation = 0;  // Never used twice, also across restarts.
  std::string weights_id;   // Hexadecimal; equal wherever the same weights are served.
};

class ModelVersion {
 public:
  ModelVersion(VersionId id, WeightsIdentity weights, std::unique_ptr<const Model> model,
               std::unique_ptr<VersionMetrics> metrics, std::unique_ptr<Batcher> batcher,
               absl::Time loaded_at, std::any config = {});
  // REQUIRES: the control thread.
  ~ModelVersion();

  ModelVersion(const ModelVersion&) = delete;
  ModelVersion& operator=(const ModelVersion&) = delete;

  const VersionId& id() const { return id_; }
  uint64_t generation() const { return weights_.generation; }
  const std::string& weights_id() const { return weights_.weights_id; }
  const Model& model() const { return *model_; }
  Batcher& batcher() const { return *batcher_; }
  VersionMetrics& metrics() const { return *metrics_; }
  absl::Time loaded_at() const { return loaded_at_; }
  // The ModelConfig that it was loaded with, for front doors that show it; may be empty.
  const std::any& config() const { return config_; }

 private:
  const VersionId id_;
  const WeightsIdentity weights_;
  const absl::Time loaded_at_;
  const std::any config_;
  // The batcher runs the model and counts in the metrics, so it goes first: declared last.
  const std::unique_ptr<const Model> model_;
  const std::unique_ptr<VersionMetrics> metrics_;
  const std::unique_ptr<Batcher> batcher_;
};

// Copyable: one atomic increment. Holding one delays unloading of its version:
// take it, submit, drop it once the answer is written. Empty until assigned.
class ModelHandle {
 public:
  ModelHandle() = default;

  // Wraps `version`; when the last copy is dropped, on whatever thread, `retire`
  // gets the version to destroy it elsewhere. VersionManager makes the first
  // handle of each version; tests may make their own.
  ModelHandle(std::unique_ptr<const ModelVersion> version,
              std::function<void(std::unique_ptr<const ModelVersion>)> retire);

  explicit operator bool() const { return version_ != nullptr; }
  const ModelVersion& operator*() const { return *version_; }
  const ModelVersion* operator->() const { return version_.get(); }

 private:
  friend class HandleWatch;
  std::shared_ptr<const ModelVersion> version_;
};

// Counts the handles of a version without being one; for status pages.
class HandleWatch {
 public:
  HandleWatch() = default;
  explicit HandleWatch(const ModelHandle& handle) : version_(handle.version_) {}
  int64_t holders() const { return version_.use_count(); }

 private:
  std::weak_ptr<const ModelVersion> version_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_MODEL_VERSION_H_
