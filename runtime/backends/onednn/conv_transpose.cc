// Transposed convolution, channels-last in and out as convolution is.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

// Strides, dilations and pads; padding at the end is whatever y's size needs.
struct Steps {
  Dims strides, dilates, pads_begin, pads_end;
};

absl::StatusOr<Steps> StepsOf(const NamedParams& params, const Shape& x, const Shape& w,
                              const Shape& y) {
  // Far beyond any model, and products of two stay in 64 bits.
  constexpr int64_t kExtentMax = int64_t{1} << 20;
  const auto spatial = static_cast<size_t>(x.rank() - 2);
  if (params.ints.size() != 1 + 3 * spatial) {
    return absl::InvalidArgumentError(StrCat("has ", params.ints.size(), " numbers"));
  }
  Steps steps;
  for (size_t i = 0; i < spatial; ++i) {
    const int d = static_cast<int>(i) + 2;
    const int64_t stride = params.ints[1 + i], dilation = params.ints[1 + spatial + i];
    const int64_t pad = params.ints[1 + 2 * spatial + i];
    if (stride < 1 || stride > kExtentMax || dilation < 1 || dilation > kExtentMax || pad < 0 ||
        pad > kExtentMax || w.dim(d) < 1 || w.dim(d) > kExtentMax || x.dim(d) > kExtentMax) {
      return absl::UnimplementedError(
          StrCat("a stride of ", stride, ", dilation of ", dilation, " or padding of ", pad));
    }
    const int64_t extent = (w.dim(d) - 1) * dilation + 1;
    const int64_t end = (x.dim(d) - 1) * stride + extent - pad - y.dim(d);
    // What lies beyond the last window (output padding) has no window to come from.
    if (end < 0 || pad >= extent || end >= extent) {
      return absl::UnimplementedError(StrCat("a padding of ", pad, " and ", end,
                                             " for a window of ", extent, " that is transposed"));
    }
    steps.strides.push_back(stride);
    steps.dilates.push_back(dilation - 1);
    steps.pads_begin.push_back(pad);
    steps.pads_end.push_back(end);
  }
  return steps;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanConvTranspose(const OpSpec& spec, const NamedParams& params) {
  if (spec.inputs.size() < 2 || spec.inputs.size() > 3 || spec.outputs.size() != 1) {
    return absl::InvalidArgumentError("a transposed convolution has two or three inputs");
  }
  const Operand &x = spec.inputs[0], &w = spec.inputs[1], &y = spec.outputs[0];
  if (w.kind != OperandKind::kParameter) {
    return absl::UnimplementedError("convolution weights that are computed per request");
  }
  if (x.shape.rank() < 3 || x.shape.rank() > 5 || w.shape.rank() != x.shape.rank() ||
      y.shape.rank() != x.shape.rank() || params.ints.empty()) {
    return absl::UnimplementedError(
        StrCat("ranks of ", x.shape.ToString(), " and ", w.shape.ToString()));
  }
  const int64_t groups = params.ints[0], channels = x.shape.dim(1), outputs = y.shape.dim(1);
  const bool fits = groups >= 1 && channels % groups == 0 && outputs % groups == 0 &&
                    w.shape.dim(0) == channels && w.shape.dim(1) == outputs / groups &&
                    y.shape.dim(0) == x.shape.dim(0);
  const bool biased = HasInput(spec, 2);
  if (!fits || (biased && spec.inputs[2].shape.elements() != outputs)) {
    return absl::InvalidArgumentError(
        StrCat(groups, " groups do not fit ", x.shape.ToString(), " and ", w.shape.ToString()));
  }
  PARAMD_ASSIGN_OR_RETURN(const Steps steps, StepsOf(params, x.shape, w.shape, y.shape));
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(y.dtype));
  PARAMD_RETURN_IF_ERROR(FloatType(w.dtype).status());

  // ONNX has [channels, outputs / groups, kernel...], oneDNN counts outputs first.
  const int64_t ic = channels / groups, oc = outputs / groups;
  const Dims dense = DenseStrides(DimsOf(w.shape));
  Dims w_dims = {oc, ic}, w_strides = {dense[1], dense[0]};
  for (int i = 2; i < w.shape.rank(); ++i) {
    w_dims.push_back(w.shape.dim(i));
    w_strides.push_back(dense[static_cast<size_t>(i)]);
  }
  if (groups > 1) {
    w_dims.insert(w_dims.begin(), groups);
    w_strides.insert(w_strides.begin(), ic * dense[0]);
  }
  memory::desc w_desc(w_dims, x_type, memory::format_tag::any);
  if (!w.packed.plain()) {
    PARAMD_ASSIGN_OR_RETURN(w_desc, DecodePackedLayout(w.packed, w_dims, x_type));
  }
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kChannelsLast);
  plan.output_layout = Layout::kChannelsLast;
  const auto x_desc = DenseDesc(DimsOf(x.shape), x_type, Layout::kChannelsLast);
  const auto y_desc = DenseDesc(DimsOf(y.shape), y_type, Layout::kChannelsLast);
  memory::desc bias_desc;
  if (biased) {
    PARAMD_ASSIGN_OR_RETURN(const auto bias_type, FloatType(spec.inputs[2].dtype));
    bias_desc = DenseDesc({outputs}, bias_type);
    plan.AddInput(DNNL_ARG_BIAS, 2, bias_desc);
  }
  const dnnl::deconvolution_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
      x_desc, w_desc, bias_desc, y_desc, steps.strides, steps.dilates, steps.pads_begin,
      steps.pads_end, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::deconvolution_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddInput(DNNL_ARG_WEIGHTS, 1, desc.weights_desc());
  plan.AddOutput(y_desc);
  plan.PackInput(1, w.shape, desc.weights_desc(), w_strides);
  return plan;
}

}  // namespace paramd::onednn
