// GrpcServer: services, gRPC health (Check and Watch, overall under "" and one
// name a model) and reflection on connections that somebody else accepts
// (acceptor.h): the listening socket belongs to the keeper and outlives this.
//
// Life: Start serves what TakeConnection brings; Shutdown (or the destructor)
// lets calls finish until the deadline, then cancels them.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_RPC_GRPC_SERVER_H_
#define PARAMD_SERVER_RPC_GRPC_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

struct GrpcServerOptions {
  uint64_t message_bytes_max = uint64_t{64} << 20;
  uint64_t header_bytes_max = 16 << 10;
  int64_t concurrent_streams_max = 1024;  // Of one connection.
  absl::Duration keepalive_time = absl::Minutes(1);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration connection_age_max = absl::Seconds(60);
  absl::Duration connection_age_grace = absl::Seconds(30);
};

class GrpcServer {
 public:
  // Borrows the services until the server is gone.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, absl::Span<grpc::Service* const> services);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // A connection of TCP or of a Unix socket. After Shutdown it is closed.
  void TakeConnection(UniqueFd fd);

  // An empty name is the server as a whole. After Shutdown nothing changes any more.
  void SetHealth(const std::string& name, bool serving);

  // Idempotent.
  void Shutdown(absl::Time deadline);

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server,
             std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections);

  const std::unique_ptr<grpc::Server> server_;
  const std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_GRPC_SERVER_H_
