#include "runtime/base/parallel_for.h"

#include <algorithm>

#include "absl/log/check.h"

namespace paramd {
namespace {

// Set while this thread runs a loop body, so that inner loops run inline.
thread_local bool inside_loop = false;

// Several pieces a thread: a helper that the scheduler delays then costs a part
// of its share only.
constexpr int64_t kPiecesPerThread = 4;

}  // namespace

ThreadTeam::ThreadTeam(int threads) {
  CHECK_GE(threads, 1);
  helpers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { HelperMain(); });
}

ThreadTeam::~ThreadTeam() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    job_arrived_.SignalAll();
  }
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::Run(int64_t count, int64_t grain, Body body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (helpers_.empty() || count <= grain || inside_loop) {
    body(0, count);
    return;
  }
  const int64_t pieces = threads() * kPiecesPerThread;
  const Job job{.body = &body,
                .count = count,
                .piece = std::max(grain, count / pieces + (count % pieces != 0 ? 1 : 0))};
  {
    MutexLock lock(&mutex_);
    CHECK_EQ(helpers_busy_, 0) << "a ThreadTeam has one caller at a time";
    job_ = job;
    next_.store(0, std::memory_order_relaxed);
    helpers_busy_ = static_cast<int>(helpers_.size());
    ++epoch_;
    job_arrived_.SignalAll();
  }
  Work(job);
  MutexLock lock(&mutex_);
  while (helpers_busy_ > 0) job_done_.Wait(&mutex_);
}

void ThreadTeam::Work(const Job& job) {
  inside_loop = true;
  while (true) {
    // The sum cannot wrap: it passes count by at most threads() pieces.
    const int64_t begin = next_.fetch_add(job.piece, std::memory_order_relaxed);
    if (begin >= job.count) break;
    (*job.body)(begin, std::min(job.count, begin + job.piece));
  }
  inside_loop = false;
}

void ThreadTeam::HelperMain() {
  uint64_t seen = 0;
  while (true) {
    Job job;
    {
      MutexLock lock(&mutex_);
      while (!stop_ && epoch_ == seen) job_arrived_.Wait(&mutex_);
      if (stop_) return;
      seen = epoch_;
      job = job_;
    }
    Work(job);
    MutexLock lock(&mutex_);
    if (--helpers_busy_ == 0) job_done_.Signal();
  }
}

void ParallelFor(ThreadTeam* team, int64_t count, int64_t grain, ThreadTeam::Body body) {
  if (team != nullptr) {
    team->Run(count, grain, body);
  } else if (count > 0) {
    body(0, count);
  }
}

}  // namespace paramd
