// Operators that move elements about without changing them: transposing,
// joining, gathering, spreading, choosing, casting.
#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

// --- Transpose, Concat ----------------------------------------------------------

absl::StatusOr<std::vector<int>> Permutation(const Node& node, int rank) {
  const std::vector<int64_t> wanted = node.GetInts("perm");
  std::vector<int> perm;
  if (wanted.empty()) {
    for (int i = rank - 1; i >= 0; --i) perm.push_back(i);
    return perm;
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> sorted, NormalizeAxes(wanted, rank));
  if (static_cast<int>(sorted.size()) != rank) {
    return absl::InvalidArgumentError(StrCat("perm has ", wanted.size(), " axes for rank ", rank));
  }
  for (int64_t axis : wanted) perm.push_back(static_cast<int>(axis < 0 ? axis + rank : axis));
  return perm;
}

absl::StatusOr<Types> InferTranspose(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> perm,
                          Permutation(*context.node, static_cast<int>(x->size())));
  SymbolicShape y;
  for (int axis : perm) y.push_back((*x)[static_cast<size_t>(axis)]);
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerTranspose(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(
      std::vector<int> perm,
      Permutation(*context.node, static_cast<int>(InputShape(context, 0)->size())));
  return MakeLowered(context, outputs, TransposeParams{std::move(perm)}, {0});
}

