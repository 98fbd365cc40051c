#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

// Rows of x, from dimension `axis` on, normalised: (x - mean) / sqrt(variance + epsilon).
struct Norm {
  ValueId x = kNone;
  int axis = 0;
  double epsilon = 0;
};

// The mean of `x` over its dimensions from some axis on, kept as ones: that axis.
std::optional<int> MeanAxis(const Graph& graph, const Node& mean) {
  const int rank = RankOf(graph, mean.inputs[0]);
  if (rank < 1 || mean.GetInt("keepdims", 1) == 0) return std::nullopt;
  const auto params = ParamsOf(graph, mean);
  const auto* reduce = params.ok() ? std::get_if<ReduceParams>(&*params) : nullptr;
  if (reduce == nullptr || reduce->axes.empty()) return std::nullopt;
  for (size_t i = 0; i < reduce->axes.size(); ++i) {
    const int want = rank - static_cast<int>(reduce->axes.size()) + static_cast<int>(i);
    if (reduce->axes[i] != want) return std::nullopt;
  }
  return reduce->axes.front();
}

// x and the axis behind x - mean(x).
bool TakeCentred(Pattern& pattern, ValueId id, Norm* norm) {
  const Node* sub = pattern.Take(id, "Sub");
  if (sub == nullptr) return false;
  const Node* mean = pattern.Take(sub->inputs[1], "ReduceMean");
  if (mean == nullptr || mean->inputs[0] != sub->inputs[0]) return false;
  const std::optional<int> axis = MeanAxis(pattern.graph(), *mean);
  if (!axis.has_value()) return false;
  norm->x = sub->inputs[0];
  norm->axis = *axis;
  return true;
}

// The value whose square is `id`; exporters write x^2 and x x.
ValueId TakeSquare(Pattern& pattern, ValueId id) {
  if (const Node* pow = pattern.Take(id, "Pow"); pow != nullptr) {
    const bool square = NumberBeside(pattern.graph(), pow->inputs[1], pow->inputs[0]) == 2.0;
    return square ? pow->inputs[0] : kNone;
  }
  const Node* mul = pattern.Take(id, "Mul");
  return mul != nullptr && mul->inputs[0] == mul->inputs[1] ? mul->inputs[0] : kNone;
}

// sqrt(variance + epsilon) of what `centred` is.
bool TakeDeviation(Pattern& pattern, ValueId id, ValueId centred, Norm* norm) {
  const Node* root = pattern.Take(id, "Sqrt");
  const Node* sum = root == nullptr ? nullptr : pattern.Take(root->inputs[0], "Add");
  const auto split = sum == nullptr ? std::nullopt : SplitNumber(pattern.graph(), *sum);
  if (!split.has_value() || !(split->number >= 0)) return false;
  const Node* mean = pattern.Take(split->value, "ReduceMean");
  if (mean == nullptr || MeanAxis(pattern.graph(), *mean) != norm->axis) return false;
  const ValueId squared = TakeSquare(pattern, mean->inputs[0]);
  if (squared == kNone) return false;
  if (squared != centred) {  // Some write x - mean(x) twice.
    Norm again;
    if (!TakeCentred(pattern, squared, &again)) return false;
    if (again.x != norm->x || again.axis != norm->axis) return false;
  }
  norm->epsilon = split->number;
  return true;
}

// d / sqrt(...), or d times the reciprocal.
std::optional<Norm> TakeNorm(Pattern& pattern, const Node& node) {
  Norm norm;
  if (node.op == "Div") {
    Pattern divided = pattern;
    if (!TakeCentred(divided, node.inputs[0], &norm) ||
        !TakeDeviation(divided, node.inputs[1], node.inputs[0], &norm)) {
      return std::nullopt;
    }
    pattern = divided;
    return norm;
  }
  for (size_t i = 0; i < 2; ++i) {
    Pattern product = pattern;
    if (!TakeCentred(product, node.inputs[i], &norm)) continue;
    ValueId root = kNone;
    if (const Node* inverse = product.Take(node.inputs[1 - i], "Reciprocal"); inverse != nullptr) {
      root = inverse->inputs[0];
    } else if (const Node* div = product.Take(node.inputs[1 - i], "Div"); div != nullptr) {
      if (NumberBeside(product.graph(), div->inputs[0], div->inputs[1]) == 1.0) {
        root = div->inputs[1];
      }
    }
    if (root == kNone || !TakeDeviation(product, root, node.inputs[i], &norm)) continue;
    pattern = product;
    return norm;
  }
  return std::nullopt;
}

