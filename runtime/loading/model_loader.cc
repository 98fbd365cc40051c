#include "runtime/loading/model_loader.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/log/log.h"
#include "runtime/backends/backend_list.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/batch_safety.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/graph_program.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/graph/passes/pass_list.h"
#include "runtime/loading/admission.h"
#include "runtime/loading/batching_check.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/loaded_parameters.h"
#include "runtime/loading/parameter_loader.h"
#include "runtime/params/manifest.h"
#include "runtime/params/parameter_set.h"

namespace paramd {
namespace {

// Where forms of no bytes "are": never read, and not null.
alignas(64) constexpr std::byte kNoBytes[64] = {};

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

class Load {
 public:
  Load(const Directory& folder, std::string_view file, ParameterStore* store, const Clock* clock,
       const ModelLoadOptions& options)
      : folder_(folder), file_(file), store_(store), clock_(clock), options_(options) {
    if (options_.backends.empty()) options_.backends = AllBackends();
  }

  absl::StatusOr<ModelLoadResult> Run() {
    PARAMD_RETURN_IF_ERROR(CheckOptions(options_));
    PARAMD_RETURN_IF_ERROR(Stage("skim", [this] { return Skim(); }));
    PARAMD_RETURN_IF_ERROR(Stage("import", [this] { return Import(); }));
    PARAMD_RETURN_IF_ERROR(Stage("plan", [this] { return Plan(); }));
    PARAMD_RETURN_IF_ERROR(Stage("admit", [this] { return AdmitModel(); }));
    PARAMD_RETURN_IF_ERROR(Stage("parameters", [this] { return LoadParameters(); }));
    PARAMD_RETURN_IF_ERROR(Stage("seal", [this] { return SealManifest(); }));
    PARAMD_RETURN_IF_ERROR(Stage("check", [this] { return DecideBatching(); }));
    PARAMD_RETURN_IF_ERROR(Stage("warm up", [this] { return WarmUp(); }));
    model_->description_to_fill().load_stages = std::move(stages_);
    ModelLoadResult result;
    result.generation = store_->NextGeneration();
    result.weights_id = model_->parameters().weights_id();
    result.model = std::move(model_);
    return result;
  }

 private:
  template <typename Step>
  absl::Status Stage(std::string_view name, const Step& step) {
    const absl::Time start = clock_->Now();
    stage_ = name;
    Report(0);
    const absl::Status status = step();
    stages_.emplace_back(std::string(name), clock_->Now() - start);
    return status;
  }

  void Report(uint64_t bytes_done) {
    if (options_.progress == nullptr) return;
    options_.progress(
        {stage_, bytes_done,
         file_contents_.checkpoint == nullptr ? 0 : file_contents_.checkpoint->total_bytes()});
  }

  absl::Status Skim() {
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> source, folder_.OpenFile(file_));
    PARAMD_ASSIGN_OR_RETURN(file_contents_, ReadOnnx(std::move(source), &folder_));
    return absl::OkStatus();
  }

  absl::Status Import() {
    OnnxImportOptions import_options;
    import_options.evaluate = ReferenceEvaluator();
    PARAMD_ASSIGN_OR_RETURN(
        ImportedModel imported,
        ImportOnnx(file_contents_.skeleton, *file_contents_.checkpoint, import_options));
    graph_ = std::move(imported.graph);
    description_.format = "onnx";
    description_.hyperparameters = std::move(imported.hyperparameters);
    for (const auto& [key, value] : description_.hyperparameters) {
      if (key == "producer") description_.producer = value;
    }
    roles_ = FindRoles(*file_contents_.checkpoint, *graph_);
    batch_safety_ = ProveBatchSafety(*graph_);
    PassOptions pass_options;
    pass_options.evaluate = ReferenceEvaluator();
    PARAMD_ASSIGN_OR_RETURN(const std::vector<PassReport> reports,
                            RunPasses(*graph_, pass_options));
    for (const PassReport& report : reports) {
      VLOG(1) << options_.label << ": pass " << report.name << " made " << report.changes
              << " changes";
    }
    VLOG(2) << ToText(*graph_);
    return absl::OkStatus();
  }

