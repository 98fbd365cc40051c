// Reductions: over all pixels as pooling with a window of the whole image
// (tuned in both layouts), over the innermost dimensions as oneDNN's reduction.
#include <algorithm>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

// Exactly the dimensions behind [N, C].
bool IsOverPixels(const OpSpec& spec, const ReduceParams& reduce) {
  const int rank = spec.inputs[0].shape.rank();
  if (rank < 3 || static_cast<int>(reduce.axes.size()) != rank - 2) return false;
  return reduce.axes.front() == 2;  // Sorted and inside, so the others follow.
}

absl::StatusOr<PrimitivePlan> PlanAsPooling(const OpSpec& spec, dnnl::algorithm algorithm) {
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  const int64_t pixels = Product(x.shape.dims().subspan(2));
  const Dims y_dims = {x.shape.dim(0), x.shape.dim(1), 1, 1};
  PARAMD_RETURN_IF_ERROR(RefusePooledAdd(spec, LayoutOf(x)));
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, LayoutOf(x));
  // One pixel: [N, C, 1, 1] and [N, C] are the same bytes in both layouts.
  plan.output_layout =
      spec.outputs[0].shape.rank() == x.shape.rank() ? LayoutOf(x) : Layout::kPlain;
  const auto x_desc = DenseDesc({x.shape.dim(0), x.shape.dim(1), 1, pixels}, x_type, LayoutOf(x));
  const auto y_desc = DenseDesc(y_dims, y_type, LayoutOf(x));
  dnnl::post_ops post_ops;
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, y_dims, LayoutOf(x), &post_ops, &plan));
  const dnnl::pooling_forward::primitive_desc desc(CpuEngine(), dnnl::prop_kind::forward_inference,
                                                   algorithm, x_desc, y_desc, {1, 1}, {1, pixels},
                                                   {0, 0}, {0, 0}, {0, 0}, Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::pooling_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddOutput(y_desc);
  return plan;
}

absl::StatusOr<dnnl::algorithm> AlgorithmOf(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::kSum:
      return dnnl::algorithm::reduction_sum;
    case ReduceKind::kMean:
      return dnnl::algorithm::reduction_mean;
    case ReduceKind::kMax:
      return dnnl::algorithm::reduction_max;
    case ReduceKind::kMin:
      return dnnl::algorithm::reduction_min;
    case ReduceKind::kProd:
      return dnnl::algorithm::reduction_mul;
    default:
      // oneDNN's norms add an epsilon inside, and have no tuned kernel.
      return absl::UnimplementedError(StrCat("no reduction by ", ReduceKindName(kind)));
  }
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanReduce(const OpSpec& spec, const ReduceParams& reduce) {
  if (reduce.axes.empty()) return absl::UnimplementedError("nothing to reduce");
  if (IsOverPixels(spec, reduce)) {
    if (reduce.kind == ReduceKind::kMean) {
      return PlanAsPooling(spec, dnnl::algorithm::pooling_avg_exclude_padding);
    }
    if (reduce.kind == ReduceKind::kMax) return PlanAsPooling(spec, dnnl::algorithm::pooling_max);
  }
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto algorithm, AlgorithmOf(reduce.kind));
  const auto first = static_cast<size_t>(reduce.axes.front());
  if (reduce.axes.back() + 1 != x.shape.rank() ||
      reduce.axes.size() != static_cast<size_t>(x.shape.rank()) - first) {
    return absl::UnimplementedError("a reduction over other than the innermost dimensions");
  }
  const int64_t outer = Product(x.shape.dims().subspan(0, first));
  const int64_t inner = Product(x.shape.dims().subspan(first));

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kPlain);
  const auto x_desc = DenseDesc({outer, inner}, x_type);
  const auto y_desc = DenseDesc({outer, 1}, y_type);
  dnnl::post_ops post_ops;
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, {outer, 1}, Layout::kPlain, &post_ops, &plan));
  const dnnl::reduction::primitive_desc desc(CpuEngine(), algorithm, x_desc, y_desc, 0, 0,
                                             Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::reduction>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace paramd::onednn
