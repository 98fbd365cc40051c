// LoadAttempt: what happens on a loader thread: the loader is called, then the
// model is warmed up. Whatever goes wrong is in the outcome.
//
// Thread-safety: a function of its arguments; the parts are thread-safe.
#ifndef PARAMD_SERVER_VERSIONS_LOAD_ATTEMPT_H_
#define PARAMD_SERVER_VERSIONS_LOAD_ATTEMPT_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/batching/batcher.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct LoadOutcome {
  bool skipped = false;  // Nobody wanted it when its turn came: nothing was read.
  absl::StatusOr<LoadedModel> loaded = absl::UnknownError("not loaded");
  std::vector<WarmSize> warm;
  absl::Duration took;
};

// `on_loaded` is called between loading and warming.
LoadOutcome LoadAndWarm(const VersionManagerParts& parts, const VersionManagerOptions& options,
                        const LoadRequest& request, const LoadProgress& progress,
                        const std::function<void()>& on_loaded);

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_LOAD_ATTEMPT_H_
