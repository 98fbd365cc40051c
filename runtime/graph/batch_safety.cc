#include "runtime/graph/batch_safety.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/shape_items.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

enum class BatchKind : uint8_t { kFree, kRows, kSize };

class Proof {
 public:
  Proof(const Graph& graph, std::string symbol)
      : graph_(graph),
        symbol_(std::move(symbol)),
        kinds_(graph.values().size(), BatchKind::kFree) {}

  // Empty if every output is rows; else why not.
  std::string Run() {
    for (ValueId id : graph_.inputs) kinds_[static_cast<size_t>(id)] = BatchKind::kRows;
    for (const Node& node : graph_.nodes()) {
      if (node.dead) continue;
      if (std::string reason = Visit(node); !reason.empty()) {
        return StrCat("node '", node.name, "' (", node.op, ") ", reason);
      }
    }
    for (ValueId id : graph_.outputs) {
      const Value& value = graph_.value(id);
      if (kind(id) != BatchKind::kRows || !LeadsWithBatch(id)) {
        return StrCat("output '", value.name, "' does not have the batch as its first dimension");
      }
    }
    return {};
  }

 private:
  BatchKind kind(ValueId id) const {
    return id == kNone ? BatchKind::kFree : kinds_[static_cast<size_t>(id)];
  }
  BatchKind InputKind(const Node& node, size_t i) const {
    return i < node.inputs.size() ? kind(node.inputs[i]) : BatchKind::kFree;
  }
  const SymbolicShape* ShapeOf(ValueId id) const {
    if (id == kNone) return nullptr;
    const auto& shape = graph_.value(id).type.shape;
    return shape.has_value() ? &*shape : nullptr;
  }
  bool LeadsWithBatch(ValueId id) const {
    const SymbolicShape* shape = ShapeOf(id);
    return shape != nullptr && !shape->empty() && (*shape)[0].symbol == symbol_;
  }
  size_t Rank(ValueId id) const {
    const SymbolicShape* shape = ShapeOf(id);
    return shape == nullptr ? 0 : shape->size();
  }

  std::string Visit(const Node& node) {
    bool rows = false, size = false;
    for (ValueId id : node.inputs) {
      rows |= kind(id) == BatchKind::kRows;
      size |= kind(id) == BatchKind::kSize;
    }
    for (const auto& [key, attribute] : node.attributes) {
      if (std::holds_alternative<std::shared_ptr<Graph>>(attribute)) {
        return "holds a subgraph, for which there is no rule";
      }
    }
    BatchKind result = BatchKind::kFree;
    if (node.domain.empty() && (node.op == "Shape" || node.op == "Size")) {
      if (rows) result = BatchKind::kSize;
    } else if (rows || size) {
      std::string reason = rows ? VisitRows(node) : VisitSizes(node, result);
      if (!reason.empty()) return reason;
      if (rows) result = BatchKind::kRows;
    }
    for (ValueId id : node.outputs) {
      if (id == kNone) continue;
      const bool other_sizes = result == BatchKind::kSize && HasOtherSizesOnly(id);
      kinds_[static_cast<size_t>(id)] = other_sizes ? BatchKind::kFree : result;
      if (result == BatchKind::kRows && !LeadsWithBatch(id)) {
        return "is not proved to keep the batch as its first dimension";
      }
    }
    return {};
  }

  // Sizes of which none is the number of rows: a sentence's length, say, which is
  // one for all rows that are put together. Only what the inputs say counts: other
  // nodes may make a dimension out of the batch.
  bool HasOtherSizesOnly(ValueId id) const {
    const auto items = ShapeItems(graph_, id);
    return items.has_value() && std::all_of(items->begin(), items->end(), [this](const auto& item) {
             return item.of == kNone || IsOtherDimension(item);
           });
  }
  bool IsOtherDimension(const ShapeItem& item) const {
    const std::string& symbol = (*ShapeOf(item.of))[static_cast<size_t>(item.axis)].symbol;
    for (ValueId id : graph_.inputs) {
      if (id == item.of) return item.axis > 0;
      const SymbolicShape& shape = *ShapeOf(id);
      for (size_t i = 1; i < shape.size() && !symbol.empty(); ++i) {
        if (shape[i].symbol == symbol) return symbol != symbol_;
      }
    }
    return false;
  }

