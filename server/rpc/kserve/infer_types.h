// The names that KServe V2 gives to element types.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_INFER_TYPES_H_
#define PARAMD_SERVER_RPC_KSERVE_INFER_TYPES_H_

#include <optional>
#include <string_view>

#include "runtime/tensor/dtype.h"

namespace paramd {

// "FP32", "BYTES", ...; empty for types that the protocol has no name for
// (4 and 8 bit floats, 4 bit integers, complex numbers).
std::string_view InferTypeName(DType dtype);
std::optional<DType> DTypeFromInferName(std::string_view name);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_INFER_TYPES_H_
