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

bool TaskLoop::RunOne() {
  Task task;
  {
    MutexLock lock(&mutex_);
    if (tasks_.empty()) return false;
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  std::move(task)();
  return true;
}

void TaskLoop::Stop() {
  std::deque<Task> dropped;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
    posted_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void TaskLoop::Loop() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !stopping_) posted_.Wait(&mutex_);
      if (stopping_) return;
    }
    RunOne();
  }
}

}  // namespace paramd
