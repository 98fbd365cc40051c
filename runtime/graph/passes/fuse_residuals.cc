#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// The producer of operand `id` if its result can be added to; kNone else.
NodeId Candidate(const Graph& graph, const PassIndex& index, ValueId id, NodeId add) {
  const NodeId producer = graph.value(id).producer;
  if (producer == kNone || index.OnlyReader(id) != add) return kNone;
  const Node& node = graph.node(producer);
  if (!IsLinear(graph, node) || node.post_ops.size() >= kPostOpsMax) return kNone;
  return producer;
}

}  // namespace

absl::StatusOr<int> FuseResiduals(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto add_id = static_cast<NodeId>(n);
    const Node& add = graph.node(add_id);
    if (!Is(add, "Add") && !Is(add, "Sum")) continue;
    if (add.inputs.size() != 2 || add.inputs[0] == kNone || add.inputs[1] == kNone ||
        add.inputs[0] == add.inputs[1]) {
      continue;
    }
    const Value &a = graph.value(add.inputs[0]), &b = graph.value(add.inputs[1]);
    if (!IsFloat(a.type.dtype) || !SameType(a, b) || a.constant != kNone || b.constant != kNone) {
      continue;
    }
    // Of two candidates the later one: the other's result is there by then. The
    // other operand never depends on this node's result, whose one reader is the Add.
    const NodeId left = Candidate(graph, index, add.inputs[0], add_id);
    const NodeId right = Candidate(graph, index, add.inputs[1], add_id);
    const NodeId into = std::max(left, right);
    if (into == kNone) continue;
    const ValueId other = add.inputs[into == left ? 1 : 0];
    Node& node = graph.node(into);
    PostOp post_op;
    post_op.kind = PostOp::Kind::kAdd;
    post_op.operand = static_cast<int>(node.inputs.size());
    node.inputs.push_back(other);
    node.post_ops.push_back(post_op);
    // The activation that the Add has taken in comes along.
    node.post_ops.insert(node.post_ops.end(), add.post_ops.begin(), add.post_ops.end());
    TakeOverOutput(graph, into, add_id);
    ++changes;
  }
  return changes;
}

}  // namespace paramd
