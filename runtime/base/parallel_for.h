// ThreadTeam and ParallelFor: the only loop over threads in paramd's own code.
//
// A team is `threads` strong: the caller and threads - 1 helpers that sleep
// between loops. A stream that owns one core passes no team (or a team of one)
// and the loop runs inline, which is also what happens inside a loop body: a
// loop within a loop never multiplies threads.
//
// Life: the helpers end with the team. Thread-safety: one caller at a time.
#ifndef PARAMD_RUNTIME_BASE_PARALLEL_FOR_H_
#define PARAMD_RUNTIME_BASE_PARALLEL_FOR_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/base/mutex.h"

namespace paramd {

class ThreadTeam {
 public:
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end)>;

  // REQUIRES: threads >= 1.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls body(begin, end) for disjoint pieces that cover [0, count), each at
  // least `grain` long but the last; returns when all are done. The body must
  // not throw.
  void Run(int64_t count, int64_t grain, Body body);

 private:
  struct Job {
    const Body* body = nullptr;
    int64_t count = 0;
    int64_t piece = 1;
  };

  void HelperMain();
  void Work(const Job& job);

  std::vector<std::thread> helpers_;
  std::atomic<int64_t> next_{0};

  Mutex mutex_;
  CondVar job_arrived_;
  CondVar job_done_;
  Job job_ ABSL_GUARDED_BY(mutex_);
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;  // Counts jobs: helpers join each exactly once.
  int helpers_busy_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
};

// Runs on `team`, or inline when it is null.
void ParallelFor(ThreadTeam* team, int64_t count, int64_t grain, ThreadTeam::Body body);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_PARALLEL_FOR_H_
