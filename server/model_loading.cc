#include "server/model_loading.h"

#include <malloc.h>

#include <algorithm>
#include <any>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/loading/model_loader.h"
#include "server/config/model_config.h"

namespace paramd {
namespace {

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

}  // namespace

absl::StatusOr<LoadedModel> ModelLoading::Load(const LoadRequest& request,
                                               const LoadProgress& progress) const {
  const auto& config = std::any_cast<const ModelConfig&>(request.config);
  const std::string label = StrCat(request.id.model, "/", request.id.number);
  ModelLoadOptions options;
  options.label = label;
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
  const absl::Time start = clock_->Now();
  LOG(INFO) << "loading " << label;
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                          repository_->OpenDirectory(request.directory));
  PARAMD_ASSIGN_OR_RETURN(ModelLoadResult loaded,
                          LoadModel(*folder, config.model_filename, store_, clock_, options));
  const ModelDescription& description = loaded.model->description();
  PARAMD_RETURN_IF_ERROR(
      CheckDeclarations(config, Declared(description.inputs), Declared(description.outputs)));
  LOG(INFO) << "loaded " << label << " in " << clock_->Now() - start << ": "
            << loaded.model->parameters().counts().trained() << " parameters, generation "
            << loaded.generation << ", weights " << loaded.weights_id.ShortHex()
            << ", batching: " << description.batching_reason;
  return LoadedModel{
      .model = std::move(loaded.model),
      .weights = {.generation = loaded.generation, .weights_id = loaded.weights_id.ToHex()}};
}

void ModelLoading::Tidy() const {
  store_->CollapseSegments();
  malloc_trim(0);
}

}  // namespace paramd
