// Activations that stand alone: a line of elements, whatever their layout.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {

absl::StatusOr<PrimitivePlan> PlanUnary(const OpSpec& spec, const UnaryParams& unary) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  const Operand& x = spec.inputs[0];
  if (spec.outputs[0].dtype != x.dtype) {
    return absl::UnimplementedError("an activation that changes the type");
  }
  PARAMD_ASSIGN_OR_RETURN(const auto type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto steps, EltwiseSteps(unary.kind, unary.alpha, unary.beta));
  if (steps.size() != 1) {
    return absl::UnimplementedError(StrCat("no ", ActivationKindName(unary.kind), " on its own"));
  }

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, LayoutOf(x));
  plan.output_layout = LayoutOf(x);
  const auto line = DenseDesc({x.shape.elements()}, type);
  const dnnl::eltwise_forward::primitive_desc desc(CpuEngine(), dnnl::prop_kind::forward_inference,
                                                   steps[0].algorithm, line, line, steps[0].alpha,
                                                   steps[0].beta, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::eltwise_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, line);
  plan.AddOutput(line);
  if (x.kind == OperandKind::kActivation) plan.in_place_input = 0;
  return plan;
}

}  // namespace paramd::onednn
