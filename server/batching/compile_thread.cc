#include "server/batching/compile_thread.h"

#include <algorithm>
#include <utility>

#include "absl/log/check.h"
#include "runtime/model.h"
#include "server/batching/lane.h"
#include "server/batching/work_trail.h"

namespace paramd {

CompileThread::CompileThread(const Clock* clock, WorkTrail* trail, Done done)
    : clock_(clock), trail_(trail), done_(std::move(done)) {}

CompileThread::~CompileThread() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    waiting_.clear();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void CompileThread::Start(std::function<void()> on_thread_start) {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this, start = std::move(on_thread_start)] {
    if (start) start();
    Loop();
  });
}

void CompileThread::Post(CompileRequest request) {
  MutexLock lock(&mutex_);
  waiting_.push_back(std::move(request));
  changed_.SignalAll();
}

int CompileThread::Forget(const Lane* lane) {
  MutexLock lock(&mutex_);
  const size_t before = waiting_.size();
  std::erase_if(waiting_, [lane](const CompileRequest& r) { return r.lane == lane; });
  const size_t dropped = before - waiting_.size();
  while (current_ == lane) changed_.Wait(&mutex_);
  return static_cast<int>(dropped);
}

bool CompileThread::RunOne() {
  CompileRequest request;
  {
    MutexLock lock(&mutex_);
    if (waiting_.empty()) return false;
    request = std::move(waiting_.front());
    waiting_.pop_front();
    current_ = request.lane;
  }
  const absl::Time start = clock_->Now();
  const Model& model = *request.lane->model;
  absl::Status status;
  // A shape that warm-up or another group compiled already costs nothing.
  if (!model.IsCompiled(request.shapes)) {
    if (trail_ != nullptr) trail_->Running(request.lane->trail);
    status = model.Compile(request.shapes);
    if (trail_ != nullptr) trail_->Running(0);
  }
  done_(request, std::move(status), clock_->Now() - start);
  MutexLock lock(&mutex_);
  current_ = nullptr;
  changed_.SignalAll();
  return true;
}

void CompileThread::Loop() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (stopping_) return;
    }
    RunOne();
  }
}

}  // namespace paramd
