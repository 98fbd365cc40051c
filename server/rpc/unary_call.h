// UnaryCall: a unary call whose answer comes from another thread. A caller that goes
// away, or a server that stops, ends the call; the work then ends unheard.
//
// Life: shared by gRPC (until OnDone) and by the thread.
// Thread-safety: thread-safe; one End counts.
#ifndef PARAMD_SERVER_RPC_UNARY_CALL_H_
#define PARAMD_SERVER_RPC_UNARY_CALL_H_

#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <memory>
#include <utility>

namespace paramd {

template <typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  static std::shared_ptr<UnaryCall> Create(Response* response) {
    std::shared_ptr<UnaryCall> call(new UnaryCall(response));
    call->self_ = call;
    return call;
  }

  void End(Response answer, const grpc::Status& status) {
    if (finished_.exchange(true)) return;
    *response_ = std::move(answer);
    Finish(status);
  }
  void OnCancel() override {
    if (!finished_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { self_.reset(); }

 private:
  explicit UnaryCall(Response* response) : response_(response) {}

  Response* const response_;  // gRPC's, until Finish.
  std::atomic<bool> finished_{false};
  std::shared_ptr<UnaryCall> self_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_UNARY_CALL_H_
