#include "runtime/base/task_queue.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

namespace paramd {

TaskQueue::TaskQueue(TaskQueueOptions options)
    : options_(std::move(options)), thread_([this] { ThreadMain(); }) {}

TaskQueue::~TaskQueue() {
  Stop();
  thread_.join();
}

bool TaskQueue::Post(Task task) {
  MutexLock lock(&mutex_);
  if (stopped_) return false;
  if (options_.pending_max != 0 && tasks_.size() >= options_.pending_max) return false;
  tasks_.push_back(std::move(task));
  changed_.SignalAll();
  return true;
}

void TaskQueue::WaitUntilIdle() {
  MutexLock lock(&mutex_);
  while (running_ || !tasks_.empty()) changed_.Wait(&mutex_);
}

size_t TaskQueue::CancelPending() {
  std::deque<Task> dropped;  // Destroyed outside of the lock: a task may own anything.
  MutexLock lock(&mutex_);
  dropped.swap(tasks_);
  changed_.SignalAll();
  return dropped.size();
}

void TaskQueue::Stop() {
  MutexLock lock(&mutex_);
  stopped_ = true;
  changed_.SignalAll();
}

size_t TaskQueue::pending() const {
  MutexLock lock(&mutex_);
  return tasks_.size();
}

void TaskQueue::ThreadMain() {
  SetThreadNameAndPriority(options_.name, options_.idle_priority);
  while (true) {
    Task task;
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !stopped_) changed_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
    }
    std::move(task)();
    task = nullptr;  // What the task owns goes before the queue counts as idle.
    MutexLock lock(&mutex_);
    running_ = false;
    changed_.SignalAll();
  }
}

void SetThreadNameAndPriority(const std::string& name, bool idle_priority) {
  ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
  if (idle_priority) {
    const sched_param param{};
    ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &param);
  }
}

}  // namespace paramd
