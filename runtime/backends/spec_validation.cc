#include "runtime/backends/spec_validation.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "runtime/backends/attention_shape.h"
#include "runtime/backends/quantized_specs.h"
#include "runtime/backends/recurrent_specs.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Strides, pads, dilations and kernels beyond this are refused, so that sums
// and products of two of them and a dimension stay inside 64 bits.
constexpr int64_t kAttributeMax = (int64_t{1} << 31) - 1;
constexpr int64_t kDimMax = int64_t{1} << 62;

template <typename... Pieces>
absl::Status Bad(const OpSpec& spec, const Pieces&... pieces) {
  return absl::InvalidArgumentError(StrCat(OpName(spec.params), ": ", pieces...));
}

const Operand& In(const OpSpec& spec, int i) { return spec.inputs[static_cast<size_t>(i)]; }
const Operand& Out(const OpSpec& spec, int i) { return spec.outputs[static_cast<size_t>(i)]; }

absl::Status SameShape(const OpSpec& spec, const Shape& got, const Shape& want) {
  if (got == want) return absl::OkStatus();
  return Bad(spec, "output shape is ", got.ToString(), ", the inputs imply ", want.ToString());
}

absl::Status SameType(const OpSpec& spec, DType got, DType want, std::string_view what) {
  if (got == want) return absl::OkStatus();
  return Bad(spec, what, " is ", DTypeName(got), ", expected ", DTypeName(want));
}

absl::Status AxisInside(const OpSpec& spec, int axis, int rank, int axis_max) {
  if (axis >= -rank && axis <= axis_max) return absl::OkStatus();
  return Bad(spec, "axis ", axis, " is outside [", -rank, ",", axis_max, "]");
}

// What each operation takes.
struct Arity {
  int inputs_min, inputs_max;
  int outputs_max = 1;
};

int AddOperandMin(const OpSpec& spec) {
  int first = static_cast<int>(spec.inputs.size());
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd) first = std::min(first, std::max(post_op.operand, 0));
  }
  return first;
}

Arity ArityOf(const OpSpec& spec) {
  const OpParams& p = spec.params;
  if (std::holds_alternative<ConvParams>(p) || std::holds_alternative<MatMulParams>(p)) {
    return {2, 3};
  }
  if (const auto* pool = std::get_if<PoolParams>(&p)) {
    return {1, 1, pool->kind == PoolParams::Kind::kMax ? 2 : 1};
  }
  if (std::holds_alternative<BinaryParams>(p) || std::holds_alternative<GatherParams>(p)) {
    return {2, 2};
  }
  if (std::holds_alternative<BatchNormParams>(p)) return {5, 5};
  if (std::holds_alternative<LayerNormParams>(p)) return {2, 3};
  if (std::holds_alternative<WhereParams>(p)) return {3, 3};
  if (std::holds_alternative<AttentionParams>(p)) return {3, 5};
  if (std::holds_alternative<ConcatParams>(p)) {
    // Any number: those before the first operand that a post-op names.
    const int own = AddOperandMin(spec);
    return {1, own};
  }
  if (std::holds_alternative<NamedParams>(p)) return {0, AddOperandMin(spec), 8};
  return {1, 1};
}