  // Arithmetic on sizes gives sizes; a tensor made in a size is rows when it leads with the batch.
  std::string VisitSizes(const Node& node, BatchKind& result) {
    result = BatchKind::kSize;
    const bool fills = node.op == "ConstantOfShape" ||
                       (node.op == "Expand" && InputKind(node, 0) == BatchKind::kFree);
    if (!fills) {
      for (ValueId id : node.outputs) {
        if (id != kNone && Rank(id) > 1) return "computes data from the number of rows";
      }
      return {};
    }
    if (!LeadsWithBatch(node.outputs[0])) return "makes data of the batch's size";
    if (node.op == "Expand") {
      // Every row is a copy of the one that was there.
      const SymbolicShape* x = ShapeOf(node.inputs[0]);
      if (x == nullptr || (x->size() == Rank(node.outputs[0]) && (*x)[0] != Dim::Of(1))) {
        return "may spread different data over the rows";
      }
    }
    result = BatchKind::kRows;
    return {};
  }

  // At least one input is rows.
  std::string VisitRows(const Node& node) {
    if (const std::string reason = CheckPostOps(node); !reason.empty()) return reason;
    constexpr std::string_view kRowWise[] = {
        // Dimension 0 is the sample, in all of them.
        "Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "LRN",
        "BatchNormalization", "Dropout", "Identity", "Cast", "ConvTranspose", "LpPool",
        "GlobalLpPool", "InstanceNormalization", "DepthToSpace", "SpaceToDepth",
        // Of our own domain.
        "TreeEnsemble", "LabelLookup", "PairwiseProbability"};
    const std::string& op = node.op;
    const bool internal = node.domain == kInternalDomain;
    if (!node.domain.empty() && !internal) return "has no rule";
    if (op == "BatchNormalization" && node.GetInt("training_mode", 0) != 0) {
      return "normalises by the batch's own statistics";
    }
    // What is drawn depends on where in the batch a row is.
    if (op == "Dropout" && node.inputs.size() > 2 && node.inputs[2] != kNone &&
        !IsKnownFalse(node.inputs[2])) {
      return "drops at random";
    }
    if (std::find(std::begin(kRowWise), std::end(kRowWise), op) != std::end(kRowWise)) {
      return OnlyFirst(node);
    }
    if (op == "Gemm") return VisitGemm(node);
    if (op == "MatMul") return VisitMatMul(node);
    if (op == "Softmax" || op == "LogSoftmax") {
      return AxisIsInside(node, node.opset < 13 ? 1 : -1);
    }
    if (op == "LayerNormalization") {
      const std::string reason = OnlyFirst(node);
      return reason.empty() ? AxisIsInside(node, -1) : reason;
    }
    if (op == "ArgMax" || op == "ArgMin" || op == "TopK" || op == "Hardmax") {
      const std::string reason = OnlyFirst(node);
      const int64_t axis = op == "TopK" || (op == "Hardmax" && node.opset >= 13) ? -1
                           : op == "Hardmax"                                     ? 1
                                                                                 : 0;
      return reason.empty() ? AxisIsInside(node, axis) : reason;
    }
    if (op == "DeformConv") return VisitDeformConv(node);
    if (op == "NGramCounts") return Rank(node.inputs[0]) == 2 ? OnlyFirst(node) : "counts all rows";
    if (op == "OneHot") {
      const std::string reason = OnlyFirst(node);
      const int64_t axis = node.GetInt("axis", -1);
      return !reason.empty() ? reason : axis == -1 || axis > 0 ? "" : "puts classes before rows";
    }
    if (op == "QuantizeLinear" || op == "DequantizeLinear") {
      // Scales that the model holds; those of a request come from all of its rows.
      const std::string reason = OnlyFirst(node);
      return reason.empty() ? AxisIsInside(node, 1) : reason;
    }
    if (op == "Resize" || op == "Upsample") return VisitResize(node);
    if (op.starts_with("Reduce")) return VisitReduce(node);
    if (op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze") {
      // The same elements in the same order, and as many rows as before: each
      // row keeps its own.
      return OnlyFirst(node);
    }
    if (op == "Expand") {
      const std::string reason = OnlyFirst(node);
      if (!reason.empty()) return reason;
      return Rank(node.inputs[0]) == Rank(node.outputs[0]) ? std::string()
                                                           : "adds dimensions before the batch";
    }
    if (op == "Transpose") return VisitTranspose(node);
    if (op == "Concat" || op == "SplitPart") return VisitJoin(node);
    if (op == "Slice") return VisitSlice(node);
    if (op == "Pad") return VisitPad(node);
    if (op == "Gather") return VisitGather(node);
    if (op == "Attention") return VisitAttention(node);
    const OpRow* row = FindOp(node.domain, op, node.opset);
    if (row != nullptr && IsElementwise(op)) return VisitElementwise(node);
    return "has no rule";
  }

