#include "runtime/graph/interpreted_session.h"

#include <utility>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/graph_program.h"
#include "runtime/graph/memory_plan.h"

namespace paramd {

InterpretedSession::InterpretedSession(const GraphProgram* model, Arena* arena)
    : model_(model),
      arena_(arena),
      interpreter_({.backends = model->compile_options().backends,
                    .constants = [model](const Graph& graph,
                                         ConstantId id) { return model->ConstantBytes(graph, id); },
                    .threads = model->compile_options().threads}) {}

absl::Status InterpretedSession::Prepare(absl::Span<const Shape> input_shapes) {
  const Graph& graph = model_->graph();
  if (input_shapes.size() != graph.inputs.size()) {
    return absl::InvalidArgumentError(StrCat("the model takes ", graph.inputs.size(),
                                             " inputs, got ", input_shapes.size(), " shapes"));
  }
  std::vector<MutableTensorView> inputs;
  std::vector<Tensor> strings;
  uint64_t bytes = 0;
  for (size_t i = 0; i < input_shapes.size(); ++i) {
    const ValueType& type = graph.value(graph.inputs[i]).type;
    // An optional that is there is what it holds.
    if (type.kind == ValueType::Kind::kSequence) {
      return absl::UnimplementedError(
          StrCat("input '", graph.value(graph.inputs[i]).name, "' is not a tensor"));
    }
    if (type.dtype == DType::kString) {
      // Objects: they live on the heap, like all that the interpreter makes.
      PARAMD_ASSIGN_OR_RETURN(Tensor held, interpreter_.NewTensor(type.dtype, input_shapes[i]));
      strings.push_back(std::move(held));
      inputs.push_back(strings.back().view());
      continue;
    }
    PARAMD_ASSIGN_OR_RETURN(const uint64_t size, CheckedBytes(type.dtype, input_shapes[i].dims()));
    inputs.push_back({type.dtype, input_shapes[i], arena_->base() + bytes});
    if (size > (uint64_t{1} << 46) || bytes > (uint64_t{1} << 46)) {
      return absl::ResourceExhaustedError(StrCat("inputs of more than ", bytes, " bytes"));
    }
    bytes += (size + kBufferAlignmentBytes - 1) / kBufferAlignmentBytes * kBufferAlignmentBytes;
  }
  PARAMD_RETURN_IF_ERROR(arena_->Reserve(bytes));
  inputs_ = std::move(inputs);
  strings_ = std::move(strings);
  outputs_.clear();
  return absl::OkStatus();
}

MutableTensorView InterpretedSession::input(int i) { return inputs_[static_cast<size_t>(i)]; }

absl::Status InterpretedSession::Run() {
  std::vector<RuntimeValue> inputs;
  for (const MutableTensorView& input : inputs_) inputs.push_back(RuntimeValue::Borrow(input));
  outputs_.clear();
  PARAMD_ASSIGN_OR_RETURN(outputs_, interpreter_.Run(model_->graph(), inputs));
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_tensor()) continue;
    const ValueId id = model_->graph().outputs[i];
    return absl::UnimplementedError(StrCat("output '", model_->graph().value(id).name, "' is ",
                                           outputs_[i].absent() ? "absent" : "a sequence",
                                           ", which no answer can carry yet"));
  }
  return absl::OkStatus();
}

TensorView InterpretedSession::output(int i) const {
  if (outputs_.empty()) return {};
  return outputs_[static_cast<size_t>(i)].view();
}

}  // namespace paramd