absl::Status CheckOperand(const OpSpec& spec, const Operand& operand, std::string_view what,
                          int i) {
  if (DTypeName(operand.dtype) == "undefined") return Bad(spec, what, " ", i, " has no type");
  absl::StatusOr<int64_t> elements = CheckedElements(operand.shape.dims());
  if (!elements.ok()) return Bad(spec, what, " ", i, ": ", elements.status().message());
  if (operand.dtype == DType::kString) {
    // A string is an object of 32 bytes here; its characters come on top.
    if (*elements > kDimMax / 64) return Bad(spec, what, " ", i, " has too many strings");
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> bytes = CheckedBytes(operand.dtype, operand.shape.dims());
  if (!bytes.ok()) return Bad(spec, what, " ", i, ": ", bytes.status().message());
  return absl::OkStatus();
}

absl::Status CheckOperands(const OpSpec& spec) {
  const Arity arity = ArityOf(spec);
  const int own = OwnInputs(spec);
  const int inputs = static_cast<int>(spec.inputs.size());
  if (inputs < arity.inputs_min || own < arity.inputs_min) {
    return Bad(spec, "has ", std::min(inputs, own), " inputs, needs ", arity.inputs_min);
  }
  for (int i = 0; i < inputs; ++i) {
    if (In(spec, i).kind == OperandKind::kAbsent) {
      if (i < arity.inputs_min || std::holds_alternative<ConcatParams>(spec.params)) {
        return Bad(spec, "input ", i, " is absent and not optional");
      }
      continue;
    }
    PARAMD_RETURN_IF_ERROR(CheckOperand(spec, In(spec, i), "input", i));
    if (i < own) continue;
    const bool used =
        std::any_of(spec.post_ops.begin(), spec.post_ops.end(), [i](const PostOp& post_op) {
          return post_op.kind == PostOp::Kind::kAdd && post_op.operand == i;
        });
    if (!used) return Bad(spec, "input ", i, " is used by nothing");
  }
  const int outputs = static_cast<int>(spec.outputs.size());
  if (outputs < 1 || outputs > arity.outputs_max) {
    return Bad(spec, "has ", outputs, " outputs, expected 1 to ", arity.outputs_max);
  }
  for (int i = 0; i < outputs; ++i) {
    const OperandKind kind = Out(spec, i).kind;
    if (kind == OperandKind::kAbsent &&
        (i > 0 || std::holds_alternative<NamedParams>(spec.params))) {
      continue;
    }
    if (kind != OperandKind::kActivation) return Bad(spec, "output ", i, " is no activation");
    PARAMD_RETURN_IF_ERROR(CheckOperand(spec, Out(spec, i), "output", i));
  }
  return absl::OkStatus();
}

absl::Status CheckPostOps(const OpSpec& spec) {
  const Operand& y = Out(spec, 0);
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind != PostOp::Kind::kAdd) continue;
    const Operand* other = InputOrNull(spec, post_op.operand);
    if (other == nullptr) return Bad(spec, "post-op adds input ", post_op.operand, ": no such one");
    if (other->shape != y.shape) {
      return Bad(spec, "post-op adds ", other->shape.ToString(), " to ", y.shape.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status InRange(const OpSpec& spec, std::string_view what, const std::vector<int64_t>& values,
                     size_t count, int64_t least) {
  if (values.size() != count) {
    return Bad(spec, what, " has ", values.size(), " values for ", count, " spatial dimensions");
  }
  for (int64_t value : values) {
    if (value < least || value > kAttributeMax) {
      return Bad(spec, what, " ", value, " is outside [", least, ",", kAttributeMax, "]");
    }
  }
  return absl::OkStatus();
}

// Steps of a window over one dimension, rounded down; `slack` is what is left
// over (a ceil-mode output has one more step if it is not 0). Negative: the
// window does not fit at all.
struct WindowSteps {
  int64_t steps = 0;
  bool slack = false;
};
WindowSteps StepsOf(int64_t dim, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
  const int64_t room = dim + pads - (dilation * (kernel - 1) + 1);
  if (room < 0) return {0, true};
  return {room / stride + 1, room % stride != 0};
}

absl::Status Check(const OpSpec& spec, const ConvParams& conv) {
  const Shape& x = In(spec, 0).shape;
  const Shape& w = In(spec, 1).shape;
  const int spatial = x.rank() - 2;
  if (spatial < 1 || spatial > 3) {
    return Bad(spec, "input has rank ", x.rank(), ", expected 3 to 5");
  }
  if (w.rank() != x.rank()) {
    return Bad(spec, "weights have rank ", w.rank(), ", the input has ", x.rank());
  }
  const auto count = static_cast<size_t>(spatial);
  PARAMD_RETURN_IF_ERROR(InRange(spec, "stride", conv.strides, count, 1));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "dilation", conv.dilations, count, 1));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "pad", conv.pads_begin, count, 0));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "pad", conv.pads_end, count, 0));
  const int64_t groups = conv.groups;
  if (groups < 1 || x.dim(1) % groups != 0 || w.dim(0) % groups != 0 ||
      w.dim(1) != x.dim(1) / groups) {
    return Bad(spec, "input ", x.ToString(), ", weights ", w.ToString(), " and ", groups,
               " groups do not go together");
  }
  Shape want{x.dim(0), w.dim(0)};
  for (int i = 0; i < spatial; ++i) {
    const auto at = static_cast<size_t>(i);
    if (w.dim(i + 2) < 1 || w.dim(i + 2) > kAttributeMax) {
      return Bad(spec, "kernel ", w.dim(i + 2), " is outside [1,", kAttributeMax, "]");
    }
    want.push_back(StepsOf(x.dim(i + 2), conv.pads_begin[at] + conv.pads_end[at], w.dim(i + 2),
                           conv.dilations[at], conv.strides[at])
                       .steps);
  }
  const Operand* bias = InputOrNull(spec, 2);
  if (bias != nullptr && OwnInputs(spec) > 2 && bias->shape != Shape{w.dim(0)}) {
    return Bad(spec, "bias is ", bias->shape.ToString(), ", expected [", w.dim(0), "]");
  }
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const MatMulParams& matmul) {
  const Shape& a = In(spec, 0).shape;
  const Shape& b = In(spec, 1).shape;
  if (a.rank() < 2 || b.rank() < 2) {
    return Bad(spec, "operands have ranks ", a.rank(), " and ", b.rank(), ", expected 2 or more");
  }
  const int ra = a.rank(), rb = b.rank();
  const int64_t m = a.dim(matmul.trans_a ? ra - 1 : ra - 2);
  const int64_t k = a.dim(matmul.trans_a ? ra - 2 : ra - 1);
  const int64_t k_of_b = b.dim(matmul.trans_b ? rb - 1 : rb - 2);
  const int64_t n = b.dim(matmul.trans_b ? rb - 2 : rb - 1);
  if (k != k_of_b) {
    return Bad(spec, a.ToString(), " x ", b.ToString(), ": inner dimensions ", k, " and ", k_of_b,
               " differ");
  }
  PARAMD_ASSIGN_OR_RETURN(Shape want,
                          BroadcastShapes(Shape(a.dims().subspan(0, static_cast<size_t>(ra - 2))),
                                          Shape(b.dims().subspan(0, static_cast<size_t>(rb - 2)))));
  want.push_back(m);
  want.push_back(n);
  PARAMD_RETURN_IF_ERROR(SameShape(spec, Out(spec, 0).shape, want));
  const Operand* bias = OwnInputs(spec) > 2 ? InputOrNull(spec, 2) : nullptr;
  if (bias == nullptr) return absl::OkStatus();
  absl::StatusOr<Shape> with_bias = BroadcastShapes(bias->shape, want);
  if (!with_bias.ok() || *with_bias != want) {
    return Bad(spec, "bias ", bias->shape.ToString(), " does not broadcast to ", want.ToString());
  }
  return absl::OkStatus();
}

