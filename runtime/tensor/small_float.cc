#include "runtime/tensor/small_float.h"

#include <cmath>
#include <limits>

#include "absl/log/check.h"

namespace paramd {
namespace {

struct Format {
  int bits;
  int exponent_bits;
  int mantissa_bits;
  int bias;
  uint8_t largest;    // Code of the largest finite number.
  uint8_t nan;        // Code of a NaN; 0 where there is none.
  bool one_zero;      // "UZ": 0x80 is NaN instead of minus zero.
  bool has_infinity;  // Code largest + 1.
};

constexpr Format kE4M3FN = {8, 4, 3, 7, 0x7e, 0x7f, false, false};
constexpr Format kE4M3FNUZ = {8, 4, 3, 8, 0x7f, 0x80, true, false};
constexpr Format kE5M2 = {8, 5, 2, 15, 0x7b, 0x7e, false, true};
constexpr Format kE5M2FNUZ = {8, 5, 2, 16, 0x7f, 0x80, true, false};
constexpr Format kE2M1 = {4, 2, 1, 1, 0x7, 0, false, false};

const Format& FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3FN:
      return kE4M3FN;
    case DType::kF8E4M3FNUZ:
      return kE4M3FNUZ;
    case DType::kF8E5M2:
      return kE5M2;
    case DType::kF8E5M2FNUZ:
      return kE5M2FNUZ;
    default:
      CHECK(dtype == DType::kF4E2M1);
      return kE2M1;
  }
}

// The value of a code without its sign bit.
float Magnitude(const Format& format, int code) {
  const int mantissa = code & ((1 << format.mantissa_bits) - 1);
  const int exponent = code >> format.mantissa_bits;
  if (exponent == 0) {
    return std::ldexp(static_cast<float>(mantissa), 1 - format.bias - format.mantissa_bits);
  }
  return std::ldexp(static_cast<float>((1 << format.mantissa_bits) + mantissa),
                    exponent - format.bias - format.mantissa_bits);
}

}  // namespace

bool IsSmallFloat(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF4E2M1:
      return true;
    default:
      return false;
  }
}

float SmallFloatToFloat(DType dtype, uint8_t code) {
  const Format& format = FormatOf(dtype);
  const int sign_bit = 1 << (format.bits - 1);
  const int magnitude = code & (sign_bit - 1);
  const bool negative = (code & sign_bit) != 0;
  if (format.one_zero && code == format.nan) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude > format.largest) {
    if (format.has_infinity && magnitude == format.largest + 1) {
      return negative ? -std::numeric_limits<float>::infinity()
                      : std::numeric_limits<float>::infinity();
    }
    return std::numeric_limits<float>::quiet_NaN();
  }
  const float value = Magnitude(format, magnitude);
  return negative ? -value : value;
}

uint8_t FloatToSmallFloat(DType dtype, float value, bool saturate) {
  const Format& format = FormatOf(dtype);
  // f4e2m1 has no NaN; ONNX leaves the case open, zero is as good as any.
  if (std::isnan(value)) return format.nan;
  const int sign = std::signbit(value) ? 1 << (format.bits - 1) : 0;
  const float magnitude = std::abs(value);
  if (!saturate && format.bits == 8) {
    // What rounds to a number above the largest: half a step above it, ties to even.
    const float step = Magnitude(format, format.largest) - Magnitude(format, format.largest - 1);
    const float limit = Magnitude(format, format.largest) + step / 2;
    const bool even = (format.largest & 1) == 0;
    if (magnitude > limit || (magnitude == limit && !even)) {
      if (format.one_zero) return format.nan;
      return static_cast<uint8_t>(sign | (format.has_infinity ? format.largest + 1 : format.nan));
    }
  }
  // Codes grow with the value, so the nearest one is found by halving.
  int low = 0;
  int high = format.largest;
  if (magnitude >= Magnitude(format, high)) {
    low = high;
  } else {
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (Magnitude(format, middle) <= magnitude ? low : high) = middle;
    }
    const float below = magnitude - Magnitude(format, low);
    const float above = Magnitude(format, high) - magnitude;
    if (above < below || (above == below && (high & 1) == 0)) low = high;
  }
  if (format.one_zero && low == 0) return 0;
  return static_cast<uint8_t>(sign | low);
}

}  // namespace paramd
