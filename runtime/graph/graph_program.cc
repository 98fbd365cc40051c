#include "runtime/graph/graph_program.h"

#include <algorithm>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/compiled_session.h"
#include "runtime/graph/interpreted_session.h"

namespace paramd {
namespace {

TensorSpec SpecOf(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  TensorSpec spec;
  spec.name = value.name;
  spec.dtype = value.type.dtype;
  if (value.type.shape.has_value()) spec.shape = *value.type.shape;
  return spec;
}

// A named dimension and the number it has in this call.
struct Bound {
  const std::string* symbol;
  int64_t size;
  const std::string* tensor;
};

}  // namespace

GraphProgram::GraphProgram(std::unique_ptr<GraphPlan> plan, std::vector<const void*> forms,
                           std::unique_ptr<ParameterSet> parameters, ModelDescription description,
                           const GraphProgramOptions& options)
    : plan_(std::move(plan)),
      forms_(std::move(forms)),
      parameters_(std::move(parameters)),
      description_(std::move(description)),
      cache_(options.programs_max) {}

absl::StatusOr<std::unique_ptr<GraphProgram>> GraphProgram::Create(
    std::unique_ptr<GraphPlan> plan, std::vector<const void*> forms,
    std::unique_ptr<ParameterSet> parameters, ModelDescription description,
    const GraphProgramOptions& options) {
  if (options.programs_max < 1)
    return absl::InvalidArgumentError("programs_max must be at least 1");
  CHECK_EQ(forms.size(), plan->forms().forms().size());
  CHECK(plan->forms().frozen());
  const Graph& graph = plan->graph();
  description.inputs.clear();
  description.outputs.clear();
  for (const ValueId id : graph.inputs) description.inputs.push_back(SpecOf(graph, id));
  for (const ValueId id : graph.outputs) description.outputs.push_back(SpecOf(graph, id));
  description.precision = plan->compile_options().bf16 ? "bf16" : "f32";
  if (!plan->programs().empty()) {
    description.ops = ReportOps(graph, *plan->programs().front());
  }
  std::unique_ptr<GraphProgram> program(new GraphProgram(
      std::move(plan), std::move(forms), std::move(parameters), std::move(description), options));
  for (const ProgramRef& planned : program->plan_->programs()) {
    program->cache_.Insert(planned, /*keep=*/false);
  }
  return program;
}

absl::Status GraphProgram::CheckCall(CallInputs inputs) const {
  if (inputs.size() != description_.inputs.size()) {
    return absl::InvalidArgumentError(
        StrCat("expected ", description_.inputs.size(), " inputs, got ", inputs.size()));
  }
  absl::InlinedVector<Bound, 8> bounds;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = description_.inputs[i];
    const TensorView& input = inputs[i];
    if (input.dtype != spec.dtype) {
      return absl::InvalidArgumentError(StrCat("input '", spec.name, "' is ",
                                               DTypeName(input.dtype), ", expected ",
                                               DTypeName(spec.dtype)));
    }
    if (!graph().value(graph().inputs[i]).type.shape.has_value()) continue;
    bool fits = input.shape.rank() == static_cast<int>(spec.shape.size());
    for (int d = 0; fits && d < input.shape.rank(); ++d) {
      const Dim& dim = spec.shape[static_cast<size_t>(d)];
      fits = !dim.known() || dim.size == input.shape.dim(d);
    }
    if (!fits) {
      return absl::InvalidArgumentError(StrCat("input '", spec.name, "' has shape ",
                                               input.shape.ToString(), ", expected ",
                                               ToString(spec.shape)));
    }
    for (int d = 0; d < input.shape.rank(); ++d) {
      const Dim& dim = spec.shape[static_cast<size_t>(d)];
      const int64_t size = input.shape.dim(d);
      if (d == 0 && size == 0 && description_.batch_rows_max > 0) {
        return absl::InvalidArgumentError(
            StrCat("input '", spec.name, "' has no rows: shape ", input.shape.ToString()));
      }
      if (dim.known() || dim.symbol.empty()) continue;
      const auto same = std::find_if(bounds.begin(), bounds.end(), [&](const Bound& bound) {
        return *bound.symbol == dim.symbol;
      });
      if (same == bounds.end()) {
        bounds.push_back({&dim.symbol, size, &spec.name});
      } else if (same->size != size) {
        return absl::InvalidArgumentError(StrCat("dimension ", dim.symbol, " is ", same->size,
                                                 " in input '", *same->tensor, "' and ", size,
                                                 " in input '", spec.name, "'"));
      }
    }
  }
  return absl::OkStatus();
}

std::string GraphProgram::BatchKey(CallInputs inputs) const {
  std::string key;
  const int first = description_.batch_rows_max > 0 ? 1 : 0;
  for (const TensorView& input : inputs) {
    for (int d = first; d < input.shape.rank(); ++d) StrAppend(&key, input.shape.dim(d), ",");
    key += ';';
  }
  return key;
}

int64_t GraphProgram::BatchCost(CallInputs inputs) const {
  if (description_.batch_rows_max == 0 || inputs.empty() || inputs[0].shape.rank() == 0) return 1;
  return inputs[0].shape.dim(0);
}

absl::Status GraphProgram::Compile(absl::Span<const Shape> input_shapes) const {
  return CompileNew(input_shapes, /*keep=*/false);
}

absl::Status GraphProgram::CompileAndKeep(absl::Span<const Shape> input_shapes) const {
  return CompileNew(input_shapes, /*keep=*/true);
}

absl::Status GraphProgram::CompileNew(absl::Span<const Shape> input_shapes, bool keep) const {
  if (interpreted()) return absl::OkStatus();
  const auto same = [&](const std::vector<Shape>& kept) {
    return std::equal(kept.begin(), kept.end(), input_shapes.begin(), input_shapes.end());
  };
  keep = keep || std::any_of(kept_shapes_.begin(), kept_shapes_.end(), same);
  MutexLock lock(&compile_mutex_);
  if (ProgramRef there = cache_.Find(input_shapes); there.valid()) {
    if (keep) cache_.Insert(std::move(there), true);
    return absl::OkStatus();
  }
  // Frozen forms are only read.
  PARAMD_ASSIGN_OR_RETURN(
      std::unique_ptr<const CompiledProgram> program,
      CompileProgram(plan_->graph(), input_shapes, plan_->compile_options(), &plan_->forms()));
  VLOG(1) << ToText(plan_->graph(), *program);
  cache_.Insert(ProgramRef(std::move(program)), keep);
  return absl::OkStatus();
}

bool GraphProgram::IsCompiled(absl::Span<const Shape> input_shapes) const {
  return interpreted() || cache_.Find(input_shapes).valid();
}

std::unique_ptr<Session> GraphProgram::NewSession(Arena* arena) const {
  if (interpreted()) return std::make_unique<InterpretedSession>(this, arena);
  return std::make_unique<CompiledSession>(this, arena);
}

std::string GraphProgram::ProgramText(absl::Span<const Shape> input_shapes) const {
  const ProgramRef program = cache_.Find(input_shapes);
  return program.valid() ? ToText(plan_->graph(), *program) : std::string();
}

absl::StatusOr<TensorView> GraphProgram::ConstantBytes(const Graph& graph, ConstantId id) const {
  const FormId form = plan_->forms().FindPlain(graph, id);
  const auto& constant = graph.constant(id);
  if (form == kNone) {
    return absl::InternalError(StrCat("constant '", constant.name, "' was not loaded plain"));
  }
  return TensorView{constant.dtype, constant.shape, forms_[static_cast<size_t>(form)]};
}

}  // namespace paramd
