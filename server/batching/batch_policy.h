// What the waiting calls of one shape should do next: run now, with how many
// rows, or wait, and which size to compile. Pure.
//
// Calls are seen in sum only: {key, rows, priority, arrival}. The executor asks
// once for each shape that waits, then chooses between models (executor_policy.h).
#ifndef PARAMD_SERVER_BATCHING_BATCH_POLICY_H_
#define PARAMD_SERVER_BATCHING_BATCH_POLICY_H_

#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/batching/cost_model.h"

namespace paramd {

// The waiting calls that share one BatchKey.
struct GroupView {
  int64_t rows_waiting = 0;  // >= 1
  absl::Time oldest;         // When the one that waits longest was submitted.
  // Row counts that are compiled, and those whose compilation failed; ascending.
  absl::Span<const int64_t> warm;
  absl::Span<const int64_t> refused;
  bool compiling = false;  // One size of this group is being compiled.
  const CostModel* cost = nullptr;
};

struct BatchLimits {
  int64_t rows_max = 1;  // >= 1
  absl::Duration queue_delay_max = absl::ZeroDuration();
  absl::Span<const int64_t> preferred = {};  // Ascending: such a number of rows need not wait.
  // A batch of more than one row is not predicted to take longer. Infinite while
  // no other model waits.
  absl::Duration time_max = absl::InfiniteDuration();
  // Sizes that a group may have compiled before only powers of two are added:
  // compiled shapes take memory, and a model keeps a limited number of them.
  int64_t exact_sizes_max = 24;
};

struct BatchStep {
  // Rows to run now; 0: wait.
  int64_t run_rows = 0;
  // While waiting for company: when to look again. Otherwise infinite.
  absl::Time wake_at = absl::InfiniteFuture();
  // A size that should be compiled meanwhile; 0: none.
  int64_t compile_rows = 0;
};

BatchStep NextBatch(const GroupView& group, const BatchLimits& limits, absl::Time now);

// Where to stop in a batch of `rows` when calls of `call_rows` wait in order:
// never above `rows`; at the border between two calls if that makes a warm size,
// so that a call is split only when it must be.
int64_t RowsWithoutSplit(absl::Span<const int64_t> call_rows, int64_t rows,
                         absl::Span<const int64_t> warm);

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_BATCH_POLICY_H_
