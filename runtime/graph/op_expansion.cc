#include "runtime/graph/op_expansion.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

absl::Status AboutNode(const Node& node, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("node '", node.name, "' (", node.op, ") ", what));
}

// A new value and the node that makes it, after `like` in name and opset.
ValueId Emit(Graph& graph, const Node& like, std::string_view suffix, std::string op,
             std::vector<ValueId> inputs, ValueId output = kNone) {
  if (output == kNone) {
    Value value;
    value.name = StrCat(like.name, "/", suffix);
    output = graph.AddValue(std::move(value));
  }
  Node node;
  node.name = StrCat(like.name, "/", suffix);
  node.op = std::move(op);
  node.opset = like.opset;
  node.inputs = std::move(inputs);
  node.outputs = {output};
  node.fused = {like.name};
  graph.AddNode(std::move(node));
  return output;
}

ValueId Scalar(Graph& graph, const Node& like, std::string_view suffix, DType dtype, double value) {
  Constant constant;
  constant.name = StrCat(like.name, "/", suffix);
  constant.dtype = dtype;
  std::optional<Tensor> tensor = FilledTensor(dtype, constant.shape, value);
  if (!tensor.has_value()) return kNone;
  constant.source = std::make_shared<const Tensor>(*std::move(tensor));
  return graph.AddConstantValue(std::move(constant));
}

// The type of the node's operands. Types are not inferred yet, so computed
// operands may not tell: then the model's own floating-point type is taken, and
// inference refuses the node if that was wrong.
DType OperandType(const Graph& graph, const Node& node) {
  for (ValueId input : node.inputs) {
    const DType known = graph.value(input).type.dtype;
    if (known != DType::kUndefined) return known;
  }
  for (ValueId input : graph.inputs) {
    if (IsFloat(graph.value(input).type.dtype)) return graph.value(input).type.dtype;
  }
  return DType::kF32;
}

// --- Sum, Min, Max, Mean of any number of operands ---------------------------

absl::Status ExpandVariadic(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const bool mean = node.op == "Mean";
  const size_t count = node.inputs.size();
  if (count == 0) return AboutNode(node, "has no inputs");
  for (ValueId input : node.inputs) {
    if (input == kNone) return AboutNode(node, "leaves out an input");
  }
  if (count <= 2 && !mean) return absl::OkStatus();  // A row takes these as they are.
  if (node.outputs.size() != 1) return AboutNode(node, "has more than one output");
  graph.node(id).dead = true;
  const std::string step = mean ? "Sum" : node.op;
  ValueId sum = node.inputs[0];
  for (size_t i = 1; i < count; ++i) {
    const bool last = i + 1 == count && !mean;
    sum = Emit(graph, node, StrCat(i), step, {sum, node.inputs[i]}, last ? node.outputs[0] : kNone);
  }
  if (!mean) return absl::OkStatus();
  if (count == 1) {
    Emit(graph, node, "mean", "Identity", {sum}, node.outputs[0]);
    return absl::OkStatus();
  }
  const ValueId divisor =
      Scalar(graph, node, "count", OperandType(graph, node), static_cast<double>(count));
  if (divisor == kNone) return AboutNode(node, "averages what are not numbers");
  Emit(graph, node, "mean", "Div", {sum, divisor}, node.outputs[0]);
  return absl::OkStatus();
}

// --- Split ---------------------------------------------------------------------