absl::Status Check(const OpSpec& spec, const PoolParams& pool) {
  const Shape& x = In(spec, 0).shape;
  const Shape& y = Out(spec, 0).shape;
  const int spatial = x.rank() - 2;
  if (spatial < 1 || spatial > 3) {
    return Bad(spec, "input has rank ", x.rank(), ", expected 3 to 5");
  }
  const auto count = static_cast<size_t>(spatial);
  PARAMD_RETURN_IF_ERROR(InRange(spec, "kernel", pool.kernel, count, 1));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "stride", pool.strides, count, 1));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "dilation", pool.dilations, count, 1));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "pad", pool.pads_begin, count, 0));
  PARAMD_RETURN_IF_ERROR(InRange(spec, "pad", pool.pads_end, count, 0));
  PARAMD_RETURN_IF_ERROR(CheckedElements(pool.kernel).status());
  if (y.rank() != x.rank() || y.dim(0) != x.dim(0) || y.dim(1) != x.dim(1)) {
    return Bad(spec, "output shape ", y.ToString(), " does not go with input ", x.ToString());
  }
  for (int i = 0; i < spatial; ++i) {
    const auto at = static_cast<size_t>(i);
    const WindowSteps steps = StepsOf(x.dim(i + 2), pool.pads_begin[at] + pool.pads_end[at],
                                      pool.kernel[at], pool.dilations[at], pool.strides[at]);
    const int64_t got = y.dim(i + 2);
    if (got != steps.steps && !(steps.slack && got == steps.steps + 1)) {
      return Bad(spec, "output dimension ", i + 2, " is ", got, ", the window takes ", steps.steps,
                 " steps");
    }
  }
  if (spec.outputs.size() > 1 && Out(spec, 1).kind != OperandKind::kAbsent) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 1).dtype, DType::kI64, "indices output"));
    PARAMD_RETURN_IF_ERROR(SameShape(spec, Out(spec, 1).shape, y));
  }
  return absl::OkStatus();
}

absl::Status Check(const OpSpec& spec, const UnaryParams&) {
  return SameShape(spec, Out(spec, 0).shape, In(spec, 0).shape);
}

