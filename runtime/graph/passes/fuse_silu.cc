#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {

absl::StatusOr<int> FuseSilu(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& sigmoid = graph.node(static_cast<NodeId>(n));
    if (!Is(sigmoid, "Sigmoid") || !sigmoid.post_ops.empty()) continue;
    const NodeId reader = index.OnlyReader(sigmoid.outputs[0]);
    if (reader == kNone) continue;
    Node& mul = graph.node(reader);
    if (!Is(mul, "Mul") || !mul.post_ops.empty()) continue;
    const ValueId other = mul.inputs[0] == sigmoid.outputs[0] ? mul.inputs[1] : mul.inputs[0];
    if (other != sigmoid.inputs[0]) continue;
    mul.domain = std::string(kInternalDomain);
    mul.op = "Silu";
    mul.opset = 1;
    mul.inputs = {other};
    mul.fused.push_back(sigmoid.name);
    graph.value(sigmoid.outputs[0]).producer = kNone;
    sigmoid.dead = true;
    ++changes;
  }
  return changes;
}

}  // namespace paramd
