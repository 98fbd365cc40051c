#include "runtime/loading/model_loader.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/log/log.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/graph_program.h"
#include "runtime/loading/batching_check.h"
#include "runtime/loading/finite_check.h"
#include "runtime/loading/load_steps.h"
#include "runtime/loading/parameter_loader.h"

namespace paramd {
namespace {

class Load : LoadSteps {
 public:
  Load(const Directory& folder, std::string_view file, ParameterStore* store, const Clock* clock,
       const ModelLoadOptions& options)
      : LoadSteps(store, clock, options), folder_(folder), file_(file) {}

  absl::StatusOr<ModelLoadResult> Run() {
    PARAMD_RETURN_IF_ERROR(PlanShapes());
    PARAMD_RETURN_IF_ERROR(Stage("admit", [this] { return AdmitModel(); }));
    PARAMD_RETURN_IF_ERROR(Stage("parameters", [this] { return LoadParameters(); }));
    PARAMD_RETURN_IF_ERROR(Stage("seal", [this] { return SealManifest(); }));
    PARAMD_RETURN_IF_ERROR(Stage("check", [this] { return DecideBatching(); }));
    PARAMD_RETURN_IF_ERROR(Stage("warm up", [this] { return WarmUp(); }));
    ModelDescription& description = model_->description_to_fill();
    description.load_stages = std::move(stages_);
    ModelLoadResult result;
    result.generation = store_->NextGeneration();
    result.weights_id = model_->parameters().weights_id();
    record_.format = LoadFormat(options_.backends);
    record_.choices = LoadChoices(options_);
    record_.generation = result.generation;
    record_.weights_id = result.weights_id;
    record_.batch_rows_max = description.batch_rows_max;
    record_.batching_reason = description.batching_reason;
    record_.arena_bytes = description.arena_bytes;
    result.record = std::move(record_);
    result.model = std::move(model_);
    return result;
  }

  absl::StatusOr<LoadEstimate> Estimate(uint64_t freed_bytes) {
    PARAMD_RETURN_IF_ERROR(PlanShapes());
    LoadEstimate estimate;
    estimate.form_bytes = form_plan_.final_bytes;
    estimate.need = NeedOfAll();
    PARAMD_RETURN_IF_ERROR(Stage("hash", [&]() -> absl::Status {
      PARAMD_ASSIGN_OR_RETURN(estimate.need.parameter_bytes, BytesToAdd());
      return absl::OkStatus();
    }));
    estimate.resident_bytes =
        estimate.form_bytes - std::min(estimate.form_bytes, estimate.need.parameter_bytes);
    estimate.room = Room(freed_bytes);
    estimate.verdict = Admit(options_.label, estimate.need, estimate.room);
    if (!estimate.verdict.ok()) {
      estimate.verdict = Refuse(estimate.verdict, estimate.need, estimate.room);
    }
    return estimate;
  }

 private:
  // Everything that needs no parameter's bytes.
  absl::Status PlanShapes() {
    PARAMD_RETURN_IF_ERROR(CheckOptions(options_));
    PARAMD_RETURN_IF_ERROR(Stage("skim", [this] { return Skim(); }));
    PARAMD_RETURN_IF_ERROR(Stage("import", [this] { return Import(); }));
    return Stage("plan", [this] { return PlanGraph(checkpoint(), plan_sizes_all()); });
  }

  const Checkpoint& checkpoint() const { return *file_contents_.checkpoint; }
  ParameterLoaderHooks Hooks() {
    return {.progress = [this](uint64_t done) { Report(done, checkpoint().total_bytes()); },
            .check =
                [this](const CheckpointTensor& tensor, int32_t index, const TensorView& view) {
                  return CheckNumbers(tensor.name, roles_.tensors[static_cast<size_t>(index)],
                                      view);
                },
            .rate = options_.rate};
  }

  static absl::Status CheckNumbers(std::string_view name, ParameterRole role,
                                   const TensorView& view) {
    if (role == ParameterRole::kNone) return absl::OkStatus();
    const std::optional<int64_t> place = FirstNaN(view);
    if (!place.has_value()) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("parameter '", name, "' (", ParameterRoleName(role),
                                             " ", DTypeName(view.dtype), view.shape.ToString(),
                                             ") is NaN at element ", *place));
  }