absl::Status Check(const OpSpec& spec, const BinaryParams& binary) {
  PARAMD_ASSIGN_OR_RETURN(const Shape want, BroadcastShapes(In(spec, 0).shape, In(spec, 1).shape));
  PARAMD_RETURN_IF_ERROR(SameShape(spec, Out(spec, 0).shape, want));
  switch (binary.kind) {
    case BinaryKind::kAnd:
    case BinaryKind::kOr:
    case BinaryKind::kXor:
      PARAMD_RETURN_IF_ERROR(SameType(spec, In(spec, 0).dtype, DType::kBool, "input 0"));
      PARAMD_RETURN_IF_ERROR(SameType(spec, In(spec, 1).dtype, DType::kBool, "input 1"));
      [[fallthrough]];
    case BinaryKind::kEqual:
    case BinaryKind::kLess:
    case BinaryKind::kLessOrEqual:
    case BinaryKind::kGreater:
    case BinaryKind::kGreaterOrEqual:
      return SameType(spec, Out(spec, 0).dtype, DType::kBool, "output");
    default:
      return absl::OkStatus();
  }
}

absl::Status Check(const OpSpec& spec, const SoftmaxParams& softmax) {
  const int rank = In(spec, 0).shape.rank();
  PARAMD_RETURN_IF_ERROR(AxisInside(spec, softmax.axis, rank, softmax.flattened ? rank : rank - 1));
  return SameShape(spec, Out(spec, 0).shape, In(spec, 0).shape);
}

absl::Status Check(const OpSpec& spec, const ReduceParams& reduce) {
  const Shape& x = In(spec, 0).shape;
  int before = -1;
  for (int axis : reduce.axes) {
    if (axis <= before || axis >= x.rank()) {
      return Bad(spec, "axes must be sorted, different and inside [0,", x.rank(), "), got ", axis,
                 before < 0 ? "" : " after an axis not below it");
    }
    before = axis;
  }
  Shape kept, dropped;
  size_t next = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (next < reduce.axes.size() && reduce.axes[next] == i) {
      kept.push_back(1);
      ++next;
    } else {
      kept.push_back(x.dim(i));
      dropped.push_back(x.dim(i));
    }
  }
  if (Out(spec, 0).shape == dropped) return absl::OkStatus();
  return SameShape(spec, Out(spec, 0).shape, kept);
}

absl::Status Check(const OpSpec& spec, const LrnParams& lrn) {
  const int rank = In(spec, 0).shape.rank();
  if (rank < 2) return Bad(spec, "input has rank ", rank, ", expected 2 or more");
  if (lrn.size < 1 || lrn.size > kAttributeMax) {
    return Bad(spec, "size ", lrn.size, " is outside [1,", kAttributeMax, "]");
  }
  return SameShape(spec, Out(spec, 0).shape, In(spec, 0).shape);
}

absl::Status Check(const OpSpec& spec, const BatchNormParams&) {
  const Shape& x = In(spec, 0).shape;
  if (x.rank() < 2) return Bad(spec, "input has rank ", x.rank(), ", expected 2 or more");
  for (int i = 1; i < 5; ++i) {
    if (In(spec, i).shape != Shape{x.dim(1)}) {
      return Bad(spec, "input ", i, " is ", In(spec, i).shape.ToString(), ", expected [", x.dim(1),
                 "]");
    }
  }
  return SameShape(spec, Out(spec, 0).shape, x);
}

absl::Status Check(const OpSpec& spec, const LayerNormParams& norm) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(AxisInside(spec, norm.axis, x.rank(), x.rank() - 1));
  for (int i = 1; i < OwnInputs(spec); ++i) {
    const Operand* operand = InputOrNull(spec, i);
    if (operand == nullptr) continue;
    absl::StatusOr<Shape> both = BroadcastShapes(operand->shape, x);
    if (!both.ok() || *both != x) {
      return Bad(spec, "input ", i, " of shape ", operand->shape.ToString(),
                 " does not broadcast to ", x.ToString());
    }
  }
  return SameShape(spec, Out(spec, 0).shape, x);
}

