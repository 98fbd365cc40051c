// VersionManager: brings what is served to what is desired.
//
// SetDesired says which versions of which models there should be. One control
// thread compares that with what there is (version_policy.h, pure), starts loads
// on loader threads, publishes routing snapshots, and destroys versions whose
// last handle was dropped. A new version takes over only when it serves; names
// (`default`, labels) move together with the list that moves them, in one
// snapshot, between two requests.
//
// A model that fails to load stops nobody else. It is tried again when its files
// or its configuration have another revision (not more often than RetryDelay
// allows: files that are rewritten all the time are not read all the time), or
// when somebody asks (another `attempt`), at once. Nothing is ever retried only
// because time passed: what failed would fail again, and its reason stays
// readable until it is fixed.
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
#include <vector>

#include "absl/functional/any_invocable.h"
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
  // Differs from that of a load that failed: it is tried again.
  uint64_t attempt = 0;
  // Not wanted itself, but to be loaded if no wanted version can be (memory first).
  bool fallback = false;
  // Not empty: it is not loaded, counts as failed, and this is why. A load of the
  // same revision that serves already goes on.
  std::string refusal;
  std::string why;  // In words, for reports: "latest 1; named by default".
};

// A name and the version it points at.
struct DesiredName {
  std::string name;
  int64_t version = 0;
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
  // Without a `default` among them requests get what DefaultVersion says.
  std::vector<DesiredName> names;
};

struct DesiredOptions {
  // Lists that overtake each other: one with a lower revision than the last is
  // not taken. 0: always taken.
  uint64_t revision = 0;
  // Called on the control thread once the routing snapshot with this list's names
  // is published; dropped without a call when the manager shuts down first.
  absl::AnyInvocable<void() &&> on_published;
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
  // Sizes that the loader compiled and measured already: then nothing is warmed
  // up here, and `warm_later` is compiled while the version serves.
  std::vector<WarmSize> warm;
  std::vector<WarmSize> warm_later;
  uint32_t trail = 0;  // Its number in the executor's WorkTrail.
  // LoadRequest::config with what the loader read beside it; empty: as requested.
  std::any config;
};

// How far a load is.
struct LoadNote {
  std::string stage;         // "parameters", ...
  uint64_t bytes_done = 0;   // Of parameters read.
  uint64_t bytes_total = 0;  // 0: not known yet.
};
// Called on the loader thread.
using LoadProgress = std::function<void(const LoadNote&)>;
// Runs on a loader thread; may take minutes.
using ModelLoaderFn =
    std::function<absl::StatusOr<LoadedModel>(const LoadRequest&, const LoadProgress&)>;

struct VersionStatus {
  int64_t number = 0;
  VersionState state = VersionState::kPending;
  std::string reason;  // The error of a version that failed; progress of one that loads.
  absl::Status error;  // Of a version that failed.
  LoadNote progress;   // Of one that loads.
  bool desired = false;
  std::string why;  // DesiredVersion::why, revision and attempt.
  std::string revision;
  uint64_t attempt = 0;
  WeightsIdentity weights;
  int64_t holders = 0;  // Handles, the manager's and the snapshot's own included.
  absl::Time since;     // When the state was entered.
  absl::Duration load_took;
};

struct ModelStatus {
  std::string name;
  std::vector<VersionStatus> versions;  // Ascending.
  int64_t default_version = 0;          // What "default" means; 0: nothing.
  std::vector<DesiredName> names;
  bool ready = false;   // A version serves.
  bool failed = false;  // Nothing serves and nothing is on its way.
  bool coming = false;  // Something is on its way, or on its way out.
  std::string error;    // DesiredModel::error.
};

struct ServingStatus {
  std::vector<ModelStatus> models;  // By name.
  // Every version of each desired model has served or failed since the start, so
  // that whatever a name points at answers. Stays true: what comes later does not
  // make the others unready.
  bool settled = false;
  bool all_ready = false;  // Settled, and each desired model serves.
  bool converged = false;  // Nothing is on its way.
  uint64_t revision = 0;   // DesiredOptions::revision of the list in force.
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
  void SetDesired(std::vector<DesiredModel> models, DesiredOptions options = {});

  // Runs on the control thread when it is `when`; on a loader thread, after the
  // loads that wait already. Dropped when the manager shuts down first.
  void RunAt(absl::Time when, absl::AnyInvocable<void() &&> task);
  void RunOnLoader(absl::AnyInvocable<void() &&> task);

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
