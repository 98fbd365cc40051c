// FakeClock: time that moves only when the test says so.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_TESTS_SUPPORT_FAKE_CLOCK_H_
#define PARAMD_TESTS_SUPPORT_FAKE_CLOCK_H_

#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace paramd {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000)) : now_(start) {}

  absl::Time Now() const override {
    MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  mutable Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FAKE_CLOCK_H_
