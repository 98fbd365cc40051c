#include "runtime/backends/op_specs.h"

#include "runtime/base/strings.h"

namespace paramd {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

std::string_view ReduceOpName(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::kSum:
      return "reduce_sum";
    case ReduceKind::kMean:
      return "reduce_mean";
    case ReduceKind::kMax:
      return "reduce_max";
    case ReduceKind::kMin:
      return "reduce_min";
    case ReduceKind::kProd:
      return "reduce_prod";
    case ReduceKind::kL1:
      return "reduce_l1";
    case ReduceKind::kL2:
      return "reduce_l2";
    case ReduceKind::kSumSquare:
      return "reduce_sum_square";
  }
  return "reduce";
}

void AppendOperand(const Operand& operand, std::string* text) {
  StrAppend(text, DTypeName(operand.dtype), operand.shape.ToString());
  if (operand.layout != Layout::kPlain) StrAppend(text, "@", LayoutName(operand.layout));
}

}  // namespace

std::string_view LayoutName(Layout layout) {
  switch (layout) {
    case Layout::kPlain:
      return "plain";
    case Layout::kChannelsLast:
      return "channels_last";
  }
  return "unknown";
}

std::string_view ActivationKindName(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kRelu:
      return "relu";
    case ActivationKind::kLeakyRelu:
      return "leaky_relu";
    case ActivationKind::kClip:
      return "clip";
    case ActivationKind::kSigmoid:
      return "sigmoid";
    case ActivationKind::kTanh:
      return "tanh";
    case ActivationKind::kElu:
      return "elu";
    case ActivationKind::kHardSigmoid:
      return "hard_sigmoid";
    case ActivationKind::kHardSwish:
      return "hard_swish";
    case ActivationKind::kSilu:
      return "silu";
    case ActivationKind::kGeluErf:
      return "gelu_erf";
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kSoftplus:
      return "softplus";
    case ActivationKind::kSoftsign:
      return "softsign";
    case ActivationKind::kSelu:
      return "selu";
    case ActivationKind::kAbs:
      return "abs";
    case ActivationKind::kNeg:
      return "neg";
    case ActivationKind::kExp:
      return "exp";
    case ActivationKind::kLog:
      return "log";
    case ActivationKind::kSqrt:
      return "sqrt";
    case ActivationKind::kReciprocal:
      return "reciprocal";
    case ActivationKind::kErf:
      return "erf";
    case ActivationKind::kFloor:
      return "floor";
    case ActivationKind::kCeil:
      return "ceil";
    case ActivationKind::kRound:
      return "round";
    case ActivationKind::kSign:
      return "sign";
    case ActivationKind::kSin:
      return "sin";
    case ActivationKind::kCos:
      return "cos";
    case ActivationKind::kNot:
      return "not";
  }
  return "unknown";
}

std::string_view BinaryKindName(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kAdd:
      return "add";
    case BinaryKind::kSub:
      return "sub";
    case BinaryKind::kMul:
      return "mul";
    case BinaryKind::kDiv:
      return "div";
    case BinaryKind::kPow:
      return "pow";
    case BinaryKind::kMin:
      return "min";
    case BinaryKind::kMax:
      return "max";
    case BinaryKind::kEqual:
      return "equal";
    case BinaryKind::kLess:
      return "less";
    case BinaryKind::kLessOrEqual:
      return "less_or_equal";
    case BinaryKind::kGreater:
      return "greater";
    case BinaryKind::kGreaterOrEqual:
      return "greater_or_equal";
    case BinaryKind::kAnd:
      return "and";
    case BinaryKind::kOr:
      return "or";
    case BinaryKind::kXor:
      return "xor";
    case BinaryKind::kMod:
      return "mod";
  }
  return "unknown";
}

std::string_view ReduceKindName(ReduceKind kind) {
  std::string_view name = ReduceOpName(kind);
  name.remove_prefix(std::string_view("reduce_").size());
  return name;
}

std::string_view OpName(const OpParams& params) {
  using Name = std::string_view;
  return std::visit(
      Overloaded{
          [](const ConvParams&) { return Name("conv"); },
          [](const MatMulParams&) { return Name("matmul"); },
          [](const PoolParams& pool) {
            return Name(pool.kind == PoolParams::Kind::kMax ? "max_pool" : "average_pool");
          },
          [](const UnaryParams& unary) { return ActivationKindName(unary.kind); },
          [](const BinaryParams& binary) { return BinaryKindName(binary.kind); },
          [](const SoftmaxParams& softmax) {
            return Name(softmax.log ? "log_softmax" : "softmax");
          },
          [](const ReduceParams& reduce) { return ReduceOpName(reduce.kind); },
          [](const LrnParams&) { return Name("lrn"); },
          [](const BatchNormParams&) { return Name("batch_norm"); },
          [](const LayerNormParams&) { return Name("layer_norm"); },
          [](const ConcatParams&) { return Name("concat"); },
          [](const TransposeParams&) { return Name("transpose"); },
          [](const ReshapeParams&) { return Name("reshape"); },
          [](const SliceParams&) { return Name("slice"); },
          [](const GatherParams&) { return Name("gather"); },
          [](const CastParams&) { return Name("cast"); },
          [](const PadParams&) { return Name("pad"); },
          [](const ExpandParams&) { return Name("expand"); },
          [](const WhereParams&) { return Name("where"); },
          [](const ReorderParams&) { return Name("reorder"); },
          [](const NamedParams& named) { return Name(named.op); },
          [](const AttentionParams&) { return Name("attention"); },
      },
      params);
}

std::string Describe(const OpSpec& spec) {
  std::string text(OpName(spec.params));
  const char* separator = " ";
  for (const Operand& input : spec.inputs) {
    if (input.kind == OperandKind::kAbsent) continue;
    text += separator;
    AppendOperand(input, &text);
    separator = " x ";
  }
  separator = " -> ";
  const DType first = spec.inputs.empty() ? DType::kUndefined : spec.inputs[0].dtype;
  for (const Operand& output : spec.outputs) {
    if (output.kind == OperandKind::kAbsent) continue;
    text += separator;
    if (output.dtype != first) text += DTypeName(output.dtype);
    text += output.shape.ToString();
    separator = ", ";
  }
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd) {
      StrAppend(&text, " +add(", post_op.operand, ")");
    } else {
      StrAppend(&text, " +", ActivationKindName(post_op.activation));
    }
  }
  return text;
}

}  // namespace paramd
