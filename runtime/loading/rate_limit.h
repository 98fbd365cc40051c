// RateLimit: so many bytes a second, for all who share it. Who wants to read asks
// first and is told how long to wait.
//
// A token bucket with a debt: a request is granted at once while the bucket is
// not empty, and what it took beyond the content makes the next one wait. So no
// request is too large, and on average the rate is kept.
//
// Life: outlives the loads that share it. Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_LOADING_RATE_LIMIT_H_
#define PARAMD_RUNTIME_LOADING_RATE_LIMIT_H_

#include <cstdint>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace paramd {

class RateLimit {
 public:
  // What the bucket holds: reading that was idle may catch up so much.
  static constexpr absl::Duration kBurst = absl::Milliseconds(50);

  // `bytes_per_second` 0: no limit. `sleep` waits; empty: the thread sleeps.
  RateLimit(const Clock* clock, uint64_t bytes_per_second,
            std::function<void(absl::Duration)> sleep = nullptr);

  // Waits until these bytes may be read.
  void Take(uint64_t bytes);

 private:
  const Clock* const clock_;
  const uint64_t bytes_per_second_;
  const std::function<void(absl::Duration)> sleep_;
  Mutex mutex_;
  absl::Time paid_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_RATE_LIMIT_H_
