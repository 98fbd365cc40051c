// What gRPC itself has to say goes to our log, in its format and under its level,
// instead of straight to stderr.
//
// Thread-safety: call once, before the first server; gRPC logs from any thread.
#ifndef PARAMD_SERVER_RPC_GRPC_LOG_H_
#define PARAMD_SERVER_RPC_GRPC_LOG_H_

namespace paramd {

void RouteGrpcLog();

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_GRPC_LOG_H_
