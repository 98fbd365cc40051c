#include <algorithm>
#include <array>

#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/pattern.h"

namespace paramd {
namespace {

using Perm = std::vector<int64_t>;

// Masks, scalings and transposes that one operand may go through.
constexpr int kStepsMax = 8;

Perm InOrder(int rank) {
  Perm perm;
  for (int axis = 0; axis < rank; ++axis) perm.push_back(axis);
  return perm;
}

// The batch stays where it is, so that rows stay apart (batch_safety.cc).
bool KeepsBatch(const Perm& perm) { return perm.size() != 4 || perm[0] == 0; }

// What an operand of a product was before it was scaled and transposed.
struct Source {
  ValueId value = kNone;
  Perm perm;         // Of a Transpose that makes the operand of `value`.
  double scale = 1;  // And what it is multiplied by.
};

Source SourceOf(const Pattern& pattern, ValueId id, bool may_scale) {
  const Graph& graph = pattern.graph();
  Source source{.value = id, .perm = InOrder(RankOf(graph, id))};
  for (int step = 0; step < kStepsMax; ++step) {
    if (const Node* transpose = pattern.Find(source.value, "Transpose"); transpose != nullptr) {
      const auto inner = PermOf(graph, *transpose);
      if (!inner.has_value() || inner->size() != source.perm.size()) break;
      Perm both;
      for (const int64_t axis : source.perm) both.push_back((*inner)[static_cast<size_t>(axis)]);
      if (!KeepsBatch(both)) break;
      source.perm = std::move(both);
      source.value = transpose->inputs[0];
      continue;
    }
    if (!may_scale) break;
    if (const Node* mul = pattern.Find(source.value, "Mul"); mul != nullptr) {
      const auto split = SplitNumber(graph, *mul);
      if (!split.has_value()) break;
      source.scale *= split->number;
      source.value = split->value;
      continue;
    }
    const Node* div = pattern.Find(source.value, "Div");
    if (div == nullptr) break;
    const auto divisor = NumberBeside(graph, div->inputs[1], div->inputs[0]);
    if (!divisor.has_value() || *divisor == 0) break;
    source.scale /= *divisor;
    source.value = div->inputs[0];
  }
  return source;
}

// The way from softmax's input back to the product of q and k.
struct Scores {
  Pattern pattern;
  const Node* product = nullptr;
  double scale = 1;
  ValueId mask = kNone;  // Added.
  ValueId keep = kNone;  // bool: where it is false (drop: true), the score is `fill`.
  bool drop = false;
  double fill = 0;

  // Scale first, then Where, then Add: seen from the end.
  bool Follow(ValueId id, int depth) {
    if (depth > kStepsMax) return false;
    const Graph& graph = pattern.graph();
    product = pattern.Take(id, "MatMul");
    if (product != nullptr) return true;
    if (const Node* mul = pattern.Take(id, "Mul"); mul != nullptr) {
      const auto split = SplitNumber(graph, *mul);
      if (!split.has_value()) return false;
      scale *= split->number;
      return Follow(split->value, depth + 1);
    }
    if (const Node* div = pattern.Take(id, "Div"); div != nullptr) {
      const auto divisor = NumberBeside(graph, div->inputs[1], div->inputs[0]);
      if (!divisor.has_value() || *divisor == 0) return false;
      scale /= *divisor;
      return Follow(div->inputs[0], depth + 1);
    }
    if (scale != 1) return false;  // The mask would be scaled too.
    if (const Node* add = pattern.Take(id, "Add"); add != nullptr) {
      if (mask != kNone || keep != kNone) return false;
      return TryEither(*add, depth);
    }
    const Node* where = pattern.Take(id, "Where");
    if (where == nullptr || keep != kNone) return false;
    keep = where->inputs[0];
    for (const size_t i : {size_t{1}, size_t{2}}) {  // Which of the two is the number?
      const ValueId kept = where->inputs[3 - i];
      const auto number = NumberBeside(graph, where->inputs[i], kept);
      if (!number.has_value()) continue;
      drop = i == 1;
      fill = *number;
      return Follow(kept, depth + 1);
    }
    return false;
  }

