#include "server/shutdown.h"

#include <cerrno>

#include "absl/time/clock.h"

namespace paramd {

StopSignals::StopSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  // A client that goes away is an error of one write, not the end of the daemon.
  signal(SIGPIPE, SIG_IGN);
}

int StopSignals::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    int signal = -1;
    if (timeout == absl::InfiniteDuration()) {
      signal = sigwaitinfo(&signals_, nullptr);
    } else {
      const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
      const timespec wait = absl::ToTimespec(left);
      signal = sigtimedwait(&signals_, nullptr, &wait);
      if (signal < 0 && errno == EAGAIN) return 0;
    }
    if (signal > 0) return signal;
    if (errno != EINTR) return 0;
  }
}

}  // namespace paramd