absl::StatusOr<Types> InferConcat(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  if (!context.node->Has("axis")) return absl::InvalidArgumentError("has no axis");
  std::optional<SymbolicShape> y;
  bool complete = true;
  int axis = 0;
  for (int i = 0; i < static_cast<int>(context.inputs.size()); ++i) {
    if (!HasInput(context, i))
      return absl::InvalidArgumentError(StrCat("input ", i, " is missing"));
    PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
    const SymbolicShape* x = InputShape(context, i);
    if (x == nullptr) {
      complete = false;
      continue;
    }
    if (!y.has_value()) {
      PARAMD_ASSIGN_OR_RETURN(
          axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
      y = *x;
      continue;
    }
    if (x->size() != y->size()) {
      return absl::InvalidArgumentError(
          StrCat("cannot join ", ToString(*y), " and ", ToString(*x)));
    }
    for (size_t d = 0; d < x->size(); ++d) {
      Dim& dim = (*y)[d];
      if (d == static_cast<size_t>(axis)) {
        const bool sums = dim.known() && (*x)[d].known() && dim.size <= (int64_t{1} << 61) &&
                          (*x)[d].size <= (int64_t{1} << 61);
        dim = sums ? Dim::Of(dim.size + (*x)[d].size) : Dim::Unknown();
      } else if (auto merged = MergeDims(dim, (*x)[d]); merged.ok()) {
        dim = *std::move(merged);
      } else {
        return absl::InvalidArgumentError(
            StrCat("cannot join ", ToString(*y), " and ", ToString(*x), " along axis ", axis));
      }
    }
  }
  if (y.has_value() && !complete) (*y)[static_cast<size_t>(axis)] = Dim::Unknown();
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerConcat(const InferContext& context, const Types& outputs) {
  ConcatParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis,
                          NormalizeAxis(context.node->GetInt("axis", 0),
                                        static_cast<int>(InputShape(context, 0)->size())));
  std::vector<int> operands;
  for (int i = 0; i < static_cast<int>(context.inputs.size()); ++i) operands.push_back(i);
  return MakeLowered(context, outputs, params, std::move(operands));
}

// --- Gather, Expand, Where, Cast ----------------------------------------------------

absl::StatusOr<Types> InferGather(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const DType indices_type = InputDType(context, 1);
  if (indices_type != DType::kI32 && indices_type != DType::kI64) {
    return absl::InvalidArgumentError(
        StrCat("indices are ", DTypeName(indices_type), ", expected i32 or i64"));
  }
  const SymbolicShape* x = InputShape(context, 0);
  const SymbolicShape* indices = InputShape(context, 1);
  if (x == nullptr || indices == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
  SymbolicShape y(x->begin(), x->begin() + axis);
  y.insert(y.end(), indices->begin(), indices->end());
  y.insert(y.end(), x->begin() + axis + 1, x->end());
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerGather(const InferContext& context, const Types& outputs) {
  GatherParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis,
                          NormalizeAxis(context.node->GetInt("axis", 0),
                                        static_cast<int>(InputShape(context, 0)->size())));
  return MakeLowered(context, outputs, params, {0, 1});
}

absl::StatusOr<Types> InferExpand(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  const auto target = KnownInts(context, 1);
  if (x == nullptr || !target.has_value()) {
    const SymbolicShape* shape = InputShape(context, 1);
    if (x == nullptr || shape == nullptr || shape->size() != 1 || !(*shape)[0].known() ||
        (*shape)[0].size > kRankMax) {
      return Types{UnknownShape(dtype)};
    }
    return Types{TensorType(
        dtype, SymbolicShape(std::max(x->size(), static_cast<size_t>((*shape)[0].size))))};
  }
  PARAMD_RETURN_IF_ERROR(CheckedElements(*target).status());
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape y, BroadcastSymbolic(*x, ToSymbolic(Shape(*target))));
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerExpand(const InferContext& context, const Types& outputs) {
  if (*InputShape(context, 0) == *outputs[0].shape) {
    return MakeLowered(context, outputs, ReshapeParams{}, {0});
  }
  return MakeLowered(context, outputs, ExpandParams{}, {0});
}

absl::StatusOr<Types> InferWhere(const InferContext& context) {
  if (InputDType(context, 0) != DType::kBool) {
    return absl::InvalidArgumentError(
        StrCat("the condition is ", DTypeName(InputDType(context, 0)), ", expected bool"));
  }
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 1, 2));
  const DType dtype = InputDType(context, 1);
  SymbolicShape y;
  for (int i = 0; i < 3; ++i) {
    const SymbolicShape* x = InputShape(context, i);
    if (x == nullptr) return Types{UnknownShape(dtype)};
    PARAMD_ASSIGN_OR_RETURN(y, BroadcastSymbolic(y, *x));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerWhere(const InferContext& context, const Types& outputs) {
  return MakeLowered(context, outputs, WhereParams{}, {0, 1, 2});
}

absl::StatusOr<Types> InferCast(const InferContext& context) {
  const int64_t to = context.node->GetInt("to", 0);
  const std::optional<DType> dtype =
      to < 0 || to > 255 ? std::nullopt : DTypeFromOnnx(static_cast<int32_t>(to));
  if (!dtype.has_value() || *dtype == DType::kUndefined) {
    return absl::InvalidArgumentError(StrCat("casts to the type number ", to));
  }
  return Types{TensorType(*dtype, context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerCast(const InferContext& context, const Types& outputs) {
  if (InputDType(context, 0) == outputs[0].dtype) {
    return MakeLowered(context, outputs, ReshapeParams{}, {0});
  }
  // Only 8-bit floats have more than one way to hold what is too large.
  const bool small = DTypeBits(outputs[0].dtype) == 8 && IsFloat(outputs[0].dtype);
  const bool saturate = !small || context.node->GetInt("saturate", 1) != 0;
  return MakeLowered(context, outputs, CastParams{saturate}, {0});
}

constexpr OpRow kMovementOps[] = {
    {"", "Transpose", 1, kOpsetMax, 1, 1, 1, InferTranspose, LowerTranspose},
    {"", "Concat", 4, kOpsetMax, 1, std::numeric_limits<int>::max(), 1, InferConcat, LowerConcat},
    {"", "Gather", 1, kOpsetMax, 2, 2, 1, InferGather, LowerGather},
    {"", "Expand", 8, kOpsetMax, 2, 2, 1, InferExpand, LowerExpand},
    {"", "Where", 9, kOpsetMax, 3, 3, 1, InferWhere, LowerWhere},
    {"", "Cast", 6, kOpsetMax, 1, 1, 1, InferCast, LowerCast},
};

}  // namespace

absl::Span<const OpRow> MovementOps() { return kMovementOps; }

}  // namespace paramd::ops
