// Client: one channel to paramd and blocking calls on it.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_PARAMCTL_CLIENT_H_
#define PARAMD_SERVER_PARAMCTL_CLIENT_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/model.grpc.pb.h"
#include "proto/paramd/v1/predict.grpc.pb.h"
#include "server/paramctl/command.h"

namespace paramd {

absl::Status FromGrpc(const grpc::Status& status);
// No connection: what a daemon that loads or drains says is UNAVAILABLE as well.
bool NobodyAnswers(const grpc::Status& status);

class Client {
 public:
  explicit Client(const GlobalOptions& options);

  absl::StatusOr<v1::ListModelsResponse> ListModels();
  absl::StatusOr<v1::GetModelInfoResponse> GetModelInfo(const v1::GetModelInfoRequest& request);
  absl::StatusOr<v1::PredictResponse> Predict(const v1::PredictRequest& request);

 private:
  // Unavailable gets the address and what to look at.
  absl::Status Explain(const grpc::Status& status) const;

  const std::string address_;
  const double timeout_s_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::PredictService::Stub> predict_;
};

// "3" is a version, anything else a label. InvalidArgument for a version below 1.
template <typename Request>
absl::Status SetChoice(const std::string& choice, Request* request) {
  if (choice.empty()) return absl::OkStatus();
  if (choice.find_first_not_of("0123456789") != std::string::npos) {
    request->set_label(choice);
    return absl::OkStatus();
  }
  char* end = nullptr;
  errno = 0;
  const int64_t number = std::strtoll(choice.c_str(), &end, 10);
  if (errno != 0 || number < 1) {
    return absl::InvalidArgumentError("--version takes a number from 1 to 2^63-1, or a label");
  }
  request->set_version(number);
  return absl::OkStatus();
}

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_CLIENT_H_
