#include "runtime/graph/ops/op_support.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {

bool HasInput(const InferContext& context, int i) {
  return i >= 0 && static_cast<size_t>(i) < context.inputs.size() &&
         context.inputs[static_cast<size_t>(i)].dtype != DType::kUndefined;
}

const SymbolicShape* InputShape(const InferContext& context, int i) {
  if (!HasInput(context, i)) return nullptr;
  const auto& shape = context.inputs[static_cast<size_t>(i)].shape;
  return shape.has_value() ? &*shape : nullptr;
}

DType InputDType(const InferContext& context, int i) {
  return HasInput(context, i) ? context.inputs[static_cast<size_t>(i)].dtype : DType::kUndefined;
}

const Tensor* Known(const InferContext& context, int i) {
  const auto index = static_cast<size_t>(i);
  return index < context.known.size() ? context.known[index] : nullptr;
}

std::optional<std::vector<int64_t>> KnownInts(const InferContext& context, int i) {
  const Tensor* tensor = Known(context, i);
  if (tensor == nullptr || tensor->shape().rank() > 1) return std::nullopt;
  return IntValues(tensor->view());
}

std::optional<int64_t> KnownScalar(const InferContext& context, int i) {
  const std::optional<std::vector<int64_t>> values = KnownInts(context, i);
  return values.has_value() && values->size() == 1 ? std::optional((*values)[0]) : std::nullopt;
}

ValueType TensorType(DType dtype, std::optional<SymbolicShape> shape) {
  return {ValueType::Kind::kTensor, dtype, std::move(shape)};
}

absl::StatusOr<int> NormalizeAxis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(
        StrCat("axis ", axis, " is outside [", -rank, ", ", rank - 1, "]"));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

absl::StatusOr<std::vector<int>> NormalizeAxes(absl::Span<const int64_t> axes, int rank) {
  std::vector<int> normalized;
  if (axes.size() > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(StrCat(axes.size(), " axes for rank ", rank));
  }
  for (int64_t axis : axes) {
    PARAMD_ASSIGN_OR_RETURN(const int one, NormalizeAxis(axis, rank));
    normalized.push_back(one);
  }
  std::sort(normalized.begin(), normalized.end());
  if (std::adjacent_find(normalized.begin(), normalized.end()) != normalized.end()) {
    return absl::InvalidArgumentError("an axis is named twice");
  }
  return normalized;
}

absl::StatusOr<Dim> MergeDims(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) {
    if (a.size == b.size) return a;
    return absl::InvalidArgumentError(
        StrCat("dimensions ", a.size, " and ", b.size, " must be equal"));
  }
  if (a.known() || b.known()) return a.known() ? a : b;
  return a.symbol.empty() ? b : a;
}

absl::StatusOr<SymbolicShape> BroadcastSymbolic(const SymbolicShape& a, const SymbolicShape& b) {
  SymbolicShape result(std::max(a.size(), b.size()));
  for (size_t i = 0; i < result.size(); ++i) {  // From the last dimension.
    Dim& out = result[result.size() - 1 - i];
    const Dim one = Dim::Of(1);
    const Dim& left = i < a.size() ? a[a.size() - 1 - i] : one;
    const Dim& right = i < b.size() ? b[b.size() - 1 - i] : one;
    if (left == one || left == right) {
      out = right;
    } else if (right == one) {
      out = left;
    } else if (left.known() && right.known()) {
      return absl::InvalidArgumentError(
          StrCat(ToString(a), " and ", ToString(b), " do not broadcast"));
    } else if (left.known() || right.known()) {
      out = left.known() ? left : right;  // The other one must be equal or 1.
    }
  }
  return result;
}

std::optional<int64_t> KnownElements(const SymbolicShape& shape) {
  const std::optional<Shape> concrete = ToConcrete(shape);
  if (!concrete.has_value()) return std::nullopt;
  const absl::StatusOr<int64_t> elements = CheckedElements(concrete->dims());
  return elements.ok() ? std::optional<int64_t>(*elements) : std::nullopt;
}

absl::Status RequireFloat(const InferContext& context, int i) {
  const DType dtype = InputDType(context, i);
  if (IsFloat(dtype)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", DTypeName(dtype), ", expected a floating-point type"));
}

absl::StatusOr<Types> InferFloat(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  return Types{context.inputs[0]};
}

absl::Status RequireSameDType(const InferContext& context, int a, int b) {
  const DType left = InputDType(context, a), right = InputDType(context, b);
  if (left == right) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("inputs ", a, " and ", b, " are ", DTypeName(left),
                                           " and ", DTypeName(right), ", expected one type"));
}

Shape ConcreteOf(const SymbolicShape& symbolic) {
  Shape shape;
  for (const Dim& dim : symbolic) shape.push_back(dim.known() ? dim.size : 0);
  return shape;
}

Operand ActivationOperand(DType dtype, const SymbolicShape& shape) {
  Operand operand;
  operand.kind = OperandKind::kActivation;
  operand.dtype = dtype;
  operand.shape = ConcreteOf(shape);
  return operand;
}

Operand InputOperand(const InferContext& context, int i) {
  const SymbolicShape* shape = InputShape(context, i);
  if (shape == nullptr) return {};
  return ActivationOperand(InputDType(context, i), *shape);
}

OpRow::Lowered MakeLowered(const InferContext& context, const Types& outputs, OpParams params,
                           std::vector<int> operands) {
  OpRow::Lowered lowered;
  lowered.spec.params = std::move(params);
  for (int& i : operands) {
    if (!HasInput(context, i)) i = kNone;
    lowered.spec.inputs.push_back(InputOperand(context, i));
  }
  lowered.spec.outputs.push_back(
      ActivationOperand(outputs[0].dtype, outputs[0].shape.value_or(SymbolicShape{})));
  lowered.operands = std::move(operands);
  return lowered;
}

OpRow::Lowered MakeNamed(const InferContext& context, const Types& outputs, std::string_view op,
                         std::vector<int64_t> ints, std::vector<double> numbers,
                         std::vector<int> operands) {
  OpRow::Lowered lowered = MakeLowered(
      context, outputs, NamedParams{std::string(op), std::move(ints), std::move(numbers)},
      std::move(operands));
  // Unlike other operations these may leave out their first output.
  if (outputs[0].dtype == DType::kUndefined) lowered.spec.outputs[0] = Operand();
  for (size_t i = 1; i < outputs.size(); ++i) {
    const bool absent = outputs[i].dtype == DType::kUndefined;
    lowered.spec.outputs.push_back(
        absent ? Operand()
               : ActivationOperand(outputs[i].dtype, outputs[i].shape.value_or(SymbolicShape{})));
  }
  return lowered;
}

absl::Status NotKnownYet(std::string_view what) {
  return absl::UnimplementedError(StrCat(what, " computed per request needs the interpreter"));
}

}  // namespace paramd::ops
