#include "server/rpc/load_call.h"

#include <utility>

namespace paramd {

std::shared_ptr<LoadCall> LoadCall::Create() {
  std::shared_ptr<LoadCall> call(new LoadCall());
  call->self_ = call;
  return call;
}

void LoadCall::Progress(v1::LoadProgress progress) {
  {
    MutexLock lock(&mutex_);
    if (finished_ || cancelled_) return;
    const int64_t version = progress.version();
    progress_[version] = std::move(progress);
  }
  Step();
}

void LoadCall::End(std::optional<v1::LoadOutcome> outcome, grpc::Status status) {
  {
    MutexLock lock(&mutex_);
    outcome_ = std::move(outcome);
    status_ = std::move(status);
  }
  Step();
}

void LoadCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) cancelled_ = true;
  }
  Step();
}

void LoadCall::OnCancel() {
  {
    MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  Step();
}

void LoadCall::OnDone() { self_.reset(); }

// gRPC may call OnWriteDone before StartWrite returns, so it is called without
// the lock; writing_ and finished_ keep everybody else away meanwhile.
void LoadCall::Step() {
  std::optional<grpc::Status> finish;
  {
    MutexLock lock(&mutex_);
    if (writing_ || finished_) return;
    message_.Clear();
    if (cancelled_) {
      finish = grpc::Status::CANCELLED;
    } else if (!progress_.empty()) {
      *message_.mutable_progress() = std::move(progress_.begin()->second);
      progress_.erase(progress_.begin());
    } else if (outcome_.has_value()) {
      *message_.mutable_outcome() = std::move(*outcome_);
      outcome_.reset();
    } else if (status_.has_value()) {
      finish = *status_;
    } else {
      return;
    }
    (finish.has_value() ? finished_ : writing_) = true;
  }
  if (finish.has_value()) {
    Finish(*finish);
  } else {
    StartWrite(&message_);
  }
}

}  // namespace paramd
