// Operators that work element by element: activations, arithmetic, comparison.
#include <cmath>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

using Kind = ActivationKind;

// --- One operand ------------------------------------------------------------

absl::StatusOr<Types> InferNumber(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  if (!IsFloat(dtype) && !IsInteger(dtype)) {
    return absl::InvalidArgumentError(
        StrCat("input 0 is ", DTypeName(dtype), ", expected a number"));
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<Types> InferBool(const InferContext& context) {
  if (InputDType(context, 0) != DType::kBool) {
    return absl::InvalidArgumentError(
        StrCat("input 0 is ", DTypeName(InputDType(context, 0)), ", expected bool"));
  }
  return Types{context.inputs[0]};
}

template <Kind kind>
absl::StatusOr<OpRow::Lowered> LowerUnary(const InferContext& context, const Types& outputs) {
  UnaryParams params;
  params.kind = kind;
  const Node& node = *context.node;
  switch (kind) {
    case Kind::kLeakyRelu:
      params.alpha = node.GetFloat("alpha", 0.01f);
      break;
    case Kind::kElu:
      params.alpha = node.GetFloat("alpha", 1);
      break;
    case Kind::kHardSigmoid:
      params.alpha = node.GetFloat("alpha", 0.2f);
      params.beta = node.GetFloat("beta", 0.5f);
      break;
    case Kind::kSilu:
      params.alpha = node.GetFloat("alpha", 1);
      break;
    case Kind::kSelu:
      params.alpha = node.GetFloat("alpha", 1.67326319217681884765625f);
      params.beta = node.GetFloat("gamma", 1.05070102214813232421875f);
      break;
    default:
      break;
  }
  return MakeLowered(context, outputs, params, {0});
}

absl::StatusOr<OpRow::Lowered> LowerGelu(const InferContext& context, const Types& outputs) {
  const std::string approximate = context.node->GetString("approximate", "none");
  UnaryParams params;
  if (approximate == "none") {
    params.kind = Kind::kGeluErf;
  } else if (approximate == "tanh") {
    params.kind = Kind::kGeluTanh;
  } else {
    return absl::InvalidArgumentError(
        StrCat("approximate is '", approximate, "', expected 'none' or 'tanh'"));
  }
  return MakeLowered(context, outputs, params, {0});
}

// Clip's bounds: attributes before opset 11, inputs since.
struct Bounds {
  float low = std::numeric_limits<float>::lowest();
  float high = std::numeric_limits<float>::max();
};

absl::StatusOr<std::optional<Bounds>> ClipBounds(const InferContext& context) {
  Bounds bounds;
  if (context.node->opset < 11) {
    bounds.low = context.node->GetFloat("min", bounds.low);
    bounds.high = context.node->GetFloat("max", bounds.high);
    return bounds;
  }
  for (int i = 1; i <= 2; ++i) {
    if (!HasInput(context, i)) continue;
    const Tensor* tensor = Known(context, i);
    if (tensor == nullptr) return std::optional<Bounds>();
    const auto values = FloatValues(tensor->view());
    if (!values.has_value() || values->size() != 1) {
      return absl::InvalidArgumentError(StrCat("bound ", i, " is not one number"));
    }
    (i == 1 ? bounds.low : bounds.high) = static_cast<float>((*values)[0]);
  }
  return bounds;
}

absl::StatusOr<Types> InferClip(const InferContext& context) {
  for (int i = 1; i <= 2; ++i) {
    if (HasInput(context, i)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
  }
  PARAMD_RETURN_IF_ERROR(ClipBounds(context).status());
  return InferNumber(context);
}

absl::StatusOr<OpRow::Lowered> LowerClip(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const std::optional<Bounds> bounds, ClipBounds(context));
  if (!bounds.has_value()) {
    return absl::UnimplementedError("bounds that are computed per request are not supported");
  }
  // A float cannot hold every 64-bit bound: those would be clipped wrongly.
  if (!IsFloat(InputDType(context, 0))) {
    for (float bound : {bounds->low, bounds->high}) {
      const bool open = bound == std::numeric_limits<float>::lowest() ||
                        bound == std::numeric_limits<float>::max();
      if (!open && std::abs(bound) > 16777216.0f) {
        return absl::UnimplementedError("integer bounds beyond 2^24 are not supported");
      }
    }
  }
  UnaryParams params;
  params.kind = Kind::kClip;
  params.alpha = bounds->low;
  params.beta = bounds->high;
  return MakeLowered(context, outputs, params, {0});
}

// --- Two operands -------------------------------------------------------------

absl::StatusOr<Types> InferBinaryAs(const InferContext& context, DType result) {
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  const SymbolicShape* a = InputShape(context, 0);
  const SymbolicShape* b = InputShape(context, 1);
  if (a == nullptr || b == nullptr) return Types{UnknownShape(result)};
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape shape, BroadcastSymbolic(*a, *b));
  return Types{TensorType(result, std::move(shape))};
}

absl::StatusOr<Types> InferArithmetic(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(InferNumber(context).status());
  return InferBinaryAs(context, InputDType(context, 0));
}

absl::StatusOr<Types> InferComparison(const InferContext& context) {
  if (InputDType(context, 0) == DType::kString && context.node->op != "Equal") {
    return absl::InvalidArgumentError("strings have no order");
  }
  return InferBinaryAs(context, DType::kBool);
}

absl::StatusOr<Types> InferLogical(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(InferBool(context).status());
  return InferBinaryAs(context, DType::kBool);
}

// An exponent that is one known number and has an op of its own: x^2 is x x,
// the square of every mean-square norm. It may then be of another type than x.
std::optional<double> SimpleExponent(const InferContext& context) {
  const Tensor* tensor = Known(context, 1);
  const SymbolicShape* x = InputShape(context, 0);
  if (tensor == nullptr || x == nullptr || tensor->shape().elements() != 1 ||
      static_cast<size_t>(tensor->shape().rank()) > x->size()) {
    return std::nullopt;
  }
  const auto values = FloatValues(tensor->view());
  if (!values.has_value()) return std::nullopt;
  const double exponent = values->front();
  return exponent == 1 || exponent == 2 ? std::optional<double>(exponent) : std::nullopt;
}

absl::StatusOr<Types> InferPow(const InferContext& context) {
  if (SimpleExponent(context).has_value()) return InferNumber(context);
  PARAMD_RETURN_IF_ERROR(InferNumber(context).status());
  const DType dtype = InputDType(context, 0), exponent = InputDType(context, 1);
  if (!IsFloat(exponent) && !IsInteger(exponent)) {
    return absl::InvalidArgumentError(StrCat("the exponent is ", DTypeName(exponent)));
  }
  const SymbolicShape *a = InputShape(context, 0), *b = InputShape(context, 1);
  if (a == nullptr || b == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape shape, BroadcastSymbolic(*a, *b));
  return Types{TensorType(dtype, std::move(shape))};
}

absl::StatusOr<OpRow::Lowered> LowerPow(const InferContext& context, const Types& outputs) {
  const std::optional<double> exponent = SimpleExponent(context);
  if (!exponent.has_value()) {
    return MakeLowered(context, outputs, BinaryParams{BinaryKind::kPow}, {0, 1});
  }
  if (*exponent == 1) return MakeLowered(context, outputs, ReshapeParams{}, {0});
  return MakeLowered(context, outputs, BinaryParams{BinaryKind::kMul}, {0, 0});
}

absl::StatusOr<Types> InferMod(const InferContext& context) {
  const bool fmod = context.node->GetInt("fmod", 0) != 0;
  if (!fmod && IsFloat(InputDType(context, 0))) {
    return absl::InvalidArgumentError("floating-point operands need fmod=1");
  }
  return InferArithmetic(context);
}

// With the sign of the dividend for fmod=1; the spec's own for integers has the divisor's.
absl::StatusOr<OpRow::Lowered> LowerMod(const InferContext& context, const Types& outputs) {
  const bool fmod = context.node->GetInt("fmod", 0) != 0;
  if (fmod && !IsFloat(InputDType(context, 0))) {
    return MakeNamed(context, outputs, "fmod", {}, {}, {0, 1});
  }
  return MakeLowered(context, outputs, BinaryParams{BinaryKind::kMod}, {0, 1});
}

// One operand of a variadic operator is the identity; more than two have been
// expanded by the importer.
absl::StatusOr<Types> InferVariadic(const InferContext& context) {
  if (!HasInput(context, 1)) return InferNumber(context);
  return InferArithmetic(context);
}

template <BinaryKind kind>
absl::StatusOr<OpRow::Lowered> LowerBinary(const InferContext& context, const Types& outputs) {
  if (!HasInput(context, 1)) return MakeLowered(context, outputs, ReshapeParams{}, {0});
  return MakeLowered(context, outputs, BinaryParams{kind}, {0, 1});
}

constexpr OpRow kElementwiseOps[] = {
    {"", "Relu", 6, kOpsetMax, 1, 1, 1, InferNumber, LowerUnary<Kind::kRelu>},
    {"", "LeakyRelu", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kLeakyRelu>},
    {"", "Clip", 6, 10, 1, 1, 1, InferClip, LowerClip},
    {"", "Clip", 11, kOpsetMax, 1, 3, 1, InferClip, LowerClip},
    {"", "Sigmoid", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSigmoid>},
    {"", "Tanh", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kTanh>},
    {"", "Elu", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kElu>},
    {"", "HardSigmoid", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kHardSigmoid>},
    {"", "HardSwish", 14, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kHardSwish>},
    {kInternalDomain, "Silu", 1, 1, 1, 1, 1, InferFloat, LowerUnary<Kind::kSilu>},
    {"", "Gelu", 20, kOpsetMax, 1, 1, 1, InferFloat, LowerGelu},
    {"", "Softplus", 1, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSoftplus>},
    {"", "Softsign", 1, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSoftsign>},
    {"", "Selu", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSelu>},
    {"", "Abs", 6, kOpsetMax, 1, 1, 1, InferNumber, LowerUnary<Kind::kAbs>},
    {"", "Neg", 6, kOpsetMax, 1, 1, 1, InferNumber, LowerUnary<Kind::kNeg>},
    {"", "Exp", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kExp>},
    {"", "Log", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kLog>},
    {"", "Sqrt", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSqrt>},
    {"", "Reciprocal", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kReciprocal>},
    {"", "Erf", 9, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kErf>},
    {"", "Floor", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kFloor>},
    {"", "Ceil", 6, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kCeil>},
    {"", "Round", 11, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kRound>},
    {"", "Sign", 9, kOpsetMax, 1, 1, 1, InferNumber, LowerUnary<Kind::kSign>},
    {"", "Sin", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kSin>},
    {"", "Cos", 7, kOpsetMax, 1, 1, 1, InferFloat, LowerUnary<Kind::kCos>},
    {"", "Not", 1, kOpsetMax, 1, 1, 1, InferBool, LowerUnary<Kind::kNot>},

    {"", "Add", 7, kOpsetMax, 2, 2, 1, InferArithmetic, LowerBinary<BinaryKind::kAdd>},
    {"", "Sub", 7, kOpsetMax, 2, 2, 1, InferArithmetic, LowerBinary<BinaryKind::kSub>},
    {"", "Mul", 7, kOpsetMax, 2, 2, 1, InferArithmetic, LowerBinary<BinaryKind::kMul>},
    {"", "Div", 7, kOpsetMax, 2, 2, 1, InferArithmetic, LowerBinary<BinaryKind::kDiv>},
    {"", "Pow", 7, kOpsetMax, 2, 2, 1, InferPow, LowerPow},
    {"", "Mod", 10, kOpsetMax, 2, 2, 1, InferMod, LowerMod},
    {"", "Sum", 6, kOpsetMax, 1, 2, 1, InferVariadic, LowerBinary<BinaryKind::kAdd>},
    {"", "Min", 6, kOpsetMax, 1, 2, 1, InferVariadic, LowerBinary<BinaryKind::kMin>},
    {"", "Max", 6, kOpsetMax, 1, 2, 1, InferVariadic, LowerBinary<BinaryKind::kMax>},
    {"", "Equal", 7, kOpsetMax, 2, 2, 1, InferComparison, LowerBinary<BinaryKind::kEqual>},
    {"", "Less", 7, kOpsetMax, 2, 2, 1, InferComparison, LowerBinary<BinaryKind::kLess>},
    {"", "LessOrEqual", 12, kOpsetMax, 2, 2, 1, InferComparison,
     LowerBinary<BinaryKind::kLessOrEqual>},
    {"", "Greater", 7, kOpsetMax, 2, 2, 1, InferComparison, LowerBinary<BinaryKind::kGreater>},
    {"", "GreaterOrEqual", 12, kOpsetMax, 2, 2, 1, InferComparison,
     LowerBinary<BinaryKind::kGreaterOrEqual>},
    {"", "And", 7, kOpsetMax, 2, 2, 1, InferLogical, LowerBinary<BinaryKind::kAnd>},
    {"", "Or", 7, kOpsetMax, 2, 2, 1, InferLogical, LowerBinary<BinaryKind::kOr>},
    {"", "Xor", 7, kOpsetMax, 2, 2, 1, InferLogical, LowerBinary<BinaryKind::kXor>},
};

}  // namespace

absl::Span<const OpRow> ElementwiseOps() { return kElementwiseOps; }

}  // namespace paramd::ops
