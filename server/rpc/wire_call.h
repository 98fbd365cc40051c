// WireCall: what every predict call has in common, whichever protocol it came by:
// the bytes of its message, the deadline, the way to the router, and the records
// of metrics and logs. A protocol adds its codec and its way back:
//
//   class UnaryPredict : public WireCall { Encode ...; Finished ... };
//   call->Arrive(context, message);  wire = Decode...(call->fragments());
//   call->Take(wire, ...);           router.Predict(call);
//
// Life: OnDone is the last that happens to it but for Finished, which may delete it.
// Thread-safety: as PredictCall.
#ifndef PARAMD_SERVER_RPC_WIRE_CALL_H_
#define PARAMD_SERVER_RPC_WIRE_CALL_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/clock.h"
#include "runtime/tensor/tensor_view.h"
#include "server/observability/log.h"
#include "server/observability/metrics.h"
#include "server/predict/predict_call.h"
#include "server/predict/predict_router.h"
#include "server/rpc/tensor_codec.h"

namespace grpc {
class CallbackServerContext;
}

namespace paramd {

// What a service gives each of its calls. Borrowed by all of them.
struct WireCallParts {
  const PredictRouter* router = nullptr;
  Metrics* metrics = nullptr;
  const Clock* clock = nullptr;
  CodecLimits limits;
};

class WireCall : public PredictCall, public PredictSink {
 public:
  explicit WireCall(const WireCallParts& parts);

  // PredictSink.
  void OnDone(absl::StatusOr<PredictAnswer> answer) override {
    Finished(Settle(std::move(answer)));
  }

 protected:
  // Keeps the message and finds its pieces. `context` says deadline and trace.
  absl::Status Arrive(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message);
  absl::Span<const Fragment> fragments() const { return fragments_; }

  // The small fields, the version, and then the inputs: raw ones stay in the message.
  absl::Status Take(WireRequest wire);
  // Take's first half, for protocols that need the version before the inputs.
  absl::Status TakeHead(WireRequest* wire);
  // `source` has the bytes of an input that are not in the message (WireTensor::raw_bytes
  // of them, from `source_offset` on) and outlives the call.
  absl::Status TakeInput(WireTensor wire, const ByteSource* source = nullptr,
                         uint64_t source_offset = 0);

  // Encodes, records, and lets go of version and inputs.
  absl::Status Settle(absl::StatusOr<PredictAnswer> answer);
  // Writes the answer for the wire and returns its bytes. On the stream thread.
  virtual absl::StatusOr<uint64_t> Encode(const PredictAnswer& answer) = 0;
  // The last call. The version is dropped, the inputs are gone.
  virtual void Finished(absl::Status status) = 0;

  const WireCallParts& parts() const { return parts_; }
  const LogFields& log_fields() const { return log_; }

 private:
  // `answer` is null where there is none.
  void Record(const absl::Status& status, const PredictAnswer* answer, uint64_t response_bytes);
  void Log(const absl::Status& status, absl::Duration took) const;

  const WireCallParts& parts_;
  LogFields log_;
  uint64_t request_bytes_ = 0;
  absl::Time deadline_of_call_ = absl::InfiniteFuture();
  std::vector<grpc::Slice> slices_;  // What the inputs' fragments point into ...
  absl::InlinedVector<Fragment, 8> fragments_;
  std::deque<Tensor> typed_inputs_;  // ... unless they came as numbers or strings.
};

// Allocates the slice of exactly the answer's size, for the encoders. The slice
// is nobody else's yet, so it may be written.
std::byte* NewSlice(uint64_t bytes, grpc::Slice* slice);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_WIRE_CALL_H_
