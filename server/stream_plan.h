// StreamPlan: how many streams, and how many threads each. Pure.
//
// By default streams of at most four threads, and two streams wherever there
// are two cores: a slow model on one leaves the other to the rest (DECISIONS.md
// says what was measured).
//
// Thread-safety: pure function.
#ifndef PARAMD_SERVER_STREAM_PLAN_H_
#define PARAMD_SERVER_STREAM_PLAN_H_

#include "absl/status/statusor.h"

namespace paramd {

struct StreamPlan {
  int streams = 1;
  int threads_per_stream = 1;
};

// `streams` and `threads_per_stream` as configured, 0 = to be chosen; `cores` is
// the CPU budget, >= 1. InvalidArgument when both are configured and their
// product is far beyond the budget (four times), which can only be a mistake.
absl::StatusOr<StreamPlan> PlanStreams(int cores, int streams, int threads_per_stream);

}  // namespace paramd

#endif  // PARAMD_SERVER_STREAM_PLAN_H_