  bool IsKnownFalse(ValueId id) const {
    const Tensor* tensor = graph_.InlineConstant(id);
    const auto values = tensor == nullptr ? std::nullopt : IntValues(tensor->view());
    return values.has_value() && values->size() == 1 && values->front() == 0;
  }

  // Offsets and masks come with their row.
  std::string VisitDeformConv(const Node& node) const {
    for (const size_t i : {size_t{0}, size_t{2}, size_t{4}}) {
      if (i < node.inputs.size() && node.inputs[i] != kNone &&
          InputKind(node, i) != BatchKind::kRows) {
        return StrCat("has an input ", i, " that is not of the batch");
      }
    }
    const bool held =
        InputKind(node, 1) == BatchKind::kFree && InputKind(node, 3) == BatchKind::kFree;
    return held ? "" : "has weights that depend on the request";
  }

  static bool IsElementwise(const std::string& op) {
    constexpr std::string_view kOps[] = {"Relu",
                                         "LeakyRelu",
                                         "Clip",
                                         "Sigmoid",
                                         "Tanh",
                                         "Elu",
                                         "HardSigmoid",
                                         "HardSwish",
                                         "Silu",
                                         "Gelu",
                                         "Softplus",
                                         "Softsign",
                                         "Selu",
                                         "Abs",
                                         "Neg",
                                         "Exp",
                                         "Log",
                                         "Sqrt",
                                         "Reciprocal",
                                         "Erf",
                                         "Floor",
                                         "Ceil",
                                         "Round",
                                         "Sign",
                                         "Sin",
                                         "Cos",
                                         "Not",
                                         "Add",
                                         "Sub",
                                         "Mul",
                                         "Div",
                                         "Pow",
                                         "Mod",
                                         "Sum",
                                         "Min",
                                         "Max",
                                         "Equal",
                                         "Less",
                                         "LessOrEqual",
                                         "Greater",
                                         "GreaterOrEqual",
                                         "And",
                                         "Or",
                                         "Xor",
                                         "Where",
                                         "Tan",
                                         "Asin",
                                         "Acos",
                                         "Atan",
                                         "Sinh",
                                         "Cosh",
                                         "Asinh",
                                         "Acosh",
                                         "Atanh",
                                         "IsNaN",
                                         "IsInf",
                                         "BitwiseNot",
                                         "BitwiseAnd",
                                         "BitwiseOr",
                                         "BitwiseXor",
                                         "BitShift"};
    return std::find(std::begin(kOps), std::end(kOps), op) != std::end(kOps);
  }

