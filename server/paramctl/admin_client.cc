#include "server/paramctl/admin_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "runtime/base/strings.h"
#include "server/config/server_config.h"
#include "server/paramctl/client.h"
#include "server/repository/model_repository.h"

namespace paramd {
namespace {

AdminTarget ChooseForProcess(const GlobalOptions& options) {
  const std::string socket = DefaultAdminSocket(ProcessEnvironment(), geteuid() == 0);
  struct stat found = {};
  const bool there =
      !socket.empty() && stat(socket.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
  return ChooseAdminTarget(options, socket, there);
}

std::shared_ptr<grpc::Channel> ConnectAlone(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // We asked for it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

AdminTarget ChooseAdminTarget(const GlobalOptions& options, const std::string& default_socket,
                              bool socket_there) {
  if (!options.admin_socket.empty()) {
    return {options.target(), "is it running, is --admin-socket right, and may this user open it?"};
  }
  if (options.address_given) {
    return {options.address, "is it running, and is --address right?"};
  }
  if (socket_there) {
    return {StrCat("unix:", default_socket),
            "is it running, and may this user open its admin socket? --admin-socket names another"};
  }
  return {options.address, StrCat("there is no admin socket at ",
                                  default_socket.empty() ? "its default place (XDG_RUNTIME_DIR is "
                                                           "not set)"
                                                         : default_socket,
                                  " either; --admin-socket names another")};
}

AdminClient::AdminClient(const GlobalOptions& options)
    : target_(ChooseForProcess(options)),
      timeout_s_(options.timeout_s),
      timeout_given_(options.timeout_given),
      channel_(ConnectAlone(target_.target)),
      stub_(v1::ModelAdmin::NewStub(channel_)) {}

void AdminClient::SetDeadline(double timeout_s, grpc::ClientContext* context) const {
  if (timeout_s == 0) {
    if (!timeout_given_) return;
    timeout_s = timeout_s_;
  }
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000)));
}

absl::Status AdminClient::Explain(const grpc::Status& status) const {
  if (NobodyAnswers(status)) {
    return absl::UnavailableError(StrCat("no paramd answers at ", target_.target, " (",
                                         status.error_message(), "); ", target_.hint));
  }
  switch (status.error_code()) {
    case grpc::StatusCode::UNIMPLEMENTED:
      // A load may be Unimplemented as well (an operator that this build lacks).
      if (!status.error_message().empty()) return FromGrpc(status);
      return absl::UnimplementedError(
          StrCat("the paramd at ", target_.target,
                 " takes no admin calls there: use --admin-socket, or start it with "
                 "--admin-on-tcp"));
    default:
      return FromGrpc(status);
  }
}

absl::StatusOr<v1::LoadOutcome> AdminClient::Load(
    const v1::LoadRequest& request, const std::function<void(const v1::LoadProgress&)>& progress) {
  grpc::ClientContext context;
  SetDeadline(0, &context);
  const auto reader = stub_->Load(&context, request);
  std::optional<v1::LoadOutcome> outcome;
  v1::LoadResponse message;
  while (reader->Read(&message)) {
    if (message.has_outcome()) outcome = message.outcome();
    if (message.has_progress()) progress(message.progress());
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Explain(status);
  if (!outcome.has_value()) {
    return absl::InternalError("the load ended without an outcome");
  }
  return *std::move(outcome);
}

absl::StatusOr<int64_t> ParseVersionArgument(const std::string& text) {
  if (text.empty()) return 0;
  const std::optional<int64_t> number = ParseVersionNumber(text);
  if (!number.has_value()) {
    return absl::InvalidArgumentError(
        StrCat("'", text, "' is no version: those are numbers from 1 to 2^63-1"));
  }
  return *number;
}

}  // namespace paramd
