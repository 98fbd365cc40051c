// Fields that the messages of several protocols have in common, over WireReader.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_WIRE_FIELDS_H_
#define PARAMD_SERVER_RPC_WIRE_FIELDS_H_

#include <string_view>

#include "absl/status/status.h"
#include "runtime/tensor/shape.h"
#include "server/rpc/wire_reader.h"

namespace paramd {

// InvalidArgument, naming the field, unless the tag has the expected type.
absl::Status ExpectType(WireTag tag, WireType expected, std::string_view what);

// One occurrence of a repeated int64 that is a shape, packed or not, appended to
// it. InvalidArgument for negative dimensions and too many of them.
absl::Status ReadShape(WireTag tag, WireReader* reader, Shape* shape);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_WIRE_FIELDS_H_
