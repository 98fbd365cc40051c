// QuantizedSpec: what an operation of NamedParams on 8-bit numbers means: a
// product of matrices or a convolution, where its operands are, and in which
// form its result comes. ValidateSpec asks for it, so that every backend finds
// operands that fit together.
//
//   matmul_integer          {a, b, a_zero?, b_zero?}                              i32
//   matmul_integer_to_float {a, b, a_scale, b_scale, a_zero?, b_zero?, bias?}     f32
//   qlinear_matmul          {a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero}   8 bits
//   conv_integer            {x, w, x_zero?, w_zero?}                              i32
//   qlinear_conv            {x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero,
//                            bias?}                                               8 bits
//
// Scales are f32, or f16 or bf16, which only the reference takes. Convolutions have
// ints {groups, strides..., dilations..., pads_begin...}; what lies outside x
// counts as x_zero.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_QUANTIZED_SPECS_H_
#define PARAMD_RUNTIME_BACKENDS_QUANTIZED_SPECS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"

namespace paramd {

// Numbers of operands of the spec; -1 for those that the operation has not, or
// that are absent here.
struct QuantizedOperands {
  int a = 0, b = 1;
  int a_scale = -1, a_zero = -1, b_scale = -1, b_zero = -1;
  int y_scale = -1, y_zero = -1;
  int bias = -1;
};

struct QuantizedSpec {
  QuantizedOperands at;
  bool is_conv = false;
  // Products: y[..., rows, columns] = a[..., rows, inner] b[..., inner, columns].
  // Zero points and scales of a and y are one, or one a row; of b one, or one a column.
  int64_t rows = 0, inner = 0, columns = 0;
  // Convolutions: a is x, b is w; columns are output channels. pads_end is whatever y needs.
  ConvParams conv;
};

// Of the operands that are quantized numbers.
inline bool IsByte(DType dtype) { return dtype == DType::kU8 || dtype == DType::kI8; }

bool IsQuantizedOp(std::string_view op);

// InvalidArgument that says what does not fit. REQUIRES: IsQuantizedOp(params.op),
// and operands with types and shapes whose elements can be counted.
absl::StatusOr<QuantizedSpec> ParseQuantizedSpec(const OpSpec& spec, const NamedParams& params);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_QUANTIZED_SPECS_H_
