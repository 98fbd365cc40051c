// GrpcServer: the TCP port with all services on it, gRPC health (Check and
// Watch, overall under "" and one name a model) and reflection.
//
// Life: Start binds and serves; Shutdown (or the destructor) stops accepting,
// lets calls finish until the deadline, then cancels them.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_RPC_GRPC_SERVER_H_
#define PARAMD_SERVER_RPC_GRPC_SERVER_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace paramd {

struct GrpcServerOptions {
  std::string address = "127.0.0.1:8001";  // Port 0: any free one, see port().
  uint64_t message_bytes_max = uint64_t{64} << 20;
  uint64_t header_bytes_max = 16 << 10;
  int64_t concurrent_streams_max = 1024;  // Of one connection.
  absl::Duration keepalive_time = absl::Minutes(1);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration connection_age_max = absl::Minutes(30);
  absl::Duration connection_age_grace = absl::Seconds(30);
};

class GrpcServer {
 public:
  // Borrows the services until the server is gone. InvalidArgument for an
  // address that is none; AlreadyExists when the port is taken.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, absl::Span<grpc::Service* const> services);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  int port() const { return port_; }

  // An empty name is the server as a whole. After Shutdown nothing changes any more.
  void SetHealth(const std::string& name, bool serving);

  // Idempotent.
  void Shutdown(absl::Time deadline);

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, int port);

  const std::unique_ptr<grpc::Server> server_;
  const int port_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_GRPC_SERVER_H_