  std::string CheckPostOps(const Node& node) {
    for (const PostOp& post_op : node.post_ops) {
      if (post_op.kind != PostOp::Kind::kAdd) continue;
      if (kind(node.inputs[static_cast<size_t>(post_op.operand)]) != BatchKind::kRows) {
        return "adds what is not rows";
      }
    }
    return {};
  }

  static size_t OwnInputs(const Node& node) {
    size_t count = node.inputs.size();
    for (const PostOp& post_op : node.post_ops) {
      if (post_op.kind == PostOp::Kind::kAdd) {
        count = std::min(count, static_cast<size_t>(post_op.operand));
      }
    }
    return count;
  }

  // Input 0 is rows; the others are free, or sizes where they say a shape.
  std::string OnlyFirst(const Node& node) const {
    if (InputKind(node, 0) != BatchKind::kRows) return "uses rows other than as its data";
    const bool shaped = node.op == "Reshape" || node.op == "Expand";
    for (size_t i = 1; i < OwnInputs(node); ++i) {
      const BatchKind other = InputKind(node, i);
      if (other == BatchKind::kRows || (other == BatchKind::kSize && !shaped)) {
        return StrCat("has an input ", i, " that depends on the request");
      }
    }
    return {};
  }

  // Operands broadcast so that rows meet rows: one that is rows has the full
  // rank, one that is free does not reach the first dimension with more than 1.
  std::string VisitElementwise(const Node& node) const {
    const size_t rank = Rank(node.outputs[0]);
    for (size_t i = 0; i < OwnInputs(node); ++i) {
      const ValueId id = node.inputs[i];
      if (id == kNone) continue;
      const SymbolicShape* shape = ShapeOf(id);
      if (shape == nullptr) return StrCat("has an input ", i, " of unknown rank");
      switch (kind(id)) {
        case BatchKind::kSize:
          return "computes with the number of rows";
        case BatchKind::kRows:
          if (shape->size() != rank) return StrCat("broadcasts input ", i, " over the batch");
          break;
        case BatchKind::kFree:
          if (shape->size() == rank && (*shape)[0] != Dim::Of(1)) {
            return StrCat("has an input ", i, " with a first dimension of its own");
          }
          break;
      }
    }
    return {};
  }

  std::string VisitGemm(const Node& node) const {
    if (node.GetInt("transA", 0) != 0) return "reads its rows transposed";
    if (InputKind(node, 0) != BatchKind::kRows || InputKind(node, 1) != BatchKind::kFree) {
      return "multiplies by what depends on the request";
    }
    return CheckBias(node);
  }

  std::string CheckBias(const Node& node) const {
    if (OwnInputs(node) < 3 || node.inputs[2] == kNone) return {};
    const SymbolicShape* bias = ShapeOf(node.inputs[2]);
    if (bias == nullptr || InputKind(node, 2) == BatchKind::kSize) return "adds what has no rule";
    const bool full = bias->size() == Rank(node.outputs[0]);
    if (InputKind(node, 2) == BatchKind::kRows)
      return full ? "" : "broadcasts its bias over the batch";
    return full && (*bias)[0] != Dim::Of(1) ? "adds a bias with a first dimension of its own" : "";
  }

  std::string VisitMatMul(const Node& node) const {
    const size_t a = Rank(node.inputs[0]), b = Rank(node.inputs[1]);
    const BatchKind left = InputKind(node, 0), right = InputKind(node, 1);
    if (left == BatchKind::kSize || right == BatchKind::kSize)
      return "computes with the number of rows";
    if (a < 2 || b < 1) return "multiplies a vector";
    if (left == BatchKind::kRows && a == 2 && node.GetInt("transA", 0) != 0) {
      return "reads its rows transposed";
    }
    if (left == BatchKind::kRows && right == BatchKind::kRows) {
      // Row by row only where the batch is a dimension beside the matrices.
      if (a < 3 || a != b) return "multiplies rows by rows";
      return CheckBias(node);
    }
    if (left == BatchKind::kRows) {
      const SymbolicShape* other = ShapeOf(node.inputs[1]);
      if (b > a || (b == a && b > 2 && (*other)[0] != Dim::Of(1))) {
        return "multiplies by a stack of matrices";
      }
      return CheckBias(node);
    }
    const SymbolicShape* other = ShapeOf(node.inputs[0]);
    if (b < 3 || a > b || (a == b && (*other)[0] != Dim::Of(1))) {
      return "sums over the batch";
    }
    return CheckBias(node);
  }

