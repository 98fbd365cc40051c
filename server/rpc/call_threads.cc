#include "server/rpc/call_threads.h"

#include <utility>

#include "runtime/base/task_queue.h"

namespace paramd {

CallThreads::CallThreads(std::string name, int running_max, bool idle_priority)
    : name_(std::move(name)), running_max_(running_max), idle_priority_(idle_priority) {}

CallThreads::~CallThreads() {
  MutexLock lock(&mutex_);
  while (running_ > 0) changed_.Wait(&mutex_);
  JoinFinished();
}

bool CallThreads::Start(absl::AnyInvocable<void() &&> work) {
  MutexLock lock(&mutex_);
  JoinFinished();
  if (running_ >= running_max_) return false;
  ++running_;
  Call& call = calls_.emplace_back();
  // The thread needs the lock before it can end, so `thread` is set by then.
  call.thread = std::thread([this, &call, work = std::move(work)]() mutable {
    SetThreadNameAndPriority(name_, idle_priority_);
    std::move(work)();
    work = nullptr;  // What it holds goes before anybody can see that it is done.
    MutexLock done(&mutex_);
    call.done = true;
    --running_;
    changed_.SignalAll();
  });
  return true;
}

// A thread that says it is done has only its last few instructions to go.
void CallThreads::JoinFinished() {
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (call->done) {
      call->thread.join();
      call = calls_.erase(call);
    } else {
      ++call;
    }
  }
}

}  // namespace paramd
