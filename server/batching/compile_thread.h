// CompileThread: makes programs for shapes that were never seen, one after the
// other in the order asked, away from the streams.
//
// Life: of its executor. Thread-safety: thread-safe. Without Start nothing runs
// by itself: a test calls RunOne.
#ifndef PARAMD_SERVER_BATCHING_COMPILE_THREAD_H_
#define PARAMD_SERVER_BATCHING_COMPILE_THREAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"
#include "runtime/tensor/shape.h"

namespace paramd {

struct Lane;        // server/batching/lane.h
struct ShapeGroup;  // server/batching/batch_queue.h
class WorkTrail;    // server/batching/work_trail.h

struct CompileRequest {
  Lane* lane = nullptr;
  ShapeGroup* group = nullptr;
  int64_t rows = 0;
  std::vector<Shape> shapes;
};

class CompileThread {
 public:
  using Done = std::function<void(const CompileRequest&, absl::Status, absl::Duration took)>;

  // `done` is called after each compilation, on the thread that did it. `trail`
  // may be null.
  CompileThread(const Clock* clock, WorkTrail* trail, Done done);
  // Drops what waits, without calling `done`.
  ~CompileThread();

  void Start(std::function<void()> on_thread_start);
  void Post(CompileRequest request);

  // Drops what waits for `lane` and waits for what is being compiled for it, and
  // for its `done`. Returns how many were dropped.
  int Forget(const Lane* lane);

  // Compiles the first that waits. False: none does.
  bool RunOne();

 private:
  void Loop();

  const Clock* const clock_;
  WorkTrail* const trail_;
  const Done done_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<CompileRequest> waiting_ ABSL_GUARDED_BY(mutex_);
  const Lane* current_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_COMPILE_THREAD_H_