  // The node's axis is not dimension 0. Flattened softmax takes all from `axis` on.
  std::string AxisIsInside(const Node& node, int64_t otherwise) const {
    const auto rank = static_cast<int64_t>(Rank(node.inputs[0]));
    int64_t axis = node.GetInt("axis", otherwise);
    if (axis < 0) axis += rank;
    return axis >= 1 ? "" : "works along the batch";
  }

  std::string VisitReduce(const Node& node) const {
    const std::string reason = OnlyFirst(node);
    if (!reason.empty()) return reason;
    const auto rank = static_cast<int64_t>(Rank(node.inputs[0]));
    std::vector<int64_t> axes = node.GetInts("axes");
    if (node.inputs.size() > 1 && node.inputs[1] != kNone) {
      const Tensor* tensor = graph_.InlineConstant(node.inputs[1]);
      const auto known = tensor == nullptr ? std::nullopt : IntValues(tensor->view());
      if (!known.has_value()) return "reduces axes that are not known";
      axes = *known;
    }
    if (axes.empty() && node.GetInt("noop_with_empty_axes", 0) == 0) return "reduces the batch";
    for (int64_t axis : axes) {
      if (axis == 0 || axis == -rank) return "reduces the batch";
    }
    return {};
  }

  // The batch stays as long as it was, which every mode leaves to itself but one
  // that crops.
  std::string VisitResize(const Node& node) const {
    const std::string reason = OnlyFirst(node);
    if (!reason.empty()) return reason;
    const std::string mode = node.GetString("coordinate_transformation_mode", "half_pixel");
    if (mode == "tf_crop_and_resize") return "crops, perhaps the batch too";
    const std::vector<int64_t> axes = node.GetInts("axes");
    for (const int64_t axis : axes) {
      if (axis == 0 || axis == -static_cast<int64_t>(Rank(node.inputs[0]))) {
        return "resizes the batch";
      }
    }
    if (!axes.empty()) return {};
    // Of all dimensions: the first scale must be known to be 1.
    for (const size_t input : {size_t{2}, size_t{1}}) {
      if (input >= node.inputs.size() || node.inputs[input] == kNone) continue;
      const Tensor* scales = graph_.InlineConstant(node.inputs[input]);
      const auto values = scales == nullptr ? std::nullopt : FloatValues(scales->view());
      if (values.has_value() && values->size() == Rank(node.inputs[0]) && values->front() == 1) {
        return {};
      }
    }
    return "is not proved to leave the batch as it is";
  }

  std::string VisitTranspose(const Node& node) const {
    const std::vector<int64_t> perm = node.GetInts("perm");
    if (perm.empty()) return Rank(node.inputs[0]) == 1 ? "" : "moves the batch";
    return perm[0] == 0 ? "" : "moves the batch";
  }

  std::string VisitJoin(const Node& node) const {
    for (size_t i = 0; i < OwnInputs(node); ++i) {
      if (InputKind(node, i) != BatchKind::kRows)
        return StrCat("joins input ", i, ", not of the batch");
    }
    return AxisIsInside(node, 0);
  }

