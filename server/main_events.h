// MainEvents: what the main thread waits for: signals, what the keeper says, and
// time. Signals are blocked in every thread from construction on, so create it
// first thing in main, before any thread.
//
// Thread-safety: Wait belongs to main's thread; Post is for any.
#ifndef PARAMD_SERVER_MAIN_EVENTS_H_
#define PARAMD_SERVER_MAIN_EVENTS_H_

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

enum class MainEvent {
  kTime,    // Nothing came in time.
  kStop,    // SIGTERM, SIGINT, or the keeper's word.
  kRescan,  // SIGHUP, or the keeper's word.
  kServe,   // From the keeper.
  kRetire,  // From the keeper.
  kFollow,  // From the keeper: another worker has changed the desired state.
  kLook,    // Something changed that main should look at.
};

class MainEvents {
 public:
  MainEvents();

  // The next event; kTime after `timeout`.
  MainEvent Wait(absl::Duration timeout = absl::InfiniteDuration());
  void Post(MainEvent event);
  // kLook as well when this is readable; -1: nothing. Of main's thread.
  void Hear(int fd) { heard_fd_ = fd; }

 private:
  const UniqueFd signals_;
  const UniqueFd wake_;
  int heard_fd_ = -1;
  Mutex mutex_;
  std::deque<MainEvent> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_MAIN_EVENTS_H_
