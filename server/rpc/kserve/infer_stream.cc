#include "server/rpc/kserve/infer_stream.h"

#include <grpcpp/server_context.h>

#include <string>
#include <utility>

#include "server/rpc/status_mapping.h"

namespace paramd {

// One request of the stream, and then its answer.
class InferStream::Slot final : public InferCall {
 public:
  Slot(InferStream* stream, const InferCallParts& parts)
      : InferCall(parts, /*in_stream=*/true), stream_(stream) {}

  // Under the stream's lock.
  bool done() const { return done_; }
  void SetDone() { done_ = true; }
  grpc::ByteBuffer TakeAnswer() { return std::move(answer_); }

 private:
  void Finished(absl::Status status) override {
    if (status.ok()) {
      answer_ = TakeWritten();
    } else {
      // The same words that a lone request gets as its status.
      const grpc::Status told = ToGrpcStatus(status);
      grpc::Slice encoded;
      EncodeStreamError(told.error_message().empty() ? "error" : told.error_message(), model,
                        request_id,
                        [&encoded](uint64_t bytes) { return NewSlice(bytes, &encoded); });
      answer_ = grpc::ByteBuffer(&encoded, 1);
    }
    stream_->Step(this);  // May delete this.
  }

  InferStream* const stream_;
  grpc::ByteBuffer answer_;
  bool done_ = false;
};

InferStream::InferStream(const InferCallParts& parts, grpc::CallbackServerContext* context)
    : parts_(parts), context_(context) {
  Step();
}

InferStream::~InferStream() = default;

void InferStream::OnDone() { delete this; }

void InferStream::OnReadDone(bool ok) {
  Slot* slot = nullptr;
  grpc::ByteBuffer message;
  {
    MutexLock lock(&mutex_);
    if (ok) {
      message.Swap(&read_);
      // The read stays "under way" until the call has begun, so that the stream
      // cannot end, and the slot cannot go, before Start has returned.
      slots_.push_back(std::make_unique<Slot>(this, parts_));
      slot = slots_.back().get();
    } else {
      no_more_ = true;
      reading_ = false;
    }
  }
  if (slot != nullptr) {
    slot->Start(*context_, message);
    MutexLock lock(&mutex_);
    reading_ = false;
  }
  Step();
}

void InferStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Step();
}

void InferStream::OnCancel() {
  MutexLock lock(&mutex_);
  broken_ = true;
  no_more_ = true;
  for (const std::unique_ptr<Slot>& slot : slots_) slot->Cancel();
}

// gRPC may call back before StartRead and StartWrite return, so they are called
// without the lock; reading_ and writing_ keep everybody else away meanwhile, and
// keep the stream from ending. A slot is done in the same breath: once another
// thread sees it so, this one touches the stream only if it starts something.
void InferStream::Step(Slot* done) {
  bool read = false, write = false, finish = false;
  std::unique_ptr<Slot> answered;
  {
    MutexLock lock(&mutex_);
    if (done != nullptr) done->SetDone();
    while (!writing_ && !slots_.empty() && slots_.front()->done() && !write) {
      answered = std::move(slots_.front());
      slots_.pop_front();
      // Nobody is there to read it.
      if (broken_) continue;
      written_ = answered->TakeAnswer();
      writing_ = write = true;
    }
    if (!reading_ && !no_more_ && !finished_ && slots_.size() < kOpenMax) reading_ = read = true;
    if (!finished_ && !reading_ && !writing_ && no_more_ && slots_.empty()) {
      finished_ = finish = true;
    }
  }
  if (write) StartWrite(&written_);
  if (read) StartRead(&read_);
  if (finish) Finish(grpc::Status::OK);
}

}  // namespace paramd
