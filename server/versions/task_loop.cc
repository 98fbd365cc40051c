#include "server/versions/task_loop.h"

#include <utility>

namespace paramd {

void TaskLoop::Start(int threads, std::function<void()> on_thread_start) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, on_thread_start] {
      if (on_thread_start) on_thread_start();
      Loop();
    });
  }
}

void TaskLoop::Post(Task task) {
  MutexLock lock(&mutex_);
  if (stopping_) return;
  tasks_.push_back(std::move(task));
  posted_.Signal();
}

void TaskLoop::PostAt(absl::Time when, Task task) {
  MutexLock lock(&mutex_);
  if (stopping_) return;
  timed_.emplace(when, std::move(task));
  posted_.Signal();  // Whoever waits may have to wake earlier.
}

std::optional<TaskLoop::Task> TaskLoop::TakeLocked() {
  if (!timed_.empty() && timed_.begin()->first <= clock_->Now()) {
    return std::move(timed_.extract(timed_.begin()).mapped());
  }
  if (tasks_.empty()) return std::nullopt;
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

bool TaskLoop::RunOne() {
  std::optional<Task> task;
  {
    MutexLock lock(&mutex_);
    task = TakeLocked();
  }
  if (!task) return false;
  (*std::move(task))();
  return true;
}

void TaskLoop::Stop() {
  std::deque<Task> dropped;
  std::multimap<absl::Time, Task> dropped_timed;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
    dropped_timed.swap(timed_);
    posted_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void TaskLoop::Loop() {
  while (true) {
    std::optional<Task> task;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && !(task = TakeLocked())) {
        if (timed_.empty()) {
          posted_.Wait(&mutex_);
        } else {
          posted_.WaitUntil(&mutex_, timed_.begin()->first);
        }
      }
      if (stopping_) return;
    }
    (*std::move(task))();
  }
}

}  // namespace paramd
