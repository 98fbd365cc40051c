#include <cmath>

#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

constexpr double kCubic = 0.044715;

// erf(x / sqrt(2)).
bool IsErfOf(Pattern& pattern, ValueId id, ValueId x) {
  const Node* erf = pattern.Take(id, "Erf");
  return erf != nullptr && IsPower(FactorsOf(pattern, erf->inputs[0]), M_SQRT1_2, x, 1);
}

// The sum's operands in both orders.
template <typename Test>
bool EitherOrder(const Node& sum, const Test& test) {
  return test(sum.inputs[0], sum.inputs[1]) || test(sum.inputs[1], sum.inputs[0]);
}

// tanh(sqrt(2 / pi) (x + 0.044715 x^3)), or with x before the bracket.
bool IsTanhOf(Pattern& pattern, ValueId id, ValueId x) {
  const Node* tanh = pattern.Take(id, "Tanh");
  if (tanh == nullptr) return false;
  const Product inner = FactorsOf(pattern, tanh->inputs[0]);
  if (!IsNear(inner.number, M_2_SQRTPI * M_SQRT1_2)) return false;
  if (inner.factors.size() == 1) {
    const Node* sum = pattern.Take(inner.factors[0], "Add");
    return sum != nullptr && EitherOrder(*sum, [&](ValueId a, ValueId b) {
             return a == x && IsPower(FactorsOf(pattern, b), kCubic, x, 3);
           });
  }
  if (inner.factors.size() != 2) return false;
  for (size_t i = 0; i < 2; ++i) {
    if (inner.factors[i] != x) continue;
    const Node* sum = pattern.Take(inner.factors[1 - i], "Add");
    if (sum == nullptr) continue;
    const auto split = SplitNumber(pattern.graph(), *sum);
    return split.has_value() && split->number == 1 &&
           IsPower(FactorsOf(pattern, split->value), kCubic, x, 2);
  }
  return false;
}

// 0.5 x (1 + f(x)), whatever the order of the factors.
bool TryFuseGelu(Graph& graph, const PassIndex& index, NodeId id) {
  Pattern outer(graph, index, id);
  const Product product = FactorsOf(outer, graph.node(id).outputs[0]);
  if (product.factors.size() != 2 || !IsNear(product.number, 0.5)) return false;
  for (size_t i = 0; i < 2; ++i) {
    const ValueId x = product.factors[i];
    Pattern pattern = outer;
    const Node* sum = pattern.Take(product.factors[1 - i], "Add");
    const auto split = sum == nullptr ? std::nullopt : SplitNumber(graph, *sum);
    if (!split.has_value() || split->number != 1 || !IsFloat(graph.value(x).type.dtype)) continue;
    for (const bool exact : {true, false}) {
      Pattern whole = pattern;
      const bool matches =
          exact ? IsErfOf(whole, split->value, x) : IsTanhOf(whole, split->value, x);
      if (!matches || !whole.IsClosed()) continue;
      ReplaceByOne(graph, whole,
                   {.domain = "",
                    .op = "Gelu",
                    .opset = 20,
                    .inputs = {x},
                    .attributes = {{"approximate", std::string(exact ? "none" : "tanh")}}});
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<int> FuseGelu(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"Mul", "Div"}, TryFuseGelu);
}

}  // namespace paramd
