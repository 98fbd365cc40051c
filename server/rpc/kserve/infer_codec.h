// InferCodec: KServe V2's ModelInfer messages to and from views, as TensorCodec
// does it for paramd.v1 and with its pieces: no tensor byte is copied on the way
// in, and each once on the way out.
//
// After DecodeInferRequest a request is well-formed: raw entries are given to
// their inputs (one for each that is not in shared memory), typed contents and
// raw ones are not mixed, and parameters have their types. Whether it fits the
// model is the router's business.
//
// gRPC-free, so that it can be fuzzed alone.
//
// Life: an InferRequest points into the fragments it was decoded from.
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_CODEC_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"
#include "server/rpc/tensor_codec.h"

namespace paramd {

// Bytes of a region of shared memory that a client registered.
struct RegionRange {
  std::string region;  // Empty: none is meant.
  uint64_t offset = 0;
  uint64_t bytes = 0;
  bool used() const { return !region.empty(); }
};

struct OutputWish {
  RegionRange place;       // Where the client wants it; else in the answer.
  int64_t top_values = 0;  // "classification": that many of the largest; 0: the tensor itself.
};

struct SequenceWish {
  std::string id;  // Empty: the request belongs to none.
  bool start = false;
  bool end = false;
};

struct InferRequest {
  WireRequest call;
  std::vector<RegionRange> input_places;  // One for each input.
  std::vector<OutputWish> output_wishes;  // One for each name in call.outputs.
  SequenceWish sequence;
};

// InvalidArgument, naming tensor or parameter, expectation and what came.
absl::StatusOr<InferRequest> DecodeInferRequest(absl::Span<const Fragment> message,
                                                const CodecLimits& limits);

struct InferResponseHead {
  std::string_view model;
  int64_t version = 0;
  uint64_t generation = 0;
  std::string_view weights_id;
  std::string_view request_id;
  // Inside a ModelStreamInferResponse, as the last answer to its request.
  bool in_stream = false;
};

struct InferOutput {
  std::string_view name;
  TensorView tensor;
  // It was written there, and its raw entry stays empty; null: in the answer.
  const RegionRange* place = nullptr;
};

// The bytes of a tensor as a raw entry: strings with their lengths.
uint64_t RawBytes(const TensorView& tensor);
// Writes RawBytes(tensor) bytes and returns the end.
std::byte* WriteRawTensor(const TensorView& tensor, std::byte* out);

// Serialises into memory that `allocate` gives for the exact size.
// REQUIRES: each tensor's type has a name (InferTypeName).
void EncodeInferResponse(const InferResponseHead& head, absl::Span<const InferOutput> outputs,
                         absl::FunctionRef<std::byte*(uint64_t bytes)> allocate);

// A ModelStreamInferResponse for a request that failed.
void EncodeStreamError(std::string_view message, std::string_view model,
                       std::string_view request_id,
                       absl::FunctionRef<std::byte*(uint64_t bytes)> allocate);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_CODEC_H_