  absl::Status Plan() {
    GraphPlanOptions plan_options;
    plan_options.compile.backends = options_.backends;
    plan_options.compile.bf16 = options_.precision == "bf16";
    plan_options.compile.threads = options_.threads;
    PARAMD_ASSIGN_OR_RETURN(graph_plan_, GraphPlan::Make(std::move(graph_), plan_options));
    PARAMD_ASSIGN_OR_RETURN(form_plan_, PlanForms(*file_contents_.checkpoint, *graph_plan_));
    for (const ProgramRef& program : graph_plan_->programs()) {
      VLOG(1) << options_.label << ": " << ToText(graph_plan_->graph(), *program);
    }
    return absl::OkStatus();
  }

  // The most rows that may turn out to be batched.
  int64_t RowsWanted() const {
    if (!batch_safety_.safe || graph_plan_->interpreted()) return 1;
    return std::max<int64_t>(1, options_.max_batch_size.value_or(options_.rows_max_automatic));
  }

  uint64_t ArenaEstimate() const {
    uint64_t bytes = 0;
    for (const ProgramRef& program : graph_plan_->programs()) {
      const std::vector<ProgramTensor>& inputs = program->inputs;
      const bool scales = batch_safety_.safe && !inputs.empty() && inputs[0].shape.rank() > 0;
      const auto rows = static_cast<uint64_t>(scales ? std::max<int64_t>(1, inputs[0].shape.dim(0))
                                                     : RowsWanted());
      // Activations grow with the rows; what does not makes this an upper bound.
      bytes = std::max(bytes, program->arena_bytes / rows * static_cast<uint64_t>(RowsWanted()));
    }
    return std::max(bytes, graph_plan_->arena_bytes());
  }

  AdmissionRoom Room() const {
    const ParameterStore::Usage usage = store_->usage();
    AdmissionRoom room;
    room.store_capacity_bytes = usage.table.capacity_bytes;
    room.store_used_bytes = usage.table.sealed_bytes + usage.table.reserved_bytes;
    room.available_bytes =
        (options_.memory_budget == nullptr ? ReadMemoryBudget() : options_.memory_budget())
            .available_bytes;
    return room;
  }

  absl::Status AdmitModel() {
    AdmissionNeed need;
    need.parameter_bytes = form_plan_.final_bytes;
    need.scratch_bytes = form_plan_.ScratchPeak(options_.loader_threads);
    need.arena_bytes = ArenaEstimate() * static_cast<uint64_t>(options_.streams);
    const absl::Status admitted = Admit(options_.label, need, Room());
    if (admitted.ok()) return admitted;
    // It may share what is resident, which only its bytes can tell: they are
    // read once more than usual instead of refusing a model that would fit.
    ParameterLoader hasher(*file_contents_.checkpoint, *graph_plan_, form_plan_, store_,
                           [this](uint64_t done) { Report(done); });
    PARAMD_ASSIGN_OR_RETURN(const std::vector<ContentId> source_ids, hasher.HashOnly());
    uint64_t resident = 0;
    for (const PlannedForm& form : form_plan_.forms) {
      const ContentId key = KeyOfForm(form_plan_, graph_plan_->forms().form(form.id), source_ids);
      if (form.bytes > 0 && !form.small && store_->Find(key).ok()) {
        resident += PageRoundedBytes(form.bytes);
      }
    }
    if (resident == 0) return admitted;
    need.parameter_bytes -= std::min(need.parameter_bytes, resident);
    return Admit(options_.label, need, Room());
  }

  absl::Status LoadParameters() {
    ParameterLoader loader(*file_contents_.checkpoint, *graph_plan_, form_plan_, store_,
                           [this](uint64_t done) { Report(done); });
    PARAMD_ASSIGN_OR_RETURN(forms_, loader.Load(options_.loader_threads));
    return absl::OkStatus();
  }

