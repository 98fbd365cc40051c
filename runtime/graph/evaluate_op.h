// One op on plain tensors in ordinary memory: what constant folding and the
// interpreter need.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_EVALUATE_OP_H_
#define PARAMD_RUNTIME_GRAPH_EVALUATE_OP_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/graph/shape_inference.h"

namespace paramd {

// The first backend that takes the spec with every operand plain. Unimplemented,
// with every reason, if none does.
absl::StatusOr<std::unique_ptr<const CompiledOp>> CompilePlain(
    absl::Span<const Backend* const> backends, const OpSpec& spec);

// Evaluates with the last backend of this build, the reference, so that folding
// cannot disagree with the definition of right.
EvaluateFn ReferenceEvaluator();

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_EVALUATE_OP_H_
