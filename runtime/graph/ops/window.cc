#include "runtime/graph/ops/window.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::ops {
namespace {

constexpr int64_t kAttributeMax = (int64_t{1} << 31) - 1;
constexpr int64_t kDimMax = int64_t{1} << 40;

absl::Status CheckList(std::string_view what, const std::vector<int64_t>& values, size_t count,
                       int64_t least) {
  if (values.size() != count) {
    return absl::InvalidArgumentError(
        StrCat(what, " has ", values.size(), " values, expected ", count));
  }
  for (int64_t value : values) {
    if (value < least || value > kAttributeMax) {
      return absl::InvalidArgumentError(
          StrCat(what, " ", value, " is outside [", least, ", ", kAttributeMax, "]"));
    }
  }
  return absl::OkStatus();
}

std::vector<int64_t> IntsOr(const Node& node, const std::string& key, size_t count,
                            int64_t otherwise) {
  std::vector<int64_t> values = node.GetInts(key);
  if (values.empty() && !node.Has(key)) values.assign(count, otherwise);
  return values;
}

int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// What the window covers: the kernel with its dilation.
int64_t Reach(const Window& window, size_t i) {
  return (window.kernel[i] - 1) * window.dilations[i] + 1;
}

}  // namespace

absl::StatusOr<Window> ParseWindow(const Node& node, std::vector<int64_t> kernel) {
  Window window;
  const size_t spatial = kernel.size();
  window.kernel = std::move(kernel);
  PARAMD_RETURN_IF_ERROR(CheckList("the kernel", window.kernel, spatial, 1));
  window.strides = IntsOr(node, "strides", spatial, 1);
  PARAMD_RETURN_IF_ERROR(CheckList("strides", window.strides, spatial, 1));
  window.dilations = IntsOr(node, "dilations", spatial, 1);
  PARAMD_RETURN_IF_ERROR(CheckList("dilations", window.dilations, spatial, 1));
  for (size_t i = 0; i < spatial; ++i) {
    if ((window.kernel[i] - 1) > kDimMax / window.dilations[i]) {
      return absl::InvalidArgumentError(StrCat("a kernel of ", window.kernel[i], " dilated by ",
                                               window.dilations[i], " is beyond 2^40"));
    }
  }
  window.ceil_mode = node.GetInt("ceil_mode", 0) != 0;

  const std::string auto_pad = node.GetString("auto_pad", "NOTSET");
  if (auto_pad == "NOTSET" || auto_pad.empty()) {
    const std::vector<int64_t> pads = IntsOr(node, "pads", 2 * spatial, 0);
    PARAMD_RETURN_IF_ERROR(CheckList("pads", pads, 2 * spatial, 0));
    const auto middle = pads.begin() + static_cast<ptrdiff_t>(spatial);
    window.pads_begin.assign(pads.begin(), middle);
    window.pads_end.assign(middle, pads.end());
    return window;
  }
  window.pads_begin.assign(spatial, 0);
  window.pads_end.assign(spatial, 0);
  if (auto_pad == "VALID") {
    window.auto_pad = Window::AutoPad::kValid;
  } else if (auto_pad == "SAME_UPPER") {
    window.auto_pad = Window::AutoPad::kSameUpper;
  } else if (auto_pad == "SAME_LOWER") {
    window.auto_pad = Window::AutoPad::kSameLower;
  } else {
    return absl::InvalidArgumentError(StrCat("auto_pad is '", auto_pad, "'"));
  }
  return window;
}

absl::StatusOr<Dim> WindowSteps(const Window& window, size_t i, const Dim& in) {
  const bool same = window.auto_pad == Window::AutoPad::kSameUpper ||
                    window.auto_pad == Window::AutoPad::kSameLower;
  if (!in.known()) return same && window.strides[i] == 1 ? in : Dim::Unknown();
  if (in.size > kDimMax) {
    return absl::InvalidArgumentError(StrCat("spatial dimension ", in.size, " is beyond 2^40"));
  }
  if (same) return Dim::Of(CeilDiv(in.size, window.strides[i]));
  const int64_t padded = in.size + window.pads_begin[i] + window.pads_end[i];
  const int64_t room = padded - Reach(window, i);
  if (room < 0) {
    return absl::InvalidArgumentError(StrCat("a window of ", Reach(window, i),
                                             " does not fit into spatial dimension ", i, " of ",
                                             padded, " (with pads)"));
  }
  if (!window.ceil_mode) return Dim::Of(room / window.strides[i] + 1);
  int64_t steps = CeilDiv(room, window.strides[i]) + 1;
  // A window that would start in the padding behind the input is left out.
  if ((steps - 1) * window.strides[i] >= in.size + window.pads_begin[i]) --steps;
  return Dim::Of(std::max<int64_t>(steps, 1));
}

absl::Status ResolvePads(Window& window, absl::Span<const Dim> spatial, bool* overhang) {
  *overhang = false;
  for (size_t i = 0; i < spatial.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(const Dim steps, WindowSteps(window, i, spatial[i]));
    const int64_t in = spatial[i].size;
    const int64_t covered = (steps.size - 1) * window.strides[i] + Reach(window, i);
    if (window.auto_pad == Window::AutoPad::kSameUpper ||
        window.auto_pad == Window::AutoPad::kSameLower) {
      const int64_t total = std::max<int64_t>(covered - in, 0);
      const int64_t less = total / 2, more = total - less;
      const bool upper = window.auto_pad == Window::AutoPad::kSameUpper;
      window.pads_begin[i] = upper ? less : more;
      window.pads_end[i] = upper ? more : less;
    } else if (const int64_t missing = covered - in - window.pads_begin[i] - window.pads_end[i];
               missing > 0) {
      window.pads_end[i] += missing;
      *overhang = true;
    }
  }
  window.auto_pad = Window::AutoPad::kNotSet;
  window.ceil_mode = false;
  return absl::OkStatus();
}

}  // namespace paramd::ops
