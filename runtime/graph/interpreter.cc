#include "runtime/graph/interpreter.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/interpreter_builtins.h"

namespace paramd {
namespace {

// Inputs up to this size are given to shape inference as data. Larger ones are
// no shape arithmetic.
constexpr uint64_t kKnownBytesMax = 64 << 10;
// Compiled ops kept. A graph whose shapes never repeat starts over now and then
// instead of growing.
constexpr size_t kCompiledMax = 1024;

void AppendNumber(int64_t number, std::string* key) {
  key->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

}  // namespace

Interpreter::Interpreter(InterpreterOptions options) : options_(std::move(options)) {}

absl::StatusOr<Tensor> Interpreter::NewTensor(DType dtype, const Shape& shape) const {
  uint64_t bytes = 0;
  if (dtype == DType::kString) {
    PARAMD_ASSIGN_OR_RETURN(const int64_t elements, CheckedElements(shape.dims()));
    bytes = static_cast<uint64_t>(elements) > options_.tensor_bytes_max / sizeof(std::string)
                ? options_.tensor_bytes_max + 1
                : static_cast<uint64_t>(elements) * sizeof(std::string);
  } else {
    PARAMD_ASSIGN_OR_RETURN(bytes, CheckedBytes(dtype, shape.dims()));
  }
  if (bytes > options_.tensor_bytes_max) {
    return absl::ResourceExhaustedError(StrCat("a result ", DTypeName(dtype), shape.ToString(),
                                               " is larger than ", options_.tensor_bytes_max,
                                               " bytes"));
  }
  return Tensor(dtype, shape);
}

absl::StatusOr<RuntimeValue> Interpreter::Constant(const Graph& graph, ConstantId id) {
  const auto& constant = graph.constant(id);
  if (const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&constant.source)) {
    if (*held != nullptr) return RuntimeValue::Shared(*held);
  }
  if (options_.constants == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("the bytes of constant '", constant.name, "' are not at hand"));
  }
  PARAMD_ASSIGN_OR_RETURN(const TensorView view, options_.constants(graph, id));
  return RuntimeValue::Borrow(view);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::Run(const Graph& graph,
                                                           absl::Span<const RuntimeValue> inputs) {
  if (inputs.size() != graph.inputs.size()) {
    return absl::InvalidArgumentError(StrCat("graph '", graph.name, "' takes ", graph.inputs.size(),
                                             " inputs, got ", inputs.size()));
  }
  InterpreterFrame frame(graph, std::vector<RuntimeValue>(graph.values().size()));
  for (size_t i = 0; i < inputs.size(); ++i) frame.at(graph.inputs[i]) = inputs[i];
  return RunFrame(frame);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::RunSubgraph(
    const Graph& graph, absl::Span<const RuntimeValue> inputs, InterpreterFrame& outer) {
  if (inputs.size() != graph.inputs.size()) {
    return absl::InvalidArgumentError(StrCat("subgraph '", graph.name, "' takes ",
                                             graph.inputs.size(), " inputs, got ", inputs.size()));
  }
  if (depth_ >= kSubgraphDepthMax) {
    return absl::InvalidArgumentError(StrCat("subgraphs nest deeper than ", kSubgraphDepthMax));
  }
  ++depth_;
  const auto leave = absl::MakeCleanup([this] { --depth_; });
  InterpreterFrame frame(graph, std::vector<RuntimeValue>(graph.values().size()));
  for (const auto& [from, to] : graph.captures) {
    const ConstantId constant = outer.graph().value(from).constant;
    if (outer.at(from).absent() && constant != kNone) {
      PARAMD_ASSIGN_OR_RETURN(outer.at(from), Constant(outer.graph(), constant));
    }
    frame.at(to) = outer.at(from);
  }
  for (size_t i = 0; i < inputs.size(); ++i) frame.at(graph.inputs[i]) = inputs[i];
  return RunFrame(frame);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::RunFrame(InterpreterFrame& frame) {
  const Graph& graph = frame.graph();
  // Readers still to come, so that memory goes back as soon as the last is done.
  std::vector<int32_t> readers(graph.values().size(), 0);
  const auto count = [&](ValueId id, int32_t by) {
    if (id != kNone) readers[static_cast<size_t>(id)] += by;
  };
  const auto count_node = [&](const Node& node, int32_t by) {
    for (const ValueId id : node.inputs) count(id, by);
    for (const auto& [key, attribute] : node.attributes) {
      if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        for (const auto& [from, to] : (*subgraph)->captures) count(from, by);
      }
    }
  };
  for (const Node& node : graph.nodes()) {
    if (!node.dead) count_node(node, 1);
  }
  for (const ValueId id : graph.outputs) count(id, 1);

  const auto read = [&](ValueId id) -> absl::StatusOr<RuntimeValue> {
    if (id == kNone) return RuntimeValue();
    if (const ConstantId constant = graph.value(id).constant;
        constant != kNone && frame.at(id).absent()) {
      PARAMD_ASSIGN_OR_RETURN(frame.at(id), Constant(graph, constant));
    }
    return frame.at(id);
  };

  for (const Node& node : graph.nodes()) {
    if (node.dead) continue;
    std::vector<RuntimeValue> inputs;
    inputs.reserve(node.inputs.size());
    for (const ValueId id : node.inputs) {
      PARAMD_ASSIGN_OR_RETURN(RuntimeValue value, read(id));
      inputs.push_back(std::move(value));
    }
    PARAMD_ASSIGN_OR_RETURN(
        std::vector<RuntimeValue> outputs,
        profile_ == nullptr ? Execute(node, inputs, &frame) : ExecuteTimed(node, inputs, &frame));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId id = node.outputs[i];
      if (id == kNone || readers[static_cast<size_t>(id)] == 0) continue;
      frame.at(id) = i < outputs.size() ? std::move(outputs[i]) : RuntimeValue();
    }
    count_node(node, -1);
    inputs.clear();
    for (const ValueId id : node.inputs) {
      if (id != kNone && readers[static_cast<size_t>(id)] == 0) frame.at(id) = RuntimeValue();
    }
  }

  std::vector<RuntimeValue> results;
  results.reserve(graph.outputs.size());
  for (const ValueId id : graph.outputs) {
    PARAMD_ASSIGN_OR_RETURN(RuntimeValue value, read(id));
    results.push_back(std::move(value));
  }
  return results;
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::RunNode(
    const Node& node, absl::Span<const RuntimeValue> inputs) {
  return Execute(node, inputs, nullptr);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::Execute(
    const Node& node, absl::Span<const RuntimeValue> inputs, InterpreterFrame* frame) {
  if (const InterpreterBuiltin* builtin = FindBuiltin(node.domain, node.op)) {
    absl::StatusOr<std::vector<RuntimeValue>> outputs = builtin->run({this, &node, inputs, frame});
    if (outputs.ok()) return outputs;
    return absl::Status(outputs.status().code(),
                        ToAbsl(StrCat("node '", node.name, "' (", node.op,
                                      "): ", FromAbsl(outputs.status().message()))));
  }
  return ExecuteRow(node, inputs, /*lives_on=*/frame != nullptr);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::ExecuteTimed(
    const Node& node, absl::Span<const RuntimeValue> inputs, InterpreterFrame* frame) {
  last_op_ = nullptr;
  const auto describe = [&] {
    OpProfile::Line line;
    line.node = node.name;
    line.op = node.op;
    // A node has another op for each of its shapes: the line shows the first.
    line.backend = "interpreter";
    // What runs by itself may have run others.
    if (last_op_ != nullptr && FindBuiltin(node.domain, node.op) == nullptr) {
      line.implementation = last_op_->implementation();
    }
    return line;
  };
  return profile_->Time(
      &node, [&] { return Execute(node, inputs, frame); }, describe);
}

absl::StatusOr<std::vector<RuntimeValue>> Interpreter::ExecuteRow(
    const Node& node, absl::Span<const RuntimeValue> inputs, bool lives_on) {
  InferContext context;
  context.node = &node;
  std::vector<std::shared_ptr<const Tensor>> known(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    context.inputs.push_back(inputs[i].type());
    if (inputs[i].is_tensor() && inputs[i].dtype() != DType::kString &&
        inputs[i].view().bytes() <= kKnownBytesMax) {
      known[i] = inputs[i].ToTensor();
    }
    context.known.push_back(known[i].get());
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<ValueType> types, InferNode(context));
  for (const ValueType& type : types) {
    if (type.dtype == DType::kUndefined || !type.shape.has_value()) continue;
    const std::optional<Shape> shape = ToConcrete(*type.shape);
    // Looked at before folding, which allocates.
    if (shape.has_value()) PARAMD_RETURN_IF_ERROR(NewTensor(type.dtype, *shape).status());
  }
  PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> folded, FoldNode(context, types));
  if (!folded.empty()) {
    std::vector<RuntimeValue> outputs;
    for (Tensor& tensor : folded) outputs.push_back(RuntimeValue::Of(std::move(tensor)));
    return outputs;
  }

  PARAMD_ASSIGN_OR_RETURN(const OpRow::Lowered lowered, LowerNode(context, types));
  // Output shapes of the values, which may differ in rank from the spec's.
  std::vector<Shape> shapes(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    if (!types[i].shape.has_value()) continue;
    if (std::optional<Shape> shape = ToConcrete(*types[i].shape)) shapes[i] = *std::move(shape);
  }
  if (std::holds_alternative<ReshapeParams>(lowered.spec.params) && lowered.spec.post_ops.empty() &&
      lowered.operands[0] != kNone) {
    return std::vector<RuntimeValue>{
        inputs[static_cast<size_t>(lowered.operands[0])].Reshaped(shapes[0])};
  }
  // A pass may change the node or give its address to another one before the next
  // call, so its compiled op is not kept.
  if (!lives_on) compiled_.clear();
  PARAMD_ASSIGN_OR_RETURN(const CompiledOp* op, PlanPlain(node, context, lowered));
  last_op_ = op;

  std::vector<const void*> in;
  for (const int operand : lowered.operands) {
    in.push_back(operand == kNone ? nullptr : inputs[static_cast<size_t>(operand)].view().data);
  }
  std::vector<Tensor> results;
  std::vector<void*> out;
  for (size_t i = 0; i < lowered.spec.outputs.size(); ++i) {
    const bool there = i < types.size() && types[i].dtype != DType::kUndefined &&
                       lowered.spec.outputs[i].kind != OperandKind::kAbsent;
    if (!there) {
      results.emplace_back();
      out.push_back(nullptr);
      continue;
    }
    PARAMD_ASSIGN_OR_RETURN(Tensor tensor, NewTensor(types[i].dtype, shapes[i]));
    results.push_back(std::move(tensor));
    out.push_back(results.back().view().data);
  }
  Tensor scratch(DType::kU8, Shape{static_cast<int64_t>(op->scratch_bytes())});
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<BoundOp> bound,
                          op->Bind({in, out, scratch.view().data}));
  PARAMD_RETURN_IF_ERROR(bound->Run());

  std::vector<RuntimeValue> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    outputs.push_back(out[i] == nullptr && results[i].dtype() == DType::kUndefined
                          ? RuntimeValue()
                          : RuntimeValue::Of(std::move(results[i])));
  }
  return outputs;
}

absl::StatusOr<const CompiledOp*> Interpreter::PlanPlain(const Node& node,
                                                         const InferContext& context,
                                                         const OpRow::Lowered& lowered) {
  std::string key;
  AppendNumber(static_cast<int64_t>(reinterpret_cast<uintptr_t>(&node)), &key);
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    const ValueType& type = context.inputs[i];
    AppendNumber(static_cast<int64_t>(type.dtype), &key);
    if (!type.shape.has_value()) continue;
    AppendNumber(static_cast<int64_t>(type.shape->size()), &key);
    for (const Dim& dim : *type.shape) AppendNumber(dim.size, &key);
    // Data that became part of the operation itself: axes, pads, bounds.
    const bool is_operand = std::find(lowered.operands.begin(), lowered.operands.end(),
                                      static_cast<int>(i)) != lowered.operands.end();
    if (is_operand || context.known[i] == nullptr) continue;
    const TensorView view = context.known[i]->view();
    key.append(static_cast<const char*>(view.data), view.bytes());
  }
  if (const auto found = compiled_.find(key); found != compiled_.end()) {
    return found->second.get();
  }

  OpSpec spec = lowered.spec;
  spec.threads = options_.threads;
  absl::StatusOr<std::unique_ptr<const CompiledOp>> op = CompilePlain(options_.backends, spec);
  if (!op.ok()) {
    return absl::Status(op.status().code(), ToAbsl(StrCat("node '", node.name, "' (", node.op,
                                                          "): ", FromAbsl(op.status().message()))));
  }
  if (compiled_.size() >= kCompiledMax) compiled_.clear();
  return compiled_.emplace(std::move(key), *std::move(op)).first->second.get();
}

}  // namespace paramd
