// Reorder (another layout or, between f32 and bf16, another type) and
// transpose: both are one copy between two sets of strides.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"

namespace paramd::onednn {
namespace {

absl::Status SetReorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to,
                        PrimitivePlan* plan) {
  const dnnl::reorder::primitive_desc desc(CpuEngine(), from, CpuEngine(), to, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::reorder>(desc, plan));
  plan->AddInput(DNNL_ARG_FROM, 0, from);
  plan->AddOutput(to);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanReorder(const OpSpec& spec, const ReorderParams&) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  const Operand& x = spec.inputs[0];
  const Operand& y = spec.outputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, CopyType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, CopyType(y.dtype));
  if (x.dtype != y.dtype && (!IsFloat(x.dtype) || !IsFloat(y.dtype))) {
    return absl::UnimplementedError("a reorder between integers of different types");
  }
  PrimitivePlan plan;
  plan.input_layouts = {LayoutOf(x)};
  plan.output_layout = y.layout;
  const Dims dims = DimsOf(x.shape);
  // Without a change of layout it is a line of elements.
  const bool same = LayoutOf(x) == y.layout || LayoutIsMoot(x.shape);
  const auto from =
      same ? DenseDesc({x.shape.elements()}, x_type) : DenseDesc(dims, x_type, LayoutOf(x));
  const auto to =
      same ? DenseDesc({x.shape.elements()}, y_type) : DenseDesc(dims, y_type, y.layout);
  PARAMD_RETURN_IF_ERROR(SetReorder(from, to, &plan));
  return plan;
}

absl::StatusOr<PrimitivePlan> PlanTranspose(const OpSpec& spec, const TransposeParams& transpose) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  const Operand& x = spec.inputs[0];
  const Operand& y = spec.outputs[0];
  if (x.shape.rank() == 0) return absl::UnimplementedError("a scalar");
  PARAMD_ASSIGN_OR_RETURN(const auto type, CopyType(x.dtype));
  PrimitivePlan plan;
  plan.input_layouts = {LayoutOf(x)};
  const Dims x_strides = DenseStrides(DimsOf(x.shape), LayoutOf(x));
  Dims from_strides;
  for (int axis : transpose.perm) from_strides.push_back(x_strides[static_cast<size_t>(axis)]);
  const dnnl::memory::desc from(DimsOf(y.shape), type, from_strides);
  PARAMD_RETURN_IF_ERROR(SetReorder(from, DenseDesc(DimsOf(y.shape), type), &plan));
  return plan;
}

}  // namespace paramd::onednn
