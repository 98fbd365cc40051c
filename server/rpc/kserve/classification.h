// Classification: the extension that answers with the largest values of an output
// instead of all: "value:index" each, or "value:index:label" where the model has
// a text for each index.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_CLASSIFICATION_H_
#define PARAMD_SERVER_RPC_KSERVE_CLASSIFICATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// `by_rows`: of each row (the first dimension) apart, [rows, top]; else of all
// elements, [top]. Fewer where there are fewer. Equal values come in the order of
// their indexes, NaN comes last. InvalidArgument for strings and types without a
// name in the protocol.
absl::StatusOr<Tensor> Classify(const TensorView& values, int64_t top, bool by_rows,
                                absl::Span<const std::string> labels);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_CLASSIFICATION_H_
