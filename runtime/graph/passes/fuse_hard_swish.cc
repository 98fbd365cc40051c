#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

// clip(x + shift, 0, high).
struct ShiftedClip {
  ValueId x = kNone;
  double shift = 0, high = 0;
};

std::optional<ShiftedClip> TakeClip(Pattern& pattern, ValueId id) {
  const Graph& graph = pattern.graph();
  const Node* clip = pattern.Take(id, "Clip");
  if (clip == nullptr) return std::nullopt;
  const auto params = ParamsOf(graph, *clip);
  const auto* bounds = params.ok() ? std::get_if<UnaryParams>(&*params) : nullptr;
  const Node* add = pattern.Take(clip->inputs[0], "Add");
  if (bounds == nullptr || bounds->alpha != 0 || add == nullptr) return std::nullopt;
  const auto split = SplitNumber(graph, *add);
  if (!split.has_value() || !IsFloat(graph.value(split->value).type.dtype)) return std::nullopt;
  return ShiftedClip{split->value, split->number, bounds->beta};
}

// x hardsigmoid(x; 1/6, 1/2).
bool IsGate(Pattern& pattern, ValueId id, ValueId x, double number) {
  Pattern clipped = pattern;
  if (const auto clip = TakeClip(clipped, id); clip.has_value()) {
    pattern = clipped;
    return clip->x == x && IsNear(number, 1.0 / 6) && IsNear(clip->shift, 3) &&
           IsNear(clip->high, 6);
  }
  const Node* gate = pattern.Take(id, "HardSigmoid");
  return gate != nullptr && gate->inputs[0] == x && IsNear(number, 1) &&
         IsNear(gate->GetFloat("alpha", 0.2f), 1.0 / 6) &&
         IsNear(gate->GetFloat("beta", 0.5f), 0.5);
}

bool TryFuseHardSwish(Graph& graph, const PassIndex& index, NodeId id) {
  Pattern outer(graph, index, id);
  const Product product = FactorsOf(outer, graph.node(id).outputs[0]);
  if (product.factors.size() == 2) {
    for (size_t i = 0; i < 2; ++i) {
      Pattern pattern = outer;
      const ValueId x = product.factors[i];
      if (!IsGate(pattern, product.factors[1 - i], x, product.number)) continue;
      if (!pattern.IsClosed()) continue;
      ReplaceByOne(graph, pattern, {.domain = "", .op = "HardSwish", .opset = 14, .inputs = {x}});
      return true;
    }
    return false;
  }
  if (product.factors.size() != 1) return false;
  // The gate alone, written out: clip(x + 3, 0, 6) / 6.
  const auto clip = TakeClip(outer, product.factors[0]);
  if (!clip.has_value() || !IsNear(product.number * clip->high, 1) || !outer.IsClosed()) {
    return false;
  }
  ReplaceByOne(graph, outer,
               {.domain = "",
                .op = "HardSigmoid",
                .opset = 6,
                .inputs = {clip->x},
                .attributes = {{"alpha", static_cast<float>(product.number)},
                               {"beta", static_cast<float>(product.number * clip->shift)}}});
  return true;
}

}  // namespace

absl::StatusOr<int> FuseHardSwish(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"Mul", "Div"}, TryFuseHardSwish);
}

}  // namespace paramd
