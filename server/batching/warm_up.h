// WarmUp: before a version serves, compiles the batch sizes 1, 2, 4 .. rows_max
// and runs each once with zeros: the first request finds compiled programs,
// touched memory and a prediction of its time.
//
// Only models whose shapes are known but for the rows; others compile the shapes
// that come. Thread-safety: a function; the arena is the caller's alone.
#ifndef PARAMD_SERVER_BATCHING_WARM_UP_H_
#define PARAMD_SERVER_BATCHING_WARM_UP_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/clock.h"
#include "runtime/graph/arena.h"
#include "runtime/model.h"
#include "server/batching/batcher.h"

namespace paramd {

struct WarmUpOptions {
  bool measure = true;
  // A size that took longer is not followed by larger ones: they compile when
  // somebody asks for them, and a slow model does not wait minutes to serve.
  absl::Duration size_time_max = absl::Seconds(2);
  // After so much time in runs the other sizes are only compiled: the line through
  // the measured ones predicts them well enough, and to serve soon is worth more.
  absl::Duration measure_time_max = absl::Milliseconds(400);
};

// The sizes that can run. Fails if a single row cannot be compiled; a larger
// size that cannot only ends the list.
absl::StatusOr<std::vector<WarmSize>> WarmUp(const Model& model, Arena* arena, const Clock& clock,
                                             const WarmUpOptions& options);

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_WARM_UP_H_
