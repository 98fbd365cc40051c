// Window: the geometry that convolution and pooling share: kernel, strides,
// dilations, pads (explicit or by auto_pad), rounding up.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_OPS_WINDOW_H_
#define PARAMD_RUNTIME_GRAPH_OPS_WINDOW_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/graph/graph.h"

namespace paramd::ops {

struct Window {
  enum class AutoPad : uint8_t { kNotSet, kValid, kSameUpper, kSameLower };
  std::vector<int64_t> kernel, strides, dilations, pads_begin, pads_end;
  AutoPad auto_pad = AutoPad::kNotSet;
  bool ceil_mode = false;
};

// From the node's attributes, for a kernel of these spatial sizes. Every
// number is checked, so that sums of them with a dimension cannot wrap.
absl::StatusOr<Window> ParseWindow(const Node& node, std::vector<int64_t> kernel);

// How many steps the window takes over spatial dimension `i` of size `in`.
absl::StatusOr<Dim> WindowSteps(const Window& window, size_t i, const Dim& in);

// Pads that give exactly WindowSteps when steps are rounded down: auto_pad
// resolved, and the end padded as far as rounding up overhangs. `overhang` says
// whether rounding up did (those cells are not padding to an average).
absl::Status ResolvePads(Window& window, absl::Span<const Dim> spatial, bool* overhang);

}  // namespace paramd::ops

#endif  // PARAMD_RUNTIME_GRAPH_OPS_WINDOW_H_
