// Which model runs next. Pure.
//
// Priority first, then the model that had the least service time so far, then
// the call that waits longest. A model whose single row already takes longer
// than batch_time_max never gets the last free stream: others could not run at
// all meanwhile.
#ifndef PARAMD_SERVER_BATCHING_EXECUTOR_POLICY_H_
#define PARAMD_SERVER_BATCHING_EXECUTOR_POLICY_H_

#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace paramd {

// A model version that has a batch to run.
struct Candidate {
  uint32_t priority = 0;   // Of its first call; 1 is the highest.
  absl::Duration service;  // Stream time that its model has had.
  absl::Duration one_row;  // Predicted time of a single row.
  absl::Time submitted;    // Of its first call.
};

struct StreamsView {
  int streams = 1;
  int free = 1;  // The one that asks included.
};

// Index into `candidates`, or -1 if none may run now.
int PickNext(absl::Span<const Candidate> candidates, const StreamsView& streams,
             absl::Duration batch_time_max);

// The service time a model starts from when work comes after it was idle: it
// may not claim the time in which it asked for nothing.
absl::Duration ServiceAfterIdle(absl::Duration own, absl::Span<const absl::Duration> of_the_busy);

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_EXECUTOR_POLICY_H_
