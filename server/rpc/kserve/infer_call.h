// InferCall: one ModelInferRequest, whether it came alone or in a stream: the
// protocol's codec on WireCall, and what the protocol has beside it: tensors in
// shared memory, sequences, classification, traces.
//
// Life and threads: as WireCall. Written() may be called from Finished.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_CALL_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/rpc/kserve/infer_codec.h"
#include "server/rpc/kserve/sequence_states.h"
#include "server/rpc/kserve/shared_regions.h"
#include "server/rpc/kserve/state_pairs.h"
#include "server/rpc/kserve/trace_settings.h"
#include "server/rpc/wire_call.h"

namespace paramd {

// What all calls of a service share. Borrowed.
struct InferCallParts {
  WireCallParts wire;
  SharedRegions* regions = nullptr;  // Null: clients may share no memory.
  SequenceStates* sequences = nullptr;
  TraceSettings* traces = nullptr;
};

class InferCall : public WireCall {
 public:
  explicit InferCall(const InferCallParts& parts, bool in_stream)
      : WireCall(parts.wire), parts_(parts), in_stream_(in_stream) {}

  // Ends in exactly one Finished, maybe before it returns.
  void Start(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message);

  void OnDone(absl::StatusOr<PredictAnswer> answer) override;

 protected:
  absl::StatusOr<uint64_t> Encode(const PredictAnswer& answer) override;
  // The answer's bytes, after an Encode that succeeded.
  grpc::ByteBuffer TakeWritten() { return std::move(written_); }

 private:
  // False: the request waits for the one before it in its sequence.
  absl::StatusOr<bool> Decode(const grpc::CallbackServerContext& context,
                              const grpc::ByteBuffer& message);
  absl::Status TakeInputs(InferRequest* request);
  absl::Status CheckPlaces();
  absl::StatusOr<const SharedRegion*> RegionOf(const RegionRange& place);
  // Whether the request is one of a sequence of a model that keeps state; then its
  // states are asked for, and the request goes on when they are there.
  bool BeginSequence(SequenceWish wish);
  void GoOn(absl::StatusOr<SequenceStates::Lease> lease);
  void AddStates();
  absl::Status KeepStates(const PredictAnswer& answer);
  bool IsHidden(std::string_view output) const;
  const OutputWish* WishFor(std::string_view output) const;
  absl::Span<const std::string> LabelsOf(std::string_view output) const;
  absl::StatusOr<InferOutput> Place(const OutputTensor& output);

  const InferCallParts& parts_;
  const bool in_stream_;
  std::vector<OutputWish> wishes_;                            // One for each of wished_names_.
  std::vector<std::string> wished_names_;                     // As the client gave them.
  std::vector<std::shared_ptr<const SharedRegion>> regions_;  // Kept while they are used.
  std::vector<StatePair> pairs_;  // Those whose inputs the request leaves to the daemon.
  SequenceStates::Lease lease_;
  std::deque<Tensor> first_states_;
  std::deque<Tensor> made_;  // Outputs that were made of others (classification).
  grpc::ByteBuffer written_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_CALL_H_
