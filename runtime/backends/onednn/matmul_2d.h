// One matrix product y[rows, columns] = a[rows, inner] b[inner, columns] + bias:
// what matmuls with one right side, fully connected layers and dense 1x1
// convolutions come down to. Its packed weights are the same for any number of
// rows and threads.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_MATMUL_2D_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_MATMUL_2D_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/op_specs.h"

namespace paramd::onednn {

struct MatMul2d {
  // The bias is input 2 of the spec.
  enum class Bias : uint8_t {
    kNone,
    kScalar,  // [1, 1]
    kRow,     // [1, columns]
    kFull,    // [rows, columns]
  };
  int64_t rows = 0;
  int64_t inner = 0;
  int64_t columns = 0;
  bool trans_a = false;
  dnnl::memory::dims weights_strides;  // Of b [inner, columns] as it lies in memory.
  Bias bias = Bias::kNone;
  float alpha = 1;
  float beta = 1;
};

// Inputs 0, 1 and 2 of the spec are a, b and the bias; output and residuals
// are [rows, columns]. Layouts in the plan are plain.
absl::StatusOr<PrimitivePlan> PlanMatMul2d(const OpSpec& spec, const MatMul2d& matmul);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_MATMUL_2D_H_
