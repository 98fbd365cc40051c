#include "runtime/loading/rate_limit.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace paramd {

RateLimit::RateLimit(const Clock* clock, uint64_t bytes_per_second,
                     std::function<void(absl::Duration)> sleep)
    : clock_(clock), bytes_per_second_(bytes_per_second), sleep_(std::move(sleep)) {}

void RateLimit::Take(uint64_t bytes) {
  if (bytes_per_second_ == 0) return;
  absl::Duration wait;
  {
    const absl::Time now = clock_->Now();
    MutexLock lock(&mutex_);
    paid_until_ = std::max(paid_until_, now - kBurst);
    wait = paid_until_ - now;
    paid_until_ +=
        absl::Seconds(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
  }
  if (wait <= absl::ZeroDuration()) return;
  if (sleep_ != nullptr) {
    sleep_(wait);
  } else {
    absl::SleepFor(wait);
  }
}

}  // namespace paramd
