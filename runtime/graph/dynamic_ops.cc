#include "runtime/graph/dynamic_ops.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

using Types = std::vector<ValueType>;
using Kind = ValueType::Kind;

ValueType Scalar(DType dtype) { return {Kind::kTensor, dtype, SymbolicShape{}}; }
ValueType AnyShape(const ValueType& type) { return {type.kind, type.dtype, std::nullopt}; }

absl::StatusOr<const Graph*> Subgraph(const Node& node, const std::string& name) {
  const auto it = node.attributes.find(name);
  const auto* graph =
      it == node.attributes.end() ? nullptr : std::get_if<std::shared_ptr<Graph>>(&it->second);
  if (graph == nullptr || *graph == nullptr) {
    return absl::InvalidArgumentError(StrCat("has no subgraph '", name, "'"));
  }
  return graph->get();
}

absl::StatusOr<ValueType> Input(const InferContext& context, size_t i) {
  if (i < context.inputs.size() && context.inputs[i].dtype != DType::kUndefined) {
    return context.inputs[i];
  }
  return absl::InvalidArgumentError(StrCat("input ", i, " is missing"));
}

// What is common to two types of one value.
ValueType Common(const ValueType& a, const ValueType& b) {
  if (a.dtype == DType::kUndefined) return AnyShape(b);
  ValueType common = a;
  if (!a.shape.has_value() || !b.shape.has_value() || a.shape->size() != b.shape->size()) {
    common.shape.reset();
    return common;
  }
  for (size_t i = 0; i < a.shape->size(); ++i) {
    if ((*a.shape)[i] != (*b.shape)[i]) (*common.shape)[i] = Dim::Unknown();
  }
  return common;
}

absl::StatusOr<Types> InferIf(const InferContext& context, const InferSubgraphFn& infer) {
  PARAMD_ASSIGN_OR_RETURN(const ValueType condition, Input(context, 0));
  if (condition.dtype != DType::kBool) {
    return absl::InvalidArgumentError("the condition is not bool");
  }
  const Node& node = *context.node;
  PARAMD_ASSIGN_OR_RETURN(const Graph* then, Subgraph(node, "then_branch"));
  PARAMD_ASSIGN_OR_RETURN(const Graph* otherwise, Subgraph(node, "else_branch"));
  if (then->outputs.size() != otherwise->outputs.size() || !then->inputs.empty() ||
      !otherwise->inputs.empty()) {
    return absl::InvalidArgumentError("the branches take inputs or differ in outputs");
  }
  // A branch that is never taken need not even fit.
  if (!context.known.empty() && context.known[0] != nullptr) {
    const auto truth = IntValues(context.known[0]->view());
    if (truth.has_value() && truth->size() == 1) {
      return infer((*truth)[0] != 0 ? *then : *otherwise, {});
    }
  }
  PARAMD_ASSIGN_OR_RETURN(Types types, infer(*then, {}));
  PARAMD_ASSIGN_OR_RETURN(const Types others, infer(*otherwise, {}));
  for (size_t i = 0; i < types.size(); ++i) types[i] = Common(types[i], others[i]);
  return types;
}

absl::StatusOr<Types> InferLoop(const InferContext& context, const InferSubgraphFn& infer) {
  PARAMD_ASSIGN_OR_RETURN(const Graph* body, Subgraph(*context.node, "body"));
  const size_t carried = context.inputs.size() < 2 ? 0 : context.inputs.size() - 2;
  if (body->inputs.size() != carried + 2 || body->outputs.size() < carried + 1) {
    return absl::InvalidArgumentError(StrCat("the body has ", body->inputs.size(), " inputs and ",
                                             body->outputs.size(), " outputs for ", carried,
                                             " carried values"));
  }
  Types inputs = {Scalar(DType::kI64), Scalar(DType::kBool)};
  Types outputs;
  for (size_t i = 0; i < carried; ++i) {
    // Any round may change the shape; an optional that is absent at first says nothing.
    ValueType state = AnyShape(context.inputs[i + 2]);
    if (state.dtype == DType::kUndefined) state = AnyShape(body->value(body->inputs[i + 2]).type);
    inputs.push_back(state);
  }
  PARAMD_ASSIGN_OR_RETURN(const Types made, infer(*body, inputs));
  for (size_t i = 0; i < carried; ++i) {
    outputs.push_back(inputs[i + 2].dtype == DType::kUndefined ? AnyShape(made[i + 1])
                                                               : inputs[i + 2]);
    if (outputs.back().kind == Kind::kOptional) outputs.back().kind = made[i + 1].kind;
  }
  for (size_t i = carried + 1; i < made.size(); ++i) {
    ValueType scanned = made[i];
    if (scanned.shape.has_value()) scanned.shape->insert(scanned.shape->begin(), Dim::Unknown());
    outputs.push_back(std::move(scanned));
  }
  return outputs;
}

