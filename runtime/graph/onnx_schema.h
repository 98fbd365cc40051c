// What libonnx's operator schemas say about a node's attributes.
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_ONNX_SCHEMA_H_
#define PARAMD_RUNTIME_GRAPH_ONNX_SCHEMA_H_

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace paramd {

// InvalidArgument for an attribute that the operator does not have, one of
// another kind than it has, or a required one that is missing. Operators
// without a schema pass.
absl::Status CheckAttributes(const onnx::NodeProto& node, const std::string& domain, int64_t opset);

// Whether the operator means in `opset` what it means in `later`.
bool SameMeaning(const std::string& op, const std::string& domain, int64_t opset, int64_t later);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ONNX_SCHEMA_H_