// The sizes of the normalised dimensions; nothing while one is open.
std::optional<Shape> NormalisedShape(const Graph& graph, const Norm& norm) {
  const SymbolicShape& x = *graph.value(norm.x).type.shape;
  return ToConcrete(SymbolicShape(x.begin() + norm.axis, x.end()));
}

// Whether the constant has one number for each element of a normalised row.
bool IsPerElement(const Graph& graph, ValueId id, const Norm& norm, const Shape& row) {
  const Constant* constant = ConstantOf(graph, id);
  if (constant == nullptr || constant->dtype != graph.value(norm.x).type.dtype) return false;
  const int rank = RankOf(graph, norm.x);
  if (constant->shape.rank() > rank || constant->shape.elements() != row.elements()) return false;
  for (int i = 1; i <= constant->shape.rank(); ++i) {
    const int64_t want = i <= row.rank() ? row.dim(row.rank() - i) : 1;
    if (constant->shape.dim(constant->shape.rank() - i) != want) return false;
  }
  return true;
}

// The reader of the pattern's result that applies `op` with a number for each
// element of a row: that constant, and the pattern goes up to there.
ValueId ExtendBy(Graph& graph, const PassIndex& index, Pattern& pattern, std::string_view op,
                 const Norm& norm, const Shape& row) {
  const ValueId result = graph.node(pattern.last()).outputs[0];
  const NodeId reader = index.OnlyReader(result);
  if (reader == kNone) return kNone;
  const Node& node = graph.node(reader);
  if (!Is(node, op) || !node.post_ops.empty() || node.outputs.size() != 1) return kNone;
  const ValueId other = node.inputs[0] == result ? node.inputs[1] : node.inputs[0];
  if (!IsPerElement(graph, other, norm, row)) return kNone;
  pattern.Extend(reader);
  return other;
}

bool TryFuseLayerNorm(Graph& graph, const PassIndex& index, NodeId id) {
  Pattern pattern(graph, index, id);
  const std::optional<Norm> norm = TakeNorm(pattern, graph.node(id));
  if (!norm.has_value() || !IsFloat(graph.value(norm->x).type.dtype)) return false;
  const std::optional<Shape> row = NormalisedShape(graph, *norm);
  if (!row.has_value() || row->elements() == 0 || !pattern.IsClosed()) return false;
  ValueId scale = ExtendBy(graph, index, pattern, "Mul", *norm, *row);
  const ValueId bias = ExtendBy(graph, index, pattern, "Add", *norm, *row);
  if (scale == kNone) {
    scale = AddDerived(graph, StrCat(graph.node(pattern.last()).name, "/scale"), "fill/1", {}, {1},
                       graph.value(norm->x).type.dtype, *row, ParameterRole::kNone);
  }
  FusedOp fused{.domain = "",
                .op = "LayerNormalization",
                .opset = 17,
                .inputs = {norm->x, scale},
                .attributes = {{"axis", int64_t{norm->axis}},
                               {"epsilon", static_cast<float>(norm->epsilon)}}};
  if (bias != kNone) fused.inputs.push_back(bias);
  ReplaceByOne(graph, pattern, std::move(fused));
  return true;
}

}  // namespace

absl::StatusOr<int> FuseLayerNorm(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"Div", "Mul"}, TryFuseLayerNorm);
}

}  // namespace paramd
