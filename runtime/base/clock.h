// Clock: where time comes from. Real in the daemon, FakeClock (tests/support)
// in tests. No code below main.cc calls absl::Now() itself.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_BASE_CLOCK_H_
#define PARAMD_RUNTIME_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace paramd {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The machine's wall clock; lives for the whole process.
  static const Clock* Real();
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_CLOCK_H_
