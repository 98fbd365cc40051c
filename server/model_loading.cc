#include "server/model_loading.h"

#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <any>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "server/batching/warm_up.h"
#include "server/config/model_config.h"

namespace paramd {
namespace {

// Address space of the activations of warm-up runs; memory appears as it is touched.
constexpr uint64_t kArenaAddressBytes = uint64_t{64} << 30;

// For the manifest: what of the configuration shaped this load.
std::string ConfigText(const ModelConfig& config, std::string_view precision) {
  return StrCat("precision: ", precision, "\nmax_batch_size: ",
                config.max_batch_size.has_value() ? StrCat(*config.max_batch_size) : "automatic",
                "\nbatch_invariant: ", config.batch_invariant ? "true" : "false", "\n");
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

ModelLoadOptions ModelLoading::OptionsFor(const LoadRequest& request,
                                          const LoadProgress& progress) const {
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  ModelLoadOptions options;
  options.label = LabelOf(request.id);
  options.precision =
      std::string(PrecisionName(config.precision.value_or(config_.default_precision)));
  options.threads = streams_.threads_per_stream;
  options.loader_threads = std::max(1, static_cast<int>(config_.loader_threads));
  options.max_batch_size = config.max_batch_size;
  // A call that rides alone is answered bit for bit alike, whatever else is asked.
  if (config.batch_invariant) options.max_batch_size = 0;
  options.streams = streams_.streams;
  options.config = ConfigText(config, options.precision);
  options.programs_max = static_cast<size_t>(config_.compiled_shapes_max);
  options.progress = [&progress](const LoadStep& step) {
    progress({std::string(step.stage), step.bytes_done, step.bytes_total});
  };
  return options;
}

absl::StatusOr<LoadedModel> ModelLoading::Load(const LoadRequest& request,
                                               const LoadProgress& progress) const {
  const ModelLoadOptions options = OptionsFor(request, progress);
  if (std::optional<LoadedModel> restored = Restore(request, options)) {
    return *std::move(restored);
  }
  return LoadFromFiles(request, options);
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

absl::StatusOr<LoadedModel> ModelLoading::LoadFromFiles(const LoadRequest& request,
                                                        const ModelLoadOptions& options) const {
  if (options_.idle_priority) RunWhenIdle();
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  const absl::Time start = clock_->Now();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                          repository_->OpenDirectory(request.directory));
  PARAMD_ASSIGN_OR_RETURN(ModelLoadResult loaded,
                          LoadModel(*folder, config.model_filename, store_, clock_, options));
  const ModelDescription& description = loaded.model->description();
  PARAMD_RETURN_IF_ERROR(
      CheckDeclarations(config, Declared(description.inputs), Declared(description.outputs)));
  options.progress({.stage = "measure"});
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));
  PARAMD_ASSIGN_OR_RETURN(std::vector<WarmSize> warm,
                          WarmUp(*loaded.model, arena.get(), *clock_, WarmUpOptions()));
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
