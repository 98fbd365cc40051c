// TensorCodec: paramd.v1's Predict messages to and from views, and what every
// other protocol needs of that (kserve/infer_codec.h), without copying
// tensor bytes on the way in and with one copy on the way out. The only place
// that validates what is on the wire: after it a request is well-formed, and
// only its agreement with the model is still open (Model::CheckCall).
//
// Two steps in, because the type of an input may be left to the model:
//
//   DecodePredictRequest   the small fields; raw tensors stay where they are
//   DecodeTyped            a tensor that came as numbers, into memory of its own
//
// gRPC-free, so that it can be fuzzed alone.
//
// Life: a WireRequest points into the fragments it was decoded from.
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_TENSOR_CODEC_H_
#define PARAMD_SERVER_RPC_TENSOR_CODEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"
#include "server/rpc/typed_values.h"
#include "server/rpc/wire_reader.h"

namespace paramd {

struct CodecLimits {
  int inputs_max = 1024;           // Tensors in one request.
  int outputs_max = 1024;          // Output names in one request.
  uint64_t name_bytes_max = 1024;  // Of a tensor, model or label.
  uint64_t request_id_bytes_max = 128;
  uint64_t typed_bytes_max = 64 << 20;  // Memory that one typed tensor may take.
};

struct WireTensor {
  std::string name;
  DType dtype = DType::kUndefined;  // kUndefined: the model's declared type.
  Shape shape;
  std::vector<Fragment> raw;  // Dense elements, in order; empty pieces are left out.
  uint64_t raw_bytes = 0;
  TypedField typed = TypedField::kNone;
  std::string_view typed_name;  // That field's, in its message; a literal ...
  uint32_t typed_number = 0;    // ... and its number.
  SignedForm signed_form = SignedForm::kZigZag;
  uint64_t typed_count = 0;
  WireReader message;  // What the typed values stand in, for DecodeTyped.
};

struct WireRequest {
  std::string model;
  std::optional<int64_t> version;
  std::string label;
  std::string request_id;
  std::vector<std::string> outputs;
  uint32_t priority = 0;
  int64_t timeout_us = 0;
  bool typed_outputs = false;
  std::vector<WireTensor> inputs;
};

// InvalidArgument, naming field, expectation and what came. Later occurrences of
// a field win, as Protobuf has it; unknown fields are skipped.
absl::StatusOr<WireRequest> DecodePredictRequest(absl::Span<const Fragment> message,
                                                 const CodecLimits& limits);

// Agreement of a raw tensor's bytes with its type and shape; `declared` is
// meant where the tensor names no type. Strings cannot be used raw in place: false in
// the result means that DecodeTyped must be used.
absl::StatusOr<bool> CheckRaw(const WireTensor& tensor, DType declared);

// Notes one occurrence of a typed field, without keeping its values.
// InvalidArgument for values of two kinds; `name` is the field's in that message.
absl::Status AddTyped(TypedField field, std::string_view name, WireTag tag, WireReader* reader,
                      WireTensor* tensor);

// A tensor of its own from typed values, or from raw strings.
absl::StatusOr<Tensor> DecodeTyped(const WireTensor& tensor, DType declared,
                                   const CodecLimits& limits);

struct PredictResponseHead {
  std::string_view model;
  int64_t version = 0;
  uint64_t generation = 0;
  std::string_view weights_id;
  std::string_view request_id;
  bool typed_outputs = false;
};

struct NamedOutput {
  std::string_view name;
  TensorView tensor;
};

// Serialises into memory that `allocate` gives for the exact size: the one copy
// of the outputs on their way to the wire.
void EncodePredictResponse(const PredictResponseHead& head, absl::Span<const NamedOutput> outputs,
                           absl::FunctionRef<std::byte*(uint64_t bytes)> allocate);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_TENSOR_CODEC_H_
