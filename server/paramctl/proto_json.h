// Messages as JSON, under the proto files' own field names, zeros included.
#ifndef PARAMD_SERVER_PARAMCTL_PROTO_JSON_H_
#define PARAMD_SERVER_PARAMCTL_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include "absl/status/status.h"

namespace paramd {

// Prints the message and a newline.
absl::Status PrintJson(const google::protobuf::Message& message);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_PROTO_JSON_H_
