#include "runtime/loading/load_steps.h"

#include "absl/log/log.h"
#include "runtime/backends/backend_list.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/passes/pass_list.h"

namespace paramd {
namespace {

// Where forms of no bytes "are": never read, and not null.
alignas(64) constexpr std::byte kNoBytes[64] = {};

}  // namespace

absl::Status CheckOptions(const ModelLoadOptions& options) {
  if (options.precision != "f32" && options.precision != "bf16") {
    return absl::InvalidArgumentError(
        StrCat("precision is '", options.precision, "', expected f32 or bf16"));
  }
  if (options.threads < 1 || options.loader_threads < 1 || options.streams < 1 ||
      options.rows_max_automatic < 1) {
    return absl::InvalidArgumentError("threads, streams and rows must be at least 1");
  }
  if (options.max_batch_size.has_value() && *options.max_batch_size < 0) {
    return absl::InvalidArgumentError(
        StrCat("max_batch_size is ", *options.max_batch_size, ", expected 0 or more"));
  }
  return absl::OkStatus();
}

std::string LoadChoices(const ModelLoadOptions& options) {
  std::string choices =
      StrCat("precision ", options.precision, ", max_batch_size ",
             options.max_batch_size.has_value() ? StrCat(*options.max_batch_size)
                                                : StrCat("up to ", options.rows_max_automatic));
  for (const std::string& pass : options.disabled_passes) StrAppend(&choices, ", without ", pass);
  return choices;
}

LoadSteps::LoadSteps(ParameterStore* store, const Clock* clock, const ModelLoadOptions& options)
    : store_(store), clock_(clock), options_(options) {
  if (options_.backends.empty()) options_.backends = AllBackends();
}

absl::Status LoadSteps::Stage(std::string_view name, absl::FunctionRef<absl::Status()> step) {
  const absl::Time start = clock_->Now();
  stage_ = name;
  Report(0, 0);
  const absl::Status status = step();
  stages_.emplace_back(std::string(name), clock_->Now() - start);
  return status;
}

void LoadSteps::Report(uint64_t bytes_done, uint64_t bytes_total) {
  if (options_.progress != nullptr) options_.progress({stage_, bytes_done, bytes_total});
}

absl::Status LoadSteps::ImportGraph(std::string_view skeleton, const Checkpoint& checkpoint,
                                    OnnxImportOptions import_options, ImportHook before_passes) {
  import_options.evaluate = ReferenceEvaluator();
  PARAMD_ASSIGN_OR_RETURN(ImportedModel imported, ImportOnnx(skeleton, checkpoint, import_options));
  graph_ = std::move(imported.graph);
  description_.format = "onnx";
  description_.hyperparameters = std::move(imported.hyperparameters);
  for (const auto& [key, value] : description_.hyperparameters) {
    if (key == "producer") description_.producer = value;
  }
  before_passes(*graph_);
  PassOptions pass_options;
  pass_options.evaluate = ReferenceEvaluator();
  pass_options.disabled = options_.disabled_passes;
  PARAMD_ASSIGN_OR_RETURN(const std::vector<PassReport> reports, RunPasses(*graph_, pass_options));
  for (const PassReport& report : reports) {
    VLOG(1) << options_.label << ": pass " << report.name << " made " << report.changes
            << " changes";
  }
  VLOG(2) << ToText(*graph_);
  return absl::OkStatus();
}

size_t LoadSteps::plan_sizes_all() { return GraphPlanOptions().rows.size(); }

absl::Status LoadSteps::PlanGraph(const Checkpoint& checkpoint, size_t sizes) {
  GraphPlanOptions plan_options;
  plan_options.compile.backends = options_.backends;
  plan_options.compile.bf16 = options_.precision == "bf16";
  plan_options.compile.threads = options_.threads;
  if (sizes < plan_options.rows.size()) plan_options.rows.resize(sizes);
  PARAMD_ASSIGN_OR_RETURN(graph_plan_, GraphPlan::Make(std::move(graph_), plan_options));
  PARAMD_ASSIGN_OR_RETURN(form_plan_, PlanForms(checkpoint, *graph_plan_));
  for (const ProgramRef& program : graph_plan_->programs()) {
    VLOG(1) << options_.label << ": " << ToText(graph_plan_->graph(), *program);
  }
  if (!graph_plan_->programs().empty()) {
    for (const ProgramTensor& input : graph_plan_->programs().front()->inputs) {
      one_row_.push_back(input.shape);
    }
  }
  return absl::OkStatus();
}

absl::Status LoadSteps::MakeModel(const std::vector<ParameterRef>& refs,
                                  const ParameterRef& manifest,
                                  absl::Span<const Parameter> parameters) {
  ParameterSetBuilder builder(store_);
  for (const Parameter& parameter : parameters) {
    PARAMD_RETURN_IF_ERROR(builder.AddParameter(parameter));
  }
  std::vector<const void*> addresses;
  for (size_t i = 0; i < refs.size(); ++i) {
    const ParameterRef& ref = refs[i];
    if (!ref.valid()) {
      addresses.push_back(kNoBytes);
      continue;
    }
    if (builder.FindEntry(ref.key()) == nullptr) {
      description_.weights_bytes_packed += ref.bytes().size();
    }
    builder.Hold(ref, graph_plan_->forms().form(static_cast<FormId>(i)).dtype);
    addresses.push_back(ref.bytes().data());
  }
  builder.Hold(manifest, DType::kUndefined);
  GraphProgramOptions program_options;
  program_options.programs_max = options_.programs_max;
  PARAMD_ASSIGN_OR_RETURN(model_, GraphProgram::Create(std::move(graph_plan_), std::move(addresses),
                                                       std::move(builder).Build(options_.label),
                                                       std::move(description_), program_options));
  return absl::OkStatus();
}

std::vector<int64_t> LoadSteps::WarmRows(int64_t rows_max) {
  std::vector<int64_t> sizes;
  for (int64_t rows = 1; rows < rows_max; rows *= 2) sizes.push_back(rows);
  sizes.push_back(std::max<int64_t>(rows_max, 1));
  return sizes;
}

}  // namespace paramd
