// The 16-bit floats: conversions between f16, bf16 (as their bits) and f32,
// rounding to nearest, ties to even. NaN stays NaN.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_TENSOR_HALF_H_
#define PARAMD_RUNTIME_TENSOR_HALF_H_

#include <bit>
#include <cstdint>

namespace paramd {

inline float BF16ToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

inline uint16_t FloatToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return static_cast<uint16_t>((bits >> 16) | 0x40);  // Keeps a NaN from becoming infinity.
  }
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

inline float F16ToFloat(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // Zero and subnormals.
  return sign == 0 ? magnitude : -magnitude;
}

inline uint16_t FloatToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);   // NaN.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // Rounds to infinity.
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 lets the float unit round at 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1) - (uint32_t{112} << 23);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_HALF_H_
