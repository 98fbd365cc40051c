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

namespace {

// How the body of a Scan is fed and what it gives.
struct ScanPlan {
  const Graph* body = nullptr;
  size_t states = 0, scan_inputs = 0, scan_outputs = 0;
  std::vector<int64_t> in_axes, in_backwards, out_axes, out_backwards;
};

// `values` are the states and the scanned inputs: the last states and the scanned outputs.
absl::StatusOr<Values> ScanAll(const BuiltinCall& call, const ScanPlan& plan,
                               const Values& values) {
  int64_t rounds = -1;
  std::vector<int> axes(plan.scan_inputs);
  for (size_t i = 0; i < plan.scan_inputs; ++i) {
    const RuntimeValue& scanned = values[plan.states + i];
    if (!scanned.is_tensor()) {
      return absl::InvalidArgumentError(StrCat("input ", plan.states + i, " is not a tensor"));
    }
    const int rank = scanned.shape().rank();
    if (plan.in_axes[i] < -rank || plan.in_axes[i] >= rank) {
      return absl::InvalidArgumentError(
          StrCat("scan_input_axes ", plan.in_axes[i], " is outside [", -rank, ",", rank, ")"));
    }
    axes[i] = static_cast<int>(plan.in_axes[i] < 0 ? plan.in_axes[i] + rank : plan.in_axes[i]);
    const int64_t length = scanned.shape().dim(axes[i]);
    if (rounds >= 0 && length != rounds) {
      return absl::InvalidArgumentError(
          StrCat("scanned inputs have lengths ", rounds, " and ", length));
    }
    rounds = length;
  }

  Values state(values.begin(), values.begin() + static_cast<int64_t>(plan.states));
  std::vector<Values> scanned(plan.scan_outputs);
  for (int64_t round = 0; round < rounds; ++round) {
    Values inputs = std::move(state);
    for (size_t i = 0; i < plan.scan_inputs; ++i) {
      const int64_t index = plan.in_backwards[i] != 0 ? rounds - 1 - round : round;
      PARAMD_ASSIGN_OR_RETURN(
          RuntimeValue slice,
          SliceAlong(*call.interpreter, values[plan.states + i], axes[i], index));
      inputs.push_back(std::move(slice));
    }
    PARAMD_ASSIGN_OR_RETURN(Values outputs,
                            call.interpreter->RunSubgraph(*plan.body, inputs, *call.frame));
    state.assign(outputs.begin(), outputs.begin() + static_cast<int64_t>(plan.states));
    for (size_t i = 0; i < plan.scan_outputs; ++i) {
      auto& into = scanned[i];
      into.insert(plan.out_backwards[i] != 0 ? into.begin() : into.end(),
                  std::move(outputs[plan.states + i]));
    }
  }
  for (size_t i = 0; i < plan.scan_outputs; ++i) {
    absl::StatusOr<RuntimeValue> joined =
        scanned[i].empty()
            ? NoRows(*call.interpreter, *plan.body, plan.body->outputs[plan.states + i])
            : JoinAlong(*call.interpreter, scanned[i], static_cast<int>(plan.out_axes[i]),
                        /*new_axis=*/true);
    if (!joined.ok()) return joined.status();
    state.push_back(*std::move(joined));
  }
  return state;
}

// Scan of opset 8: every value has the batch as its first dimension, and each
// of its rows is a scan of its own.
absl::StatusOr<Values> ScanBatch(const BuiltinCall& call, const ScanPlan& plan,
                                 const Values& values) {
  int64_t batch = -1;
  for (const RuntimeValue& value : values) {
    if (!value.is_tensor() || value.shape().rank() < 1 ||
        (batch >= 0 && value.shape().dim(0) != batch)) {
      return absl::InvalidArgumentError("the inputs' first dimensions are not one batch");
    }
    batch = value.shape().dim(0);
  }
  if (batch < 1) return absl::InvalidArgumentError("the batch is empty");
  std::vector<Values> results(plan.states + plan.scan_outputs);
  for (int64_t row = 0; row < batch; ++row) {
    Values own;
    for (const RuntimeValue& value : values) {
      PARAMD_ASSIGN_OR_RETURN(RuntimeValue slice, SliceAlong(*call.interpreter, value, 0, row));
      own.push_back(std::move(slice));
    }
    PARAMD_ASSIGN_OR_RETURN(const Values outputs, ScanAll(call, plan, own));
    for (size_t i = 0; i < outputs.size(); ++i) results[i].push_back(outputs[i]);
  }
  Values joined;
  for (const Values& rows : results) {
    PARAMD_ASSIGN_OR_RETURN(RuntimeValue value,
                            JoinAlong(*call.interpreter, rows, 0, /*new_axis=*/true));
    joined.push_back(std::move(value));
  }
  return joined;
}

}  // namespace

// inputs {state..., scanned...}, of which num_scan_inputs are scanned (before
// opset 9 after the sequences' lengths); body inputs {state..., slices...},
// outputs {state..., slices...}.
absl::StatusOr<Values> RunScan(const BuiltinCall& call) {
  PARAMD_RETURN_IF_ERROR(NeedsFrame(call));
  const Node& node = *call.node;
  const bool batched = node.opset < 9;
  if (batched && call.Has(0)) {
    return absl::UnimplementedError("sequence_lens of Scan before opset 9 is not supported");
  }
  const Values values(call.inputs.begin() + (batched && !call.inputs.empty() ? 1 : 0),
                      call.inputs.end());
  ScanPlan plan;
  PARAMD_ASSIGN_OR_RETURN(plan.body, call.Subgraph("body"));
  const int64_t declared = node.GetInt("num_scan_inputs", 0);
  if (declared < 1 || static_cast<uint64_t>(declared) > values.size()) {
    return absl::InvalidArgumentError(
        StrCat("num_scan_inputs is ", declared, " of ", values.size(), " inputs"));
  }
  plan.scan_inputs = static_cast<size_t>(declared);
  plan.states = values.size() - plan.scan_inputs;
  if (plan.body->inputs.size() != values.size() || plan.body->outputs.size() < plan.states) {
    return absl::InvalidArgumentError(
        StrCat("the body has ", plan.body->inputs.size(), " inputs and ", plan.body->outputs.size(),
               " outputs for ", plan.states, " states and ", plan.scan_inputs, " scanned inputs"));
  }
  plan.scan_outputs = plan.body->outputs.size() - plan.states;
  PARAMD_ASSIGN_OR_RETURN(plan.in_axes, PerScan(node, "scan_input_axes", plan.scan_inputs));
  PARAMD_ASSIGN_OR_RETURN(
      plan.in_backwards,
      PerScan(node, batched ? "directions" : "scan_input_directions", plan.scan_inputs));
  PARAMD_ASSIGN_OR_RETURN(plan.out_axes, PerScan(node, "scan_output_axes", plan.scan_outputs));
  PARAMD_ASSIGN_OR_RETURN(plan.out_backwards,
                          PerScan(node, "scan_output_directions", plan.scan_outputs));
  return batched ? ScanBatch(call, plan, values) : ScanAll(call, plan, values);
}

}  // namespace paramd
