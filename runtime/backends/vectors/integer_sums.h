// IntegerSums: what follows an 8-bit product of matrices. A kernel gives
// sum(a b) of the bytes as they are; here zero points are taken out of it,
//
//   sum((a - a_zero)(b - b_zero)) = sum(a b) - a_zero sum(b) - b_zero (sum(a) - k a_zero)
//
// a bias is added, and the result becomes 32-bit, f32 or 8-bit. 32-bit sums wrap.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_VECTORS_INTEGER_SUMS_H_
#define PARAMD_RUNTIME_BACKENDS_VECTORS_INTEGER_SUMS_H_

#include <cstddef>
#include <cstdint>

namespace paramd {

// One entry a column of b.
struct IntegerColumns {
  const int32_t* sums = nullptr;   // sum(b)
  const int32_t* zeros = nullptr;  // b_zero; null: all are 0.
  const int32_t* bias = nullptr;   // Added to the sum; null: none.
  const float* scales = nullptr;   // For f32 and 8-bit results.
  const float* addends = nullptr;  // Added to f32 results; null: none.
  int64_t count = 0;
};

struct IntegerRow {
  int32_t zero = 0;       // a_zero
  int32_t rest = 0;       // sum(a) - k a_zero; looked at where columns have zeros.
  float scale = 1;        // For f32 and 8-bit results.
  float result_zero = 0;  // Of 8-bit results.
};

// y = corrected. y may be `sums`.
void FinishI32(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
               int32_t* y);
// y = f32(corrected) (row scale * column scale) + addend
void FinishF32(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row, float* y);
// y = saturated(round(f32(corrected) row scale * column scale) + result_zero), from
// left to right, ties to even.
void FinishU8(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row,
              uint8_t* y);
void FinishI8(const int32_t* sums, const IntegerColumns& columns, const IntegerRow& row, int8_t* y);

// The sum of `count` bytes, wrapping.
uint32_t SumOfBytes(const uint8_t* bytes, int64_t count);
// to = from + 128 modulo 256: i8 as u8 and back. May be the same address.
void FlipSigns(const void* from, int64_t count, void* to);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_VECTORS_INTEGER_SUMS_H_
