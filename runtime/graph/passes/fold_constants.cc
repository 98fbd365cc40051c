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
  const auto derivable = [](DType dtype) {
    return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
           dtype == DType::kBF16;
  };
  if (Is(node, "Cast") && derivable(x.dtype) && derivable(result)) {
    return Derivation{"cast/1", parents, {}};
  }
  if (Is(node, "Transpose") && DTypeBits(x.dtype) >= 8) {
    const auto params = ParamsOf(graph, node);
    const auto* transpose = params.ok() ? std::get_if<TransposeParams>(&*params) : nullptr;
    if (transpose == nullptr) return std::nullopt;
    return Derivation{"transpose/1", parents, {transpose->perm.begin(), transpose->perm.end()}};
  }
  return std::nullopt;
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
  if (!move.has_value()) return false;
  Constant constant;
  constant.dtype = type.dtype;
  constant.shape = *shape;
  constant.role = x->role;
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