absl::StatusOr<Types> InferScan(const InferContext& context, const InferSubgraphFn& infer) {
  const Node& node = *context.node;
  PARAMD_ASSIGN_OR_RETURN(const Graph* body, Subgraph(node, "body"));
  // Before opset 9 the sequences' lengths come first, and all have a batch.
  const bool batched = node.opset < 9;
  Types values(context.inputs.begin() + (batched && !context.inputs.empty() ? 1 : 0),
               context.inputs.end());
  if (batched && context.inputs.size() > values.size() &&
      context.inputs[0].dtype != DType::kUndefined) {
    return absl::UnimplementedError("sequence_lens of Scan before opset 9 is not supported");
  }
  const int64_t scans = node.GetInt("num_scan_inputs", 0);
  if (scans < 1 || static_cast<uint64_t>(scans) > values.size() ||
      body->inputs.size() != values.size()) {
    return absl::InvalidArgumentError("num_scan_inputs and the body's inputs do not fit");
  }
  const size_t states = values.size() - static_cast<size_t>(scans);
  if (body->outputs.size() < states) {
    return absl::InvalidArgumentError("the body has fewer outputs than states");
  }
  const std::vector<int64_t> axes = node.GetInts("scan_input_axes");
  Types inputs;
  for (size_t i = 0; i < values.size(); ++i) {
    ValueType type = values[i];
    if (type.dtype == DType::kUndefined) {
      return absl::InvalidArgumentError(StrCat("input ", i, " is missing"));
    }
    if (batched && type.shape.has_value() && !type.shape->empty()) {
      type.shape->erase(type.shape->begin());
    }
    if (i < states || !type.shape.has_value() || type.shape->empty()) {
      inputs.push_back(AnyShape(type));
      continue;
    }
    const auto rank = static_cast<int64_t>(type.shape->size());
    int64_t axis = i - states < axes.size() ? axes[i - states] : 0;
    if (axis < -rank || axis >= rank) {
      return absl::InvalidArgumentError(StrCat("scan_input_axes ", axis, " for rank ", rank));
    }
    if (axis < 0) axis += rank;
    type.shape->erase(type.shape->begin() + axis);
    inputs.push_back(std::move(type));
  }
  PARAMD_ASSIGN_OR_RETURN(const Types made, infer(*body, inputs));
  Types outputs(inputs.begin(), inputs.begin() + static_cast<int64_t>(states));
  for (size_t i = states; i < made.size(); ++i) {
    ValueType scanned = made[i];
    // Along which axis they are put together is left open.
    if (scanned.shape.has_value()) {
      scanned.shape = SymbolicShape(scanned.shape->size() + (batched ? 2 : 1));
    }
    outputs.push_back(std::move(scanned));
  }
  return outputs;
}

absl::StatusOr<Types> InferSequences(const InferContext& context) {
  const Node& node = *context.node;
  const std::string& op = node.op;
  if (op == "SequenceEmpty") {
    const auto dtype = DTypeFromOnnx(static_cast<int32_t>(node.GetInt("dtype", 1)));
    if (!dtype.has_value()) return absl::InvalidArgumentError("dtype names no type");
    return Types{{Kind::kSequence, *dtype, std::nullopt}};
  }
  if (op == "OptionalHasElement") return Types{Scalar(DType::kBool)};
  if (op == "Optional") {
    if (context.inputs.empty()) return Types{{Kind::kOptional, DType::kF32, std::nullopt}};
    return Types{context.inputs[0]};
  }
  PARAMD_ASSIGN_OR_RETURN(const ValueType first, Input(context, 0));
  if (op == "SequenceLength") return Types{Scalar(DType::kI64)};
  if (op == "SequenceConstruct" || op == "SplitToSequence") {
    return Types{{Kind::kSequence, first.dtype, std::nullopt}};
  }
  if (op == "SequenceAt" || op == "ConcatFromSequence") {
    return Types{{Kind::kTensor, first.dtype, std::nullopt}};
  }
  if (op == "OptionalGetElement") {
    ValueType type = first;
    if (type.kind == Kind::kOptional) type = {Kind::kTensor, first.dtype, std::nullopt};
    return Types{type};
  }
  return Types{first};  // Identity, SequenceInsert, SequenceErase.
}

constexpr std::string_view kDynamic[] = {
    "If",
    "Loop",
    "Scan",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceLength",
    "SequenceAt",
    "SequenceInsert",
    "SequenceErase",
    "ConcatFromSequence",
    "SplitToSequence",
    "Optional",
    "OptionalHasElement",
    "OptionalGetElement",
};

}  // namespace

bool IsDynamicOp(std::string_view domain, std::string_view op) {
  return domain.empty() &&
         std::find(std::begin(kDynamic), std::end(kDynamic), op) != std::end(kDynamic);
}

bool NeedsDynamicInference(const InferContext& context) {
  const Node& node = *context.node;
  if (IsDynamicOp(node.domain, node.op)) return true;
  return node.domain.empty() && node.op == "Identity" && context.inputs.size() == 1 &&
         context.inputs[0].kind != Kind::kTensor;
}

absl::StatusOr<std::vector<ValueType>> InferDynamic(const InferContext& context,
                                                    const InferSubgraphFn& infer_subgraph) {
  const Node& node = *context.node;
  absl::StatusOr<Types> types = node.op == "If"     ? InferIf(context, infer_subgraph)
                                : node.op == "Loop" ? InferLoop(context, infer_subgraph)
                                : node.op == "Scan" ? InferScan(context, infer_subgraph)
                                                    : InferSequences(context);
  if (!types.ok()) {
    // What a subgraph's node says names that one already.
    const std::string_view text = FromAbsl(types.status().message());
    if (text.starts_with("node '")) return types.status();
    return absl::Status(types.status().code(),
                        ToAbsl(StrCat("node '", node.name, "' (", node.op, "): ", text)));
  }
  if (types->size() < node.outputs.size()) {
    return absl::InvalidArgumentError(StrCat("node '", node.name, "' (", node.op, "): has ",
                                             node.outputs.size(), " outputs, expected at most ",
                                             types->size()));
  }
  types->resize(node.outputs.size());
  return types;
}

}  // namespace paramd
