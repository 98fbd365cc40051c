#include "runtime/backends/onednn/spec_check.h"

#include <limits>
#include <string_view>
#include <variant>

#include "oneapi/dnnl/dnnl_types.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

// Kernels keep offsets in 32 bits in places; paramd's tensors stay below it.
constexpr int64_t kElementsMax = std::numeric_limits<int32_t>::max();
// Far beyond any team, small enough that scratch per member cannot wrap.
constexpr int kThreadsMax = 1024;
// Kernel sizes, strides, dilations and pads.
constexpr int64_t kWindowMax = int64_t{1} << 20;

absl::Status CheckOperand(const Operand& operand, std::string_view role, size_t index) {
  if (operand.kind == OperandKind::kAbsent) return absl::OkStatus();
  if (operand.shape.rank() > DNNL_MAX_NDIMS) {
    return absl::UnimplementedError(StrCat(role, " ", index, " has rank ", operand.shape.rank(),
                                           ", oneDNN has at most ", DNNL_MAX_NDIMS));
  }
  const int64_t elements = operand.shape.elements();
  if (elements > kElementsMax) {
    return absl::UnimplementedError(
        StrCat(role, " ", index, " has ", elements, " elements, kernels address ", kElementsMax));
  }
  for (int64_t dim : operand.shape.dims()) {
    // An empty tensor's other dimensions still make strides.
    if (dim > kElementsMax) {
      return absl::UnimplementedError(StrCat(role, " ", index, " has a dimension of ", dim));
    }
  }
  return absl::OkStatus();
}

bool InRange(const std::vector<int64_t>& values) {
  for (int64_t value : values) {
    if (value > kWindowMax) return false;
  }
  return true;
}

}  // namespace

absl::Status CheckSpec(const OpSpec& spec) {
  PARAMD_RETURN_IF_ERROR(ValidateSpec(spec));
  if (spec.threads < 1 || spec.threads > kThreadsMax) {
    return absl::InvalidArgumentError(
        StrCat("a team of ", spec.threads, " threads, expected 1 to ", kThreadsMax));
  }
  const bool named = std::holds_alternative<NamedParams>(spec.params);
  for (size_t i = 1; i < spec.outputs.size() && !named; ++i) {
    if (spec.outputs[i].kind != OperandKind::kAbsent) {
      return absl::UnimplementedError(StrCat("no second output of ", OpName(spec.params)));
    }
  }
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    PARAMD_RETURN_IF_ERROR(CheckOperand(spec.inputs[i], "input", i));
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    PARAMD_RETURN_IF_ERROR(CheckOperand(spec.outputs[i], "output", i));
  }
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd &&
        spec.inputs[static_cast<size_t>(post_op.operand)].kind != OperandKind::kActivation) {
      return absl::UnimplementedError("a post-op that adds a parameter");
    }
  }
  return absl::OkStatus();
}

bool HasInput(const OpSpec& spec, int i) {
  return i < OwnInputs(spec) && InputOrNull(spec, i) != nullptr;
}

std::vector<Layout> ActivationLayouts(const OpSpec& spec, Layout layout) {
  std::vector<Layout> layouts(spec.inputs.size(), Layout::kPlain);
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].kind == OperandKind::kActivation) layouts[i] = layout;
  }
  return layouts;
}

absl::StatusOr<std::vector<int64_t>> ExactPadsEnd(const Window& window, const Shape& x,
                                                  const Shape& y) {
  if (!InRange(window.kernel) || !InRange(window.strides) || !InRange(window.dilations) ||
      !InRange(window.pads_begin) || !InRange(window.pads_end)) {
    return absl::UnimplementedError(StrCat("a kernel, stride, dilation or pad above ", kWindowMax));
  }
  std::vector<int64_t> pads_end = window.pads_end;
  for (size_t i = 0; i < pads_end.size(); ++i) {
    const int64_t in = x.dim(static_cast<int>(i) + 2);
    const int64_t out = y.dim(static_cast<int>(i) + 2);
    const int64_t extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
    const int64_t room = in + window.pads_begin[i] + window.pads_end[i] - extent;
    if (room < 0 || room / window.strides[i] + 1 != out) {
      pads_end[i] = (out - 1) * window.strides[i] + extent - in - window.pads_begin[i];
    }
    if (window.pads_begin[i] >= extent || pads_end[i] >= extent) {
      return absl::UnimplementedError(StrCat("a padding of ", window.pads_begin[i], " and ",
                                             pads_end[i], " for a window of ", extent));
    }
  }
  return pads_end;
}

}  // namespace paramd::onednn
