#include "server/paramctl/client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>

#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // We asked for it.
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(double timeout_s, grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000)));
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

bool NobodyAnswers(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect");
}

Client::Client(const GlobalOptions& options)
    : address_(options.target()),
      timeout_s_(options.timeout_s),
      channel_(Connect(address_)),
      models_(v1::ModelService::NewStub(channel_)),
      predict_(v1::PredictService::NewStub(channel_)) {}

absl::Status Client::Explain(const grpc::Status& status) const {
  if (!NobodyAnswers(status)) return FromGrpc(status);
  return absl::UnavailableError(StrCat("no paramd answers at ", address_, " (",
                                       status.error_message(),
                                       "); is it running, and is --address right?"));
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels() {
  grpc::ClientContext context;
  SetDeadline(timeout_s_, &context);
  v1::ListModelsResponse response;
  const grpc::Status status = models_->ListModels(&context, {}, &response);
  if (!status.ok()) return Explain(status);
  return response;
}

absl::StatusOr<v1::GetModelInfoResponse> Client::GetModelInfo(
    const v1::GetModelInfoRequest& request) {
  grpc::ClientContext context;
  SetDeadline(timeout_s_, &context);
  v1::GetModelInfoResponse response;
  const grpc::Status status = models_->GetModelInfo(&context, request, &response);
  if (!status.ok()) return Explain(status);
  return response;
}

absl::StatusOr<v1::PredictResponse> Client::Predict(const v1::PredictRequest& request) {
  grpc::ClientContext context;
  SetDeadline(timeout_s_, &context);
  v1::PredictResponse response;
  const grpc::Status status = predict_->Predict(&context, request, &response);
  if (!status.ok()) return Explain(status);
  return response;
}

}  // namespace paramd
