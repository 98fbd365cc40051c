#include "server/rpc/predict_service.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/log/log.h"
#include "absl/log/vlog_is_on.h"
#include "absl/time/time.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/observability/log.h"
#include "server/rpc/status_mapping.h"

namespace paramd {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, int64_t timeout_us,
                      absl::Time arrival) {
  const auto deadline = context.deadline();
  const absl::Time of_call = deadline == std::chrono::system_clock::time_point::max()
                                 ? absl::InfiniteFuture()
                                 : absl::FromChrono(deadline);
  if (timeout_us == 0) return of_call;
  return std::min(of_call, arrival + absl::Microseconds(timeout_us));
}

// The type that the model declares for an input; kUndefined for a name it does
// not know, which the router refuses.
DType DeclaredType(const ModelHandle& version, std::string_view input) {
  for (const TensorSpec& spec : version->model().description().inputs) {
    if (spec.name == input) return spec.dtype;
  }
  return DType::kUndefined;
}

// One Predict call from its first byte to its last. Deletes itself when gRPC
// is done with it, which is after the one OnDone of the call.
class UnaryPredict final : public grpc::ServerUnaryReactor, public PredictCall, public PredictSink {
 public:
  UnaryPredict(Metrics* metrics, const Clock* clock, grpc::ByteBuffer* response)
      : metrics_(metrics), clock_(clock), response_(response) {
    arrival = clock_->Now();
    sink = this;
    metrics_->AddOpenRequests(1);
  }

  // Ends in exactly one OnDone(answer), maybe before it returns.
  void Start(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message,
             const PredictRouter& router, const CodecLimits& limits) {
    const auto trace = context.client_metadata().find("traceparent");
    if (trace != context.client_metadata().end()) {
      log_.traceparent = CheckedTraceparent({trace->second.data(), trace->second.size()});
    }
    const absl::Status decoded = Decode(context, message, router, limits);
    if (!decoded.ok()) {
      OnDone(decoded);
      return;
    }
    router.Predict(this);
  }

  // grpc::ServerUnaryReactor:
  void OnCancel() override { Cancel(); }
  void OnDone() override { delete this; }

  // PredictSink:
  void OnDone(absl::StatusOr<PredictAnswer> answer) override {
    uint64_t response_bytes = 0;
    if (answer.ok()) response_bytes = Encode(*answer);
    Record(answer, response_bytes);
    grpc::Status status = ToGrpcStatus(answer.status());
    inputs.clear();
    version = ModelHandle();  // Before Finish: it may delete this call at once.
    metrics_->AddOpenRequests(-1);
    Finish(std::move(status));
  }

 private:
  absl::Status Decode(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message,
                      const PredictRouter& router, const CodecLimits& limits) {
    if (!message.Dump(&slices_).ok()) {
      return absl::InvalidArgumentError("the message could not be decompressed");
    }
    absl::InlinedVector<Fragment, 8> fragments;
    for (const grpc::Slice& slice : slices_) {
      fragments.push_back(
          Fragment(reinterpret_cast<const std::byte*>(slice.begin()), slice.size()));
    }
    request_bytes_ = message.Length();
    PARAMD_ASSIGN_OR_RETURN(WireRequest wire, DecodePredictRequest(fragments, limits));
    log_.request_id = CheckedRequestId(wire.request_id);
    request_id = std::move(wire.request_id);
    typed_outputs_ = wire.typed_outputs;
    model = std::move(wire.model);
    choice = {wire.version, std::move(wire.label)};
    outputs = std::move(wire.outputs);
    priority = wire.priority;
    deadline = DeadlineOf(context, wire.timeout_us, arrival);
    PARAMD_ASSIGN_OR_RETURN(version, router.Resolve(model, choice));
    for (WireTensor& tensor : wire.inputs) {
      PARAMD_RETURN_IF_ERROR(AddInput(std::move(tensor), limits));
    }
    return absl::OkStatus();
  }

