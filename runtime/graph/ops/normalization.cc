// InstanceNormalization and LpNormalization.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

absl::StatusOr<Types> InferInstanceNorm(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const SymbolicShape* x = InputShape(context, 0);
  if (x != nullptr && x->size() < 3) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 3 or more"));
  }
  for (const int i : {1, 2}) {
    PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
    const SymbolicShape* shape = InputShape(context, i);
    if (x == nullptr || shape == nullptr) continue;
    if (shape->size() != 1 || !MergeDims((*shape)[0], (*x)[1]).ok()) {
      return absl::InvalidArgumentError(
          StrCat("input ", i, " is ", ToString(*shape), " for x ", ToString(*x)));
    }
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerInstanceNorm(const InferContext& context,
                                                 const Types& outputs) {
  return MakeNamed(context, outputs, "instance_norm", {},
                   {context.node->GetFloat("epsilon", 1e-5f)}, {0, 1, 2});
}

absl::StatusOr<int> LpAxis(const InferContext& context) {
  return NormalizeAxis(context.node->GetInt("axis", -1),
                       static_cast<int>(InputShape(context, 0)->size()));
}

absl::StatusOr<Types> InferLpNorm(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const int64_t p = context.node->GetInt("p", 2);
  if (p != 1 && p != 2) return absl::InvalidArgumentError(StrCat("p is ", p));
  if (InputShape(context, 0) != nullptr) PARAMD_RETURN_IF_ERROR(LpAxis(context).status());
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerLpNorm(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, LpAxis(context));
  return MakeNamed(context, outputs, "lp_norm", {axis, context.node->GetInt("p", 2)}, {}, {0});
}

constexpr OpRow kNormalizationOps[] = {
    {"", "InstanceNormalization", 6, kOpsetMax, 3, 3, 1, InferInstanceNorm, LowerInstanceNorm},
    {"", "LpNormalization", 1, kOpsetMax, 1, 1, 1, InferLpNorm, LowerLpNorm},
};

}  // namespace

absl::Span<const OpRow> NormalizationOps() { return kNormalizationOps; }

}  // namespace paramd::ops
