// TaskLoop: closures in order, run by as many threads as it was started with, or
// by a test that calls RunOne. The control thread and the loaders are one each.
// Tasks may also wait for a time; those that are due run before the others.
//
// Life: Stop (or the destructor) runs nothing more, drops what waits, joins.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_VERSIONS_TASK_LOOP_H_
#define PARAMD_SERVER_VERSIONS_TASK_LOOP_H_

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace paramd {

class TaskLoop {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  // `clock` says when a task of PostAt is due.
  explicit TaskLoop(const Clock* clock = Clock::Real()) : clock_(clock) {}
  ~TaskLoop() { Stop(); }
  TaskLoop(const TaskLoop&) = delete;
  TaskLoop& operator=(const TaskLoop&) = delete;

  // `on_thread_start` runs first on each thread; may be empty.
  void Start(int threads, std::function<void()> on_thread_start);
  void Post(Task task);
  void PostAt(absl::Time when, Task task);
  // Runs the first task that is due, or the first that waits. False: there is none.
  bool RunOne();
  // Not from a task.
  void Stop();

 private:
  void Loop();
  std::optional<Task> TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  Mutex mutex_;
  CondVar posted_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::multimap<absl::Time, Task> timed_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_TASK_LOOP_H_
