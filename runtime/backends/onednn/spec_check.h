// Checks what every op family relies on, before oneDNN sees a number.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_SPEC_CHECK_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_SPEC_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"

namespace paramd::onednn {

// ValidateSpec, and then what oneDNN adds: one output (but of NamedParams); ranks, dimensions and
// sizes within what its 32-bit kernels address; a sane team; residuals that are
// activations.
absl::Status CheckSpec(const OpSpec& spec);

// The operation's own input `i` is there (an optional one may be absent or
// beyond the list, where the operands of post-ops follow).
bool HasInput(const OpSpec& spec, int i);

// Every activation among the inputs, residuals included, in `layout`; the
// parameters plain.
std::vector<Layout> ActivationLayouts(const OpSpec& spec, Layout layout);

// A window (kernel or pool) that slides over the spatial dimensions of x.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads_begin, pads_end;
};

// The padding at the end that makes y's size exact: it is above pads_end where
// the last window hangs over (ceil mode). Unimplemented where a window could
// lie in the padding alone, or attributes are beyond oneDNN's integers.
absl::StatusOr<std::vector<int64_t>> ExactPadsEnd(const Window& window, const Shape& x,
                                                  const Shape& y);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_SPEC_CHECK_H_
