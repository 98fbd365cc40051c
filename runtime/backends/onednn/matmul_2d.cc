#include "runtime/backends/onednn/matmul_2d.h"

#include <optional>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/gemv.h"
#include "runtime/backends/onednn/gemv_kernel.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

Dims BiasDims(const MatMul2d& matmul) {
  switch (matmul.bias) {
    case MatMul2d::Bias::kScalar:
      return {1, 1};
    case MatMul2d::Bias::kRow:
      return {1, matmul.columns};
    case MatMul2d::Bias::kFull:
      return {matmul.rows, matmul.columns};
    case MatMul2d::Bias::kNone:
      break;
  }
  return {};
}

// The own kernel for few rows, where it applies.
std::optional<GemvPlan> GemvFor(const OpSpec& spec, const MatMul2d& matmul,
                                const memory::desc& weights) {
  if (matmul.rows > kGemvRowsMax || matmul.bias == MatMul2d::Bias::kFull) return std::nullopt;
  GemvPlan gemv = {.rows = static_cast<int>(matmul.rows),
                   .inner = matmul.inner,
                   .columns = matmul.columns,
                   .trans_a = matmul.trans_a,
                   .a_dtype = spec.inputs[0].dtype,
                   .y_dtype = spec.outputs[0].dtype,
                   .bias = matmul.bias != MatMul2d::Bias::kNone && matmul.beta != 0,
                   .bias_is_scalar = matmul.bias == MatMul2d::Bias::kScalar,
                   .alpha = matmul.alpha,
                   .beta = matmul.beta};
  if (gemv.bias) gemv.bias_dtype = spec.inputs[2].dtype;
  if (!GemvReads(weights, &gemv) || !GemvFuses(spec, &gemv)) return std::nullopt;
  return gemv;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanMatMul2d(const OpSpec& spec, const MatMul2d& matmul) {
  const Operand& a = spec.inputs[0];
  const Operand& b = spec.inputs[1];
  PARAMD_ASSIGN_OR_RETURN(const auto a_type, FloatType(a.dtype));
  PARAMD_ASSIGN_OR_RETURN(auto b_type, FloatType(b.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  const bool pack = b.kind == OperandKind::kParameter;

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kPlain);

  const Dims y_dims = {matmul.rows, matmul.columns};
  const Dims b_dims = {matmul.inner, matmul.columns};
  const memory::desc a_desc({matmul.rows, matmul.inner}, a_type,
                            matmul.trans_a ? Dims{1, matmul.rows} : Dims{matmul.inner, 1});
  const memory::desc y_desc = DenseDesc(y_dims, y_type);
  memory::desc b_desc;
  if (!pack) {
    b_desc = memory::desc(b_dims, b_type, matmul.weights_strides);
  } else {
    b_type = a_type;  // Weights compute in the activations' type; Pack converts.
    b_desc = memory::desc(b_dims, b_type, memory::format_tag::any);
    if (!b.packed.plain()) {
      PARAMD_ASSIGN_OR_RETURN(b_desc, DecodePackedLayout(b.packed, b_dims, b_type));
    }
  }

  // y = alpha a b + beta bias. oneDNN adds its own bias unscaled, so anything
  // but ones becomes post-ops: (a b alpha/beta + bias) beta.
  const bool has_bias = matmul.bias != MatMul2d::Bias::kNone && matmul.beta != 0;
  const bool scaled = matmul.alpha != 1 || (has_bias && matmul.beta != 1);
  dnnl::post_ops post_ops;
  memory::desc bias_desc;
  if (has_bias) {
    PARAMD_ASSIGN_OR_RETURN(const auto bias_type, FloatType(spec.inputs[2].dtype));
    bias_desc = DenseDesc(BiasDims(matmul), bias_type);
  }
  // A kernel takes one row as its own bias; other shapes only as a post-op.
  const bool native_bias = has_bias && !scaled && matmul.bias == MatMul2d::Bias::kRow;
  if (scaled) {
    const float scale = has_bias ? matmul.alpha / matmul.beta : matmul.alpha;
    post_ops.append_eltwise(dnnl::algorithm::eltwise_linear, scale, 0);
  }
  if (has_bias && !native_bias) {
    plan.AddInput(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_ops.len()) | DNNL_ARG_SRC_1, 2, bias_desc);
    post_ops.append_binary(dnnl::algorithm::binary_add, bias_desc);
    if (matmul.beta != 1) {
      post_ops.append_eltwise(dnnl::algorithm::eltwise_linear, matmul.beta, 0);
    }
  }
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, y_dims, Layout::kPlain, &post_ops, &plan));

  const dnnl::matmul::primitive_desc desc(CpuEngine(), a_desc, b_desc,
                                          native_bias ? bias_desc : memory::desc(), y_desc,
                                          Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::matmul>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, a_desc);
  plan.AddInput(DNNL_ARG_WEIGHTS, 1, desc.weights_desc());
  if (native_bias) plan.AddInput(DNNL_ARG_BIAS, 2, bias_desc);
  plan.AddOutput(y_desc);
  if (pack) {
    plan.PackInput(1, b.shape, desc.weights_desc(), matmul.weights_strides);
    plan.gemv = GemvFor(spec, matmul, desc.weights_desc());
  }
  return plan;
}

}  // namespace paramd::onednn
