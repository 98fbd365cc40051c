#include <utility>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// The bias that `node` has after adding `c` to its output; kNone if it cannot
// take it. `axis` is the output's dimension that has one element of the bias each.
ValueId NewBias(Graph& graph, const Node& node, ValueId c, const std::string& add_name) {
  const auto& y = graph.value(node.outputs[0]).type.shape;
  const Constant* added = ConstantOf(graph, c);
  if (!y.has_value() || added == nullptr) return kNone;
  const bool conv = node.op == "Conv";
  const int rank = static_cast<int>(y->size());
  const int axis = conv ? 1 : rank - 1;
  const Dim& outputs = (*y)[static_cast<size_t>(axis)];
  if (!outputs.known() || added->dtype != graph.value(node.outputs[0]).type.dtype) return kNone;
  const bool one =
      added->shape.elements() == 1 && added->shape.rank() <= rank && IsFloat(added->dtype);
  if (!one && !IsPerAxis(added->shape, axis, rank, outputs.size)) return kNone;
  const ConstantId held = graph.value(c).constant;
  const DType dtype = added->dtype;
  const Shape shape{outputs.size};

  const bool has_bias = node.inputs.size() > 2 && node.inputs[2] != kNone;
  if (has_bias) {
    const Constant* before = ConstantOf(graph, node.inputs[2]);
    if (before == nullptr || before->dtype != dtype || !IsFloat(dtype)) return kNone;
    if (!IsPerAxis(before->shape, conv ? 0 : rank - 1, conv ? 1 : rank, outputs.size)) return kNone;
    const double beta = node.op == "Gemm" ? node.GetFloat("beta", 1) : 1;
    return AddDerived(graph, StrCat(add_name, "/bias"), "add-vector/1",
                      {graph.value(node.inputs[2]).constant, held}, {beta, 1}, dtype, shape,
                      ParameterRole::kBias);
  }
  if (added->shape == shape) return c;
  if (one) {  // The same number for every output.
    return AddDerived(graph, StrCat(add_name, "/bias"), "add-vector/1", {held, held}, {1, 0}, dtype,
                      shape, added->role);
  }
  return AddDerived(graph, StrCat(add_name, "/bias"), "copy/1", {held}, {}, dtype, shape,
                    added->role);
}

}  // namespace

absl::StatusOr<int> FuseBias(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto id = static_cast<NodeId>(n);
    while (true) {
      const Node& node = graph.node(id);
      if (!IsLinear(graph, node) || !node.post_ops.empty()) break;
      const NodeId reader = index.OnlyReader(node.outputs[0]);
      if (reader == kNone) break;
      const Node& add = graph.node(reader);
      if (!Is(add, "Add") || !add.post_ops.empty()) break;
      const ValueId c = add.inputs[0] == node.outputs[0] ? add.inputs[1] : add.inputs[0];
      const ValueId bias = NewBias(graph, node, c, add.name);
      if (bias == kNone) break;
      Node& into = graph.node(id);
      into.inputs.resize(3, kNone);
      into.inputs[2] = bias;
      if (into.op == "Gemm") into.attributes["beta"] = 1.0f;
      if (into.op == "MatMul" && into.domain.empty()) {
        into.domain = std::string(kInternalDomain);
        into.opset = 1;
      }
      TakeOverOutput(graph, id, reader);
      ++changes;
    }
  }
  return changes;
}

}  // namespace paramd
