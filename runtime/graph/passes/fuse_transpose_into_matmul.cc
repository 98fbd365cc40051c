#include <utility>

#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

bool SwapsLastTwo(const Graph& graph, const Node& node) {
  if (!Is(node, "Transpose") || !node.post_ops.empty()) return false;
  const auto params = ParamsOf(graph, node);
  const auto* transpose = params.ok() ? std::get_if<TransposeParams>(&*params) : nullptr;
  if (transpose == nullptr || transpose->perm.size() < 2) return false;
  std::vector<int> perm = transpose->perm;
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int>(i)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<int> FuseTransposeIntoMatMul(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& matmul = graph.node(static_cast<NodeId>(n));
    if (matmul.op != "MatMul" || !IsLinear(graph, matmul)) continue;
    for (size_t i = 0; i < 2; ++i) {
      const NodeId producer = graph.value(matmul.inputs[i]).producer;
      if (producer == kNone || index.OnlyReader(matmul.inputs[i]) != static_cast<NodeId>(n)) {
        continue;
      }
      Node& transpose = graph.node(producer);
      if (!SwapsLastTwo(graph, transpose)) continue;
      const std::string key = i == 0 ? "transA" : "transB";
      matmul.attributes[key] = int64_t{matmul.GetInt(key, 0) == 0 ? 1 : 0};
      matmul.domain = std::string(kInternalDomain);
      matmul.opset = 1;
      graph.value(matmul.inputs[i]).producer = kNone;
      matmul.inputs[i] = transpose.inputs[0];
      matmul.fused.push_back(transpose.name);
      transpose.dead = true;
      ++changes;
    }
  }
  return changes;
}

}  // namespace paramd