  absl::Status Skim() {
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> source, folder_.OpenFile(file_));
    PARAMD_ASSIGN_OR_RETURN(file_contents_, ReadOnnx(std::move(source), &folder_));
    return absl::OkStatus();
  }

  absl::Status Import() {
    OnnxImportOptions import_options;
    import_options.on_value = [this](int32_t tensor, absl::Span<const std::byte> bytes) {
      values_[static_cast<uint32_t>(tensor)] = AsText(bytes);
    };
    return ImportGraph(file_contents_.skeleton, checkpoint(), std::move(import_options),
                       [this](const Graph& graph) {
                         roles_ = FindRoles(checkpoint(), graph);
                         batch_safety_ = ProveBatchSafety(graph);
                       });
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

  AdmissionRoom Room(uint64_t freed_bytes) const {
    const ParameterStore::Usage usage = store_->usage();
    AdmissionRoom room;
    room.store_capacity_bytes = usage.table.capacity_bytes;
    room.store_used_bytes = usage.table.sealed_bytes + usage.table.reserved_bytes;
    room.available_bytes =
        (options_.memory_budget == nullptr ? ReadMemoryBudget() : options_.memory_budget())
            .available_bytes;
    room.freed_bytes = freed_bytes;
    return room;
  }

  // As if nothing were resident: what shapes alone tell.
  AdmissionNeed NeedOfAll() const {
    return {.parameter_bytes = form_plan_.final_bytes,
            .scratch_bytes = form_plan_.ScratchPeak(options_.loader_threads),
            .arena_bytes = ArenaEstimate() * static_cast<uint64_t>(options_.streams)};
  }

  // Bytes of the forms that are not in the table: reads every tensor.
  absl::StatusOr<uint64_t> BytesToAdd() {
    ParameterLoader hasher(checkpoint(), *graph_plan_, form_plan_, store_, Hooks());
    PARAMD_ASSIGN_OR_RETURN(const std::vector<ContentId> source_ids, hasher.HashOnly());
    absl::flat_hash_set<ContentId> known;
    for (const SegmentTable::SegmentInfo& segment : store_->table().List()) {
      for (const EntryPlace& place : segment.places) known.insert(place.key);
    }
    uint64_t bytes = 0, bundle_bytes = 0;
    for (const PlannedForm& form : form_plan_.forms) {
      const ContentId key = KeyOfForm(form_plan_, graph_plan_->forms().form(form.id), source_ids);
      if (form.bytes == 0 || !known.insert(key).second) continue;
      if (form.small) {
        bundle_bytes += form.bytes + kEntryAlignmentBytes;
      } else {
        bytes += PageRoundedBytes(form.bytes);
      }
    }
    return bytes + (bundle_bytes == 0 ? 0 : PageRoundedBytes(bundle_bytes));
  }

  // What a reader of a refusal can do about it.
  std::string WhatWouldFit(const AdmissionNeed& need, const AdmissionRoom& room) const {
    std::string text;
    if (options_.precision == "f32") {
      ModelLoadOptions bf16 = options_;
      bf16.precision = "bf16";
      bf16.progress = nullptr;
      Load smaller(folder_, file_, store_, clock_, bf16);
      const AdmissionMargin margin = smaller.PlanShapes().ok()
                                         ? TighterLimit(smaller.NeedOfAll(), room)
                                         : AdmissionMargin{.needed_bytes = UINT64_MAX};
      if (margin.fits()) {
        StrAppend(&text, "; as bf16 it would fit, with ", margin.needed_bytes, " bytes");
      }
    }
    const AdmissionMargin margin = TighterLimit(need, room);
    const uint64_t lacking = margin.needed_bytes - std::min(margin.needed_bytes, margin.left_bytes);
    std::optional<std::pair<uint64_t, std::string>> best;
    for (const MemoryLedger::SetLine& line : store_->Ledger().sets) {
      const uint64_t unique = line.bytes.unique.total();
      if (unique < lacking || (best.has_value() && best->first <= unique)) continue;
      best = {unique, line.label};
    }
    if (best.has_value()) {
      StrAppend(&text, "; unloading '", best->second, "' would free ", best->first, " bytes");
    }
    return text;
  }

  absl::Status Refuse(const absl::Status& refusal, const AdmissionNeed& need,
                      const AdmissionRoom& room) const {
    return absl::ResourceExhaustedError(
        StrCat(FromAbsl(refusal.message()), WhatWouldFit(need, room)));
  }

  absl::Status AdmitModel() {
    AdmissionNeed need = NeedOfAll();
    absl::Status admitted = Admit(options_.label, need, Room(0));
    if (admitted.ok()) return admitted;
    // It may share what is resident, which only its bytes can tell: they are
    // read once more than usual instead of refusing a model that would fit.
    PARAMD_ASSIGN_OR_RETURN(need.parameter_bytes, BytesToAdd());
    const AdmissionRoom room = Room(0);
    admitted = Admit(options_.label, need, room);
    return admitted.ok() ? admitted : Refuse(admitted, need, room);
  }

  absl::Status LoadParameters() {
    for (const CheckpointRoles::InNode& in_node : roles_.in_nodes) {
      PARAMD_RETURN_IF_ERROR(CheckNumbers(in_node.name, in_node.role, in_node.tensor->view()));
    }
    ParameterLoader loader(checkpoint(), *graph_plan_, form_plan_, store_, Hooks());
    PARAMD_ASSIGN_OR_RETURN(forms_, loader.Load(options_.loader_threads));
    return absl::OkStatus();
  }

  absl::Status SealManifest() {
    PARAMD_ASSIGN_OR_RETURN(
        std::vector<Parameter> parameters,
        DescribeParameters(checkpoint(), roles_, graph_plan_->graph(), forms_.source_ids));
    Manifest manifest = DescribeForms(*graph_plan_, form_plan_, forms_, parameters);
    manifest.format = "onnx";
    manifest.graph = std::move(file_contents_.skeleton);
    manifest.config = options_.config;
    manifest.tensors = static_cast<uint32_t>(checkpoint().tensors().size());
    for (auto& [parameter, bytes] : values_) {
      manifest.values.push_back({parameter, std::move(bytes)});
    }
    PARAMD_ASSIGN_OR_RETURN(const std::string serialized, SerializeManifest(manifest));
    PARAMD_ASSIGN_OR_RETURN(const ParameterRef ref, StoreManifest(store_, serialized));
    record_.manifest = ref.key();
    record_.manifest_bytes = serialized.size();
    record_.plan_sizes = static_cast<uint32_t>(graph_plan_->sizes_needed());
    file_contents_.checkpoint.reset();  // Closes the files.
    const LoadedForms forms = std::move(forms_);
    return MakeModel(forms.refs, ref, parameters);
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
      int64_t largest = 0;
      for (const int64_t rows : WarmRows(description.batch_rows_max)) {
        const absl::Status status = model_->CompileAndKeep(
            description.batch_rows_max > 0 ? WithRows(one_row_, rows) : one_row_);
        if (status.ok()) {
          largest = rows;
          record_.warm.push_back({.rows = rows, .took = absl::ZeroDuration()});
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
    }
    for (const ProgramCache::Entry& entry : *model_->cache().snapshot()) {
      description.arena_bytes = std::max(description.arena_bytes, entry.program->arena_bytes);
    }
    return absl::OkStatus();
  }

  const Directory& folder_;
  const std::string_view file_;
  OnnxFile file_contents_;
  CheckpointRoles roles_;
  BatchSafety batch_safety_;
  std::map<uint32_t, std::string> values_;  // What the import read, by tensor.
  LoadedForms forms_;
  ModelRecord record_;
};

}  // namespace

absl::StatusOr<LoadEstimate> EstimateLoad(const Directory& folder, std::string_view file,
                                          ParameterStore* store, const Clock* clock,
                                          const ModelLoadOptions& options, uint64_t freed_bytes) {
  return Load(folder, file, store, clock, options).Estimate(freed_bytes);
}

absl::StatusOr<ModelLoadResult> LoadModel(const Directory& folder, std::string_view file,
                                          ParameterStore* store, const Clock* clock,
                                          const ModelLoadOptions& options) {
  return Load(folder, file, store, clock, options).Run();
}

}  // namespace paramd
