// CallThreads: a thread for each call that may block for long, at most so many
// at a time. Admin calls are rare, so a thread of their own costs nothing that
// counts, and none waits behind another: a rollback never queues behind a load.
//
// Life: destruction waits for the calls that run.
// Thread-safety: thread-safe, except for destruction.
#ifndef PARAMD_SERVER_RPC_CALL_THREADS_H_
#define PARAMD_SERVER_RPC_CALL_THREADS_H_

#include <list>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "runtime/base/mutex.h"

namespace paramd {

class CallThreads {
 public:
  // `name` is the threads' name, cut to 15 characters by Linux. With idle_priority
  // they run only when nobody else wants the core.
  CallThreads(std::string name, int running_max, bool idle_priority = false);
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // False, and `work` is dropped, while running_max calls run.
  bool Start(absl::AnyInvocable<void() &&> work);

  int running_max() const { return running_max_; }

 private:
  struct Call {
    std::thread thread;
    bool done = false;
  };
  void JoinFinished() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string name_;
  const int running_max_;
  const bool idle_priority_;
  Mutex mutex_;
  CondVar changed_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  // Those that have ended are joined by the next Start: they hold no thread any more.
  std::list<Call> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_CALL_THREADS_H_
