#include <algorithm>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/passes/shape_items.h"

namespace paramd {
namespace {

// The dimension that an item stands for.
Dim DimOf(const Graph& graph, const ShapeItem& item) {
  if (item.of == kNone) return item.number > 0 ? Dim::Of(item.number) : Dim::Unknown();
  return (*graph.value(item.of).type.shape)[static_cast<size_t>(item.axis)];
}

// What a Reshape to a computed shape gives: the numbers and names that the shape
// is made of, and for -1 what is left where the other names cancel out.
std::optional<SymbolicShape> ReshapedTo(const Graph& graph, const Node& node) {
  if (!Is(node, "Reshape") || node.inputs.size() != 2) return std::nullopt;
  const auto items = ShapeItems(graph, node.inputs[1]);
  const auto& x = graph.value(node.inputs[0]).type.shape;
  if (!items.has_value() || !x.has_value()) return std::nullopt;
  SymbolicShape y;
  std::vector<Dim> left(x->begin(), x->end());
  int64_t numbers = 1;
  std::optional<size_t> open;
  bool cancels = true;
  for (const ShapeItem& item : *items) {
    // 0 copies a dimension in most opsets: left to inference, which knows.
    if (item.of == kNone && item.number == 0) return std::nullopt;
    if (item.of == kNone && item.number == -1) {
      if (open.has_value()) return std::nullopt;
      open = y.size();
      y.push_back(Dim::Unknown());
      continue;
    }
    const Dim dim = DimOf(graph, item);
    y.push_back(dim);
    const auto same = std::find(left.begin(), left.end(), dim);
    if (dim == Dim::Unknown()) {
      cancels = false;
    } else if (same != left.end()) {
      left.erase(same);
    } else if (dim.known() && numbers <= (int64_t{1} << 40) / std::max<int64_t>(dim.size, 1)) {
      numbers *= dim.size;
    } else {
      cancels = false;
    }
  }
  if (!open.has_value() || !cancels) return y;
  // What is left of x, over the numbers that nothing cancelled.
  int64_t product = 1;
  Dim name = Dim::Unknown();
  for (const Dim& dim : left) {
    if (dim.known() && product <= (int64_t{1} << 40) / std::max<int64_t>(dim.size, 1)) {
      product *= dim.size;
    } else if (!dim.symbol.empty() && name == Dim::Unknown()) {
      name = dim;
    } else {
      return y;
    }
  }
  if (name == Dim::Unknown()) {
    if (product % numbers == 0) y[*open] = Dim::Of(product / numbers);
  } else if (product == numbers) {
    y[*open] = name;
  }
  return y;
}

// Takes over what `better` knows and the type does not: how many dimensions.
int Improve(ValueType& type, const std::optional<SymbolicShape>& better) {
  if (!better.has_value()) return 0;
  if (!type.shape.has_value()) type.shape = SymbolicShape(better->size());
  if (type.shape->size() != better->size()) return 0;
  int count = 0;
  for (size_t i = 0; i < better->size(); ++i) {
    Dim& dim = (*type.shape)[i];
    if (dim != Dim::Unknown() || (*better)[i] == Dim::Unknown()) continue;
    dim = (*better)[i];
    ++count;
  }
  return count;
}

// Dimensions that nothing else is known of are named after where they come from:
// what is as long as they are then says so.
int NameOpen(Graph& graph, ValueId id) {
  ValueType& type = graph.value(id).type;
  if (type.kind != ValueType::Kind::kTensor || !type.shape.has_value()) return 0;
  int count = 0;
  for (size_t i = 0; i < type.shape->size(); ++i) {
    if ((*type.shape)[i] != Dim::Unknown()) continue;
    (*type.shape)[i] = Dim::Named(StrCat("%", id, ".", i));
    ++count;
  }
  return count;
}

}  // namespace

absl::StatusOr<int> NameDimensions(Graph& graph, const PassOptions&) {
  int changes = 0;
  std::vector<bool> is_output(graph.values().size(), false);
  for (const ValueId id : graph.outputs) is_output[static_cast<size_t>(id)] = true;
  for (const Node& node : graph.nodes()) {
    if (node.dead || node.outputs.empty()) continue;
    for (const ValueId output : node.outputs) {
      if (output == kNone) continue;
      ValueType& type = graph.value(output).type;
      const bool open =
          type.kind == ValueType::Kind::kTensor &&
          (!type.shape.has_value() ||
           std::find(type.shape->begin(), type.shape->end(), Dim::Unknown()) != type.shape->end());
      if (!open) continue;
      if (output == node.outputs[0]) changes += Improve(type, ReshapedTo(graph, node));
      // Inputs may be better known than when the graph was read.
      if (FindOp(node.domain, node.op, node.opset) == nullptr) continue;
      InferContext context;
      context.node = &node;
      for (const ValueId id : node.inputs) {
        context.inputs.push_back(id == kNone ? ValueType{} : graph.value(id).type);
        context.known.push_back(graph.InlineConstant(id));
      }
      const auto types = InferNode(context);
      if (!types.ok()) continue;
      for (size_t i = 0; i < types->size(); ++i) {
        if (node.outputs[i] == kNone || (*types)[i].kind != ValueType::Kind::kTensor) continue;
        changes += Improve(graph.value(node.outputs[i]).type, (*types)[i].shape);
      }
    }
    // What is handed out keeps the names that clients know.
    for (const ValueId output : node.outputs) {
      if (output == kNone || is_output[static_cast<size_t>(output)]) continue;
      changes += NameOpen(graph, output);
    }
  }
  return changes;
}

}  // namespace paramd
