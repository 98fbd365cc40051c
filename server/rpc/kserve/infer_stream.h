// InferStream: one ModelStreamInfer call. Requests start as they come, up to so
// many at a time; answers leave in the order of the requests, each written by
// whoever finished it, and an error is the answer to its request. The stream ends
// when the client has ended its side and everything is answered.
//
//   reading ---> Slot, Slot, Slot ---> writing     (a slot: a request until its
//                                                   answer has been written)
//
// Life: deletes itself in gRPC's OnDone, which comes after all reads and writes;
// every slot's call is over by then, because Finish waits for them. A client that
// goes away cancels what is queued.
// Thread-safety: gRPC and the streams call it from any thread.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_STREAM_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <memory>

#include "absl/status/status.h"
#include "runtime/base/mutex.h"
#include "server/rpc/kserve/infer_call.h"

namespace paramd {

class InferStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Requests of one stream that are under way; the client's next ones wait in gRPC.
  static constexpr size_t kOpenMax = 64;

  // Deletes itself. `context` outlives it.
  InferStream(const InferCallParts& parts, grpc::CallbackServerContext* context);
  ~InferStream() override;

  // gRPC's.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  class Slot;

  // Starts what may be started now: a read, a write, or Finish. `done` has its answer.
  void Step(Slot* done = nullptr);

  const InferCallParts& parts_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer read_;     // While reading_.
  grpc::ByteBuffer written_;  // While writing_.

  Mutex mutex_;
  std::deque<std::unique_ptr<Slot>> slots_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_ ABSL_GUARDED_BY(mutex_) = false;  // The client sends nothing any more.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;   // Nothing can be written any more.
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_STREAM_H_
