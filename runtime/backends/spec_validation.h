// ValidateSpec: is an OpSpec consistent with itself? Ranks and types that the
// operation asks for, attributes in range, and an output shape equal to what
// the inputs imply, with every product checked. PlanOp asks once before any
// backend sees the spec, so backends may index without looking again; a
// backend's own Compile may call it too.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_SPEC_VALIDATION_H_
#define PARAMD_RUNTIME_BACKENDS_SPEC_VALIDATION_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"
#include "runtime/tensor/shape.h"

namespace paramd {

// InvalidArgument that says what was expected and what came.
absl::Status ValidateSpec(const OpSpec& spec);

// How many of `inputs` belong to the operation itself; the operands of post-ops
// follow them. Optional operands before a post-op's operand are kAbsent.
int OwnInputs(const OpSpec& spec);

// Operand `i`, or nullptr where it is absent or beyond the list.
const Operand* InputOrNull(const OpSpec& spec, int i);

// numpy's rule; InvalidArgument if the two do not go together.
absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b);

// Negative axes count from the end.
inline int CanonicalAxis(int axis, int rank) { return axis < 0 ? axis + rank : axis; }

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_SPEC_VALIDATION_H_
