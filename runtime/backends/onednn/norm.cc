// Batch normalisation with given statistics, and layer normalisation.
#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::normalization_flags;

absl::StatusOr<PrimitivePlan> BatchNormInLayout(const OpSpec& spec, const BatchNormParams& norm,
                                                Layout layout) {
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto type, FloatType(x.dtype));
  const Dims dims = {x.shape.dim(0), x.shape.dim(1), 1, Product(x.shape.dims().subspan(2))};
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, layout);
  plan.output_layout = layout;
  const auto x_desc = DenseDesc(dims, type, layout);
  const auto channel = DenseDesc({x.shape.dim(1)}, dnnl::memory::data_type::f32);
  dnnl::post_ops post_ops;
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, dims, layout, &post_ops, &plan));
  const dnnl::batch_normalization_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, x_desc, x_desc, norm.epsilon,
      normalization_flags::use_global_stats | normalization_flags::use_scale |
          normalization_flags::use_shift,
      Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::batch_normalization_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddInput(DNNL_ARG_SCALE, 1, channel);
  plan.AddInput(DNNL_ARG_SHIFT, 2, channel);
  plan.AddInput(DNNL_ARG_MEAN, 3, channel);
  plan.AddInput(DNNL_ARG_VARIANCE, 4, channel);
  plan.AddOutput(x_desc);
  return plan;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanBatchNorm(const OpSpec& spec, const BatchNormParams& norm) {
  if (spec.outputs[0].dtype != spec.inputs[0].dtype) {
    return absl::UnimplementedError("a normalisation that changes the type");
  }
  for (size_t i = 1; i < 5; ++i) {
    if (spec.inputs[i].dtype != DType::kF32) {
      return absl::UnimplementedError(
          StrCat("statistics in ", DTypeName(spec.inputs[i].dtype), ", only f32"));
    }
  }
  return InEitherLayout(spec.inputs[0],
                        [&](Layout layout) { return BatchNormInLayout(spec, norm, layout); });
}

absl::StatusOr<PrimitivePlan> PlanLayerNorm(const OpSpec& spec, const LayerNormParams& norm) {
  PARAMD_RETURN_IF_ERROR(RefusePostOps(spec));
  const Operand& x = spec.inputs[0];
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(x.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  const auto at = static_cast<size_t>(CanonicalAxis(norm.axis, x.shape.rank()));
  const int64_t outer = Product(x.shape.dims().subspan(0, at));
  const int64_t inner = Product(x.shape.dims().subspan(at));

  auto flags = normalization_flags::use_scale;
  if (HasInput(spec, 2)) flags |= normalization_flags::use_shift;
  const DType scale_dtype = spec.inputs[1].dtype;
  PARAMD_ASSIGN_OR_RETURN(const auto scale_type, FloatType(scale_dtype));
  for (int i = 1; i <= 2; ++i) {
    if (!HasInput(spec, i)) continue;
    const Operand& operand = spec.inputs[static_cast<size_t>(i)];
    if (operand.shape.elements() != inner || operand.dtype != scale_dtype) {
      return absl::UnimplementedError(StrCat("a scale or bias of ", DTypeName(operand.dtype), " ",
                                             operand.shape.ToString(), " for rows of ", inner));
    }
  }

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kPlain);
  const auto x_desc = DenseDesc({outer, inner}, x_type);
  const auto y_desc = DenseDesc({outer, inner}, y_type);
  const auto scale_desc = DenseDesc({inner}, scale_type);
  const dnnl::layer_normalization_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, x_desc, y_desc, scale_type, norm.epsilon,
      flags, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::layer_normalization_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x_desc);
  plan.AddInput(DNNL_ARG_SCALE, 1, scale_desc);
  if (HasInput(spec, 2)) plan.AddInput(DNNL_ARG_SHIFT, 2, scale_desc);
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace paramd::onednn
