#include <algorithm>
#include <array>
#include <string_view>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

using Perm = std::vector<int64_t>;

// Elementwise in input 0; other inputs and attributes know nothing of dimensions.
constexpr std::string_view kUnary[] = {
    "Abs",  "Cast",      "Ceil",        "Clip",       "Cos",       "Elu",      "Erf",
    "Exp",  "Gelu",      "HardSigmoid", "Floor",      "HardSwish", "Log",      "Neg",
    "Not",  "LeakyRelu", "Relu",        "Reciprocal", "Round",     "Selu",     "Sigmoid",
    "Sign", "Silu",      "Sin",         "Sqrt",       "Softplus",  "Softsign", "Tanh"};
constexpr std::string_view kBinary[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"};

template <size_t kCount>
bool Contains(const std::string_view (&names)[kCount], std::string_view op) {
  return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

// What more nodes read stays as it is: each move goes through the list of readers.
constexpr size_t kReadersMax = 64;

class Mover {
 public:
  explicit Mover(Graph& graph) : graph_(graph), index_(graph) {}

  int Run() {
    int changes = 0;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const auto id = static_cast<NodeId>(n);
      const Node& node = graph_.node(id);
      if (node.dead || !node.post_ops.empty() || node.outputs.size() != 1) continue;
      if (!node.domain.empty() && node.domain != kInternalDomain) continue;
      changes += (Is(node, "Transpose") ? Merge(id) : PushBelow(id)) ? 1 : 0;
    }
    return changes;
  }

 private:
  NodeId TransposeBehind(ValueId id) const {
    const NodeId producer = id == kNone ? kNone : graph_.value(id).producer;
    if (producer == kNone) return kNone;
    const Node& node = graph_.node(producer);
    if (!Is(node, "Transpose") || !node.post_ops.empty()) return kNone;
    return index_.Readers(node.inputs[0]).size() <= kReadersMax ? producer : kNone;
  }

  // A Transpose of a Transpose is one; if the two cancel, the removal of
  // identities takes it away.
  bool Merge(NodeId id) {
    const NodeId before = TransposeBehind(graph_.node(id).inputs[0]);
    if (before == kNone) return false;
    const auto outer = PermOf(graph_, graph_.node(id)), inner = PermOf(graph_, graph_.node(before));
    if (!outer.has_value() || !inner.has_value() || outer->size() != inner->size()) return false;
    Perm both;
    for (const int64_t axis : *outer) both.push_back((*inner)[static_cast<size_t>(axis)]);
    const Node first = graph_.node(before);
    Node& node = graph_.node(id);
    node.inputs[0] = first.inputs[0];
    node.attributes["perm"] = std::move(both);
    node.fused.push_back(first.name);
    const bool unread = !index_.IsOutput(first.outputs[0]) &&
                        index_.Readers(first.outputs[0]) == std::vector<NodeId>{id};
    if (unread) {
      graph_.node(before).dead = true;
      graph_.value(first.outputs[0]).producer = kNone;
    }
    index_.ReaderChanged(first.inputs[0], unread ? before : kNone, id);
    return true;
  }

  // The inputs of `node` that are transposed with it; empty: it is none of those.
  std::vector<size_t> Operands(const Node& node) const {
    if (Contains(kUnary, node.op)) return {0};
    if (!node.domain.empty()) return {};
    std::vector<size_t> all;
    if ((Contains(kBinary, node.op) && node.inputs.size() == 2) || node.op == "Concat") {
      for (size_t i = 0; i < node.inputs.size(); ++i) all.push_back(i);
    }
    return all;
  }

  // Whether the constant, broadcast against what `like` is, adds nothing to it.
  bool IsWithin(const Constant& constant, ValueId like) const {
    const SymbolicShape& shape = *graph_.value(like).type.shape;
    const int rank = static_cast<int>(shape.size());
    if (constant.shape.rank() > rank || DTypeBits(constant.dtype) < 8) return false;
    for (int i = 0; i < constant.shape.rank(); ++i) {
      const int64_t dim = constant.shape.dim(i);
      if (dim != 1 &&
          Dim::Of(dim) != shape[static_cast<size_t>(i + rank - constant.shape.rank())]) {
        return false;
      }
    }
    return true;
  }

  // f(transpose(x), ...) becomes transpose(f(x, ...)).
  bool PushBelow(NodeId id) {
    const std::vector<size_t> operands = Operands(graph_.node(id));
    NodeId transpose = kNone;
    Perm perm;
    for (const size_t i : operands) {
      const NodeId behind = TransposeBehind(graph_.node(id).inputs[i]);
      if (behind == kNone) continue;
      const auto found = PermOf(graph_, graph_.node(behind));
      if (!found.has_value() || (transpose != kNone && *found != perm)) return false;
      const ValueId transposed = graph_.node(behind).outputs[0];
      if (index_.IsOutput(transposed) || index_.Readers(transposed) != std::vector<NodeId>{id}) {
        return false;  // It would still be made.
      }
      transpose = behind;
      perm = *found;
    }
    if (transpose == kNone) return false;
    const ValueId middle = graph_.node(transpose).outputs[0], result = graph_.node(id).outputs[0];
    const auto& shape = graph_.value(result).type.shape;
    if (!shape.has_value() || shape->size() != perm.size()) return false;
    for (const size_t i : operands) {
      const ValueId input = graph_.node(id).inputs[i];
      if (TransposeBehind(input) != kNone) continue;
      const Constant* constant = ConstantOf(graph_, input);
      if (constant == nullptr || graph_.node(id).op == "Concat" || !IsWithin(*constant, middle)) {
        return false;
      }
    }

    SymbolicShape before(perm.size());
    for (size_t i = 0; i < perm.size(); ++i) before[static_cast<size_t>(perm[i])] = (*shape)[i];
    for (const size_t i : operands) {
      const ValueId input = graph_.node(id).inputs[i];
      const NodeId behind = TransposeBehind(input);
      if (behind == kNone) {
        graph_.node(id).inputs[i] = Untransposed(input, perm);
        continue;
      }
      const ValueId x = graph_.node(behind).inputs[0];
      graph_.node(id).inputs[i] = x;
      index_.ReaderChanged(x, behind, id);
    }
    Node& node = graph_.node(id);
    if (node.op == "Concat") {
      const int64_t axis = node.GetInt("axis", 0);
      const auto at =
          static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(perm.size()) : axis);
      node.attributes["axis"] = perm[at];
    }
    // The Transpose changes places with the node; compacting sorts them.
    const DType dtype = graph_.value(result).type.dtype;
    node.outputs[0] = middle;
    graph_.value(middle).producer = id;
    graph_.value(middle).type = {ValueType::Kind::kTensor, dtype, std::move(before)};
    Node& moved = graph_.node(transpose);
    moved.inputs[0] = middle;
    moved.outputs[0] = result;
    graph_.value(result).producer = transpose;
    index_.ReaderChanged(middle, id, transpose);
    return true;
  }

  // The constant c for which transpose(c) is this one, of the transpose's rank.
  ValueId Untransposed(ValueId id, const Perm& perm) {
    const ConstantId held = graph_.value(id).constant;
    const Constant constant = graph_.constant(held);
    if (constant.shape.elements() == 1) return id;
    const auto rank = static_cast<int>(perm.size());
    Shape full;
    for (int i = constant.shape.rank(); i < rank; ++i) full.push_back(1);
    for (const int64_t dim : constant.shape.dims()) full.push_back(dim);
    Perm inverse(perm.size());
    for (size_t i = 0; i < perm.size(); ++i)
      inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
    Shape shape;
    std::vector<int64_t> order;  // Of the dimensions that are not 1: is it kept?
    for (const int64_t axis : inverse) {
      shape.push_back(full.dim(static_cast<int>(axis)));
      if (full.dim(static_cast<int>(axis)) != 1) order.push_back(axis);
    }
    const std::string name = graph_.value(id).name;
    const bool moves = !std::is_sorted(order.begin(), order.end());
    const ValueId copy = AddDerived(graph_, StrCat(name, "/", id, "/copy"), "copy/1", {held}, {},
                                    constant.dtype, moves ? full : shape, constant.role);
    if (!moves) return copy;
    return AddDerived(graph_, StrCat(name, "/", id, "/transposed"), "transpose/1",
                      {graph_.value(copy).constant}, {inverse.begin(), inverse.end()},
                      constant.dtype, shape, constant.role);
  }

  Graph& graph_;
  PassIndex index_;
};

}  // namespace

absl::StatusOr<int> MoveTransposes(Graph& graph, const PassOptions&) { return Mover(graph).Run(); }

}  // namespace paramd
