#include <optional>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/shape_inference.h"

namespace paramd {
namespace {

// What a constant computed from others is: the strongest that went into it.
ParameterRole RoleOf(const Graph& graph, const Node& node) {
  ParameterRole role = ParameterRole::kNone;
  for (ValueId id : node.inputs) {
    if (const Constant* constant = ConstantOf(graph, id)) role = std::min(role, constant->role);
  }
  return role;
}

void BecomeConstant(Graph& graph, NodeId id, size_t output, Constant constant) {
  const ValueId made = graph.node(id).outputs[output];
  Value& value = graph.value(made);
  constant.name = value.name;
  value.type = {ValueType::Kind::kTensor, constant.dtype, ToSymbolic(constant.shape)};
  value.producer = kNone;
  value.constant = graph.AddConstant(std::move(constant));
}

// A checkpoint's tensor that is only moved: derived when it is packed, so that
// its bytes are never held here. Nothing: not one of those.
std::optional<Derivation> MoveOf(const Graph& graph, const Node& node, const Constant& x,
                                 DType result) {
  const bool moves = Is(node, "Reshape") || Is(node, "Flatten") || Is(node, "Squeeze") ||
                     Is(node, "Unsqueeze") || Is(node, "Identity") || Is(node, "Dropout");
  const std::vector<ConstantId> parents{graph.value(node.inputs[0]).constant};
  if (moves && x.dtype != DType::kString) return Derivation{"copy/1", parents, {}};
  const auto is_float = [](DType dtype) {
    return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
           dtype == DType::kBF16;
  };
  const bool is_number = is_float(x.dtype) || x.dtype == DType::kI8 || x.dtype == DType::kU8;
  if (Is(node, "Cast") && is_number && is_float(result)) return Derivation{"cast/1", parents, {}};
  if (Is(node, "Transpose") && DTypeBits(x.dtype) >= 8) {
    const auto params = ParamsOf(graph, node);
    const auto* transpose = params.ok() ? std::get_if<TransposeParams>(&*params) : nullptr;
    if (transpose == nullptr) return std::nullopt;
    return Derivation{"transpose/1", parents, {transpose->perm.begin(), transpose->perm.end()}};
  }
  return std::nullopt;
}

// The axis along which `values` holds one element for each index of a tensor of
// this shape; 0 for a single element; nothing for other broadcasting.
std::optional<int> AxisOf(const Shape& values, const Shape& shape) {
  if (shape.rank() == 0) return std::nullopt;
  if (values.elements() == 1) return 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (IsPerAxis(values, axis, shape.rank(), shape.dim(axis))) return axis;
  }
  return std::nullopt;
}

// Weights that a file keeps in 8 bits: DequantizeLinear, or a Mul by scales
// after a Cast. Left to run, they would be widened for every request.
std::optional<Derivation> ScalingOf(const Graph& graph, const Node& node, const Shape& result,
                                    DType dtype) {
  std::vector<ConstantId> parents;
  for (const ValueId id : node.inputs) {
    if (id == kNone) continue;
    if (ConstantOf(graph, id) == nullptr) return std::nullopt;
    parents.push_back(graph.value(id).constant);
  }
  const auto constant = [&](size_t i) -> const Constant& { return graph.constant(parents[i]); };
  if (dtype != DType::kF32 || parents.size() < 2) return std::nullopt;
  if (Is(node, "Mul") && node.post_ops.empty()) {
    if (constant(0).shape != result) std::swap(parents[0], parents[1]);
    if (constant(0).shape != result || constant(0).dtype != dtype || constant(1).dtype != dtype) {
      return std::nullopt;
    }
    const std::optional<int> axis = AxisOf(constant(1).shape, result);
    if (!axis.has_value()) return std::nullopt;
    return Derivation{"scale-axis/1", parents, {static_cast<double>(*axis)}};
  }
  if (!Is(node, "DequantizeLinear") || node.GetInt("block_size", 0) != 0 || result.rank() == 0) {
    return std::nullopt;
  }
  const DType x = constant(0).dtype;
  if (x != DType::kI8 && x != DType::kU8 && x != DType::kI32) return std::nullopt;
  int64_t axis = 0;
  if (constant(1).shape.elements() != 1) {
    axis = node.GetInt("axis", 1);
    if (axis < 0) axis += result.rank();
    if (axis < 0 || axis >= result.rank() ||
        constant(1).shape.elements() != result.dim(static_cast<int>(axis))) {
      return std::nullopt;
    }
  }
  return Derivation{"dequantize/1", parents, {static_cast<double>(axis)}};
}

bool TryMove(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.inputs.empty() || node.outputs.size() != 1) return false;
  const Constant* x = ConstantOf(graph, node.inputs[0]);
  if (x == nullptr) return false;
  const ValueType& type = graph.value(node.outputs[0]).type;
  const std::optional<Shape> shape =
      type.shape.has_value() ? ToConcrete(*type.shape) : std::nullopt;
  if (!shape.has_value()) return false;
  std::optional<Derivation> move = MoveOf(graph, node, *x, type.dtype);
  if (!move.has_value()) move = ScalingOf(graph, node, *shape, type.dtype);
  if (!move.has_value()) return false;
  Constant constant;
  constant.dtype = type.dtype;
  constant.shape = *shape;
  constant.role = RoleOf(graph, node);
  constant.source = *std::move(move);
  BecomeConstant(graph, id, 0, std::move(constant));
  graph.node(id).dead = true;
  return true;
}

}  // namespace

absl::StatusOr<int> FoldConstants(Graph& graph, const PassOptions& options) {
  InferOptions infer;
  infer.evaluate = options.evaluate;
  infer.fold_elements_max = options.fold_elements_max;
  PARAMD_ASSIGN_OR_RETURN(const Inferred inferred, InferShapes(graph, infer));
  std::vector<bool> is_output(graph.values().size(), false);
  for (ValueId id : graph.outputs) is_output[static_cast<size_t>(id)] = true;

  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto id = static_cast<NodeId>(n);
    const Node& node = graph.node(id);
    if (node.dead) continue;
    bool handed_out = false;  // A program's outputs are made by nodes.
    for (ValueId output : node.outputs) {
      handed_out |= output != kNone && is_output[static_cast<size_t>(output)];
    }
    if (handed_out) continue;
    if (!inferred.Folded(node)) {
      changes += TryMove(graph, id) ? 1 : 0;
      continue;
    }
    const ParameterRole role = RoleOf(graph, node);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId output = graph.node(id).outputs[i];
      if (output == kNone) continue;
      Constant constant;
      const auto& held = inferred.known[static_cast<size_t>(output)];
      constant.dtype = held->dtype();
      constant.shape = held->shape();
      constant.role = role;
      constant.source = held;
      BecomeConstant(graph, id, i, std::move(constant));
    }
    graph.node(id).dead = true;
    ++changes;
  }
  return changes;
}

}  // namespace paramd