  std::string VisitSlice(const Node& node) const {
    const std::string reason = OnlyFirst(node);
    if (!reason.empty()) return reason;
    const auto rank = static_cast<int64_t>(Rank(node.inputs[0]));
    const auto list = [&](const char* key, size_t input) -> std::optional<std::vector<int64_t>> {
      if (node.opset < 10) return node.GetInts(key);
      if (input >= node.inputs.size() || node.inputs[input] == kNone) return std::vector<int64_t>{};
      const Tensor* tensor = graph_.InlineConstant(node.inputs[input]);
      return tensor == nullptr ? std::nullopt : IntValues(tensor->view());
    };
    const auto axes = list("axes", 3), steps = list("steps", 4);
    if (!axes.has_value() || !steps.has_value()) return "slices axes that are not known";
    if (axes->empty()) return "slices the batch";
    // A slice of dimension 0 with the batch's name kept takes all of it; but it
    // may take it backwards.
    for (int64_t axis : *axes) {
      if (axis == 0 || axis == -rank) return "slices the batch";
    }
    return {};
  }

  std::string VisitPad(const Node& node) const {
    const std::string reason = OnlyFirst(node);
    if (!reason.empty()) return reason;
    std::vector<int64_t> pads = node.GetInts("pads");
    if (node.opset >= 11) {
      if (node.inputs.size() > 3 && node.inputs[3] != kNone) return "pads axes that have no rule";
      const Tensor* tensor = graph_.InlineConstant(node.inputs[1]);
      const auto known = tensor == nullptr ? std::nullopt : IntValues(tensor->view());
      if (!known.has_value()) return "pads by what is not known";
      pads = *known;
    }
    const size_t rank = Rank(node.inputs[0]);
    if (pads.size() != 2 * rank || pads[0] != 0 || pads[rank] != 0) return "pads the batch";
    return {};
  }

  std::string VisitGather(const Node& node) const {
    const BatchKind data = InputKind(node, 0), indices = InputKind(node, 1);
    if (data == BatchKind::kSize || indices == BatchKind::kSize)
      return "computes with the number of rows";
    if (data == BatchKind::kRows && indices == BatchKind::kRows) return "picks rows by rows";
    if (data == BatchKind::kRows) return AxisIsInside(node, 0);
    // A table looked up: the indices' first dimension leads only along axis 0.
    return AxisIsInside(node, 0).empty() ? "puts the table before the batch" : "";
  }

  // Queries meet keys within a row where the first dimension of each is the batch
  // and stays the first: all sums are over other dimensions.
  std::string VisitAttention(const Node& node) const {
    for (const char* key : {"qPerm", "kPerm", "vPerm", "yPerm"}) {
      const std::vector<int64_t> perm = node.GetInts(key);
      if (!perm.empty() && perm[0] != 0) return "moves the batch";
    }
    return VisitElementwise(node);
  }

  const Graph& graph_;
  const std::string symbol_;
  std::vector<BatchKind> kinds_;
};

}  // namespace

BatchSafety ProveBatchSafety(const Graph& graph) {
  BatchSafety result;
  if (graph.inputs.empty()) {
    result.reason = "the graph has no inputs";
    return result;
  }
  for (ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    const auto& shape = value.type.shape;
    if (value.type.kind != ValueType::Kind::kTensor || !shape.has_value() || shape->empty() ||
        (*shape)[0].symbol.empty()) {
      result.reason = StrCat("input '", value.name, "' has no open first dimension");
      return result;
    }
    const std::string& symbol = (*shape)[0].symbol;
    if (!result.symbol.empty() && result.symbol != symbol) {
      result.reason = StrCat("inputs' first dimensions are '", result.symbol, "' and '", symbol,
                             "', which may differ");
      return result;
    }
    for (size_t i = 1; i < shape->size(); ++i) {
      if ((*shape)[i].symbol == symbol) {
        result.reason =
            StrCat("input '", value.name, "' has '", symbol, "' as more than its first dimension");
        return result;
      }
    }
    result.symbol = symbol;
  }
  result.reason = Proof(graph, result.symbol).Run();
  result.safe = result.reason.empty();
  if (result.safe) {
    result.reason = StrCat("every operator keeps the rows of '", result.symbol, "' apart");
  }
  return result;
}

}  // namespace paramd
