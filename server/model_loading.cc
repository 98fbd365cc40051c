#include "server/model_loading.h"

#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <any>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/str_join.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "server/batching/warm_up.h"
#include "server/config/model_config.h"
#include "server/gate/gate.h"
#include "server/output_labels.h"

namespace paramd {
namespace {

// For the manifest: what of the configuration shaped this load.
std::string ConfigText(const ModelConfig& config, std::string_view precision) {
  return StrCat("precision: ", precision, "\nmax_batch_size: ",
                config.max_batch_size.has_value() ? StrCat(*config.max_batch_size) : "automatic",
                "\nbatch_invariant: ", config.batch_invariant ? "true" : "false",
                "\ndisabled_passes: ", absl::StrJoin(config.disabled_passes, ","), "\n");
}

std::vector<DeclaredTensor> Declared(const std::vector<TensorSpec>& specs) {
  std::vector<DeclaredTensor> declared;
  for (const TensorSpec& spec : specs) {
    DeclaredTensor& tensor = declared.emplace_back();
    tensor.name = spec.name;
    tensor.dtype = spec.dtype;
    for (const Dim& dim : spec.shape) tensor.dims.push_back(dim.known() ? dim.size : -1);
  }
  return declared;
}

// Reading and packing must not take time from requests: from here on this thread
// runs when nobody else wants to. Restoring comes before: while it goes on,
// nothing serves. There is no way back without a privilege.
void RunWhenIdle() {
  thread_local const bool done = [] {
    const sched_param param = {};
    if (sched_setscheduler(0, SCHED_IDLE, &param) != 0) {
      LOG(WARNING) << "loading runs at normal priority: the kernel refused SCHED_IDLE";
    }
    return true;
  }();
  static_cast<void>(done);
}

std::string LabelOf(const VersionId& id) { return StrCat(id.model, "/", id.number); }

std::string StagesText(const ModelDescription& description) {
  std::string text;
  for (const auto& [stage, took] : description.load_stages) {
    StrAppend(&text, text.empty() ? "" : ", ", stage, " ", absl::FormatDuration(took));
  }
  return text;
}

}  // namespace

ModelLoadOptions ModelLoading::OptionsFor(const LoadRequest& request, const LoadProgress& progress,
                                          std::atomic<uint64_t>* read) const {
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  ModelLoadOptions options;
  options.label = LabelOf(request.id);
  options.precision =
      std::string(PrecisionName(config.precision.value_or(config_.default_precision)));
  options.threads = streams_.threads_per_stream;
  options.loader_threads = static_cast<int>(config_.loader_threads);
  if (options.loader_threads == 0) {
    options.loader_threads =
        NobodyIsDisturbed() ? streams_.streams * streams_.threads_per_stream : 1;
  }
  options.max_batch_size = config.max_batch_size;
  // A call that rides alone is answered bit for bit alike, whatever else is asked.
  if (config.batch_invariant) options.max_batch_size = 0;
  options.streams = streams_.streams;
  options.disabled_passes = config.disabled_passes;
  options.config = ConfigText(config, options.precision);
  options.programs_max = static_cast<size_t>(config_.compiled_shapes_max);
  options.rate = rate_.get();
  options.progress = [this, &progress, read, model = request.id.model](const LoadStep& step) {
    progress({std::string(step.stage), step.bytes_done, step.bytes_total});
    // Several threads report: each tells of what no other has told of.
    uint64_t told = read->load();
    while (options_.on_read && step.bytes_done > told) {
      if (!read->compare_exchange_weak(told, step.bytes_done)) continue;
      options_.on_read(model, step.bytes_done - told);
      break;
    }
  };
  return options;
}

absl::StatusOr<LoadedModel> ModelLoading::Load(const LoadRequest& request,
                                               const LoadProgress& progress) const {
  std::atomic<uint64_t> read{0};
  const ModelLoadOptions options = OptionsFor(request, progress, &read);
  ModelConfig config = std::any_cast<const ModelConfig&>(request.config);
  const std::string_view folder(request.directory);
  const absl::Status labels =
      ReadLabels(*repository_, folder.substr(0, folder.rfind('/')), &config);
  if (std::optional<LoadedModel> restored = Restore(request, options)) {
    // What is in memory serves although its folder is gone.
    LOG_IF(WARNING, !labels.ok()) << options.label << " answers without labels: " << labels;
    restored->config = std::move(config);
    return *std::move(restored);
  }
  PARAMD_RETURN_IF_ERROR(labels);
  PARAMD_ASSIGN_OR_RETURN(LoadedModel loaded, LoadFromFiles(request, options));
  loaded.config = std::move(config);
  return loaded;
}

std::optional<LoadedModel> ModelLoading::Restore(const LoadRequest& request,
                                                 const ModelLoadOptions& options) const {
  if (request.revision.empty()) return std::nullopt;
  const std::optional<HeldModels::Held> held = held_->Find(options.label);
  if (!held.has_value()) return std::nullopt;
  const absl::Time start = clock_->Now();
  absl::Status reason;
  if (held->record.revision != request.revision) {
    reason = absl::FailedPreconditionError("its files or its configuration changed");
  } else {
    absl::StatusOr<ModelLoadResult> restored = RestoreModel(held->record, store_, clock_, options);
    if (restored.ok()) {
      LOG(INFO) << "restored " << options.label << " from memory in " << clock_->Now() - start
                << " (" << StagesText(restored->model->description()) << "), generation "
                << restored->generation << ", weights " << restored->weights_id.ShortHex();
      LoadedModel loaded{.model = std::move(restored->model),
                         .weights = {.generation = restored->generation,
                                     .weights_id = restored->weights_id.ToHex()}};
      for (const MeasuredBatch& size : restored->record.warm) {
        (size.rows == 1 ? loaded.warm : loaded.warm_later).push_back({size.rows, size.took});
      }
      return loaded;
    }
    reason = restored.status();
  }
  LOG(INFO) << options.label << " is in memory and is loaded anew: " << reason.message();
  return std::nullopt;
}

bool ModelLoading::CanRestore(const VersionId& id, const std::string& revision) const {
  if (revision.empty()) return false;
  const std::optional<HeldModels::Held> held = held_->Find(LabelOf(id));
  return held.has_value() && held->record.revision == revision &&
         held->record.format == LoadFormat();
}

absl::StatusOr<std::vector<WarmSize>> ModelLoading::WarmUpAndPassGate(
    const LoadRequest& request, const ModelLoadOptions& options, const Model& model,
    absl::Span<const GoldenCase> cases) const {
  options.progress({.stage = "measure"});
  WarmUpOptions warm_up;
  // Whoever waits for the first answer wants it now; batches tell their times later.
  if (NobodyIsDisturbed()) warm_up.measure_time_max = absl::ZeroDuration();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));
  PARAMD_ASSIGN_OR_RETURN(std::vector<WarmSize> warm, WarmUp(model, arena.get(), *clock_, warm_up));
  options.progress({.stage = "gate"});
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  GateOptions gate;
  gate.tolerance = config.gate_tolerance;
  gate.latency_factor = config.gate_latency_factor.value_or(gate.latency_factor);
  const ModelHandle serving = options_.serving ? options_.serving(request.id.model) : ModelHandle();
  PARAMD_ASSIGN_OR_RETURN(
      const GateReport report,
      PassGate(model, serving ? &serving->model() : nullptr, cases, arena.get(), *clock_, gate));
  for (const std::string& warning : report.warnings) {
    LOG(WARNING) << options.label << ": " << warning;
  }
  if (report.cases > 0) {
    LOG(INFO) << options.label << " passed the gate: " << report.cases
              << " golden requests, at most " << report.worst_error << " apart (" << report.worst_at
              << "), " << report.took << " a run, before " << report.took_before;
  }
  return warm;
}

