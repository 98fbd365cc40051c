// Operators on strings: types here, the work in the interpreter's built-ins.
#include "runtime/base/strings.h"

#include <re2/re2.h>

#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

absl::Status RequireStrings(const InferContext& context, int i) {
  if (InputDType(context, i) == DType::kString) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", DTypeName(InputDType(context, i)), ", expected strings"));
}

absl::StatusOr<Types> InferStringConcat(const InferContext& context) {
  for (const int i : {0, 1}) PARAMD_RETURN_IF_ERROR(RequireStrings(context, i));
  const SymbolicShape *a = InputShape(context, 0), *b = InputShape(context, 1);
  if (a == nullptr || b == nullptr) return Types{UnknownShape(DType::kString)};
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape shape, BroadcastSymbolic(*a, *b));
  return Types{TensorType(DType::kString, std::move(shape))};
}

absl::StatusOr<Types> InferStringSplit(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireStrings(context, 0));
  ValueType pieces = context.inputs[0];
  if (pieces.shape.has_value()) pieces.shape->push_back(Dim::Unknown());
  return Types{pieces, TensorType(DType::kI64, context.inputs[0].shape)};
}

// Stop words go, so that only a run tells how many are left.
absl::StatusOr<Types> InferStringNormalizer(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireStrings(context, 0));
  const std::string action = context.node->GetString("case_change_action", "NONE");
  if (action != "NONE" && action != "LOWER" && action != "UPPER") {
    return absl::InvalidArgumentError(StrCat("case_change_action is '", action, "'"));
  }
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(DType::kString)};
  if (x->size() != 1 && (x->size() != 2 || ((*x)[0].known() && (*x)[0].size != 1))) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected [C] or [1,C]"));
  }
  SymbolicShape y = *x;
  if (context.node->Has("stopwords")) y.back() = Dim::Unknown();
  return Types{TensorType(DType::kString, std::move(y))};
}

absl::StatusOr<Types> InferRegexFullMatch(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireStrings(context, 0));
  const RE2 pattern(context.node->GetString("pattern", ""), RE2::Quiet);
  if (!pattern.ok()) {
    return absl::InvalidArgumentError(StrCat("the pattern is wrong: ", pattern.error()));
  }
  return Types{TensorType(DType::kBool, context.inputs[0].shape)};
}

constexpr OpRow kStringOps[] = {
    {"", "StringConcat", 20, kOpsetMax, 2, 2, 1, InferStringConcat, nullptr},
    {"", "StringSplit", 20, kOpsetMax, 1, 1, 2, InferStringSplit, nullptr},
    {"", "StringNormalizer", 10, kOpsetMax, 1, 1, 1, InferStringNormalizer, nullptr},
    {"", "RegexFullMatch", 20, kOpsetMax, 1, 1, 1, InferRegexFullMatch, nullptr},
};

}  // namespace

absl::Span<const OpRow> StringOps() { return kStringOps; }

}  // namespace paramd::ops