  bool TryEither(const Node& add, int depth) {
    for (const size_t i : {size_t{0}, size_t{1}}) {
      Scores attempt = *this;
      attempt.mask = add.inputs[1 - i];
      if (!attempt.Follow(add.inputs[i], depth + 1)) continue;
      *this = attempt;
      return true;
    }
    return false;
  }
};

// The softmax over keys behind `id`. PyTorch replaces what is not a number (a
// row whose keys are all masked by -inf) by zeros.
const Node* TakeSoftmax(Pattern& pattern, ValueId id, bool* zero_nan) {
  const Graph& graph = pattern.graph();
  if (const Node* where = pattern.Take(id, "Where"); where != nullptr) {
    const Node* nan = pattern.Take(where->inputs[0], "IsNaN");
    if (nan == nullptr || nan->inputs[0] != where->inputs[2]) return nullptr;
    if (NumberBeside(graph, where->inputs[1], where->inputs[2]) != 0.0) return nullptr;
    *zero_nan = true;
    id = where->inputs[2];
  }
  const Node* node = pattern.Take(id, "Softmax");
  if (node == nullptr || RankOf(graph, id) < 0) return nullptr;
  const auto params = ParamsOf(graph, *node);
  const auto* softmax = params.ok() ? std::get_if<SoftmaxParams>(&*params) : nullptr;
  if (softmax == nullptr || softmax->log) return nullptr;
  const int rank = RankOf(graph, id);
  const int axis = softmax->axis < 0 ? softmax->axis + rank : softmax->axis;
  return axis == rank - 1 ? node : nullptr;
}

// A mask spread to the scores' shape: the op spreads it itself.
ValueId WithoutExpand(Pattern& pattern, ValueId mask, int rank) {
  const Node* expand = pattern.Find(mask, "Expand");
  if (expand == nullptr) return mask;
  const Node* shape = pattern.Find(expand->inputs[1], "Shape");
  const int own = RankOf(pattern.graph(), expand->inputs[0]);
  if (shape == nullptr || !pattern.Makes(shape->inputs[0]) || own < 0 || own > rank) return mask;
  if (shape->Has("start") || shape->Has("end")) return mask;
  Pattern with = pattern;
  with.Take(mask, "Expand");
  with.Take(expand->inputs[1], "Shape");
  pattern = with;
  return expand->inputs[0];
}

bool MaskFits(const Graph& graph, ValueId mask, int rank) {
  return mask == kNone || (RankOf(graph, mask) >= 0 && RankOf(graph, mask) <= rank);
}

void SetPerm(FusedOp& fused, const std::string& key, const Perm& perm) {
  if (!std::is_sorted(perm.begin(), perm.end())) fused.attributes[key] = perm;
}

bool TryFuseAttention(Graph& graph, const PassIndex& index, NodeId id) {
  const int rank = RankOf(graph, graph.node(id).outputs[0]);
  if (rank != 3 && rank != 4) return false;
  Scores scores{.pattern = Pattern(graph, index, id)};
  bool zero_nan = false;
  const Node* softmax = TakeSoftmax(scores.pattern, graph.node(id).inputs[0], &zero_nan);
  if (softmax == nullptr || !scores.Follow(softmax->inputs[0], 0)) return false;
  const ValueId k_operand = scores.product->inputs[1];
  const std::array<ValueId, 3> operands = {scores.product->inputs[0], k_operand,
                                           graph.node(id).inputs[1]};
  const DType dtype = graph.value(operands[0]).type.dtype;
  for (const ValueId operand : operands) {
    if (RankOf(graph, operand) != rank || graph.value(operand).type.dtype != dtype) return false;
  }
  if (!IsFloat(dtype)) return false;
  Pattern& pattern = scores.pattern;
  const Source q = SourceOf(pattern, operands[0], true);
  Source k = SourceOf(pattern, operands[1], true);
  const Source v = SourceOf(pattern, operands[2], false);
  if (scores.mask != kNone) scores.mask = WithoutExpand(pattern, scores.mask, rank);
  if (scores.keep != kNone) scores.keep = WithoutExpand(pattern, scores.keep, rank);
  if (!MaskFits(graph, scores.mask, rank) || !MaskFits(graph, scores.keep, rank)) return false;
  if (!pattern.IsClosed()) return false;
  // Of keys as [.., T, D], where the product read [.., D, T].
  std::swap(k.perm[static_cast<size_t>(rank) - 1], k.perm[static_cast<size_t>(rank) - 2]);

  FusedOp fused{.domain = kInternalDomain, .op = "Attention", .opset = 1};
  fused.inputs = {q.value, k.value, v.value, scores.mask, scores.keep};
  while (fused.inputs.back() == kNone) fused.inputs.pop_back();
  fused.attributes["scale"] = static_cast<float>(scores.scale * q.scale * k.scale);
  SetPerm(fused, "qPerm", q.perm);
  SetPerm(fused, "kPerm", k.perm);
  SetPerm(fused, "vPerm", v.perm);
  if (scores.keep != kNone) {
    fused.attributes["fill"] = static_cast<float>(scores.fill);
    if (scores.drop) fused.attributes["drop"] = int64_t{1};
  }
  if (zero_nan) fused.attributes["zeroNan"] = int64_t{1};
  const NodeId reader = index.OnlyReader(graph.node(id).outputs[0]);
  if (reader != kNone && Is(graph.node(reader), "Transpose")) {
    const auto perm = PermOf(graph, graph.node(reader));
    if (perm.has_value() && KeepsBatch(*perm)) {
      SetPerm(fused, "yPerm", *perm);
      pattern.Extend(reader);
    }
  }
  ReplaceByOne(graph, pattern, std::move(fused));
  return true;
}

}  // namespace

absl::StatusOr<int> FuseAttention(Graph& graph, const PassOptions&) {
  return ReplaceEach(graph, {"MatMul"}, TryFuseAttention);
}

}  // namespace paramd
