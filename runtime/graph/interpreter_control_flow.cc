#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/interpreter_builtins.h"

namespace paramd {
namespace {

using Values = std::vector<RuntimeValue>;

absl::Status NeedsFrame(const BuiltinCall& call) {
  if (call.frame != nullptr) return absl::OkStatus();
  return absl::UnimplementedError("has a subgraph and cannot run outside of its graph");
}

RuntimeValue ScalarValue(DType dtype, int64_t number) {
  Tensor tensor(dtype, Shape{});
  if (dtype == DType::kBool) {
    *static_cast<uint8_t*>(tensor.view().data) = number != 0;
  } else {
    *static_cast<int64_t*>(tensor.view().data) = number;
  }
  return RuntimeValue::Of(std::move(tensor));
}

absl::StatusOr<bool> Truth(const RuntimeValue& value, std::string_view what) {
  if (!value.is_tensor() || value.dtype() != DType::kBool || value.shape().elements() != 1) {
    return absl::InvalidArgumentError(StrCat(what, " is not one bool"));
  }
  return *static_cast<const uint8_t*>(value.view().data) != 0;
}

// What one scan output is when its loop never ran: zero rows of the declared element.
absl::StatusOr<RuntimeValue> NoRows(const Interpreter& interpreter, const Graph& body,
                                    ValueId output) {
  const ValueType& type = body.value(output).type;
  if (type.dtype == DType::kUndefined || !type.shape.has_value()) {
    return absl::UnimplementedError(
        "the loop ran no round and its body does not say what a round would have given");
  }
  Shape shape{0};
  for (const Dim& dim : *type.shape) shape.push_back(dim.known() ? dim.size : 0);
  PARAMD_ASSIGN_OR_RETURN(Tensor tensor, interpreter.NewTensor(type.dtype, shape));
  return RuntimeValue::Of(std::move(tensor));
}

// One integer per scan input or output, all zero where the attribute is absent.
absl::StatusOr<std::vector<int64_t>> PerScan(const Node& node, const std::string& name,
                                             size_t count) {
  std::vector<int64_t> values = node.GetInts(name);
  if (values.empty()) values.assign(count, 0);
  if (values.size() != count) {
    return absl::InvalidArgumentError(
        StrCat(name, " has ", values.size(), " values, expected ", count));
  }
  return values;
}

}  // namespace

// inputs {cond}; outputs: those of the branch taken.
absl::StatusOr<Values> RunIf(const BuiltinCall& call) {
  PARAMD_RETURN_IF_ERROR(NeedsFrame(call));
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* cond, call.TensorInput(0));
  PARAMD_ASSIGN_OR_RETURN(const bool taken, Truth(*cond, "the condition"));
  PARAMD_ASSIGN_OR_RETURN(const Graph* branch,
                          call.Subgraph(taken ? "then_branch" : "else_branch"));
  if (branch->outputs.size() < call.node->outputs.size()) {
    return absl::InvalidArgumentError(StrCat("the branch has ", branch->outputs.size(),
                                             " outputs, expected ", call.node->outputs.size()));
  }
  return call.interpreter->RunSubgraph(*branch, {}, *call.frame);
}

// inputs {rounds or absent, cond or absent, carried...}; body inputs {round,
// cond, carried...}, outputs {cond, carried..., scanned...}; outputs
// {carried after the last round..., scanned stacked along a new axis 0...}.
absl::StatusOr<Values> RunLoop(const BuiltinCall& call) {
  PARAMD_RETURN_IF_ERROR(NeedsFrame(call));
  PARAMD_ASSIGN_OR_RETURN(const Graph* body, call.Subgraph("body"));
  const size_t carried = call.inputs.size() < 2 ? 0 : call.inputs.size() - 2;
  if (body->inputs.size() != carried + 2 || body->outputs.size() < carried + 1) {
    return absl::InvalidArgumentError(StrCat("the body has ", body->inputs.size(), " inputs and ",
                                             body->outputs.size(), " outputs for ", carried,
                                             " carried values"));
  }
  int64_t rounds = std::numeric_limits<int64_t>::max();
  if (call.Has(0)) {
    PARAMD_ASSIGN_OR_RETURN(rounds, call.ScalarInput(0));
  }
  bool go_on = true;
  if (call.Has(1)) {
    PARAMD_ASSIGN_OR_RETURN(go_on, Truth(call.inputs[1], "the condition"));
  }

  Values state(call.inputs.begin() + std::min<size_t>(2, call.inputs.size()), call.inputs.end());
  const size_t scans = body->outputs.size() - carried - 1;
  std::vector<Values> scanned(scans);
  for (int64_t round = 0; go_on && round < rounds; ++round) {
    if (round >= call.interpreter->options().loop_rounds_max) {
      return absl::ResourceExhaustedError(StrCat(
          "the loop did not end within ", call.interpreter->options().loop_rounds_max, " rounds"));
    }
    Values inputs = {ScalarValue(DType::kI64, round), ScalarValue(DType::kBool, 1)};
    for (RuntimeValue& value : state) inputs.push_back(std::move(value));
    PARAMD_ASSIGN_OR_RETURN(Values outputs,
                            call.interpreter->RunSubgraph(*body, inputs, *call.frame));
    PARAMD_ASSIGN_OR_RETURN(go_on, Truth(outputs[0], "the body's condition"));
    for (size_t i = 0; i < carried; ++i) state[i] = std::move(outputs[i + 1]);
    for (size_t i = 0; i < scans; ++i) {
      scanned[i].push_back(std::move(outputs[carried + 1 + i]));
    }
  }

  for (size_t i = 0; i < scans; ++i) {
    absl::StatusOr<RuntimeValue> joined =
        scanned[i].empty()
            ? NoRows(*call.interpreter, *body, body->outputs[carried + 1 + i])
            : JoinAlong(*call.interpreter, scanned[i], /*axis=*/0, /*new_axis=*/true);
    if (!joined.ok()) return joined.status();
    state.push_back(*std::move(joined));
  }
  return state;
}

