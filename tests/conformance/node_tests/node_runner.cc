#include "tests/conformance/node_tests/node_runner.h"

#include <map>
#include <memory>
#include <utility>

#include "runtime/backends/backend_list.h"
#include "runtime/base/file_source.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/graph_program.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/graph/passes/pass_list.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/parameter_loader.h"
#include "runtime/params/parameter_set.h"
#include "tests/support/model_runner.h"

namespace paramd {
namespace {

using Values = std::vector<RuntimeValue>;

struct Imported {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Graph> graph;
};

absl::StatusOr<Imported> Import(const std::string& path, bool passes) {
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> file, FileSource::Open(path));
  PARAMD_ASSIGN_OR_RETURN(OnnxFile onnx, ReadOnnx(std::move(file), nullptr));
  OnnxImportOptions options;
  options.evaluate = ReferenceEvaluator();
  PARAMD_ASSIGN_OR_RETURN(ImportedModel model,
                          ImportOnnx(onnx.skeleton, *onnx.checkpoint, options));
  if (passes) {
    PARAMD_RETURN_IF_ERROR(
        RunPasses(*model.graph, {.evaluate = ReferenceEvaluator(), .disabled = {}}).status());
  }
  return Imported{std::move(onnx.checkpoint), std::move(model.graph)};
}

absl::StatusOr<Values> Interpret(const Imported& model, const Values& inputs) {
  std::map<int32_t, Tensor> read;
  InterpreterOptions options;
  options.backends = AllBackends();
  options.constants = [&](const Graph& graph, ConstantId id) -> absl::StatusOr<TensorView> {
    const auto* index = std::get_if<int32_t>(&graph.constant(id).source);
    if (index == nullptr) return absl::UnimplementedError("a derived constant");
    const CheckpointTensor& held = model.checkpoint->tensors()[static_cast<size_t>(*index)];
    auto [it, fresh] = read.try_emplace(*index);
    if (fresh) {
      it->second = Tensor(held.dtype, held.shape);
      auto* bytes = static_cast<std::byte*>(it->second.view().data);
      PARAMD_RETURN_IF_ERROR(
          model.checkpoint->ReadTensor(held, absl::MakeSpan(bytes, held.bytes), nullptr));
    }
    return TensorView(it->second.view());
  };
  Interpreter interpreter(std::move(options));
  PARAMD_ASSIGN_OR_RETURN(Values outputs, interpreter.Run(*model.graph, inputs));
  // What is borrowed goes with the interpreter.
  for (RuntimeValue& value : outputs) {
    if (value.is_tensor()) value = RuntimeValue::Of(Tensor::CopyOf(value.view()));
  }
  return outputs;
}

// Whether a session can carry these: dense tensors only.
bool Carried(const NodeCase::Data& data) {
  for (const Values* values : {&data.inputs, &data.outputs}) {
    for (const RuntimeValue& value : *values) {
      if (!value.is_tensor() || value.dtype() == DType::kString) return false;
    }
  }
  return true;
}

absl::StatusOr<Values> Compiled(Imported model, ParameterStore* store, const Values& inputs,
                                bool* compiled) {
  GraphPlanOptions options;
  options.compile.backends = AllBackends();
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<GraphPlan> plan,
                          GraphPlan::Make(std::move(model.graph), options));
  *compiled = !plan->interpreted();
  PARAMD_ASSIGN_OR_RETURN(const FormPlan form_plan, PlanForms(*model.checkpoint, *plan));
  ParameterLoader loader(*model.checkpoint, *plan, form_plan, store, {});
  PARAMD_ASSIGN_OR_RETURN(const LoadedForms forms, loader.Load(1));
  ParameterSetBuilder builder(store);
  std::vector<const void*> addresses;
  for (const ParameterRef& ref : forms.refs) {
    if (ref.valid()) builder.Hold(ref, DType::kF32);
    addresses.push_back(ref.valid() ? ref.bytes().data() : nullptr);
  }
  PARAMD_ASSIGN_OR_RETURN(
      const std::unique_ptr<GraphProgram> program,
      GraphProgram::Create(std::move(plan), std::move(addresses),
                           std::move(builder).Build("test/1"), {}, {.programs_max = 4}));
  std::vector<Tensor> tensors;
  for (const RuntimeValue& input : inputs) tensors.push_back(Tensor::CopyOf(input.view()));
  PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> results, RunModel(*program, tensors));
  Values outputs;
  for (Tensor& result : results) outputs.push_back(RuntimeValue::Of(std::move(result)));
  return outputs;
}

std::string FirstDifference(const Values& got, const Values& want, const NodeTolerance& tolerance) {
  if (got.size() != want.size()) {
    return StrCat("has ", got.size(), " outputs, expected ", want.size());
  }
  for (size_t i = 0; i < want.size(); ++i) {
    const std::string text = Difference(got[i], want[i], tolerance);
    if (!text.empty()) return StrCat("output ", i, " ", text);
  }
  return {};
}

NodeOutcome Outcome(std::string_view how, const absl::Status& status) {
  NodeOutcome outcome;
  // A test's own models are right, so that whatever is said against one is a
  // refusal; only a fault of ours fails.
  outcome.kind =
      absl::IsInternal(status) ? NodeOutcome::Kind::kFailed : NodeOutcome::Kind::kRefused;
  outcome.text = FromAbsl(status.message());
  if (outcome.kind == NodeOutcome::Kind::kFailed) outcome.text = StrCat(how, ": ", outcome.text);
  return outcome;
}

}  // namespace

NodeOutcome RunNodeCase(const NodeCase& node_case) {
  NodeOutcome outcome;
  auto store = ParameterStore::Create({.capacity_bytes = uint64_t{2} << 30});
  if (!store.ok()) return Outcome("store", store.status());
  const auto differs = [&](std::string_view how, const absl::StatusOr<Values>& got,
                           const Values& want) {
    if (!got.ok()) {
      outcome = Outcome(how, got.status());
      return true;
    }
    const std::string text = FirstDifference(*got, want, ToleranceOf(node_case.name));
    if (text.empty()) return false;
    outcome.kind = NodeOutcome::Kind::kFailed;
    outcome.text = StrCat(how, ": ", text);
    return true;
  };
  for (const NodeCase::Data& data : node_case.data) {
    // As it is written, and as the product changes it.
    auto model = Import(node_case.model_path, /*passes=*/false);
    if (!model.ok()) return Outcome("import", model.status());
    if (differs("interpreted", Interpret(*model, data.inputs), data.outputs)) return outcome;
    if (!Carried(data)) continue;
    model = Import(node_case.model_path, /*passes=*/true);
    if (!model.ok()) return Outcome("passes", model.status());
    auto run = Compiled(*std::move(model), store->get(), data.inputs, &outcome.compiled);
    if (differs("compiled", run, data.outputs)) return outcome;
  }
  outcome.kind = NodeOutcome::Kind::kPassed;
  return outcome;
}

}  // namespace paramd
