#include "server/rpc/model_service.h"

#include <algorithm>

#include "runtime/base/strings.h"
#include "server/rpc/model_info.h"
#include "server/rpc/status_mapping.h"

namespace paramd {
namespace {

VersionChoice ChoiceOf(const v1::GetModelInfoRequest& request) {
  VersionChoice choice;
  if (request.has_version()) choice.number = request.version();
  if (request.has_label()) choice.label = request.label();
  return choice;
}

bool Knows(const ModelStatus& model, int64_t number) {
  return std::any_of(model.versions.begin(), model.versions.end(),
                     [number](const VersionStatus& version) { return version.number == number; });
}

}  // namespace

absl::Status ModelService::Inform(const v1::GetModelInfoRequest& request,
                                  v1::GetModelInfoResponse* response) const {
  const VersionChoice choice = ChoiceOf(request);
  const absl::StatusOr<ModelHandle> serving = router_->Resolve(request.model(), choice);
  const ServingStatus status = versions_->status();
  const auto model =
      std::find_if(status.models.begin(), status.models.end(),
                   [&](const ModelStatus& known) { return known.name == request.model(); });
  if (model == status.models.end()) {
    return serving.ok() ? absl::NotFoundError("the model was unloaded just now") : serving.status();
  }
  // A version that does not serve is told by its state, if it exists at all; an
  // unknown label is NotFound.
  const bool by_default =
      !choice.number.has_value() && (choice.label.empty() || choice.label == "default");
  const bool by_known_number = choice.number.has_value() && Knows(*model, *choice.number);
  if (!serving.ok() && !by_default && !by_known_number) return serving.status();
  FillModelInfo(*model, serving.ok() ? *serving : ModelHandle(),
                {.parameters = request.include_parameters(), .ops = request.include_ops()},
                response);
  if (!serving.ok() && by_known_number) response->set_version(*choice.number);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ModelService::GetModelInfo(grpc::CallbackServerContext* context,
                                                     const v1::GetModelInfoRequest* request,
                                                     v1::GetModelInfoResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(Inform(*request, response)));
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest*,
                                                   v1::ListModelsResponse* response) {
  FillModelList(versions_->status(), response);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace paramd
