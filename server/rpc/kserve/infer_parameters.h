// InferParameters: the map<string, InferParameter> of requests, inputs and
// outputs, one entry at a time. Parameters that nobody here knows are skipped.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_PARAMETERS_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/rpc/wire_reader.h"

namespace paramd {

// Neither choice: an entry without a value.
using InferParameterValue =
    std::variant<std::monostate, bool, int64_t, std::string, double, uint64_t>;

struct InferParameter {
  std::string name;
  InferParameterValue value;
};

// `entry` is one entry of the map. Texts have at most `text_bytes_max` bytes.
absl::StatusOr<InferParameter> ReadInferParameter(WireReader entry, uint64_t text_bytes_max);

// The value as the type that its name asks for; InvalidArgument names both.
absl::StatusOr<bool> AsBool(const InferParameter& parameter);
absl::StatusOr<std::string> AsText(const InferParameter& parameter);
// Signed and unsigned alike: clients differ. Negative numbers are refused.
absl::StatusOr<uint64_t> AsCount(const InferParameter& parameter);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_PARAMETERS_H_
