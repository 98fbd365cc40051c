// Softmax and log-softmax along one axis: [outer, axis, inner] in memory order,
// so any layout of the input will do.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::onednn {

absl::StatusOr<PrimitivePlan> PlanSoftmax(const OpSpec& spec, const SoftmaxParams& softmax) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  const int rank = x.shape.rank();
  const int axis = CanonicalAxis(softmax.axis, rank);
  // Flattened, the axis is everything from it on, which only plain bytes have together.
  const Layout layout = softmax.flattened ? Layout::kPlain : LayoutOf(x);
  const Dims ordered = InMemoryOrder(DimsOf(x.shape), layout);
  const auto all = absl::MakeConstSpan(ordered);
  const auto at = static_cast<size_t>(AxisInMemoryOrder(axis, rank, layout));
  Dims dims;
  if (softmax.flattened || at + 1 == all.size()) {
    dims = {Product(all.subspan(0, at)), Product(all.subspan(at))};
  } else {
    dims = {Product(all.subspan(0, at)), all[at], Product(all.subspan(at + 1))};
  }

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, layout);
  plan.output_layout = layout;
  const auto x_desc = DenseDesc(dims, x_type);
  const auto y_desc = DenseDesc(dims, y_type);
  const auto algorithm =
      softmax.log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
  const dnnl::softmax_forward::primitive_desc desc(CpuEngine(), dnnl::prop_kind::forward_inference,
                                                   algorithm, x_desc, y_desc, 1, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::softmax_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace paramd::onednn
