// Concatenation: in memory order, two dimensions are enough: what lies before
// the axis, and the axis with what lies behind it.
#include <algorithm>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::onednn {
namespace {

// The layout of the first input whose bytes tell, unless a parameter's say plain.
Layout ConcatLayout(const OpSpec& spec) {
  Layout layout = Layout::kPlain;
  bool found = false;
  for (const Operand& input : spec.inputs) {
    if (LayoutIsMoot(input.shape)) continue;
    if (input.kind == OperandKind::kParameter) return Layout::kPlain;
    if (!found) layout = LayoutOf(input);
    found = true;
  }
  if (found) return layout;
  return LayoutOf(spec.inputs[0]);
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanConcat(const OpSpec& spec, const ConcatParams& concat) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  PARAMD_ASSIGN_OR_RETURN(const auto type, CopyType(spec.outputs[0].dtype));
  const Layout layout = ConcatLayout(spec);
  const int rank = spec.outputs[0].shape.rank();
  const auto at =
      static_cast<size_t>(AxisInMemoryOrder(CanonicalAxis(concat.axis, rank), rank, layout));
  const auto desc_of = [&](const Shape& shape) {
    const Dims ordered = InMemoryOrder(DimsOf(shape), layout);
    const auto all = absl::MakeConstSpan(ordered);
    return DenseDesc({Product(all.subspan(0, at)), Product(all.subspan(at))}, type);
  };

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, layout);
  plan.output_layout = layout;
  std::vector<dnnl::memory::desc> sources;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    sources.push_back(desc_of(spec.inputs[i].shape));
    plan.AddInput(DNNL_ARG_MULTIPLE_SRC + static_cast<int>(i), static_cast<int>(i), sources.back());
  }
  const auto y_desc = desc_of(spec.outputs[0].shape);
  const dnnl::concat::primitive_desc desc(CpuEngine(), y_desc, 1, sources, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::concat>(desc, &plan));
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace paramd::onednn
