// Dynamic operators: those whose values only a run can tell kind or shape of:
// control flow, sequences, optionals. The interpreter runs them
// (interpreter_builtins.h); here is what is known of their results before.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_DYNAMIC_OPS_H_
#define PARAMD_RUNTIME_GRAPH_DYNAMIC_OPS_H_

#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {

// Whether the operator has its meaning here and no row of the operator table.
bool IsDynamicOp(std::string_view domain, std::string_view op);

// The types of a subgraph's outputs for these inputs.
using InferSubgraphFn = std::function<absl::StatusOr<std::vector<ValueType>>(
    const Graph& graph, absl::Span<const ValueType> inputs)>;

// Whether InferDynamic says what the node makes: it is dynamic, or hands on a
// value that is no tensor.
bool NeedsDynamicInference(const InferContext& context);

// One type per output of the node. InvalidArgument where inputs or subgraphs
// contradict the operator, naming the node.
absl::StatusOr<std::vector<ValueType>> InferDynamic(const InferContext& context,
                                                    const InferSubgraphFn& infer_subgraph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_DYNAMIC_OPS_H_