  absl::Status SealManifest() {
    PARAMD_ASSIGN_OR_RETURN(std::vector<Parameter> parameters,
                            DescribeParameters(*file_contents_.checkpoint, roles_,
                                               graph_plan_->graph(), forms_.source_ids));
    ParameterSetBuilder builder(store_);
    for (const Parameter& parameter : parameters) {
      PARAMD_RETURN_IF_ERROR(builder.AddParameter(parameter));
    }
    std::vector<const void*> addresses;
    for (size_t i = 0; i < forms_.refs.size(); ++i) {
      const ParameterRef& ref = forms_.refs[i];
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
    Manifest manifest = DescribeForms(*graph_plan_, form_plan_, forms_, std::move(parameters));
    manifest.format = "onnx";
    manifest.graph = std::move(file_contents_.skeleton);
    manifest.config = options_.config;
    PARAMD_ASSIGN_OR_RETURN(const std::string serialized, SerializeManifest(manifest));
    PARAMD_ASSIGN_OR_RETURN(const ParameterRef ref, StoreManifest(store_, serialized));
    builder.Hold(ref, DType::kUndefined);
    forms_ = LoadedForms();
    file_contents_.checkpoint.reset();  // Closes the files.

    GraphProgramOptions program_options;
    program_options.programs_max = options_.programs_max;
    for (const ProgramTensor& input : FirstInputs()) one_row_.push_back(input.shape);
    PARAMD_ASSIGN_OR_RETURN(model_,
                            GraphProgram::Create(std::move(graph_plan_), std::move(addresses),
                                                 std::move(builder).Build(options_.label),
                                                 std::move(description_), program_options));
    return absl::OkStatus();
  }

  std::vector<ProgramTensor> FirstInputs() const {
    return graph_plan_->programs().empty() ? std::vector<ProgramTensor>()
                                           : graph_plan_->programs().front()->inputs;
  }

  absl::Status DecideBatching() {
    ModelDescription& description = model_->description_to_fill();
    const auto off = [&](std::string reason) {
      description.batch_rows_max = 0;
      description.batching_reason = std::move(reason);
      return absl::OkStatus();
    };
    const std::optional<int64_t> asked = options_.max_batch_size;
    if (asked.has_value() && *asked == 0) return off("max_batch_size is 0");
    if (model_->interpreted()) return off("the graph is interpreted, one call at a time");
    if (!batch_safety_.safe) return off(batch_safety_.reason);
    const absl::Status check = CheckRowsAreIndependent(*model_, one_row_, options_.seed);
    if (!check.ok()) return off(std::string(FromAbsl(check.message())));
    description.batch_rows_max = asked.value_or(options_.rows_max_automatic);
    description.batching_reason =
        StrCat(batch_safety_.reason, batch_safety_.reason.empty() ? "" : "; ",
               "two rows together answered as apart", asked.has_value() ? "; configured" : "");
    return absl::OkStatus();
  }

  absl::Status WarmUp() {
    ModelDescription& description = model_->description_to_fill();
    if (!model_->interpreted()) {
      std::vector<int64_t> sizes;
      for (int64_t rows = 1; rows < description.batch_rows_max; rows *= 2) sizes.push_back(rows);
      if (description.batch_rows_max > 0) sizes.push_back(description.batch_rows_max);
      int64_t largest = 0;
      for (const int64_t rows : sizes) {
        const absl::Status status = model_->CompileAndKeep(WithRows(one_row_, rows));
        if (status.ok()) {
          largest = rows;
          continue;
        }
        // Fewer rows still work, and are better than no model.
        if (largest == 0) return status;
        StrAppend(&description.batching_reason, "; not ", rows,
                  " rows: ", FromAbsl(status.message()));
        LOG(WARNING) << options_.label << ": batches of at most " << largest << " rows: " << status;
        description.batch_rows_max = largest;
        break;
      }
      if (sizes.empty()) PARAMD_RETURN_IF_ERROR(model_->CompileAndKeep(one_row_));
    }
    for (const ProgramCache::Entry& entry : *model_->cache().snapshot()) {
      description.arena_bytes = std::max(description.arena_bytes, entry.program->arena_bytes);
    }
    return absl::OkStatus();
  }

  const Directory& folder_;
  const std::string_view file_;
  ParameterStore* const store_;
  const Clock* const clock_;
  ModelLoadOptions options_;

  std::string_view stage_;
  std::vector<std::pair<std::string, absl::Duration>> stages_;
  OnnxFile file_contents_;
  ModelDescription description_;
  CheckpointRoles roles_;
  BatchSafety batch_safety_;
  std::unique_ptr<Graph> graph_;
  // Forms and programs refer to the plan's graph and ops: it goes last.
  std::unique_ptr<GraphPlan> graph_plan_;
  FormPlan form_plan_;
  LoadedForms forms_;
  std::vector<Shape> one_row_;
  std::unique_ptr<GraphProgram> model_;
};

}  // namespace

absl::StatusOr<ModelLoadResult> LoadModel(const Directory& folder, std::string_view file,
                                          ParameterStore* store, const Clock* clock,
                                          const ModelLoadOptions& options) {
  return Load(folder, file, store, clock, options).Run();
}

}  // namespace paramd
