// The one table from absl::Status to what a gRPC client sees. The codes are the
// same numbers; what is decided here is the text: errors of ours say nothing of
// the inside, and a message is never longer than a header may be.
//
// Thread-safety: pure function.
#ifndef PARAMD_SERVER_RPC_STATUS_MAPPING_H_
#define PARAMD_SERVER_RPC_STATUS_MAPPING_H_

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace paramd {

grpc::Status ToGrpcStatus(const absl::Status& status);

// The text without the path of the model repository: where it lies is nobody's
// business. Empty root: nothing is cut.
std::string WithoutRoot(std::string text, std::string_view root);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_STATUS_MAPPING_H_
