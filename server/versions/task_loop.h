// TaskLoop: closures in order, run by as many threads as it was started with, or
// by a test that calls RunOne. The control thread and the loaders are one each.
//
// Life: Stop (or the destructor) runs nothing more, drops what waits, joins.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_VERSIONS_TASK_LOOP_H_
#define PARAMD_SERVER_VERSIONS_TASK_LOOP_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "runtime/base/mutex.h"

namespace paramd {

class TaskLoop {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  TaskLoop() = default;
  ~TaskLoop() { Stop(); }
  TaskLoop(const TaskLoop&) = delete;
  TaskLoop& operator=(const TaskLoop&) = delete;

  // `on_thread_start` runs first on each thread; may be empty.
  void Start(int threads, std::function<void()> on_thread_start);
  void Post(Task task);
  // Runs the first waiting task. False: none waits.
  bool RunOne();
  // Not from a task.
  void Stop();

 private:
  void Loop();

  Mutex mutex_;
  CondVar posted_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_TASK_LOOP_H_
