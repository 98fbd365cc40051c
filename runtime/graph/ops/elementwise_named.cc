// Element by element, on the reference alone: trigonometry, tests of floats, bits.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

// Named after the operator: "Tan" is "tan".
absl::StatusOr<OpRow::Lowered> LowerSame(const InferContext& context, const Types& outputs) {
  std::string name;
  for (const char c : context.node->op) name += static_cast<char>(c | 0x20);
  return MakeNamed(context, outputs, name, {}, {}, {0});
}

absl::StatusOr<Types> InferTest(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  return Types{TensorType(DType::kBool, context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerIsNan(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "is_nan", {}, {}, {0});
}

absl::StatusOr<OpRow::Lowered> LowerIsInf(const InferContext& context, const Types& outputs) {
  return MakeNamed(
      context, outputs, "is_inf",
      {context.node->GetInt("detect_negative", 1), context.node->GetInt("detect_positive", 1)}, {},
      {0});
}

absl::Status RequireInteger(const InferContext& context) {
  if (IsInteger(InputDType(context, 0))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input 0 is ", DTypeName(InputDType(context, 0)), ", expected integers"));
}

absl::StatusOr<Types> InferBitNot(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireInteger(context));
  return Types{context.inputs[0]};
}

absl::StatusOr<Types> InferBits(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireInteger(context));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  const SymbolicShape *a = InputShape(context, 0), *b = InputShape(context, 1);
  if (a == nullptr || b == nullptr) return Types{UnknownShape(InputDType(context, 0))};
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape shape, BroadcastSymbolic(*a, *b));
  if (context.node->op == "BitShift") {
    const std::string direction = context.node->GetString("direction", "");
    if (direction != "LEFT" && direction != "RIGHT") {
      return absl::InvalidArgumentError(StrCat("direction is '", direction, "'"));
    }
  }
  return Types{TensorType(InputDType(context, 0), std::move(shape))};
}

absl::StatusOr<OpRow::Lowered> LowerBits(const InferContext& context, const Types& outputs) {
  const std::string& op = context.node->op;
  const std::string_view name = op == "BitwiseNot"   ? "bit_not"
                                : op == "BitwiseAnd" ? "bit_and"
                                : op == "BitwiseOr"  ? "bit_or"
                                : op == "BitwiseXor" ? "bit_xor"
                                : context.node->GetString("direction", "") == "LEFT"
                                    ? "shift_left"
                                    : "shift_right";
  if (op == "BitwiseNot") return MakeNamed(context, outputs, name, {}, {}, {0});
  return MakeNamed(context, outputs, name, {}, {}, {0, 1});
}

constexpr OpRow kElementwiseNamedOps[] = {
    {"", "Tan", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Asin", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Acos", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Atan", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Sinh", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Cosh", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Asinh", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Acosh", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "Atanh", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerSame},
    {"", "IsNaN", 9, kOpsetMax, 1, 1, 1, InferTest, LowerIsNan},
    {"", "IsInf", 10, kOpsetMax, 1, 1, 1, InferTest, LowerIsInf},
    {"", "BitwiseNot", 18, kOpsetMax, 1, 1, 1, InferBitNot, LowerBits},
    {"", "BitwiseAnd", 18, kOpsetMax, 2, 2, 1, InferBits, LowerBits},
    {"", "BitwiseOr", 18, kOpsetMax, 2, 2, 1, InferBits, LowerBits},
    {"", "BitwiseXor", 18, kOpsetMax, 2, 2, 1, InferBits, LowerBits},
    {"", "BitShift", 11, kOpsetMax, 2, 2, 1, InferBits, LowerBits},
};

}  // namespace

absl::Span<const OpRow> ElementwiseNamedOps() { return kElementwiseNamedOps; }

}  // namespace paramd::ops
