#include "runtime/graph/passes/pass_support.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {

PassIndex::PassIndex(const Graph& graph)
    : graph_(graph), readers_(graph.AllConsumers()), is_output_(graph.values().size(), false) {
  for (ValueId id : graph.outputs) is_output_[static_cast<size_t>(id)] = true;
}

NodeId PassIndex::OnlyReader(ValueId id) const {
  const auto index = static_cast<size_t>(id);
  if (index >= readers_.size() || is_output_[index] || readers_[index].size() != 1) return kNone;
  const NodeId reader = readers_[index][0];
  const Node& node = graph_.node(reader);
  if (node.dead) return kNone;
  if (std::count(node.inputs.begin(), node.inputs.end(), id) != 1) return kNone;
  return reader;
}

void PassIndex::ReaderChanged(ValueId id, NodeId before, NodeId after) {
  const auto index = static_cast<size_t>(id);
  if (index >= readers_.size()) return;
  std::vector<NodeId>& readers = readers_[index];
  std::erase(readers, before);
  if (std::find(readers.begin(), readers.end(), after) == readers.end()) readers.push_back(after);
}

bool Is(const Node& node, std::string_view op) {
  return !node.dead && node.domain.empty() && node.op == op;
}

void TakeOverOutput(Graph& graph, NodeId into, NodeId gone) {
  Node& last = graph.node(gone);
  Node& first = graph.node(into);
  const ValueId before = first.outputs[0], after = last.outputs[0];
  first.outputs[0] = after;
  graph.value(after).producer = into;
  graph.value(before).producer = kNone;
  first.fused.push_back(last.name);
  first.fused.insert(first.fused.end(), last.fused.begin(), last.fused.end());
  last.dead = true;
}

ValueId AddDerived(Graph& graph, std::string name, std::string_view transform,
                   std::vector<ConstantId> parents, std::vector<double> args, DType dtype,
                   Shape shape, ParameterRole role) {
  Constant constant;
  constant.dtype = dtype;
  constant.shape = std::move(shape);
  constant.role = role;
  constant.source = Derivation{std::string(transform), std::move(parents), std::move(args)};
  const ValueId id = graph.AddConstantValue(std::move(constant));
  graph.value(id).name = std::move(name);
  return id;
}

const Constant* ConstantOf(const Graph& graph, ValueId id) {
  if (id == kNone || graph.value(id).constant == kNone) return nullptr;
  return &graph.constant(graph.value(id).constant);
}

bool IsPerAxis(const Shape& shape, int axis, int rank, int64_t n) {
  if (shape.rank() > rank || shape.elements() != n) return false;
  const int at = axis - (rank - shape.rank());  // Where the axis lies in the constant.
  if (n == 1) return true;
  return at >= 0 && shape.dim(at) == n;  // Then all others are 1.
}

bool SameType(const Value& a, const Value& b) {
  if (a.type.kind != b.type.kind || a.type.dtype != b.type.dtype) return false;
  if (a.type.dtype == DType::kUndefined) return false;
  if (!a.type.shape.has_value() || !b.type.shape.has_value()) return false;
  if (*a.type.shape != *b.type.shape) return false;
  return std::none_of(a.type.shape->begin(), a.type.shape->end(),
                      [](const Dim& dim) { return dim == Dim::Unknown(); });
}

absl::StatusOr<OpParams> ParamsOf(const Graph& graph, const Node& node) {
  const auto filled = [](ValueType type) {
    if (!type.shape.has_value()) return type;
    for (Dim& dim : *type.shape) {
      if (!dim.known()) dim = Dim::Of(1);
    }
    return type;
  };
  Node bare = node;
  bare.post_ops.clear();
  InferContext context;
  context.node = &bare;
  std::vector<ValueType> outputs;
  for (ValueId id : node.inputs) {
    context.inputs.push_back(id == kNone ? ValueType{} : filled(graph.value(id).type));
    context.known.push_back(graph.InlineConstant(id));
  }
  for (ValueId id : node.outputs) {
    outputs.push_back(id == kNone ? ValueType{} : filled(graph.value(id).type));
  }
  PARAMD_ASSIGN_OR_RETURN(OpRow::Lowered lowered, LowerNode(context, outputs));
  return std::move(lowered.spec.params);
}

bool IsLinear(const Graph& graph, const Node& node) {
  if (node.dead) return false;
  if (node.domain.empty() && (node.op == "Conv" || node.op == "Gemm")) return true;
  if (node.op != "MatMul" || !(node.domain.empty() || node.domain == kInternalDomain)) {
    return false;
  }
  // A vector operand is widened, and then the op's shapes are not the values'.
  for (size_t i = 0; i < 2; ++i) {
    const auto& shape = graph.value(node.inputs[i]).type.shape;
    if (!shape.has_value() || shape->size() < 2) return false;
  }
  return true;
}

}  // namespace paramd
