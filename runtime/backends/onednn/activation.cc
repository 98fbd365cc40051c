#include "runtime/backends/onednn/activation.h"

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {

using dnnl::algorithm;

absl::StatusOr<std::vector<EltwiseStep>> EltwiseSteps(ActivationKind kind, float alpha,
                                                      float beta) {
  using Steps = std::vector<EltwiseStep>;
  switch (kind) {
    case ActivationKind::kRelu:
      return Steps{{algorithm::eltwise_relu, 0, 0}};
    case ActivationKind::kLeakyRelu:
      return Steps{{algorithm::eltwise_relu, alpha, 0}};
    case ActivationKind::kClip:
      if (!(alpha <= beta)) {
        return absl::UnimplementedError(StrCat("clip to [", alpha, ", ", beta, "] is empty"));
      }
      return Steps{{algorithm::eltwise_clip, alpha, beta}};
    case ActivationKind::kSigmoid:
      return Steps{{algorithm::eltwise_logistic, 0, 0}};
    case ActivationKind::kTanh:
      return Steps{{algorithm::eltwise_tanh, 0, 0}};
    case ActivationKind::kElu:
      return Steps{{algorithm::eltwise_elu, alpha, 0}};
    case ActivationKind::kHardSigmoid:
      return Steps{{algorithm::eltwise_hardsigmoid, alpha, beta}};
    case ActivationKind::kHardSwish:
      return Steps{{algorithm::eltwise_hardswish, 1.0f / 6, 0.5f}};
    case ActivationKind::kSilu:
      return Steps{{algorithm::eltwise_swish, alpha, 0}};
    case ActivationKind::kGeluErf:
      return Steps{{algorithm::eltwise_gelu_erf, 0, 0}};
    case ActivationKind::kGeluTanh:
      return Steps{{algorithm::eltwise_gelu_tanh, 0, 0}};
    case ActivationKind::kSoftplus:
      return Steps{{algorithm::eltwise_soft_relu, 1, 0}};
    case ActivationKind::kSelu:
      return Steps{{algorithm::eltwise_elu, alpha, 0}, {algorithm::eltwise_linear, beta, 0}};
    case ActivationKind::kAbs:
      return Steps{{algorithm::eltwise_abs, 0, 0}};
    case ActivationKind::kNeg:
      return Steps{{algorithm::eltwise_linear, -1, 0}};
    case ActivationKind::kExp:
      return Steps{{algorithm::eltwise_exp, 0, 0}};
    case ActivationKind::kLog:
      return Steps{{algorithm::eltwise_log, 0, 0}};
    case ActivationKind::kSqrt:
      return Steps{{algorithm::eltwise_sqrt, 0, 0}};
    case ActivationKind::kReciprocal:
      return Steps{{algorithm::eltwise_pow, 1, -1}};
    case ActivationKind::kRound:
      return Steps{{algorithm::eltwise_round, 0, 0}};
    default:
      return absl::UnimplementedError(StrCat("no ", ActivationKindName(kind)));
  }
}

absl::Status AppendPostOps(const OpSpec& spec, const Dims& dims, Layout layout,
                           dnnl::post_ops* post_ops, PrimitivePlan* plan) {
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kActivation) {
      PARAMD_ASSIGN_OR_RETURN(const auto steps,
                              EltwiseSteps(post_op.activation, post_op.alpha, post_op.beta));
      for (const EltwiseStep& step : steps) {
        post_ops->append_eltwise(step.algorithm, step.alpha, step.beta);
      }
      continue;
    }
    const Operand& operand = spec.inputs[static_cast<size_t>(post_op.operand)];
    PARAMD_ASSIGN_OR_RETURN(const auto type, FloatType(operand.dtype));
    const dnnl::memory::desc desc = DenseDesc(dims, type, layout);
    plan->AddInput(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_ops->len()) | DNNL_ARG_SRC_1,
                   post_op.operand, desc);
    post_ops->append_binary(dnnl::algorithm::binary_add, desc);
  }
  return absl::OkStatus();
}

absl::Status RefusePostOps(const OpSpec& spec) {
  if (spec.post_ops.empty()) return absl::OkStatus();
  return absl::UnimplementedError(StrCat("no post-ops after ", OpName(spec.params)));
}

absl::Status RefusePooledAdd(const OpSpec& spec, Layout layout) {
  for (const PostOp& post_op : spec.post_ops) {
    if (layout == Layout::kPlain && post_op.kind == PostOp::Kind::kAdd) {
      return absl::UnimplementedError("pooling in plain layout with an operand added");
    }
  }
  return absl::OkStatus();
}

}  // namespace paramd::onednn
