// VersionManager: brings what is served to what is desired.
//
// SetDesired says which versions of which models there should be. One control
// thread compares that with what there is (version_policy.h, pure), starts loads
// on loader threads, publishes routing snapshots, and destroys versions whose
// last handle was dropped. A new version takes over only when it serves; a model
// that fails to load stops nobody else, and is not tried again until its files
// or its configuration have another revision.
//
// Life: Shutdown (or the destructor) publishes an empty snapshot and waits until
// every handle is dropped, so the front doors must have answered by then.
//
// Thread-safety: thread-safe. With start_threads false a test steps it by hand
// with RunControl and RunLoad.
#ifndef PARAMD_SERVER_VERSIONS_VERSION_MANAGER_H_
#define PARAMD_SERVER_VERSIONS_VERSION_MANAGER_H_

#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "server/batching/batcher.h"
#include "server/versions/model_version.h"
#include "server/versions/version_policy.h"

namespace paramd {

class Arena;         // runtime/graph/arena.h
class Executor;      // server/batching/executor.h
class Metrics;       // server/observability/metrics.h
class RoutingTable;  // server/versions/routing_snapshot.h

struct DesiredVersion {
  int64_t number = 0;
  std::string directory;  // <repository>/<model>/<number>
  // Whatever changes when the files or the configuration do. An equal revision is
  // the version that is there already, whether it serves or has failed.
  std::string revision;
};

struct DesiredModel {
  std::string name;
  // Not empty: the folder or the configuration is unusable, and this is why; the
  // model counts as failed, and versions of it that serve go on serving.
  std::string error;
  SwapOrder swap_order = SwapOrder::kAvailabilityFirst;
  BatcherOptions batching;
  std::any config;  // What the repository read; only the loader looks into it.
  std::vector<DesiredVersion> versions;
};

struct LoadRequest {
  VersionId id;
  std::string directory;
  std::string revision;  // DesiredVersion::revision.
  std::any config;
};

struct LoadedModel {
  std::unique_ptr<const Model> model;
  WeightsIdentity weights;
};

// Called on the loader thread with a line for people ("tensor 12 of 160").
using LoadProgress = std::function<void(std::string_view detail)>;
// Runs on a loader thread; may take minutes.
using ModelLoaderFn =
    std::function<absl::StatusOr<LoadedModel>(const LoadRequest&, const LoadProgress&)>;

struct VersionStatus {
  int64_t number = 0;
  VersionState state = VersionState::kPending;
  std::string reason;  // The error of a version that failed; progress of one that loads.
  WeightsIdentity weights;
  int64_t holders = 0;  // Handles, the manager's and the snapshot's own included.
  absl::Time since;     // When the state was entered.
  absl::Duration load_took;
};

struct ModelStatus {
  std::string name;
  std::vector<VersionStatus> versions;  // Ascending.
  int64_t default_version = 0;          // 0 while nothing serves.
  bool ready = false;                   // A version serves.
  bool failed = false;                  // Nothing serves and nothing is on its way.
  std::string error;                    // DesiredModel::error.
};

struct ServingStatus {
  std::vector<ModelStatus> models;  // By name.
  bool settled = false;             // Desired is known, and each model serves or has failed.
  bool all_ready = false;           // Settled, and each model serves.
};

struct VersionManagerOptions {
  int loader_threads = 1;
  // Run each warm size once with zeros, to know how long it takes.
  bool measure_warm_up = true;
  bool start_threads = true;
};

struct VersionManagerParts {
  const Clock* clock = nullptr;
  Executor* executor = nullptr;  // Borrowed, like all that follow.
  RoutingTable* routing = nullptr;
  Metrics* metrics = nullptr;  // May be null.
  ModelLoaderFn load;
  // A private arena for warm-up runs; empty: sessions get a null arena (tests).
  std::function<absl::StatusOr<std::unique_ptr<Arena>>()> new_arena;
  // Called first thing on each loader thread (idle priority, kernel threads).
  std::function<void()> on_loader_thread_start;
  // Work on memory that no answer should wait for (huge pages, giving free pages
  // back). Called on a loader thread after a version began to serve or went.
  std::function<void()> tidy;
  // Called on the control thread when a version that nobody wants any more was
  // destroyed; not for those that Shutdown destroys.
  std::function<void(const VersionId&, const WeightsIdentity&)> on_unloaded;
  // Called on the control thread after anything in ServingStatus changed.
  std::function<void(const ServingStatus&)> on_change;
};

class VersionManager {
 public:
  VersionManager(const VersionManagerOptions& options, VersionManagerParts parts);
  ~VersionManager();
  VersionManager(const VersionManager&) = delete;
  VersionManager& operator=(const VersionManager&) = delete;

  // The whole list, every time: a model that is missing from it is unloaded.
  void SetDesired(std::vector<DesiredModel> models);

  ServingStatus status() const;

  // Unloads everything and waits; running loads are waited for. Idempotent.
  void Shutdown();

  // Runs one waiting task of the control thread. False: none waited.
  bool RunControl();
  // Performs one waiting load. False: none waited.
  bool RunLoad();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_VERSION_MANAGER_H_
