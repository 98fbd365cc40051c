// Convolution, channels-last in and out.
//
// Measured (oneDNN 3.7.2, Zen 4): channels-last reaches the machine's peak even
// for 3 input channels; a plain source into a channels-last result has only a
// reference implementation. A dense 1x1 convolution is the matmul of its pixels
// (within 3% of oneDNN's own 1x1 kernel in both directions), and is planned as
// one, because the 1x1 kernel's packed weights depend on batch and team where
// the matmul's do not. The layouts of the others are the same for batch 1 to 64
// and for one and two threads.
#include <utility>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/matmul_2d.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

// Every output pixel is one input pixel times the weights.
bool IsPointwise(const Window& window, const std::vector<int64_t>& pads_end, int64_t groups) {
  if (groups != 1) return false;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    if (window.kernel[i] != 1 || window.strides[i] != 1 || window.pads_begin[i] != 0 ||
        pads_end[i] != 0) {
      return false;
    }
  }
  return true;
}

absl::StatusOr<PrimitivePlan> PlanPointwise(const OpSpec& spec) {
  const Shape& x = spec.inputs[0].shape;
  const Shape& y = spec.outputs[0].shape;
  MatMul2d matmul = {.rows = x.elements() / x.dim(1), .inner = x.dim(1), .columns = y.dim(1)};
  // ONNX keeps [M, C, 1, 1]; as a matmul's right side that is [C, M] transposed.
  matmul.weights_strides = {1, x.dim(1)};
  if (HasInput(spec, 2)) matmul.bias = MatMul2d::Bias::kRow;
  PARAMD_ASSIGN_OR_RETURN(PrimitivePlan plan, PlanMatMul2d(spec, matmul));
  plan.input_layouts = ActivationLayouts(spec, Layout::kChannelsLast);
  plan.output_layout = Layout::kChannelsLast;
  return plan;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanConv(const OpSpec& spec, const ConvParams& conv) {
  const Operand& x = spec.inputs[0];
  const Operand& w = spec.inputs[1];
  const Operand& y = spec.outputs[0];
  const auto spatial = static_cast<size_t>(x.shape.rank() - 2);
  const auto kernel = w.shape.dims().subspan(2);
  const Window window = {.kernel = {kernel.begin(), kernel.end()},
                         .strides = conv.strides,
                         .dilations = conv.dilations,
                         .pads_begin = conv.pads_begin,
                         .pads_end = conv.pads_end};
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int64_t> pads_end,
                          ExactPadsEnd(window, x.shape, y.shape));
  if (w.kind != OperandKind::kParameter) {
    return absl::UnimplementedError("convolution weights that are computed per request");
  }
  if (IsPointwise(window, pads_end, conv.groups)) return PlanPointwise(spec);

  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(y.dtype));
  PARAMD_RETURN_IF_ERROR(FloatType(w.dtype).status());

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kChannelsLast);
  plan.output_layout = Layout::kChannelsLast;

  // Weights compute in the activations' type; Pack converts.
  Dims w_dims = DimsOf(w.shape);
  if (conv.groups > 1) {
    w_dims[0] /= conv.groups;
    w_dims.insert(w_dims.begin(), conv.groups);
  }
  memory::desc w_desc(w_dims, x_type, memory::format_tag::any);
  if (!w.packed.plain()) {
    PARAMD_ASSIGN_OR_RETURN(w_desc, DecodePackedLayout(w.packed, w_dims, x_type));
  }
  const memory::desc x_desc = DenseDesc(DimsOf(x.shape), x_type, Layout::kChannelsLast);
  const memory::desc y_desc = DenseDesc(DimsOf(y.shape), y_type, Layout::kChannelsLast);
  memory::desc bias_desc;
  if (HasInput(spec, 2)) {
    PARAMD_ASSIGN_OR_RETURN(const auto bias_type, FloatType(spec.inputs[2].dtype));
    bias_desc = DenseDesc({w.shape.dim(0)}, bias_type);
    plan.AddInput(DNNL_ARG_BIAS, 2, bias_desc);
  }
  dnnl::post_ops post_ops;
  PARAMD_RETURN_IF_ERROR(
      AppendPostOps(spec, DimsOf(y.shape), Layout::kChannelsLast, &post_ops, &plan));

  Dims dilates(spatial);
  for (size_t i = 0; i < spatial; ++i) dilates[i] = conv.dilations[i] - 1;
  const dnnl::convolution_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, x_desc,
      w_desc, bias_desc, y_desc, conv.strides, dilates, conv.pads_begin, pads_end,
      Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::convolution_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddInput(DNNL_ARG_WEIGHTS, 1, desc.weights_desc());
  plan.AddOutput(y_desc);
  plan.PackInput(1, w.shape, desc.weights_desc(), DenseStrides(w_dims));
  return plan;
}

}  // namespace paramd::onednn