absl::Status Check(const OpSpec& spec, const ConcatParams& concat) {
  const Shape& first = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(AxisInside(spec, concat.axis, first.rank(), first.rank() - 1));
  const int axis = CanonicalAxis(concat.axis, first.rank());
  Shape want = first;
  for (int i = 1; i < OwnInputs(spec); ++i) {
    const Shape& next = In(spec, i).shape;
    bool fits = next.rank() == first.rank();
    for (int d = 0; fits && d < next.rank(); ++d) fits = d == axis || next.dim(d) == first.dim(d);
    if (!fits || next.dim(axis) > kDimMax - want.dim(axis)) {
      return Bad(spec, "input ", i, " of shape ", next.ToString(), " does not go with ",
                 first.ToString(), " along axis ", axis);
    }
    want.set_dim(axis, want.dim(axis) + next.dim(axis));
    PARAMD_RETURN_IF_ERROR(SameType(spec, In(spec, i).dtype, In(spec, 0).dtype, "an input"));
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const TransposeParams& transpose) {
  const Shape& x = In(spec, 0).shape;
  if (transpose.perm.size() != static_cast<size_t>(x.rank())) {
    return Bad(spec, "perm has ", transpose.perm.size(), " values for rank ", x.rank());
  }
  Shape want;
  uint32_t seen = 0;
  for (int axis : transpose.perm) {
    if (axis < 0 || axis >= x.rank() || (seen >> axis & 1u) != 0) {
      return Bad(spec, "perm is no permutation of [0,", x.rank(), "): ", axis);
    }
    seen |= 1u << axis;
    want.push_back(x.dim(axis));
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const ReshapeParams&) {
  const Shape& x = In(spec, 0).shape;
  const Shape& y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  if (x.elements() == y.elements()) return absl::OkStatus();
  return Bad(spec, x.ToString(), " has ", x.elements(), " elements, ", y.ToString(), " has ",
             y.elements());
}

absl::Status Check(const OpSpec& spec, const SliceParams& slice) {
  const Shape& x = In(spec, 0).shape;
  const Shape& y = Out(spec, 0).shape;
  const auto rank = static_cast<size_t>(x.rank());
  if (slice.starts.size() != rank || slice.steps.size() != rank || y.rank() != x.rank()) {
    return Bad(spec, slice.starts.size(), " starts, ", slice.steps.size(), " steps and output ",
               y.ToString(), " for input ", x.ToString());
  }
  for (int i = 0; i < x.rank(); ++i) {
    const int64_t start = slice.starts[static_cast<size_t>(i)];
    const int64_t step = slice.steps[static_cast<size_t>(i)];
    const int64_t count = y.dim(i);
    if (step == 0) return Bad(spec, "step of dimension ", i, " is 0");
    if (count == 0) continue;
    bool fits = start >= 0 && start < x.dim(i);
    if (fits && count > 1) {
      // The last index is start + (count - 1) step: asked without the product.
      const int64_t room = step > 0 ? x.dim(i) - 1 - start : start;
      fits = step != INT64_MIN && (step > 0 ? step : -step) <= room / (count - 1);
    }
    if (!fits) {
      return Bad(spec, "dimension ", i, " of ", x.ToString(), ": start ", start, ", step ", step,
                 " and ", count, " elements reach outside");
    }
  }
  return SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output");
}

absl::Status Check(const OpSpec& spec, const GatherParams& gather) {
  const Shape& x = In(spec, 0).shape;
  const Operand& indices = In(spec, 1);
  PARAMD_RETURN_IF_ERROR(AxisInside(spec, gather.axis, x.rank(), x.rank() - 1));
  if (indices.dtype != DType::kI32 && indices.dtype != DType::kI64) {
    return Bad(spec, "indices are ", DTypeName(indices.dtype), ", expected i32 or i64");
  }
  const int axis = CanonicalAxis(gather.axis, x.rank());
  Shape want(x.dims().subspan(0, static_cast<size_t>(axis)));
  for (int64_t dim : indices.shape.dims()) want.push_back(dim);
  for (int i = axis + 1; i < x.rank(); ++i) want.push_back(x.dim(i));
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const CastParams&) {
  return SameShape(spec, Out(spec, 0).shape, In(spec, 0).shape);
}

absl::Status Check(const OpSpec& spec, const PadParams& pad) {
  const Shape& x = In(spec, 0).shape;
  const auto rank = static_cast<size_t>(x.rank());
  if (pad.pads_begin.size() != rank || pad.pads_end.size() != rank) {
    return Bad(spec, pad.pads_begin.size(), " and ", pad.pads_end.size(), " pads for rank ",
               x.rank());
  }
  Shape want;
  for (int i = 0; i < x.rank(); ++i) {
    const int64_t begin = pad.pads_begin[static_cast<size_t>(i)];
    const int64_t end = pad.pads_end[static_cast<size_t>(i)];
    if (std::max(std::abs(begin / 2), std::abs(end / 2)) > kDimMax / 4) {
      return Bad(spec, "pads ", begin, " and ", end, " of dimension ", i, " are out of range");
    }
    // What negative pads leave of the dimension; padding starts from there.
    const int64_t left = x.dim(i) + std::min<int64_t>(begin, 0) + std::min<int64_t>(end, 0);
    const int64_t dim = left + std::max<int64_t>(begin, 0) + std::max<int64_t>(end, 0);
    if (left < 0) {
      return Bad(spec, "pads ", begin, " and ", end, " take more than dimension ", i, " of ",
                 x.ToString(), " has");
    }
    if (left == 0 && dim > 0 && pad.mode != PadParams::Mode::kConstant) {
      return Bad(spec, "dimension ", i, " has no element to repeat");
    }
    want.push_back(dim);
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const ExpandParams&) {
  const Shape& y = Out(spec, 0).shape;
  PARAMD_ASSIGN_OR_RETURN(const Shape both, BroadcastShapes(In(spec, 0).shape, y));
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 0).dtype, "output"));
  return SameShape(spec, y, both);
}