  absl::Status AddInput(WireTensor wire, const CodecLimits& limits) {
    const DType declared = DeclaredType(version, wire.name);
    NamedTensor& input = inputs.emplace_back();
    input.shape = wire.shape;
    input.dtype = wire.dtype;
    if (declared == DType::kUndefined) {
      // The router answers that the model has no such input, and what it has.
      input.name = std::move(wire.name);
      return absl::OkStatus();
    }
    PARAMD_ASSIGN_OR_RETURN(const bool in_place, CheckRaw(wire, declared));
    if (in_place) {
      input.fragments.assign(wire.raw.begin(), wire.raw.end());
    } else {
      PARAMD_ASSIGN_OR_RETURN(Tensor tensor, DecodeTyped(wire, declared, limits));
      const Tensor& held = typed_inputs_.emplace_back(std::move(tensor));
      input.dtype = held.dtype();
      if (held.dtype() == DType::kString) {
        input.strings = held.view().as<std::string>();
      } else if (const uint64_t bytes = held.view().bytes(); bytes > 0) {
        input.fragments.push_back({static_cast<const std::byte*>(held.view().data), bytes});
      }
    }
    input.name = std::move(wire.name);
    return absl::OkStatus();
  }

  uint64_t Encode(const PredictAnswer& answer) {
    absl::InlinedVector<NamedOutput, 8> named;
    for (const OutputTensor& output : answer.outputs) named.push_back({output.name, output.view});
    const PredictResponseHead head = {.model = version->id().model,
                                      .version = version->id().number,
                                      .generation = version->generation(),
                                      .weights_id = version->weights_id(),
                                      .request_id = request_id,
                                      .typed_outputs = typed_outputs_};
    grpc::Slice encoded;
    EncodePredictResponse(head, named, [&encoded](uint64_t bytes) {
      encoded = grpc::Slice(bytes);
      // A slice that nobody else has seen yet may be written.
      return reinterpret_cast<std::byte*>(const_cast<uint8_t*>(encoded.begin()));
    });
    *response_ = grpc::ByteBuffer(&encoded, 1);
    return encoded.size();
  }

  void Record(const absl::StatusOr<PredictAnswer>& answer, uint64_t response_bytes) {
    const absl::Time now = clock_->Now();
    RequestMetrics* requests = metrics_->unknown_model();
    if (version) {
      VersionMetrics& metrics = version->metrics();
      requests = &metrics;
      if (answer.ok()) RecordStages(answer->times, arrival, now, &metrics);
      metrics.RecordMessageBytes(request_bytes_, response_bytes);
    }
    requests->RecordRequest(answer.status().code(), now - arrival);
    Log(answer.status(), now - arrival);
  }

  void Log(const absl::Status& status, absl::Duration took) const {
    const bool ours = absl::IsInternal(status) || absl::IsUnknown(status);
    if (!ours && !VLOG_IS_ON(1)) return;
    LogContext context(log_);
    if (ours) {
      LOG(ERROR) << "predict " << model << " failed after " << took << ": " << status;
    } else {
      VLOG(1) << "predict " << model << ": " << (status.ok() ? "OK" : status.ToString()) << " in "
              << took;
    }
  }

  Metrics* const metrics_;
  const Clock* const clock_;
  grpc::ByteBuffer* const response_;  // gRPC's; good until Finish.
  LogFields log_;
  uint64_t request_bytes_ = 0;
  bool typed_outputs_ = false;
  std::vector<grpc::Slice> slices_;  // What the inputs' fragments point into ...
  std::deque<Tensor> typed_inputs_;  // ... unless they came as numbers.
};

}  // namespace

grpc::ServerUnaryReactor* PredictService::Predict(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  auto* call = new UnaryPredict(metrics_, clock_, response);  // Deletes itself.
  call->Start(*context, *request, *router_, limits_);
  return call;
}

}  // namespace paramd