// inputs {state..., scanned...}, of which num_scan_inputs are scanned; body
// inputs {state..., slices...}, outputs {state..., slices...}.
absl::StatusOr<Values> RunScan(const BuiltinCall& call) {
  PARAMD_RETURN_IF_ERROR(NeedsFrame(call));
  if (call.node->opset < 9) {
    return absl::UnimplementedError("Scan with a batch dimension (before opset 9)");
  }
  PARAMD_ASSIGN_OR_RETURN(const Graph* body, call.Subgraph("body"));
  const int64_t declared = call.node->GetInt("num_scan_inputs", 0);
  if (declared < 1 || static_cast<uint64_t>(declared) > call.inputs.size()) {
    return absl::InvalidArgumentError(
        StrCat("num_scan_inputs is ", declared, " of ", call.inputs.size(), " inputs"));
  }
  const auto scan_inputs = static_cast<size_t>(declared);
  const size_t states = call.inputs.size() - scan_inputs;
  if (body->inputs.size() != call.inputs.size() || body->outputs.size() < states) {
    return absl::InvalidArgumentError(StrCat("the body has ", body->inputs.size(), " inputs and ",
                                             body->outputs.size(), " outputs for ", states,
                                             " states and ", scan_inputs, " scanned inputs"));
  }
  const size_t scan_outputs = body->outputs.size() - states;
  PARAMD_ASSIGN_OR_RETURN(const auto in_axes, PerScan(*call.node, "scan_input_axes", scan_inputs));
  PARAMD_ASSIGN_OR_RETURN(const auto in_backwards,
                          PerScan(*call.node, "scan_input_directions", scan_inputs));
  PARAMD_ASSIGN_OR_RETURN(const auto out_axes,
                          PerScan(*call.node, "scan_output_axes", scan_outputs));
  PARAMD_ASSIGN_OR_RETURN(const auto out_backwards,
                          PerScan(*call.node, "scan_output_directions", scan_outputs));

  int64_t rounds = -1;
  std::vector<int> axes(scan_inputs);
  for (size_t i = 0; i < scan_inputs; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* scanned, call.TensorInput(states + i));
    const int rank = scanned->shape().rank();
    if (in_axes[i] < -rank || in_axes[i] >= rank) {
      return absl::InvalidArgumentError(
          StrCat("scan_input_axes ", in_axes[i], " is outside [", -rank, ",", rank, ")"));
    }
    axes[i] = static_cast<int>(in_axes[i] < 0 ? in_axes[i] + rank : in_axes[i]);
    const int64_t length = scanned->shape().dim(axes[i]);
    if (rounds >= 0 && length != rounds) {
      return absl::InvalidArgumentError(
          StrCat("scanned inputs have lengths ", rounds, " and ", length));
    }
    rounds = length;
  }

  Values state(call.inputs.begin(), call.inputs.begin() + static_cast<int64_t>(states));
  std::vector<Values> scanned(scan_outputs);
  for (int64_t round = 0; round < rounds; ++round) {
    Values inputs = std::move(state);
    for (size_t i = 0; i < scan_inputs; ++i) {
      const int64_t index = in_backwards[i] != 0 ? rounds - 1 - round : round;
      PARAMD_ASSIGN_OR_RETURN(
          RuntimeValue slice,
          SliceAlong(*call.interpreter, call.inputs[states + i], axes[i], index));
      inputs.push_back(std::move(slice));
    }
    PARAMD_ASSIGN_OR_RETURN(Values outputs,
                            call.interpreter->RunSubgraph(*body, inputs, *call.frame));
    state.assign(outputs.begin(), outputs.begin() + static_cast<int64_t>(states));
    for (size_t i = 0; i < scan_outputs; ++i) {
      auto& into = scanned[i];
      into.insert(out_backwards[i] != 0 ? into.begin() : into.end(),
                  std::move(outputs[states + i]));
    }
  }
  for (size_t i = 0; i < scan_outputs; ++i) {
    absl::StatusOr<RuntimeValue> joined =
        scanned[i].empty() ? NoRows(*call.interpreter, *body, body->outputs[states + i])
                           : JoinAlong(*call.interpreter, scanned[i], static_cast<int>(out_axes[i]),
                                       /*new_axis=*/true);
    if (!joined.ok()) return joined.status();
    state.push_back(*std::move(joined));
  }
  return state;
}

}  // namespace paramd
