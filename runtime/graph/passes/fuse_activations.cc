#include <algorithm>
#include <string_view>

#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// Whose results an activation can be applied to before they are stored.
bool TakesPostOps(const Graph& graph, const Node& node) {
  constexpr std::string_view kOthers[] = {"Add", "Sub", "Mul", "Div", "Sum", "BatchNormalization"};
  if (node.dead || node.post_ops.size() >= kPostOpsMax) return false;
  // A recurrent operator may leave out its first output.
  if (node.outputs.empty() || node.outputs[0] == kNone) return false;
  if (!IsFloat(graph.value(node.outputs[0]).type.dtype)) return false;
  if (IsLinear(graph, node)) return true;
  return node.domain.empty() &&
         std::find(std::begin(kOthers), std::end(kOthers), node.op) != std::end(kOthers);
}

std::optional<PostOp> ActivationOf(const Graph& graph, const Node& node) {
  const OpRow* row = FindOp(node.domain, node.op, node.opset);
  if (row == nullptr || row->lower == nullptr || !node.post_ops.empty() ||
      node.outputs.size() != 1) {
    return std::nullopt;
  }
  const auto params = ParamsOf(graph, node);
  const auto* unary = params.ok() ? std::get_if<UnaryParams>(&*params) : nullptr;
  if (unary == nullptr) return std::nullopt;
  PostOp post_op;
  post_op.kind = PostOp::Kind::kActivation;
  post_op.activation = unary->kind;
  post_op.alpha = unary->alpha;
  post_op.beta = unary->beta;
  return post_op;
}

}  // namespace

absl::StatusOr<int> FuseActivations(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto id = static_cast<NodeId>(n);
    while (TakesPostOps(graph, graph.node(id))) {
      const NodeId reader = index.OnlyReader(graph.node(id).outputs[0]);
      if (reader == kNone) break;
      const Node& next = graph.node(reader);
      if (next.inputs.empty() || next.inputs[0] != graph.node(id).outputs[0]) break;
      const std::optional<PostOp> post_op = ActivationOf(graph, next);
      if (!post_op.has_value()) break;
      graph.node(id).post_ops.push_back(*post_op);
      TakeOverOutput(graph, id, reader);
      ++changes;
    }
  }
  return changes;
}

}  // namespace paramd