absl::StatusOr<LoadedModel> ModelLoading::LoadFromFiles(const LoadRequest& request,
                                                        const ModelLoadOptions& options) const {
  if (options_.idle_priority && !NobodyIsDisturbed()) RunWhenIdle();
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  const absl::Time start = clock_->Now();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                          repository_->OpenDirectory(request.directory));
  // Before the load: a damaged file of a few lines should not cost minutes.
  PARAMD_ASSIGN_OR_RETURN(const std::vector<GoldenCase> cases, ReadGoldenCases(*folder));
  PARAMD_ASSIGN_OR_RETURN(ModelLoadResult loaded,
                          LoadModel(*folder, config.model_filename, store_, clock_, options));
  const ModelDescription& description = loaded.model->description();
  PARAMD_RETURN_IF_ERROR(
      CheckDeclarations(config, Declared(description.inputs), Declared(description.outputs)));
  PARAMD_ASSIGN_OR_RETURN(std::vector<WarmSize> warm,
                          WarmUpAndPassGate(request, options, *loaded.model, cases));
  LOG(INFO) << "loaded " << options.label << " in " << clock_->Now() - start << " ("
            << StagesText(description) << "): " << loaded.model->parameters().counts().trained()
            << " parameters, generation " << loaded.generation << ", weights "
            << loaded.weights_id.ShortHex() << ", batching: " << description.batching_reason;
  if (!request.revision.empty()) {
    loaded.record.revision = request.revision;
    if (!warm.empty()) loaded.record.warm.clear();
    for (const WarmSize& size : warm) loaded.record.warm.push_back({size.rows, size.took});
    PARAMD_RETURN_IF_ERROR(held_->Hold(options.label, loaded.record, loaded.model->parameters()));
  }
  return LoadedModel{
      .model = std::move(loaded.model),
      .weights = {.generation = loaded.generation, .weights_id = loaded.weights_id.ToHex()},
      .warm = std::move(warm)};
}

