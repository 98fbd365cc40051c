// What is found along an axis: ArgMax, TopK, CumSum, Hardmax, OneHot; and Range.
#include <cmath>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

absl::StatusOr<int> AxisOf(const InferContext& context, int64_t otherwise) {
  return NormalizeAxis(context.node->GetInt("axis", otherwise),
                       static_cast<int>(InputShape(context, 0)->size()));
}

// --- ArgMax, ArgMin -----------------------------------------------------------

absl::StatusOr<Types> InferArg(const InferContext& context) {
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(DType::kI64)};
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(context, 0));
  SymbolicShape y = *x;
  if (context.node->GetInt("keepdims", 1) != 0) {
    y[static_cast<size_t>(axis)] = Dim::Of(1);
  } else {
    y.erase(y.begin() + axis);
  }
  return Types{TensorType(DType::kI64, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerArg(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(context, 0));
  return MakeNamed(
      context, outputs, "arg",
      {axis, context.node->op == "ArgMax", context.node->GetInt("select_last_index", 0)}, {}, {0});
}

// --- TopK -----------------------------------------------------------------------

absl::StatusOr<Types> InferTopK(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype), UnknownShape(DType::kI64)};
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(context, -1));
  SymbolicShape y = *x;
  Dim& dim = y[static_cast<size_t>(axis)];
  const std::optional<int64_t> k = context.node->opset < 10
                                       ? std::optional(context.node->GetInt("k", 0))
                                       : KnownScalar(context, 1);
  if (!k.has_value()) {
    dim = Dim::Unknown();
  } else if (*k < 0 || (dim.known() && *k > dim.size)) {
    return absl::InvalidArgumentError(StrCat("k is ", *k, " of ", dim.ToString()));
  } else {
    dim = Dim::Of(*k);
  }
  return Types{TensorType(dtype, y), TensorType(DType::kI64, y)};
}

absl::StatusOr<OpRow::Lowered> LowerTopK(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(context, -1));
  return MakeNamed(context, outputs, "topk", {axis, context.node->GetInt("largest", 1)}, {}, {0});
}

// --- CumSum, Hardmax ----------------------------------------------------------------

absl::StatusOr<Types> InferSame(const InferContext& context) { return Types{context.inputs[0]}; }

absl::StatusOr<OpRow::Lowered> LowerCumSum(const InferContext& context, const Types& outputs) {
  const std::optional<int64_t> wanted = KnownScalar(context, 1);
  if (!wanted.has_value()) return NotKnownYet("an axis");
  PARAMD_ASSIGN_OR_RETURN(const int axis,
                          NormalizeAxis(*wanted, static_cast<int>(InputShape(context, 0)->size())));
  return MakeNamed(context, outputs, "cumsum",
                   {axis, context.node->GetInt("exclusive", 0), context.node->GetInt("reverse", 0)},
                   {}, {0});
}

absl::StatusOr<Types> InferHardmax(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  if (InputShape(context, 0) != nullptr) {
    PARAMD_RETURN_IF_ERROR(AxisOf(context, context.node->opset < 13 ? 1 : -1).status());
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerHardmax(const InferContext& context, const Types& outputs) {
  const bool flattened = context.node->opset < 13;
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(context, flattened ? 1 : -1));
  return MakeNamed(context, outputs, "hardmax", {axis, flattened}, {}, {0});
}

// --- OneHot -----------------------------------------------------------------------

absl::StatusOr<Types> InferOneHot(const InferContext& context) {
  const DType dtype = InputDType(context, 2);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  if (x->size() >= static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError("the result has too many dimensions");
  }
  const SymbolicShape* values = InputShape(context, 2);
  if (values != nullptr && (values->size() != 1 || !MergeDims((*values)[0], Dim::Of(2)).ok())) {
    return absl::InvalidArgumentError(StrCat("values are ", ToString(*values), ", expected [2]"));
  }
  PARAMD_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(context.node->GetInt("axis", -1),
                                                        static_cast<int>(x->size()) + 1));
  Dim depth;
  if (const Tensor* known = Known(context, 1); known != nullptr) {
    const auto number = FloatValues(known->view());
    if (!number.has_value() || number->size() != 1 || !((*number)[0] >= 0) || (*number)[0] > 1e15) {
      return absl::InvalidArgumentError("depth is not one number");
    }
    depth = Dim::Of(static_cast<int64_t>((*number)[0]));
  }
  SymbolicShape y = *x;
  y.insert(y.begin() + axis, depth);
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerOneHot(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis,
                          NormalizeAxis(context.node->GetInt("axis", -1),
                                        static_cast<int>(InputShape(context, 0)->size()) + 1));
  return MakeNamed(context, outputs, "one_hot", {axis}, {}, {0, 2});
}

