// StopSignals: SIGTERM and SIGINT as something to wait for. They are blocked in
// every thread from construction on, so create it first thing in main, before
// any thread; a second signal while the daemon drains ends the grace period.
//
// Thread-safety: Wait belongs to main's thread.
#ifndef PARAMD_SERVER_SHUTDOWN_H_
#define PARAMD_SERVER_SHUTDOWN_H_

#include <signal.h>

#include "absl/time/time.h"

namespace paramd {

class StopSignals {
 public:
  StopSignals();

  // The signal that came, or 0 after `timeout`.
  int Wait(absl::Duration timeout = absl::InfiniteDuration());

 private:
  sigset_t signals_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_SHUTDOWN_H_
