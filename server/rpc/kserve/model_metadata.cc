#include "server/rpc/kserve/model_metadata.h"

#include <any>
#include <string>

#include "absl/strings/ascii.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/config/model_config.h"
#include "server/rpc/kserve/infer_types.h"
#include "server/rpc/kserve/state_pairs.h"

namespace paramd {
namespace {

constexpr char kPlatform[] = "onnxruntime_onnx";  // What Triton calls models that are ONNX.
constexpr char kBackend[] = "onnxruntime";

// Types without a name in the protocol are shown under ours.
std::string TypeName(DType dtype) {
  const std::string_view name = InferTypeName(dtype);
  return name.empty() ? absl::AsciiStrToUpper(ToAbsl(DTypeName(dtype))) : std::string(name);
}

inference::DataType ConfigType(DType dtype) {
  const std::string_view name = InferTypeName(dtype);
  if (name.empty()) return inference::TYPE_INVALID;
  inference::DataType type = inference::TYPE_INVALID;
  inference::DataType_Parse(dtype == DType::kString ? "TYPE_STRING" : StrCat("TYPE_", name), &type);
  return type;
}

void FillTensor(const TensorSpec& spec, inference::ModelMetadataResponse::TensorMetadata* tensor) {
  tensor->set_name(spec.name);
  tensor->set_datatype(TypeName(spec.dtype));
  for (const Dim& dim : spec.shape) tensor->add_shape(dim.known() ? dim.size : -1);
}

template <typename Tensor>
void FillConfigTensor(const TensorSpec& spec, bool batched, Tensor* tensor) {
  tensor->set_name(spec.name);
  tensor->set_data_type(ConfigType(spec.dtype));
  for (size_t i = batched ? 1 : 0; i < spec.shape.size(); ++i) {
    tensor->add_dims(spec.shape[i].known() ? spec.shape[i].size : -1);
  }
}

void FillPolicy(const VersionPolicy& policy, inference::ModelVersionPolicy* message) {
  switch (policy.kind) {
    case VersionPolicy::Kind::kAll:
      message->mutable_all();
      return;
    case VersionPolicy::Kind::kLatest:
      message->mutable_latest()->set_num_versions(static_cast<uint32_t>(policy.latest_count));
      return;
    case VersionPolicy::Kind::kSpecific:
      for (const int64_t number : policy.versions)
        message->mutable_specific()->add_versions(number);
      return;
  }
}

void FillBatching(const ModelConfig& config, inference::ModelDynamicBatching* batching) {
  for (const int64_t rows : config.preferred_batch_sizes) {
    batching->add_preferred_batch_size(static_cast<int32_t>(rows));
  }
  batching->set_max_queue_delay_microseconds(
      static_cast<uint64_t>(absl::ToInt64Microseconds(config.queue_delay_max)));
  batching->set_priority_levels(static_cast<uint64_t>(config.priority_levels));
  batching->set_default_priority_level(static_cast<uint64_t>(config.default_priority));
  inference::ModelQueuePolicy* queue = batching->mutable_default_queue_policy();
  queue->set_max_queue_size(static_cast<uint32_t>(config.queue_requests_max));
  if (config.request_timeout_default != absl::InfiniteDuration()) {
    queue->set_default_timeout_microseconds(
        static_cast<uint64_t>(absl::ToInt64Microseconds(config.request_timeout_default)));
  }
}

void FillStates(const ModelDescription& description, const ModelConfig* config, bool batched,
                inference::ModelConfig* message) {
  for (const StatePair& pair : FindStatePairs(description, config)) {
    const TensorSpec& input = description.inputs[static_cast<size_t>(pair.input)];
    inference::ModelSequenceBatching::State* state =
        message->mutable_sequence_batching()->add_state();
    state->set_input_name(input.name);
    state->set_output_name(description.outputs[static_cast<size_t>(pair.output)].name);
    state->set_data_type(ConfigType(input.dtype));
    for (size_t i = batched ? 1 : 0; i < input.shape.size(); ++i) {
      state->add_dims(input.shape[i].known() ? input.shape[i].size : -1);
    }
  }
}

}  // namespace

void FillModelMetadata(const ModelVersion& version, const ModelStatus* model,
                       inference::ModelMetadataResponse* metadata) {
  metadata->set_name(version.id().model);
  metadata->set_platform(kPlatform);
  if (model != nullptr) {
    for (const VersionStatus& known : model->versions) {
      if (known.state == VersionState::kServing) metadata->add_versions(StrCat(known.number));
    }
  }
  if (metadata->versions().empty()) metadata->add_versions(StrCat(version.id().number));
  const ModelDescription& description = version.model().description();
  for (const TensorSpec& spec : description.inputs) FillTensor(spec, metadata->add_inputs());
  for (const TensorSpec& spec : description.outputs) FillTensor(spec, metadata->add_outputs());
  (*metadata->mutable_properties())["paramd_generation"] = StrCat(version.generation());
  (*metadata->mutable_properties())["paramd_weights_id"] = version.weights_id();
}

void FillModelConfig(const ModelVersion& version, inference::ModelConfig* message) {
  const ModelDescription& description = version.model().description();
  const auto* const config = std::any_cast<ModelConfig>(&version.config());
  const bool batched = description.batch_rows_max > 0;
  message->set_name(version.id().model);
  message->set_platform(kPlatform);
  message->set_backend(kBackend);
  message->set_max_batch_size(static_cast<int32_t>(description.batch_rows_max));
  for (const TensorSpec& spec : description.inputs) {
    FillConfigTensor(spec, batched, message->add_input());
  }
  for (const TensorSpec& spec : description.outputs) {
    inference::ModelOutput* const output = message->add_output();
    FillConfigTensor(spec, batched, output);
    if (config == nullptr) continue;
    const DeclaredTensor* const declared = FindDeclaredOutput(*config, spec.name);
    if (declared != nullptr) output->set_label_filename(declared->label_filename);
  }
  message->mutable_model_transaction_policy()->set_decoupled(false);
  (*message->mutable_parameters())["precision"].set_string_value(description.precision);
  FillStates(description, config, batched, message);
  if (config != nullptr && config->sequence_idle_max && message->has_sequence_batching()) {
    message->mutable_sequence_batching()->set_max_sequence_idle_microseconds(
        static_cast<uint64_t>(absl::ToInt64Microseconds(*config->sequence_idle_max)));
  }
  const ModelConfig defaults;
  const ModelConfig& shown = config == nullptr ? defaults : *config;
  FillPolicy(shown.version_policy, message->mutable_version_policy());
  message->set_default_model_filename(shown.model_filename);
  if (shown.concurrent_batches_max > 0) {  // Else as many as there are streams.
    inference::ModelInstanceGroup* const group = message->add_instance_group();
    group->set_kind(inference::ModelInstanceGroup::KIND_CPU);
    group->set_count(static_cast<int32_t>(shown.concurrent_batches_max));
  }
  // One of the two: a model that keeps state is one that sequences are sent to.
  if (batched && !message->has_sequence_batching()) {
    FillBatching(shown, message->mutable_dynamic_batching());
  }
}

}  // namespace paramd
