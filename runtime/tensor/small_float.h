// The 8- and 4-bit floats of ONNX: exact to f32, and from f32 rounded to
// nearest, ties to even, saturating at the largest finite number (ONNX's
// default of Cast), or else Inf where there is one and NaN. Formats:
// https://onnx.ai/onnx/technical/float8.html and https://onnx.ai/onnx/technical/float4.html
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_TENSOR_SMALL_FLOAT_H_
#define PARAMD_RUNTIME_TENSOR_SMALL_FLOAT_H_

#include <cstdint>

#include "runtime/tensor/dtype.h"

namespace paramd {

// f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, f4e2m1.
bool IsSmallFloat(DType dtype);

// REQUIRES: IsSmallFloat(dtype). `code` is the element's bits, low ones first.
float SmallFloatToFloat(DType dtype, uint8_t code);
uint8_t FloatToSmallFloat(DType dtype, float value, bool saturate = true);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_SMALL_FLOAT_H_
