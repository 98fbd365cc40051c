#include "server/front_doors.h"

#include <sys/prctl.h>

#include <utility>

#include "runtime/base/status_macros.h"
#include "server/keeper/listening_socket.h"

namespace paramd {
namespace {

GrpcServerOptions GrpcOptions(const ServerConfig& config) {
  return {.message_bytes_max = config.message_bytes_max,
          .header_bytes_max = config.header_bytes_max,
          .concurrent_streams_max = config.concurrent_streams_max,
          .keepalive_time = config.keepalive_time,
          .keepalive_timeout = config.keepalive_timeout,
          .connection_age_max = config.connection_age_max,
          .connection_age_grace = config.connection_age_grace};
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrontDoors>> FrontDoors::Start(const ServerConfig& config,
                                                              FrontDoorsParts parts) {
  std::unique_ptr<FrontDoors> doors(new FrontDoors);
  AcceptorParts acceptor;
  doors->grpc_port_ = PortOf(parts.grpc_listener.get());
  PARAMD_ASSIGN_OR_RETURN(doors->grpc_, GrpcServer::Start(GrpcOptions(config), parts.services));
  acceptor.listeners.push_back(
      {std::move(parts.grpc_listener),
       [server = doors->grpc_.get()](UniqueFd fd) { server->TakeConnection(std::move(fd)); }});
  if (parts.admin_listener.valid()) {
    PARAMD_ASSIGN_OR_RETURN(doors->admin_,
                            GrpcServer::Start(GrpcOptions(config), parts.admin_services));
    acceptor.listeners.push_back(
        {std::move(parts.admin_listener),
         [server = doors->admin_.get()](UniqueFd fd) { server->TakeConnection(std::move(fd)); }});
  }
  acceptor.events = std::move(parts.events);
  acceptor.on_event = std::move(parts.on_event);
  acceptor.on_events_end = std::move(parts.on_events_end);
  acceptor.on_thread_start = [] { prctl(PR_SET_NAME, "acceptor", 0, 0, 0); };
  PARAMD_ASSIGN_OR_RETURN(doors->acceptor_, Acceptor::Start(std::move(acceptor)));
  return doors;
}

FrontDoors::~FrontDoors() {
  if (acceptor_ != nullptr) Shutdown(absl::InfinitePast());
}

void FrontDoors::SetHealth(const std::string& name, bool serving) {
  grpc_->SetHealth(name, serving);
  if (admin_ != nullptr) admin_->SetHealth(name, serving);
}

void FrontDoors::Shutdown(absl::Time deadline) {
  acceptor_->SetAccepting(false);
  grpc_->Shutdown(deadline);
  if (admin_ != nullptr) admin_->Shutdown(deadline);
}

}  // namespace paramd
