// Conversions between f32 and the narrow floats: f16, bf16, the four 8-bit
// floats and f4e2m1. Rounding is to nearest, ties to even. What lies beyond the
// greatest number becomes infinity in f16 and bf16, and saturates to the
// greatest number in the 8- and 4-bit types (ONNX's Cast with saturate = 1).
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_TENSOR_FLOAT_CONVERT_H_
#define PARAMD_RUNTIME_TENSOR_FLOAT_CONVERT_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "runtime/tensor/dtype.h"

namespace paramd {

inline float BF16ToF32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t F32ToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  // A NaN whose payload sits in the lower half must not round to infinity.
  if (value != value) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float F16ToF32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {  // Zero and subnormals: mantissa x 2^-24, exact in f32.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t exponent32 = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (exponent32 << 23) | (mantissa << 13));
}

inline uint16_t F32ToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {  // NaN: keep the top of the payload, and quiet it.
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // >= 65520.
  if (magnitude < 0x38800000) {                                              // Below 2^-14.
    // Adding 0.5 leaves the value, rounded to 2^-24, in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

// An 8- or 4-bit float's shape. Value: (-1)^s 2^(e - bias) 1.m, or 2^(1 - bias) 0.m for e = 0.
struct MiniFloat {
  int exponent_bits, mantissa_bits, bias;
  uint8_t greatest;           // Bits of the greatest finite number.
  int nan;                    // Bits of the NaN to write, -1: the type has none.
  bool negative_zero_is_nan;  // The FNUZ types: one zero, 0x80 is the NaN.
  bool ieee;                  // The top exponent is infinity and NaN.
};
inline constexpr MiniFloat kF8E4M3FN = {4, 3, 7, 0x7e, 0x7f, false, false};
inline constexpr MiniFloat kF8E4M3FNUZ = {4, 3, 8, 0x7f, 0x80, true, false};
inline constexpr MiniFloat kF8E5M2 = {5, 2, 15, 0x7b, 0x7f, false, true};
inline constexpr MiniFloat kF8E5M2FNUZ = {5, 2, 16, 0x7f, 0x80, true, false};
inline constexpr MiniFloat kF4E2M1 = {2, 1, 1, 0x7, -1, false, false};

inline float MiniToF32(const MiniFloat& type, uint8_t bits) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const int width = type.exponent_bits + type.mantissa_bits;
  const bool negative = (bits >> width & 1) != 0;
  const int magnitude = bits & ((1 << width) - 1);
  if (type.negative_zero_is_nan && negative && magnitude == 0) return kNaN;
  if (magnitude > type.greatest) {
    const bool infinite = type.ieee && magnitude == type.greatest + 1;
    if (!infinite) return kNaN;
    return negative ? -std::numeric_limits<float>::infinity()
                    : std::numeric_limits<float>::infinity();
  }
  const int exponent = magnitude >> type.mantissa_bits;
  const int mantissa = magnitude & ((1 << type.mantissa_bits) - 1);
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << type.mantissa_bits);
  const int scale = (exponent == 0 ? 1 : exponent) - type.bias - type.mantissa_bits;
  const float value = std::ldexp(static_cast<float>(significand), scale);
  return negative ? -value : value;
}

inline uint8_t F32ToMini(const MiniFloat& type, float value) {
  const int width = type.exponent_bits + type.mantissa_bits;
  if (value != value) {
    if (type.nan >= 0) return static_cast<uint8_t>(type.nan);
    return type.greatest;  // ONNX leaves NaN in f4e2m1 open; numpy's ml_dtypes gives a number too.
  }
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 1 << width : 0);
  const float magnitude = std::fabs(value);
  if (magnitude >= MiniToF32(type, type.greatest)) {
    return static_cast<uint8_t>(sign | type.greatest);
  }
  // The spacing of the type's numbers around the value; subnormals share one.
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f 2^exponent, f in [0.5, 1).
  const int exponent_min = 1 - type.bias;
  const int power = (magnitude == 0 || exponent - 1 < exponent_min) ? exponent_min : exponent - 1;
  // Counting in units of the spacing makes rounding an integer matter; a carry
  // into the next power of two comes out right by itself.
  const auto units =
      static_cast<int>(std::nearbyint(std::ldexp(magnitude, type.mantissa_bits - power)));
  const int bits = ((power - exponent_min) << type.mantissa_bits) + units;
  if (bits == 0 && type.negative_zero_is_nan) return 0;
  return static_cast<uint8_t>(sign | bits);
}

// The row above of an 8- or 4-bit float type; null for any other type.
inline const MiniFloat* MiniFloatOf(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3FN:
      return &kF8E4M3FN;
    case DType::kF8E4M3FNUZ:
      return &kF8E4M3FNUZ;
    case DType::kF8E5M2:
      return &kF8E5M2;
    case DType::kF8E5M2FNUZ:
      return &kF8E5M2FNUZ;
    case DType::kF4E2M1:
      return &kF4E2M1;
    default:
      return nullptr;
  }
}

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_FLOAT_CONVERT_H_
