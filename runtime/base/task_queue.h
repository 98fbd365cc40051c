// TaskQueue: one named thread that runs closures in the order they were posted.
// The control thread, the compile thread and each loader are one of these.
//
// Life: destruction runs what is queued, then joins. CancelPending drops it
// instead. A task may post to its own queue; it may not destroy it.
// Thread-safety: thread-safe, except for destruction.
#ifndef PARAMD_RUNTIME_BASE_TASK_QUEUE_H_
#define PARAMD_RUNTIME_BASE_TASK_QUEUE_H_

#include <cstddef>
#include <deque>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "runtime/base/mutex.h"

namespace paramd {

struct TaskQueueOptions {
  std::string name = "tasks";  // The thread's name, cut to 15 characters by Linux.
  // SCHED_IDLE: runs only when nobody else wants the core (loaders).
  bool idle_priority = false;
  size_t pending_max = 0;  // 0: no bound.
};

class TaskQueue {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  explicit TaskQueue(TaskQueueOptions options);
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  // False, and the task is dropped, after Stop or when pending_max are waiting.
  bool Post(Task task);

  // Returns when nothing is queued or running. Not from a task.
  void WaitUntilIdle();

  // Drops tasks that have not started; returns how many.
  size_t CancelPending();

  // Takes no further tasks; what is queued still runs.
  void Stop();

  size_t pending() const;
  // True on the queue's own thread.
  bool IsCurrentThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void ThreadMain();

  const TaskQueueOptions options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it starts using the members above at once.
};

// Names the calling thread and, if asked, moves it to SCHED_IDLE. A refusal by
// the kernel is ignored: the thread then just runs at normal priority.
void SetThreadNameAndPriority(const std::string& name, bool idle_priority);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_TASK_QUEUE_H_
