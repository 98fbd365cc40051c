// The data of ONNX messages as ours: tensors, types, attributes.
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_ONNX_TENSOR_H_
#define PARAMD_RUNTIME_GRAPH_ONNX_TENSOR_H_

#include <onnx/onnx_pb.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/onnx_import.h"

namespace paramd {

// A tensor whose data is in the message itself (raw or typed), within `bytes_max`.
// InvalidArgument where data and shape contradict each other.
absl::StatusOr<Tensor> TensorFromProto(const onnx::TensorProto& proto, uint64_t bytes_max);

// A constant for an initializer or an attribute tensor: by its index in the
// checkpoint, held as well as inline where it is small.
absl::StatusOr<Constant> ConstantFromProto(const onnx::TensorProto& proto,
                                           const Checkpoint& checkpoint,
                                           const OnnxImportOptions& options);

// The data of a tensor, wherever it is kept: in the message or in the checkpoint.
absl::StatusOr<Tensor> WholeTensorFromProto(const onnx::TensorProto& proto,
                                            const Checkpoint& checkpoint,
                                            const OnnxImportOptions& options);

// `name` is the value's; dimensions without a name get one made from it.
absl::StatusOr<ValueType> TypeFromProto(const onnx::TypeProto& proto, std::string_view name);

// Anything but tensors and graphs, which need the importer's state.
absl::StatusOr<Attribute> PlainAttributeFromProto(const onnx::AttributeProto& proto,
                                                  const OnnxImportOptions& options);

// InvalidArgument unless `text` is valid UTF-8 of reasonable length: names go
// into logs, metrics and answers.
absl::Status CheckName(std::string_view what, std::string_view text);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ONNX_TENSOR_H_
