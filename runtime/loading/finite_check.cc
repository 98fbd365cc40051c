#include "runtime/loading/finite_check.h"

#include <algorithm>
#include <cstring>

namespace paramd {
namespace {

// A NaN is an exponent of all ones and a fraction that is not 0: with the sign
// off, a number above that of infinity. Blocks are looked at without a branch a
// element, so that the compiler may use vectors.
template <typename Bits, Bits kInfinity>
std::optional<int64_t> Scan(const TensorView& tensor) {
  constexpr size_t kBlock = 4096;
  constexpr Bits kNoSign = static_cast<Bits>(~(Bits{1} << (sizeof(Bits) * 8 - 1)));
  const auto count = static_cast<size_t>(tensor.shape.elements());
  const auto* const bits = static_cast<const Bits*>(tensor.data);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(count, begin + kBlock);
    Bits largest = 0;
    for (size_t i = begin; i < end; ++i) {
      largest = std::max(largest, static_cast<Bits>(bits[i] & kNoSign));
    }
    if (largest <= kInfinity) continue;
    for (size_t i = begin; i < end; ++i) {
      if (static_cast<Bits>(bits[i] & kNoSign) > kInfinity) return static_cast<int64_t>(i);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> FirstNaN(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return Scan<uint32_t, 0x7f800000u>(tensor);
    case DType::kF64:
      return Scan<uint64_t, 0x7ff0000000000000u>(tensor);
    case DType::kF16:
      return Scan<uint16_t, 0x7c00u>(tensor);
    case DType::kBF16:
      return Scan<uint16_t, 0x7f80u>(tensor);
    default:
      return std::nullopt;
  }
}

}  // namespace paramd
