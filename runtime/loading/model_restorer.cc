#include <map>
#include <string>
#include <utility>

#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/loading/batching_check.h"
#include "runtime/loading/load_steps.h"
#include "runtime/loading/model_loader.h"

namespace paramd {
namespace {

class Restore : LoadSteps {
 public:
  Restore(const ModelRecord& record, ParameterStore* store, const Clock* clock,
          const ModelLoadOptions& options)
      : LoadSteps(store, clock, options), record_(record) {}

  absl::StatusOr<ModelLoadResult> Run() {
    PARAMD_RETURN_IF_ERROR(CheckOptions(options_));
    PARAMD_RETURN_IF_ERROR(CheckRecord());
    PARAMD_RETURN_IF_ERROR(Stage("manifest", [this] { return ReadManifest(); }));
    PARAMD_RETURN_IF_ERROR(Stage("import", [this] { return Import(); }));
    PARAMD_RETURN_IF_ERROR(
        Stage("plan", [this] { return PlanGraph(checkpoint_, record_.plan_sizes); }));
    PARAMD_RETURN_IF_ERROR(Stage("claim", [this] { return ClaimForms(); }));
    PARAMD_RETURN_IF_ERROR(Stage("compile", [this] { return CompileOneRow(); }));
    model_->description_to_fill().load_stages = std::move(stages_);
    ModelLoadResult result;
    result.generation = record_.generation;
    result.weights_id = record_.weights_id;
    result.record = record_;
    result.model = std::move(model_);
    return result;
  }

 private:
  absl::Status CheckRecord() {
    if (const std::string format = LoadFormat(options_.backends); record_.format != format) {
      return absl::FailedPreconditionError(StrCat("'", options_.label, "' was loaded as '",
                                                  record_.format, "', this build has '", format,
                                                  "'"));
    }
    if (const std::string choices = LoadChoices(options_); record_.choices != choices) {
      return absl::FailedPreconditionError(StrCat("'", options_.label, "' was loaded with ",
                                                  record_.choices, ", now it is ", choices));
    }
    return absl::OkStatus();
  }

  absl::Status ReadManifest() {
    const EntryRequest request{record_.manifest, record_.manifest_bytes};
    absl::StatusOr<std::vector<ParameterRef>> refs = store_->ClaimResident({&request, 1});
    if (!refs.ok()) return NotRestorable(refs.status());
    manifest_ref_ = std::move(refs->front());
    const absl::Span<const std::byte> bytes = manifest_ref_.bytes();
    const Shape shape = {static_cast<int64_t>(bytes.size())};
    if (TensorContentId(DType::kU8, shape.dims(), DigestOf(bytes)) != record_.manifest) {
      return absl::DataLossError("the manifest is not what its key says");
    }
    PARAMD_ASSIGN_OR_RETURN(manifest_, ParseManifest(bytes));
    if (manifest_.format != "onnx" || manifest_.weights_id != record_.weights_id) {
      return absl::DataLossError("the record names another manifest than its own");
    }
    std::map<uint32_t, std::string> values;
    for (ManifestValue& value : manifest_.values) {
      values.emplace(value.parameter, std::move(value.bytes));
    }
    for (uint32_t i = 0; i < manifest_.tensors; ++i) {
      const Parameter& parameter = manifest_.parameters[i];
      CheckpointTensor tensor{.name = parameter.name,
                              .dtype = parameter.dtype,
                              .shape = parameter.shape,
                              .bytes = parameter.bytes,
                              .encoding = CheckpointTensor::Encoding::kAbsent};
      if (const auto value = values.find(i); value != values.end()) {
        if (value->second.size() != tensor.bytes) {
          return absl::DataLossError(
              StrCat("the value of '", tensor.name, "' has ", value->second.size(), " bytes"));
        }
        tensor.encoding = CheckpointTensor::Encoding::kInline;
        tensor.inline_bytes = std::move(value->second);
      }
      PARAMD_RETURN_IF_ERROR(checkpoint_.AddTensor(std::move(tensor)));
    }
    return absl::OkStatus();
  }

  absl::Status Import() {
    return ImportGraph(manifest_.graph, checkpoint_, OnnxImportOptions(), [](const Graph&) {});
  }

  // What the store calls each source: of tensors from the manifest; what the
  // graph holds is small and is hashed.
  std::vector<ContentId> SourceIds() const {
    std::vector<ContentId> ids;
    for (const FormSource& source : form_plan_.sources) {
      if (source.held == nullptr) {
        ids.push_back(manifest_.parameters[static_cast<size_t>(source.tensor)].content_id);
        continue;
      }
      const TensorView view = source.held->view();
      ids.push_back(
          TensorContentId(view.dtype, view.shape.dims(),
                          DigestOf({static_cast<const std::byte*>(view.data), view.bytes()})));
    }
    return ids;
  }

  absl::Status ClaimForms() {
    const std::vector<ContentId> source_ids = SourceIds();
    std::vector<EntryRequest> requests;
    std::vector<FormId> forms;
    for (const PlannedForm& planned : form_plan_.forms) {
      if (planned.bytes == 0) continue;
      requests.push_back({KeyOfForm(form_plan_, graph_plan_->forms().form(planned.id), source_ids),
                          planned.bytes});
      forms.push_back(planned.id);
    }
    absl::StatusOr<std::vector<ParameterRef>> refs = store_->ClaimResident(requests);
    if (!refs.ok()) return NotRestorable(refs.status());
    std::vector<ParameterRef> by_form(form_plan_.forms.size());
    for (size_t i = 0; i < forms.size(); ++i) {
      by_form[static_cast<size_t>(forms[i])] = std::move((*refs)[i]);
    }
    PARAMD_RETURN_IF_ERROR(MakeModel(by_form, manifest_ref_, manifest_.parameters));
    if (model_->parameters().weights_id() != record_.weights_id) {
      return absl::DataLossError("the parameters are not those of the record");
    }
    return absl::OkStatus();
  }

  absl::Status CompileOneRow() {
    ModelDescription& description = model_->description_to_fill();
    description.batch_rows_max = record_.batch_rows_max;
    description.batching_reason = record_.batching_reason;
    description.arena_bytes = record_.arena_bytes;
    if (model_->interpreted()) return absl::OkStatus();
    if (record_.batch_rows_max > 0 && !HasBatchDimension(model_->graph())) {
      return absl::DataLossError("the record batches a model without a batch dimension");
    }
    if (record_.batch_rows_max > 0) {
      for (const MeasuredBatch& size : record_.warm) {
        model_->KeepWhenCompiled(WithRows(one_row_, size.rows));
      }
    }
    return model_->CompileAndKeep(one_row_);
  }

  // What is not there, or is there in another size, is found out by loading.
  absl::Status NotRestorable(const absl::Status& status) const {
    if (!absl::IsNotFound(status) && !absl::IsInvalidArgument(status)) return status;
    return absl::FailedPreconditionError(
        StrCat("'", options_.label, "' is not in memory any more: ", FromAbsl(status.message())));
  }

  const ModelRecord record_;
  Manifest manifest_;
  ParameterRef manifest_ref_;
  Checkpoint checkpoint_;
};

}  // namespace

absl::StatusOr<ModelLoadResult> RestoreModel(const ModelRecord& record, ParameterStore* store,
                                             const Clock* clock, const ModelLoadOptions& options) {
  return Restore(record, store, clock, options).Run();
}

}  // namespace paramd