absl::Status Check(const OpSpec& spec, const WhereParams&) {
  PARAMD_ASSIGN_OR_RETURN(const Shape values,
                          BroadcastShapes(In(spec, 1).shape, In(spec, 2).shape));
  PARAMD_ASSIGN_OR_RETURN(const Shape want, BroadcastShapes(In(spec, 0).shape, values));
  PARAMD_RETURN_IF_ERROR(SameType(spec, In(spec, 0).dtype, DType::kBool, "condition"));
  PARAMD_RETURN_IF_ERROR(SameType(spec, In(spec, 2).dtype, In(spec, 1).dtype, "input 2"));
  PARAMD_RETURN_IF_ERROR(SameType(spec, Out(spec, 0).dtype, In(spec, 1).dtype, "output"));
  return SameShape(spec, Out(spec, 0).shape, want);
}

absl::Status Check(const OpSpec& spec, const ReorderParams&) {
  const DType from = In(spec, 0).dtype, to = Out(spec, 0).dtype;
  const bool convertible = from == to || (from == DType::kF32 && to == DType::kBF16) ||
                           (from == DType::kBF16 && to == DType::kF32);
  if (!convertible) {
    return Bad(spec, "from ", DTypeName(from), " to ", DTypeName(to),
               ", expected equal types or f32 and bf16");
  }
  return SameShape(spec, Out(spec, 0).shape, In(spec, 0).shape);
}

absl::Status Check(const OpSpec& spec, const AttentionParams& attention) {
  if (!spec.post_ops.empty()) return Bad(spec, "takes no post-ops");
  if (const Operand* keep = InputOrNull(spec, 4); keep != nullptr) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, keep->dtype, DType::kBool, "input 4"));
  }
  return AttentionShapeOf(spec, attention).status();
}

// What several backends have is parsed here; of the others the reference's row
// checks the rest.
absl::Status Check(const OpSpec& spec, const NamedParams& named) {
  if (!spec.post_ops.empty()) return Bad(spec, "takes no post-ops");
  if (IsQuantizedOp(named.op)) return ParseQuantizedSpec(spec, named).status();
  if (IsRecurrentOp(named.op)) return ParseRecurrentSpec(spec, named).status();
  return absl::OkStatus();
}

}  // namespace

int OwnInputs(const OpSpec& spec) {
  return std::min(static_cast<int>(spec.inputs.size()), ArityOf(spec).inputs_max);
}

const Operand* InputOrNull(const OpSpec& spec, int i) {
  if (i < 0 || static_cast<size_t>(i) >= spec.inputs.size()) return nullptr;
  const Operand& operand = In(spec, i);
  return operand.kind == OperandKind::kAbsent ? nullptr : &operand;
}

absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape both;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a.dim(ia), db = ib < 0 ? 1 : b.dim(ib);
    if (da != db && da != 1 && db != 1) {
      return absl::InvalidArgumentError(
          StrCat(a.ToString(), " and ", b.ToString(), " do not broadcast"));
    }
    both.push_back(da == 1 ? db : da);
  }
  return both;
}

absl::Status ValidateSpec(const OpSpec& spec) {
  PARAMD_RETURN_IF_ERROR(CheckOperands(spec));
  PARAMD_RETURN_IF_ERROR(CheckPostOps(spec));
  return std::visit([&spec](const auto& params) { return Check(spec, params); }, spec.params);
}

}  // namespace paramd
