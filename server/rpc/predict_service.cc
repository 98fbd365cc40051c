#include "server/rpc/predict_service.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "absl/container/inlined_vector.h"
#include "runtime/base/status_macros.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/wire_call.h"

namespace paramd {
namespace {

// One Predict call from its first byte to its last. Deletes itself when gRPC
// is done with it, which is after the one Finished of the call.
class UnaryPredict final : public grpc::ServerUnaryReactor, public WireCall {
 public:
  UnaryPredict(const WireCallParts& parts, grpc::ByteBuffer* response)
      : WireCall(parts), response_(response) {}

  // Ends in exactly one OnDone(answer), maybe before it returns.
  void Start(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message) {
    if (absl::Status decoded = Decode(context, message); !decoded.ok()) {
      OnDone(std::move(decoded));
      return;
    }
    parts().router->Predict(this);
  }

  // grpc::ServerUnaryReactor:
  using WireCall::OnDone;
  void OnCancel() override { Cancel(); }
  void OnDone() override { delete this; }

 private:
  absl::Status Decode(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message) {
    PARAMD_RETURN_IF_ERROR(Arrive(context, message));
    PARAMD_ASSIGN_OR_RETURN(WireRequest wire, DecodePredictRequest(fragments(), parts().limits));
    typed_outputs_ = wire.typed_outputs;
    return Take(std::move(wire));
  }

  absl::StatusOr<uint64_t> Encode(const PredictAnswer& answer) override {
    absl::InlinedVector<NamedOutput, 8> named;
    for (const OutputTensor& output : answer.outputs) named.push_back({output.name, output.view});
    const PredictResponseHead head = {.model = version->id().model,
                                      .version = version->id().number,
                                      .generation = version->generation(),
                                      .weights_id = version->weights_id(),
                                      .request_id = request_id,
                                      .typed_outputs = typed_outputs_};
    grpc::Slice encoded;
    EncodePredictResponse(head, named,
                          [&encoded](uint64_t bytes) { return NewSlice(bytes, &encoded); });
    *response_ = grpc::ByteBuffer(&encoded, 1);
    return encoded.size();
  }

  void Finished(absl::Status status) override { Finish(ToGrpcStatus(status)); }

  grpc::ByteBuffer* const response_;  // gRPC's; good until Finish.
  bool typed_outputs_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* PredictService::Predict(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  auto* call = new UnaryPredict(parts_, response);  // Deletes itself.
  call->Start(*context, *request);
  return call;
}

}  // namespace paramd
