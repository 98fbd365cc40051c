#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"
#include "runtime/graph/passes/shape_items.h"

namespace paramd {
namespace {

using Items = std::vector<ShapeItem>;

// The target of a Reshape that copies no dimension by a 0.
std::optional<Items> Target(const Graph& graph, const Node& reshape) {
  std::optional<Items> items = ShapeItems(graph, reshape.inputs[1]);
  if (!items.has_value()) return std::nullopt;
  for (const ShapeItem& item : *items) {
    if (item.of == kNone && item.number == 0) return std::nullopt;
  }
  return items;
}

// The two are one shape: at most one -1, which stands for what is left.
bool AreEqual(const Items& target, const Items& want) {
  if (target.size() != want.size()) return false;
  int open = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == want[i]) continue;
    if (target[i].of != kNone || target[i].number != -1 || ++open > 1) return false;
  }
  return true;
}

// Reshape([-1, T, D]) -> Transpose(0, 2, 1) -> Reshape([..., D, T]) of [..., T, D]:
// PyTorch's exporters write the transpose of attention's keys so.
bool TryReplace(Graph& graph, const PassIndex& index, NodeId id) {
  if (graph.node(id).inputs.size() != 2) return false;
  Pattern pattern(graph, index, id);
  const Node* transpose = pattern.Take(graph.node(id).inputs[0], "Transpose");
  if (transpose == nullptr || PermOf(graph, *transpose) != std::vector<int64_t>{0, 2, 1}) {
    return false;
  }
  const Node* flatten = pattern.Take(transpose->inputs[0], "Reshape");
  if (flatten == nullptr || !pattern.IsClosed()) return false;
  const ValueId x = flatten->inputs[0];
  const int rank = RankOf(graph, x);
  if (rank < 3 || RankOf(graph, graph.node(id).outputs[0]) != rank) return false;
  const auto flat = Target(graph, *flatten), full = Target(graph, graph.node(id));
  if (!flat.has_value() || !full.has_value() || flat->size() != 3) return false;
  const ShapeItem rows = ItemOf(graph, x, rank - 2), columns = ItemOf(graph, x, rank - 1);
  const bool outer_is_left =
      (*flat)[0] == ShapeItem{.number = -1} || (rank == 3 && (*flat)[0] == ItemOf(graph, x, 0));
  if (!outer_is_left || (*flat)[1] != rows || (*flat)[2] != columns) return false;
  Items want;
  std::vector<int64_t> perm;
  for (int axis = 0; axis + 2 < rank; ++axis) {
    want.push_back(ItemOf(graph, x, axis));
    perm.push_back(axis);
  }
  want.push_back(columns);
  want.push_back(rows);
  if (!AreEqual(*full, want)) return false;
  perm.push_back(rank - 1);
  perm.push_back(rank - 2);
  ReplaceByOne(graph, pattern,
               {.domain = "",
                .op = "Transpose",
                .opset = graph.node(id).opset,
                .inputs = {x},
                .attributes = {{"perm", std::move(perm)}}});
  return true;
}

}  // namespace

absl::StatusOr<int> UnflattenTransposes(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"Reshape"}, TryReplace);
}

}  // namespace paramd
