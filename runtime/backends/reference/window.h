// Sliding windows of convolution and pooling, always in three spatial
// dimensions: 1-D and 2-D operations get leading dimensions of one.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_WINDOW_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "runtime/tensor/shape.h"

namespace paramd::reference {

inline constexpr int kSpatial = 3;

struct Window {
  std::array<int64_t, kSpatial> in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1};
  std::array<int64_t, kSpatial> stride{1, 1, 1}, dilation{1, 1, 1};
  std::array<int64_t, kSpatial> pad_begin{}, pad_end{};

  int64_t in_elements() const { return in[0] * in[1] * in[2]; }
  int64_t out_elements() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// The taps of one output position along one dimension that fall on the input:
// tap t reads start + t * dilation for t in [first, last).
struct TapRange {
  int64_t start = 0, first = 0, last = 0;
};

inline TapRange Taps(const Window& window, size_t d, int64_t out_index) {
  TapRange range;
  const int64_t step = window.dilation[d];
  range.start = out_index * window.stride[d] - window.pad_begin[d];
  if (range.start < 0) range.first = (-range.start + step - 1) / step;
  const int64_t room = window.in[d] - range.start;  // Positions up to the input's end.
  range.last = room <= 0 ? 0 : std::min(window.kernel[d], (room + step - 1) / step);
  range.first = std::min(range.first, range.last);
  return range;
}

// `params` is ConvParams or PoolParams; kernel has one value a spatial dimension.
template <typename Params>
Window MakeWindow(const Params& params, const Shape& x, const Shape& y,
                  const std::vector<int64_t>& kernel) {
  Window window;
  const auto spatial = static_cast<size_t>(x.rank() - 2);
  const size_t lead = kSpatial - spatial;
  for (size_t i = 0; i < spatial; ++i) {
    window.in[lead + i] = x.dim(static_cast<int>(i) + 2);
    window.out[lead + i] = y.dim(static_cast<int>(i) + 2);
    window.kernel[lead + i] = kernel[i];
    window.stride[lead + i] = params.strides[i];
    window.dilation[lead + i] = params.dilations[i];
    window.pad_begin[lead + i] = params.pads_begin[i];
    window.pad_end[lead + i] = params.pads_end[i];
  }
  return window;
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_WINDOW_H_
