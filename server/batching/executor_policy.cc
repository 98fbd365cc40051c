#include "server/batching/executor_policy.h"

#include <algorithm>
#include <tuple>

namespace paramd {

int PickNext(absl::Span<const Candidate> candidates, const StreamsView& streams,
             absl::Duration batch_time_max) {
  const bool last_free = streams.streams > 1 && streams.free <= 1;
  const auto rank = [](const Candidate& c) { return std::tie(c.priority, c.service, c.submitted); };
  int best = -1;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (last_free && candidate.one_row > batch_time_max) continue;
    if (best < 0 || rank(candidate) < rank(candidates[static_cast<size_t>(best)])) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

absl::Duration ServiceAfterIdle(absl::Duration own, absl::Span<const absl::Duration> of_the_busy) {
  if (of_the_busy.empty()) return own;
  return std::max(own, *std::min_element(of_the_busy.begin(), of_the_busy.end()));
}

}  // namespace paramd
