// FrontDoors: everything that clients and operators reach: the gRPC server of
// the TCP port, that of the admin socket, and the thread that accepts for both.
//
// The admin socket has all services, the TCP port those that anybody may call.
//
// Life: Start begins with accepting off. Shutdown, then the destructor; the
// services outlive it.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_FRONT_DOORS_H_
#define PARAMD_SERVER_FRONT_DOORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"
#include "server/config/server_config.h"
#include "server/rpc/acceptor.h"
#include "server/rpc/grpc_server.h"

namespace paramd {

struct FrontDoorsParts {
  UniqueFd grpc_listener;
  UniqueFd admin_listener;  // May be invalid.
  std::vector<grpc::Service*> services;
  std::vector<grpc::Service*> admin_services;
  // From the keeper: one byte an event, on the acceptor's thread.
  UniqueFd events;
  std::function<void(uint8_t)> on_event;
  std::function<void()> on_events_end;
};

class FrontDoors {
 public:
  static absl::StatusOr<std::unique_ptr<FrontDoors>> Start(const ServerConfig& config,
                                                           FrontDoorsParts parts);
  ~FrontDoors();

  int grpc_port() const { return grpc_port_; }
  // See Acceptor.
  void SetAccepting(bool accepting) { acceptor_->SetAccepting(accepting); }
  size_t open_connections() { return acceptor_->open_connections(); }

  void SetHealth(const std::string& name, bool serving);
  // Accepts nothing any more; calls finish until `deadline`. Idempotent.
  void Shutdown(absl::Time deadline);

 private:
  FrontDoors() = default;

  int grpc_port_ = 0;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<GrpcServer> admin_;  // Null: there is no admin socket.
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_FRONT_DOORS_H_
