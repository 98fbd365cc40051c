// Arithmetic without undefined behaviour: integers wrap as two's complement,
// conversions saturate.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_ARITHMETIC_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_ARITHMETIC_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace paramd::reference {

template <typename T>
T Add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}

template <typename T>
T Sub(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  } else {
    return a - b;
  }
}

template <typename T>
T Mul(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  } else {
    return a * b;
  }
}

// Integers round towards zero; x / 0 = 0, and the least integer / -1 is itself.
template <typename T>
T Div(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return Sub<T>(0, a);
    }
    return static_cast<T>(a / b);
  } else {
    return a / b;  // IEEE: infinite or NaN.
  }
}

// Integers: the divisor's sign, as ONNX's Mod with fmod = 0; x mod 0 = 0.
// Floats: C's fmod, as ONNX's Mod with fmod = 1.
template <typename T>
T Mod(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
      const T rest = static_cast<T>(a % b);
      return static_cast<T>(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    } else {
      return static_cast<T>(a % b);
    }
  } else {
    return std::fmod(a, b);
  }
}

// NaN wins, as in numpy.
template <typename T>
T Max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return a < b ? b : a;
}

template <typename T>
T Min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return b < a ? b : a;
}

template <typename T>
T Abs(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fabs(x);
  } else if constexpr (std::is_signed_v<T>) {
    return x < 0 ? Sub<T>(0, x) : x;
  } else {
    return x;
  }
}

// Floats to integers truncate and saturate, NaN becomes 0; integers to narrower
// integers wrap; anything but 0 is true.
template <typename To, typename From>
To Convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (x != x) return 0;
    // 2^digits is exact in every float type; max() may round up to it.
    constexpr From kEnd =
        static_cast<From>(uint64_t{1} << (std::numeric_limits<To>::digits - 1)) * 2;
    if (x >= kEnd) return std::numeric_limits<To>::max();
    if constexpr (std::is_signed_v<To>) {
      if (x < -kEnd) return std::numeric_limits<To>::min();
    } else {
      if (x <= From{-1}) return 0;
    }
    return static_cast<To>(x);
  } else if constexpr (std::is_same_v<From, double> && std::is_same_v<To, float>) {
    // Beyond float's range the built-in conversion is undefined.
    constexpr double kMax = std::numeric_limits<float>::max();
    // Half a unit above the greatest float rounds to infinity.
    constexpr double kRoundsToInfinity = kMax + 0x1p103;
    if (x >= kRoundsToInfinity) return std::numeric_limits<float>::infinity();
    if (x <= -kRoundsToInfinity) return -std::numeric_limits<float>::infinity();
    if (x > kMax) return std::numeric_limits<float>::max();
    if (x < -kMax) return std::numeric_limits<float>::lowest();
    return static_cast<float>(x);
  } else {
    return static_cast<To>(x);
  }
}

// a^b. Integers wrap; a negative exponent gives the real result cut to an
// integer (0 but for 1 and -1; 0 to a negative power is 0).
template <typename T, typename E>
T Pow(T a, E b) {
  if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
    if constexpr (std::is_signed_v<E>) {
      if (b < 0) {
        if (a == 1) return 1;
        if constexpr (std::is_signed_v<T>) {
          if (a == -1) return (b & 1) != 0 ? T{-1} : T{1};
        }
        return 0;
      }
    }
    T result = 1, factor = a;
    for (auto rest = static_cast<uint64_t>(b); rest != 0; rest >>= 1) {
      if ((rest & 1) != 0) result = Mul(result, factor);
      factor = Mul(factor, factor);
    }
    return result;
  } else if constexpr (std::is_same_v<T, float> && (std::is_same_v<E, float> || sizeof(E) <= 2)) {
    return std::pow(a, static_cast<float>(b));
  } else {
    return Convert<T>(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
}

// memcpy that may be given nothing.
inline void CopyBytes(void* to, const void* from, uint64_t bytes) {
  if (bytes != 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_ARITHMETIC_H_
