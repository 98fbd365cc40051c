// Local response normalisation across channels.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

absl::StatusOr<PrimitivePlan> PlanInLayout(const OpSpec& spec, const LrnParams& lrn,
                                           Layout layout) {
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto type, FloatType(x.dtype));
  // The kernels know images; what is in a row of it is all the same to them.
  const Dims dims = {x.shape.dim(0), x.shape.dim(1), 1, Product(x.shape.dims().subspan(2))};
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, layout);
  plan.output_layout = layout;
  const auto x_desc = DenseDesc(dims, type, layout);
  const dnnl::lrn_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::lrn_across_channels, x_desc,
      x_desc, lrn.size, lrn.alpha, lrn.beta, lrn.bias, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::lrn_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddOutput(x_desc);
  return plan;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanLrn(const OpSpec& spec, const LrnParams& lrn) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  if (spec.outputs[0].dtype != spec.inputs[0].dtype) {
    return absl::UnimplementedError("a normalisation that changes the type");
  }
  // oneDNN's window of an even size leaves out one channel that ONNX's has.
  if (lrn.size % 2 == 0) return absl::UnimplementedError(StrCat("a window of ", lrn.size));
  return InEitherLayout(spec.inputs[0],
                        [&](Layout layout) { return PlanInLayout(spec, lrn, layout); });
}

}  // namespace paramd::onednn
