// Operator: the admin calls that tests make, as paramctl makes them.
//
// Thread-safety: thread-safe; each call blocks until its answer.
#ifndef PARAMD_TESTS_INTEGRATION_OPERATOR_H_
#define PARAMD_TESTS_INTEGRATION_OPERATOR_H_

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/admin.grpc.pb.h"
#include "runtime/base/strings.h"

namespace paramd {

class Operator {
 public:
  explicit Operator(const std::string& admin_socket)
      : stub_(v1::ModelAdmin::NewStub(grpc::CreateChannel(StrCat("unix:", admin_socket),
                                                          grpc::InsecureChannelCredentials()))) {}

  absl::Status Load(const std::string& model, int64_t version = 0) {
    grpc::ClientContext context;
    v1::LoadRequest request;
    request.set_model(model);
    request.set_version(version);
    const auto reader = stub_->Load(&context, request);
    v1::LoadResponse response;
    while (reader->Read(&response)) {
    }
    return Status(reader->Finish());
  }
  absl::Status Promote(const std::string& model, int64_t version, const std::string& name = "") {
    grpc::ClientContext context;
    v1::PromoteRequest request;
    request.set_model(model);
    request.set_version(version);
    request.set_name(name);
    v1::PromoteResponse response;
    return Status(stub_->Promote(&context, request, &response));
  }
  absl::Status Rollback(const std::string& model) {
    grpc::ClientContext context;
    v1::RollbackRequest request;
    request.set_model(model);
    v1::RollbackResponse response;
    return Status(stub_->Rollback(&context, request, &response));
  }
  absl::Status Unload(const std::string& model, int64_t version) {
    grpc::ClientContext context;
    v1::UnloadRequest request;
    request.set_model(model);
    request.set_version(version);
    v1::UnloadResponse response;
    return Status(stub_->Unload(&context, request, &response));
  }
  absl::StatusOr<v1::GetStateResponse> State() {
    grpc::ClientContext context;
    v1::GetStateResponse response;
    const absl::Status status = Status(stub_->GetState(&context, {}, &response));
    if (!status.ok()) return status;
    return response;
  }

 private:
  static absl::Status Status(const grpc::Status& status) {
    return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
  }

  const std::unique_ptr<v1::ModelAdmin::Stub> stub_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_INTEGRATION_OPERATOR_H_
