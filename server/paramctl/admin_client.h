// AdminClient: a channel to paramd's admin socket and blocking calls on it.
//
// Where it connects: --admin-socket if given, else --address if given, else the
// socket's default place if there is one, else --address's default; an error
// says which it was and what else there is.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_PARAMCTL_ADMIN_CLIENT_H_
#define PARAMD_SERVER_PARAMCTL_ADMIN_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/admin.grpc.pb.h"
#include "server/paramctl/command.h"

namespace paramd {

struct AdminTarget {
  std::string target;  // As gRPC takes it.
  std::string hint;    // What to say when nobody answers there.
};

// `socket_there` says whether `default_socket`, which may be empty, exists.
AdminTarget ChooseAdminTarget(const GlobalOptions& options, const std::string& default_socket,
                              bool socket_there);

class AdminClient {
 public:
  // A connection of its own, shared with no other client of this process.
  explicit AdminClient(const GlobalOptions& options);

  // One unary call, such as Call(&v1::ModelAdmin::Stub::Promote, request).
  // timeout_s 0: as long as it takes, unless --timeout was given.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ModelAdmin::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request, double timeout_s) {
    grpc::ClientContext context;
    SetDeadline(timeout_s, &context);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return Explain(status);
    return response;
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ModelAdmin::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request) {
    return Call(method, request, timeout_s_);
  }

  // Calls `progress` as it goes; the outcome if the load succeeded.
  absl::StatusOr<v1::LoadOutcome> Load(
      const v1::LoadRequest& request, const std::function<void(const v1::LoadProgress&)>& progress);

 private:
  void SetDeadline(double timeout_s, grpc::ClientContext* context) const;
  absl::Status Explain(const grpc::Status& status) const;

  const AdminTarget target_;
  const double timeout_s_;
  const bool timeout_given_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ModelAdmin::Stub> stub_;
};

// A version of the command line: 0 if empty; InvalidArgument unless it is a
// number from 1 to 2^63-1.
absl::StatusOr<int64_t> ParseVersionArgument(const std::string& text);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_ADMIN_CLIENT_H_
