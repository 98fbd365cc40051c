// Functions: a node whose operator is defined by other operators is replaced
// by that definition, before a graph is built: the model's own functions, those
// of ONNX's operators that libonnx has a body for and this build no row, and
// those of functions/own_functions.h.
//
// A body may be written for another opset than the model: each node that came
// out of one carries its own in metadata_props (kOnnxNodeOpsetKey).
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_ONNX_FUNCTIONS_H_
#define PARAMD_RUNTIME_GRAPH_ONNX_FUNCTIONS_H_

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/graph/functions/function_body.h"
#include "runtime/graph/onnx_graph_builder.h"

namespace paramd {

inline constexpr std::string_view kOnnxNodeOpsetKey = "paramd.opset";

// The opset that gives the node its meaning: its own if it came out of a
// function, else the model's; 0 where the model imports none of its domain.
int64_t OpsetOfNode(const onnx::NodeProto& node, const OpsetByDomain& opsets);

// InvalidArgument for functions that call themselves, are nested too deeply, or
// do not fit the nodes that call them; more than `nodes_max` nodes in all are
// refused. A function of ONNX that cannot be built for a node (its types are
// not known) leaves the node as it is.
// `read` gives the data of tensors that are attributes.
absl::Status ExpandFunctions(onnx::ModelProto& model, const OpsetByDomain& opsets,
                             int64_t nodes_max,
                             std::function<absl::StatusOr<Tensor>(const onnx::TensorProto&)> read);

// Whether a definition of ours put this node there: only then may it use an
// operator of our own domain.
bool IsOurs(const onnx::NodeProto& node);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ONNX_FUNCTIONS_H_
