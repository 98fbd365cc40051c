// AttentionShape: the sizes of an attention and how to walk its operands: what
// ValidateSpec checks, and what every backend that has the op computes by.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ATTENTION_SHAPE_H_
#define PARAMD_RUNTIME_BACKENDS_ATTENTION_SHAPE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"

namespace paramd {

struct AttentionShape {
  // Elements from one batch, head, row or column to the next; 0 where the operand
  // has one for all. Rows of k and v are keys; columns of masks are keys.
  struct Steps {
    int64_t batch = 0, head = 0, row = 0, column = 0;
  };
  int64_t batch = 1, heads = 1;
  int64_t rows = 0;  // Queries.
  int64_t keys = 0;
  int64_t head_size = 0;   // Of q and k.
  int64_t value_size = 0;  // Of v and y.
  Steps q, k, v, mask, keep, y;
};

// InvalidArgument where operands, permutations or the output do not fit.
// REQUIRES: three to five inputs and one output.
absl::StatusOr<AttentionShape> AttentionShapeOf(const OpSpec& spec, const AttentionParams& params);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_ATTENTION_SHAPE_H_
