#include "server/main_events.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/log/check.h"
#include "absl/time/clock.h"

namespace paramd {
namespace {

int BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  // A client that goes away is an error of one write, not the end of the daemon.
  signal(SIGPIPE, SIG_IGN);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

}  // namespace

MainEvents::MainEvents() : signals_(BlockSignals()), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(signals_.valid() && wake_.valid());
}

void MainEvents::Post(MainEvent event) {
  {
    MutexLock lock(&mutex_);
    posted_.push_back(event);
  }
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

MainEvent MainEvents::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof(count));
    {
      MutexLock lock(&mutex_);
      if (!posted_.empty()) {
        const MainEvent event = posted_.front();
        posted_.pop_front();
        return event;
      }
    }
    signalfd_siginfo info = {};
    if (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      return info.ssi_signo == SIGHUP ? MainEvent::kRescan : MainEvent::kStop;
    }
    int wait_ms = -1;
    if (timeout != absl::InfiniteDuration()) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return MainEvent::kTime;
      // Rounded up, or the last millisecond would be a spin.
      wait_ms =
          static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1, 3'600'000));
    }
    pollfd polls[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                      {.fd = wake_.get(), .events = POLLIN, .revents = 0},
                      {.fd = heard_fd_, .events = POLLIN, .revents = 0}};
    if (poll(polls, 3, wait_ms) > 0 && polls[2].revents != 0) return MainEvent::kLook;
  }
}

}  // namespace paramd
