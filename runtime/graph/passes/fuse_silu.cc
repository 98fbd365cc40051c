#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

// x sigmoid(alpha x).
bool TryFuseSilu(Graph& graph, const PassIndex& index, NodeId id) {
  Pattern outer(graph, index, id);
  const Product product = FactorsOf(outer, graph.node(id).outputs[0]);
  if (product.factors.size() != 2 || product.number != 1) return false;
  for (size_t i = 0; i < 2; ++i) {
    const ValueId x = product.factors[i];
    Pattern pattern = outer;
    const Node* sigmoid = pattern.Take(product.factors[1 - i], "Sigmoid");
    if (sigmoid == nullptr) continue;
    // Sigmoid may read x itself, which others read too, or a multiple of it.
    Product inner;
    inner.factors = {sigmoid->inputs[0]};
    if (sigmoid->inputs[0] != x) inner = FactorsOf(pattern, sigmoid->inputs[0]);
    if (inner.factors != std::vector<ValueId>{x} || !pattern.IsClosed()) continue;
    FusedOp silu{.domain = kInternalDomain, .op = "Silu", .opset = 1, .inputs = {x}};
    if (inner.number != 1) silu.attributes["alpha"] = static_cast<float>(inner.number);
    ReplaceByOne(graph, pattern, std::move(silu));
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<int> FuseSilu(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"Mul"}, TryFuseSilu);
}

}  // namespace paramd
