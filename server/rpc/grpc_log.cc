#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include "absl/log/log.h"

namespace paramd {
namespace {

// gRPC calls a refused connection or a client's protocol error an error; to the
// daemon they are a client's doing, so its errors are warnings here.
void Log(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    LOG(WARNING).AtLocation(args->file, args->line) << "gRPC: " << args->message;
  } else {
    VLOG(2).AtLocation(args->file, args->line) << "gRPC: " << args->message;
  }
}

}  // namespace

void RouteGrpcLog() { gpr_set_log_function(Log); }

}  // namespace paramd
