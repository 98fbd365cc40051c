// What the numbers of "resize" in NamedParams mean: ints {ResizeInterpolation,
// ResizeTransform, ResizeRounding, antialias, exclude_outside}, in the order in which
// ONNX's Resize names them.
#ifndef PARAMD_RUNTIME_BACKENDS_RESIZE_SPECS_H_
#define PARAMD_RUNTIME_BACKENDS_RESIZE_SPECS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace paramd {

enum class ResizeInterpolation : uint8_t { kNearest, kLinear, kCubic };
enum class ResizeTransform : uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kCropAndResize,
};
enum class ResizeRounding : uint8_t { kPreferFloor, kPreferCeil, kFloor, kCeil };

// Whether these are five numbers of which the first three are values of the above.
inline bool AreResizeNumbers(absl::Span<const int64_t> ints) {
  const auto is_up_to = [&](size_t i, auto last) {
    return ints[i] >= 0 && ints[i] <= static_cast<int64_t>(last);
  };
  return ints.size() == 5 && is_up_to(0, ResizeInterpolation::kCubic) &&
         is_up_to(1, ResizeTransform::kCropAndResize) && is_up_to(2, ResizeRounding::kCeil);
}

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_RESIZE_SPECS_H_