// --- Range ------------------------------------------------------------------------

struct RangeOf {
  std::vector<double> numbers;
  std::vector<int64_t> ints;
  int64_t count = 0;
};

// Nothing while start, limit and step are not known.
absl::StatusOr<std::optional<RangeOf>> ReadRange(const InferContext& context) {
  RangeOf range;
  const bool whole = IsInteger(InputDType(context, 0));
  double at[3] = {};
  int64_t exact[3] = {};
  for (int i = 0; i < 3; ++i) {
    const Tensor* tensor = Known(context, i);
    if (tensor == nullptr) return std::optional<RangeOf>();
    const auto numbers = FloatValues(tensor->view());
    if (!numbers.has_value() || numbers->size() != 1) {
      return absl::InvalidArgumentError(StrCat("input ", i, " is not one number"));
    }
    at[i] = (*numbers)[0];
    if (whole) exact[i] = IntValues(tensor->view()).value_or(std::vector<int64_t>{0})[0];
  }
  if (at[2] == 0 || std::isnan(at[0] + at[1] + at[2])) {
    return absl::InvalidArgumentError("the step is 0 or a bound is not a number");
  }
  const double count = std::ceil((at[1] - at[0]) / at[2]);
  if (count > 1e12) return absl::InvalidArgumentError("the range is too long");
  range.count = count <= 0 ? 0 : static_cast<int64_t>(count);
  if (whole) {
    // Exactly, where doubles round.
    const __int128 span = static_cast<__int128>(exact[1]) - exact[0];
    const __int128 step = exact[2];
    const __int128 up = step > 0 ? (span + step - 1) / step : (span + step + 1) / step;
    range.count = (span > 0) == (step > 0) && span != 0 ? static_cast<int64_t>(up) : 0;
  }
  range.numbers = {at[0], at[2]};
  range.ints = {exact[0], exact[2]};
  return range;
}

absl::StatusOr<Types> InferRange(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  PARAMD_ASSIGN_OR_RETURN(const auto range, ReadRange(context));
  const Dim count = range.has_value() ? Dim::Of(range->count) : Dim::Unknown();
  return Types{TensorType(InputDType(context, 0), SymbolicShape{count})};
}

absl::StatusOr<OpRow::Lowered> LowerRange(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(auto range, ReadRange(context));
  if (!range.has_value()) return NotKnownYet("a range");
  return MakeNamed(context, outputs, "range", std::move(range->ints), std::move(range->numbers),
                   {});
}

constexpr OpRow kSelectionOps[] = {
    {"", "ArgMax", 1, kOpsetMax, 1, 1, 1, InferArg, LowerArg},
    {"", "ArgMin", 1, kOpsetMax, 1, 1, 1, InferArg, LowerArg},
    {"", "TopK", 1, 9, 1, 1, 2, InferTopK, LowerTopK},
    {"", "TopK", 10, kOpsetMax, 2, 2, 2, InferTopK, LowerTopK},
    {"", "CumSum", 11, kOpsetMax, 2, 2, 1, InferSame, LowerCumSum},
    {"", "Hardmax", 1, kOpsetMax, 1, 1, 1, InferHardmax, LowerHardmax},
    {"", "OneHot", 9, kOpsetMax, 3, 3, 1, InferOneHot, LowerOneHot},
    {"", "Range", 11, kOpsetMax, 3, 3, 1, InferRange, LowerRange},
};

}  // namespace

absl::Span<const OpRow> SelectionOps() { return kSelectionOps; }

}  // namespace paramd::ops