absl::Status ExpandSplit(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  if (node.inputs.empty() || node.inputs[0] == kNone) return AboutNode(node, "has no input");
  const auto parts = static_cast<int64_t>(node.outputs.size());
  std::vector<int64_t> sizes = node.GetInts("split");
  ValueId computed = kNone;  // Sizes that only a request or its shapes tell.
  if (node.opset >= 13) {
    sizes.clear();
    if (node.inputs.size() > 1 && node.inputs[1] != kNone) {
      const Tensor* tensor = graph.InlineConstant(node.inputs[1]);
      if (tensor == nullptr) {
        computed = node.inputs[1];
      } else {
        sizes = IntValues(tensor->view()).value_or(std::vector<int64_t>{});
      }
    }
  }
  if (!sizes.empty() && static_cast<int64_t>(sizes.size()) != parts) {
    return AboutNode(node, StrCat("has ", parts, " outputs and ", sizes.size(), " sizes"));
  }
  if (const int64_t wanted = node.GetInt("num_outputs", parts); wanted != parts) {
    return AboutNode(node, StrCat("has ", parts, " outputs, num_outputs is ", wanted));
  }
  graph.node(id).dead = true;
  for (int64_t i = 0; i < parts; ++i) {
    const ValueId output = node.outputs[static_cast<size_t>(i)];
    if (output == kNone) continue;
    Node part;
    part.name = StrCat(node.name, "/", i);
    part.domain = std::string(kInternalDomain);
    part.op = "SplitPart";
    part.opset = 1;
    part.inputs = {node.inputs[0]};
    if (computed != kNone) part.inputs.push_back(computed);
    part.outputs = {output};
    part.fused = {node.name};
    part.attributes["axis"] = node.GetInt("axis", 0);
    part.attributes["index"] = i;
    part.attributes["parts"] = parts;
    if (!sizes.empty()) part.attributes["split"] = sizes;
    if (node.opset >= 18) part.attributes["uneven"] = int64_t{1};
    graph.AddNode(std::move(part));
  }
  return absl::OkStatus();
}

// --- PRelu: where(x < 0, slope x, x) ------------------------------------------------

absl::Status ExpandPRelu(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  if (node.inputs.size() != 2 || node.inputs[0] == kNone || node.inputs[1] == kNone ||
      node.outputs.size() != 1) {
    return AboutNode(node, "needs two inputs and one output");
  }
  if (node.opset < 9) {
    return absl::UnimplementedError(
        StrCat("node '", node.name, "' (PRelu) of opset ", node.opset, " is not supported"));
  }
  const ValueId x = node.inputs[0], slope = node.inputs[1];
  const ValueId zero = Scalar(graph, node, "zero", OperandType(graph, node), 0);
  if (zero == kNone) return AboutNode(node, "works on what are not numbers");
  graph.node(id).dead = true;
  const ValueId negative = Emit(graph, node, "negative", "Less", {x, zero});
  const ValueId scaled = Emit(graph, node, "scaled", "Mul", {x, slope});
  // Its own role rule does not see Mul: the slope was trained.
  if (graph.value(slope).constant != kNone) {
    graph.constant(graph.value(slope).constant).role = ParameterRole::kWeight;
  }
  Emit(graph, node, "chosen", "Where", {negative, scaled, x}, node.outputs[0]);
  return absl::OkStatus();
}

struct Expansion {
  std::string_view op;
  bool needs_row;  // Some forms stay as they are.
  absl::Status (*expand)(Graph& graph, NodeId id);
};

constexpr Expansion kExpansions[] = {
    {"Sum", true, ExpandVariadic},   {"Min", true, ExpandVariadic}, {"Max", true, ExpandVariadic},
    {"Mean", false, ExpandVariadic}, {"Split", false, ExpandSplit}, {"PRelu", false, ExpandPRelu},
};

}  // namespace

bool IsExpanded(std::string_view domain, std::string_view op) {
  if (!domain.empty()) return false;
  return std::any_of(std::begin(kExpansions), std::end(kExpansions),
                     [&](const Expansion& row) { return row.op == op && !row.needs_row; });
}

absl::Status ExpandOperators(Graph& graph) {
  const size_t count = graph.nodes().size();
  // New nodes are appended, and belong where the old one stood: a program runs
  // nodes in order, and values that wait for the end hold memory.
  std::vector<NodeId> order;
  for (size_t n = 0; n < count; ++n) {
    const auto id = static_cast<NodeId>(n);
    order.push_back(id);
    if (graph.node(id).dead || !graph.node(id).domain.empty()) continue;
    for (const Expansion& row : kExpansions) {
      if (graph.node(id).op != row.op) continue;
      const size_t before = graph.nodes().size();
      PARAMD_RETURN_IF_ERROR(row.expand(graph, id));
      for (size_t made = before; made < graph.nodes().size(); ++made) {
        order.push_back(static_cast<NodeId>(made));
      }
      break;
    }
  }
  if (graph.nodes().size() != count) graph.Reorder(order);
  return absl::OkStatus();
}

}  // namespace paramd
