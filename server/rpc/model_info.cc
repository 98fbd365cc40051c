#include "server/rpc/model_info.h"

#include <map>
#include <string>
#include <string_view>

#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "runtime/params/parameter_set.h"

namespace paramd {
namespace {

v1::VersionState ToProto(VersionState state) {
  switch (state) {
    case VersionState::kPending:
      return v1::VERSION_STATE_PENDING;
    case VersionState::kLoading:
      return v1::VERSION_STATE_LOADING;
    case VersionState::kWarming:
      return v1::VERSION_STATE_WARMING;
    case VersionState::kServing:
      return v1::VERSION_STATE_SERVING;
    case VersionState::kDraining:
      return v1::VERSION_STATE_DRAINING;
    case VersionState::kUnloaded:
      return v1::VERSION_STATE_UNLOADED;
    case VersionState::kFailed:
      return v1::VERSION_STATE_FAILED;
  }
  return v1::VERSION_STATE_UNSPECIFIED;
}

v1::ParameterRole ToProto(ParameterRole role) {
  switch (role) {
    case ParameterRole::kWeight:
      return v1::PARAMETER_ROLE_WEIGHT;
    case ParameterRole::kBias:
      return v1::PARAMETER_ROLE_BIAS;
    case ParameterRole::kStatistic:
      return v1::PARAMETER_ROLE_STATISTIC;
    case ParameterRole::kNone:
      return v1::PARAMETER_ROLE_CONSTANT;
  }
  return v1::PARAMETER_ROLE_UNSPECIFIED;
}

v1::DataType ToProto(DType dtype) { return static_cast<v1::DataType>(dtype); }  // Same numbers.

void FillVersion(const VersionStatus& status, v1::VersionStatus* version) {
  version->set_version(status.number);
  version->set_state(ToProto(status.state));
  version->set_reason(status.reason);
  version->set_generation(status.weights.generation);
  version->set_weights_id(status.weights.weights_id);
  if (status.desired) version->set_why(status.why);
}

void FillLabels(const ModelStatus& status, google::protobuf::Map<std::string, int64_t>* labels) {
  for (const DesiredName& name : status.names) (*labels)[name.name] = name.version;
}

void FillTensor(const TensorSpec& spec, v1::TensorInfo* tensor) {
  tensor->set_name(spec.name);
  tensor->set_dtype(ToProto(spec.dtype));
  for (const Dim& dim : spec.shape) {
    if (dim.known()) {
      tensor->add_shape()->set_size(dim.size);
    } else {
      tensor->add_shape()->set_symbol(dim.symbol.empty() ? "?" : dim.symbol);
    }
  }
}

void FillCounts(const ParameterSet& parameters, v1::GetModelInfoResponse* response) {
  const ParameterCounts& counts = parameters.counts();
  v1::ParameterCounts* out = response->mutable_counts();
  out->set_parameters(static_cast<uint64_t>(counts.trained()));
  out->set_weights(static_cast<uint64_t>(counts.of(ParameterRole::kWeight)));
  out->set_biases(static_cast<uint64_t>(counts.of(ParameterRole::kBias)));
  out->set_statistics(static_cast<uint64_t>(counts.of(ParameterRole::kStatistic)));
  uint64_t tensors = 0;
  for (const int64_t of_role : counts.tensors) tensors += static_cast<uint64_t>(of_role);
  out->set_tensors(tensors);
  auto& by_dtype = *response->mutable_checkpoint_bytes_by_dtype();
  for (const Parameter& parameter : parameters.parameters()) {
    by_dtype[std::string(DTypeName(parameter.dtype))] += parameter.bytes;
  }
}

void FillMemory(const ParameterSet& parameters, const ModelDescription& description,
                v1::MemoryInfo* memory) {
  const SetBytes bytes = parameters.bytes();
  const auto both = [&bytes](EntryKind kind) {
    return bytes.unique.of(kind) + bytes.shared.of(kind);
  };
  memory->set_unique_bytes(bytes.unique.total());
  memory->set_shared_bytes(bytes.shared.total());
  memory->set_packed_bytes(both(EntryKind::kPacked));
  memory->set_original_bytes(both(EntryKind::kTensor));
  memory->set_arena_bytes(description.arena_bytes);
}

void FillParameter(const Parameter& parameter, v1::ParameterInfo* info) {
  info->set_name(parameter.name);
  info->set_role(ToProto(parameter.role));
  info->set_dtype(ToProto(parameter.dtype));
  for (const int64_t dim : parameter.shape.dims()) info->add_shape(dim);
  info->set_bytes(parameter.bytes);
  info->set_content_id(parameter.content_id.ToHex());
  info->set_count(static_cast<uint64_t>(parameter.shape.elements()));
  info->set_frozen(true);  // Every byte that is served is sealed.
}

void FillOp(const OpReport& report, v1::OpInfo* op) {
  op->set_name(report.node);
  op->set_op(report.op);
  op->set_backend(report.backend);
  op->set_implementation(report.implementation);
  for (const auto& [backend, reason] : report.refusals) {
    v1::OpRefusal* refused = op->add_refused();
    refused->set_backend(backend);
    refused->set_reason(reason);
  }
  for (const std::string& name : report.fused) op->add_fused(name);
}

void FillDescription(const ModelDescription& description, v1::GetModelInfoResponse* response) {
  for (const TensorSpec& spec : description.inputs) FillTensor(spec, response->add_inputs());
  for (const TensorSpec& spec : description.outputs) FillTensor(spec, response->add_outputs());
  for (const auto& [name, value] : description.hyperparameters) {
    (*response->mutable_hyperparameters())[name] = value;
  }
  response->set_precision(description.precision);
  v1::BatchingInfo* batching = response->mutable_batching();
  batching->set_max_batch_size(description.batch_rows_max);
  batching->set_safe(description.batch_rows_max > 0);
  batching->set_reason(description.batching_reason);
  double seconds = 0;
  for (const auto& [name, duration] : description.load_stages) {
    v1::LoadStage* stage = response->add_load_stages();
    stage->set_name(name);
    stage->set_seconds(absl::ToDoubleSeconds(duration));
    seconds += stage->seconds();
  }
  response->set_load_seconds(seconds);
  response->set_format(description.format);
  response->set_producer(description.producer);
}

}  // namespace

void FillModelInfo(const ModelStatus& status, const ModelHandle& version,
                   const ModelInfoOptions& options, v1::GetModelInfoResponse* response) {
  response->set_model(status.name);
  for (const VersionStatus& known : status.versions) FillVersion(known, response->add_versions());
  FillLabels(status, response->mutable_labels());
  if (!version) return;
  const ModelDescription& description = version->model().description();
  const ParameterSet& parameters = version->model().parameters();
  response->set_version(version->id().number);
  response->set_generation(version->generation());
  response->set_weights_id(version->weights_id());
  FillDescription(description, response);
  FillCounts(parameters, response);
  FillMemory(parameters, description, response->mutable_memory());
  if (options.parameters) {
    for (const Parameter& parameter : parameters.parameters()) {
      FillParameter(parameter, response->add_parameters());
    }
  }
  if (options.ops) {
    for (const OpReport& report : description.ops) FillOp(report, response->add_ops());
  }
}

void FillModelList(const ServingStatus& status, v1::ListModelsResponse* response) {
  for (const ModelStatus& model : status.models) {
    v1::ModelSummary* summary = response->add_models();
    summary->set_model(model.name);
    for (const VersionStatus& version : model.versions) {
      FillVersion(version, summary->add_versions());
    }
    summary->set_default_version(model.default_version);
    summary->set_ready(model.ready);
    summary->set_error(model.error);
    FillLabels(model, summary->mutable_labels());
  }
}

}  // namespace paramd