absl::StatusOr<LoadPlan> ModelLoading::Plan(const LoadRequest& request,
                                            absl::Span<const VersionId> goes_first) const {
  const LoadProgress quiet = [](const LoadNote&) {};
  std::atomic<uint64_t> read{0};
  const ModelLoadOptions options = OptionsFor(request, quiet, &read);
  LoadPlan plan{.model = request.id.model, .version = request.id.number};
  uint64_t freed = 0;
  for (const MemoryLedger::SetLine& line : store_->Ledger().sets) {
    for (const VersionId& id : goes_first) {
      if (line.label == LabelOf(id)) freed += line.bytes.unique.total();
    }
  }
  plan.freed_bytes = freed;
  const std::optional<HeldModels::Held> held = held_->Find(options.label);
  if (held.has_value() && !request.revision.empty() && held->record.revision == request.revision &&
      held->record.format == LoadFormat() && held->record.choices == LoadChoices(options)) {
    const ParameterStore::Usage usage = store_->usage();
    for (const SegmentTable::SegmentInfo& segment : store_->table().List()) {
      const bool its =
          std::any_of(segment.places.begin(), segment.places.end(), [&](const EntryPlace& place) {
            return std::find(held->keys.begin(), held->keys.end(), place.key) != held->keys.end();
          });
      if (its) plan.parameter_bytes += segment.bytes;
    }
    plan.resident_bytes = plan.parameter_bytes;
    plan.capacity_bytes = usage.table.capacity_bytes;
    const uint64_t used = usage.table.sealed_bytes + usage.table.reserved_bytes;
    plan.left_bytes = usage.table.capacity_bytes - std::min(usage.table.capacity_bytes, used);
    return plan;
  }
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                          repository_->OpenDirectory(request.directory));
  PARAMD_ASSIGN_OR_RETURN(
      const LoadEstimate estimate,
      EstimateLoad(*folder, config.model_filename, store_, clock_, options, freed));
  const AdmissionMargin margin = TighterLimit(estimate.need, estimate.room);
  plan.parameter_bytes = estimate.form_bytes;
  plan.resident_bytes = estimate.resident_bytes;
  plan.scratch_bytes = estimate.need.scratch_bytes;
  plan.arena_bytes = estimate.need.arena_bytes;
  plan.needed_bytes = margin.needed_bytes;
  plan.left_bytes = margin.left_bytes;
  plan.capacity_bytes = estimate.room.store_capacity_bytes;
  plan.verdict = estimate.verdict;
  return plan;
}

void ModelLoading::Unloaded(const VersionId& id, const WeightsIdentity& weights) const {
  held_->Release(LabelOf(id), weights.generation);
}

void ModelLoading::ReleaseUnserved(const ServingStatus& status) const {
  if (!status.settled || !status.converged) return;
  std::vector<std::pair<std::string, uint64_t>> served;
  for (const ModelStatus& model : status.models) {
    for (const VersionStatus& version : model.versions) {
      if (version.weights.generation == 0) continue;
      served.emplace_back(LabelOf({model.name, version.number}), version.weights.generation);
    }
  }
  if (const int released = held_->ReleaseAllBut(served); released > 0) {
    LOG(INFO) << released << " versions that an earlier worker held are not wanted any more";
  }
}

void ModelLoading::Tidy() const {
  if (options_.idle_priority) RunWhenIdle();
  store_->CollapseSegments();
  malloc_trim(0);
}

}  // namespace paramd
