// Quantizing: f32 to 8 bits and back with one scale, and the range that
// DynamicQuantizeLinear takes its scale from.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_VECTORS_QUANTIZING_H_
#define PARAMD_RUNTIME_BACKENDS_VECTORS_QUANTIZING_H_

#include <cstdint>

namespace paramd {

struct ValueRange {
  float low = 0, high = 0;
};
// The smallest and the largest of 0 and `count` numbers. NaNs may be overlooked.
ValueRange RangeWithZero(const float* x, int64_t count);

// y = saturated(round(x / scale) + zero), ties to even; NaN is the lowest.
void Quantize(const float* x, int64_t count, float scale, float zero, uint8_t* y);
void Quantize(const float* x, int64_t count, float scale, float zero, int8_t* y);

// y = (x - zero) scale
void Dequantize(const uint8_t* x, int64_t count, float scale, int32_t zero, float* y);
void Dequantize(const int8_t* x, int64_t count, float scale, int32_t zero, float* y);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_VECTORS_QUANTIZING_H_
