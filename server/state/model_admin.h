// ModelAdmin: what an operator may ask of the daemon, free of any protocol.
// rpc/admin_service (gRPC) and repository/repository_watcher call it; each edit
// changes the desired state by compare-and-swap, and the worker converges.
//
// Thread-safety: thread-safe. Load with `wait` blocks, so call it from a thread
// that may (never a gRPC callback).
#ifndef PARAMD_SERVER_STATE_MODEL_ADMIN_H_
#define PARAMD_SERVER_STATE_MODEL_ADMIN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace paramd {

// What loading one version takes, against what there is. All in bytes.
struct LoadPlan {
  std::string model;
  int64_t version = 0;
  uint64_t parameter_bytes = 0;  // Final bytes of the version.
  uint64_t resident_bytes = 0;   // Of these, what is in memory already.
  uint64_t scratch_bytes = 0;    // The largest tensor of each loader thread.
  uint64_t arena_bytes = 0;
  uint64_t freed_bytes = 0;     // By the version that goes first (memory-first).
  uint64_t needed_bytes = 0;    // Peak: what must be left.
  uint64_t left_bytes = 0;      // Of store capacity, cgroup and RAM: the least.
  uint64_t capacity_bytes = 0;  // Of the store.
  absl::Status verdict;         // OK: fits; ResourceExhausted with both numbers.
};

struct LoadCommand {
  std::string model;
  // Nothing: what the model's version policy selects in the repository now.
  std::optional<int64_t> version;
  bool dry_run = false;
  // The text of a config.pbtxt in place of the repository's, until that is read
  // again (the next Load without it, a rescan).
  std::optional<std::string> config;
};

// One line of progress of a load that somebody watches.
struct LoadEvent {
  int64_t version = 0;
  std::string state;  // "pending", "loading", ... as VersionStateName.
  std::string stage;  // "parameters", ...
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  double seconds = 0;
};

struct NameState {
  std::string name;  // "default", "stable", ...
  int64_t version = 0;
  int64_t previous = 0;  // Where Rollback goes; 0: nowhere.
};

// Desired beside actual, of one version.
struct VersionReport {
  int64_t version = 0;
  bool desired = false;
  std::string why;    // "latest", "named by stable", "kept until 12:03:11", "asked for".
  std::string state;  // Actual.
  std::string reason;
  uint64_t generation = 0;
  std::string weights_id;
};

struct ModelReport {
  std::string model;
  bool auto_promote = true;
  std::vector<NameState> names;
  std::vector<VersionReport> versions;
  std::string error;
};

struct StateReport {
  uint64_t revision = 0;
  bool converged = false;  // Nothing is on its way.
  std::vector<ModelReport> models;
};

struct VerifyReport {
  std::string model;
  int64_t version = 0;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  double seconds = 0;
  absl::Status status;  // DataLoss names the first entry that differs.
};

class ModelAdmin {
 public:
  virtual ~ModelAdmin() = default;

  // Makes the version (or what the policy selects) desired, reads its files
  // again if they changed, and tries a failed load again. Returns when it serves
  // or has failed: then with the load's own error, the old version serving on.
  // `progress` may be empty. With dry_run: only what Plan says, nothing changes.
  virtual absl::StatusOr<std::vector<LoadPlan>> Load(
      const LoadCommand& command, const std::function<void(const LoadEvent&)>& progress) = 0;
  // Nothing: the whole model. FailedPrecondition while a name points at the
  // version, unless `force`.
  virtual absl::Status Unload(const std::string& model, std::optional<int64_t> version,
                              bool force) = 0;
  // Points `name` ("default" if empty) at a version that serves. When it
  // returns, every request that arrives is answered by that version.
  // FailedPrecondition: it does not serve.
  virtual absl::StatusOr<NameState> Promote(const std::string& model, const std::string& name,
                                            int64_t version) = 0;
  // Points it where it pointed before. FailedPrecondition: nowhere, or that
  // version is not loaded any more.
  virtual absl::StatusOr<NameState> Rollback(const std::string& model, const std::string& name) = 0;
  virtual absl::StatusOr<NameState> RemoveName(const std::string& model,
                                               const std::string& name) = 0;
  virtual absl::Status SetAutoPromote(const std::string& model, bool on) = 0;
  virtual absl::StatusOr<StateReport> GetState() const = 0;
  // Empty: every version that serves.
  virtual absl::StatusOr<std::vector<VerifyReport>> Verify(const std::string& model) const = 0;
  // What serving the repository as it is now would take. Empty: all models.
  virtual absl::StatusOr<std::vector<LoadPlan>> Plan(const std::string& model) const = 0;
  // Reads the repository again and makes desired what the policies select
  // (--watch, SIGHUP). Empty: all models.
  virtual absl::Status Rescan(const std::string& model) = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_MODEL_ADMIN_H_
