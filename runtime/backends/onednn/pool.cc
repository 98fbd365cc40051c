// Max and average pooling, in whichever layout the input has.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"

namespace paramd::onednn {

absl::StatusOr<PrimitivePlan> PlanPool(const OpSpec& spec, const PoolParams& pool) {
  const Operand& x = spec.inputs[0];
  const Operand& y = spec.outputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(y.dtype));
  const Window window = {.kernel = pool.kernel,
                         .strides = pool.strides,
                         .dilations = pool.dilations,
                         .pads_begin = pool.pads_begin,
                         .pads_end = pool.pads_end};
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int64_t> pads_end,
                          ExactPadsEnd(window, x.shape, y.shape));
  auto algorithm = dnnl::algorithm::pooling_max;
  if (pool.kind == PoolParams::Kind::kAverage) {
    algorithm = pool.count_include_pad ? dnnl::algorithm::pooling_avg_include_padding
                                       : dnnl::algorithm::pooling_avg_exclude_padding;
    // oneDNN would count the overhang as padding; ONNX does not.
    if (pool.count_include_pad && pads_end != pool.pads_end) {
      return absl::UnimplementedError("an average with padding whose last window hangs over");
    }
  }

  PARAMD_RETURN_IF_ERROR(RefusePooledAdd(spec, LayoutOf(x)));
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, LayoutOf(x));
  plan.output_layout = LayoutOf(x);
  const auto x_desc = DenseDesc(DimsOf(x.shape), x_type, LayoutOf(x));
  const auto y_desc = DenseDesc(DimsOf(y.shape), y_type, LayoutOf(x));
  dnnl::post_ops post_ops;
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, DimsOf(y.shape), LayoutOf(x), &post_ops, &plan));
  Dims dilates;
  for (int64_t dilation : pool.dilations) dilates.push_back(dilation - 1);
  const dnnl::pooling_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, algorithm, x_desc, y_desc, pool.strides,
      pool.kernel, dilates, pool.pads_begin, pads_end, Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::pooling_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace paramd::onednn
