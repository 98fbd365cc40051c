#include <utility>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// Where a linear node keeps its outputs' weights, and how many outputs it has.
struct Linear {
  int output_axis = 1;  // Of the node's output.
  int weight_axis = 0;  // Of its weights, the input 1.
  int64_t outputs = 0;
  double bias_factor = 1;  // Gemm's beta.
};

// Nothing unless weights and bias are constants whose channels are those of
// dimension 1 of the output, as batch-norm means it.
std::optional<Linear> LinearOf(const Graph& graph, const Node& node) {
  if (!IsLinear(graph, node) || !node.post_ops.empty()) return std::nullopt;
  const Constant* w = ConstantOf(graph, node.inputs[1]);
  const auto& y = graph.value(node.outputs[0]).type.shape;
  if (w == nullptr || !y.has_value()) return std::nullopt;
  Linear linear;
  if (node.op != "Conv") {
    if (y->size() != 2 || w->shape.rank() != 2) return std::nullopt;
    linear.weight_axis = node.GetInt("transB", 0) != 0 ? 0 : 1;
  }
  if (node.op == "Gemm") linear.bias_factor = node.GetFloat("beta", 1);
  linear.outputs = w->shape.dim(linear.weight_axis);
  if (node.inputs.size() > 2 && node.inputs[2] != kNone) {
    const Constant* bias = ConstantOf(graph, node.inputs[2]);
    const int rank = node.op == "Conv" ? 1 : 2;
    const int axis = node.op == "Conv" ? 0 : 1;
    if (bias == nullptr) return std::nullopt;
    // A single number for all outputs is as good as a vector of it.
    if (bias->shape.elements() != 1 && !IsPerAxis(bias->shape, axis, rank, linear.outputs)) {
      return std::nullopt;
    }
  }
  return linear;
}

bool FoldableDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}

void SetBias(Graph& graph, NodeId id, ValueId bias) {
  Node& node = graph.node(id);
  node.inputs.resize(3, kNone);
  node.inputs[2] = bias;
  if (node.op == "Gemm") node.attributes["beta"] = 1.0f;
  // The MatMul of ai.onnx has no bias.
  if (node.op == "MatMul" && node.domain.empty()) {
    node.domain = std::string(kInternalDomain);
    node.opset = 1;
  }
}

ConstantId BiasConstant(const Graph& graph, const Node& node) {
  return node.inputs.size() > 2 && node.inputs[2] != kNone ? graph.value(node.inputs[2]).constant
                                                           : kNone;
}

bool FoldNorm(Graph& graph, NodeId into, NodeId norm_id, const Linear& linear) {
  const Node& node = graph.node(into);
  const Node& norm = graph.node(norm_id);
  std::vector<ConstantId> held;  // scale, shift, mean, variance
  const Constant w = *ConstantOf(graph, node.inputs[1]);
  if (!FoldableDType(w.dtype)) return false;
  for (size_t i = 1; i < 5; ++i) {
    const Constant* constant = ConstantOf(graph, norm.inputs[i]);
    if (constant == nullptr || constant->shape.elements() != linear.outputs ||
        constant->dtype != w.dtype) {
      return false;
    }
    held.push_back(graph.value(norm.inputs[i]).constant);
  }
  const double epsilon = norm.GetFloat("epsilon", 1e-5f);
  const ConstantId weights = graph.value(node.inputs[1]).constant;
  const ConstantId bias = BiasConstant(graph, node);
  const std::string name = norm.name;

  const ValueId new_weights =
      AddDerived(graph, StrCat(name, "/weight"), "bn-weight/1", {weights, held[0], held[3]},
                 {epsilon, static_cast<double>(linear.weight_axis)}, w.dtype, w.shape, w.role);
  std::vector<ConstantId> parents = held;
  if (bias != kNone) parents.push_back(bias);
  const ValueId new_bias = AddDerived(graph, StrCat(name, "/bias"), "bn-bias/1", std::move(parents),
                                      {epsilon, linear.bias_factor}, w.dtype, Shape{linear.outputs},
                                      ParameterRole::kBias);
  graph.node(into).inputs[1] = new_weights;
  SetBias(graph, into, new_bias);
  TakeOverOutput(graph, into, norm_id);
  return true;
}

// y * c, one number per output, or one for all.
bool FoldScale(Graph& graph, NodeId into, NodeId mul_id, const Linear& linear) {
  const Node& node = graph.node(into);
  const Node& mul = graph.node(mul_id);
  const size_t side = mul.inputs[0] == node.outputs[0] ? 1 : 0;
  const Constant* scale = ConstantOf(graph, mul.inputs[side]);
  const Constant w = *ConstantOf(graph, node.inputs[1]);
  const auto& y = graph.value(node.outputs[0]).type.shape;
  if (scale == nullptr || scale->dtype != w.dtype || !FoldableDType(w.dtype)) return false;
  const int rank = static_cast<int>(y->size());
  const bool one = scale->shape.elements() == 1 && scale->shape.rank() <= rank;
  if (!one && !IsPerAxis(scale->shape, 1, rank, linear.outputs)) return false;
  const ConstantId factor = graph.value(mul.inputs[side]).constant;
  const ConstantId weights = graph.value(node.inputs[1]).constant;
  const ConstantId bias = BiasConstant(graph, node);
  const std::string name = mul.name;

  const ValueId new_weights =
      AddDerived(graph, StrCat(name, "/weight"), "scale-axis/1", {weights, factor},
                 {static_cast<double>(linear.weight_axis)}, w.dtype, w.shape, w.role);
  ValueId new_bias = kNone;
  if (bias != kNone) {
    const Constant old = graph.constant(bias);
    // A single number for all outputs becomes one for each of them.
    if (old.shape.elements() != linear.outputs) return false;
    new_bias =
        AddDerived(graph, StrCat(name, "/bias"), "scale-axis/1", {bias, factor},
                   {static_cast<double>(old.shape.rank() - 1)}, old.dtype, old.shape, old.role);
  }
  graph.node(into).inputs[1] = new_weights;
  if (new_bias != kNone) graph.node(into).inputs[2] = new_bias;
  TakeOverOutput(graph, into, mul_id);
  return true;
}

}  // namespace

absl::StatusOr<int> FoldBatchNorm(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto id = static_cast<NodeId>(n);
    while (true) {
      const Node& node = graph.node(id);
      if (node.dead) break;
      const std::optional<Linear> linear = LinearOf(graph, node);
      if (!linear.has_value()) break;
      const NodeId reader = index.OnlyReader(node.outputs[0]);
      if (reader == kNone || !graph.node(reader).post_ops.empty()) break;
      const Node& next = graph.node(reader);
      bool folded = false;
      if (Is(next, "BatchNormalization") && next.inputs[0] == node.outputs[0] &&
          next.GetInt("training_mode", 0) == 0) {
        folded = FoldNorm(graph, id, reader, *linear);
      } else if (Is(next, "Mul")) {
        folded = FoldScale(graph, id, reader, *linear);
      }
      if (!folded) break;
      ++changes;
    }
  }
  return changes;
}

}  // namespace paramd
