// Operators on tensors whose result's shape depends on data: types and ranks
// here, the work in the interpreter's built-ins. What is known without a
// request folds.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

absl::StatusOr<Types> InferNonZero(const InferContext& context) {
  SymbolicShape shape(2);
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    shape[0] = Dim::Of(std::max<int64_t>(static_cast<int64_t>(x->size()), 1));
  }
  if (const Tensor* known = Known(context, 0); known != nullptr) {
    if (const auto numbers = FloatValues(known->view()); numbers.has_value()) {
      int64_t count = 0;
      for (const double number : *numbers) count += number != 0;
      shape[1] = Dim::Of(count);
    }
  }
  return Types{TensorType(DType::kI64, std::move(shape))};
}

absl::StatusOr<std::vector<Tensor>> FoldNonZero(const InferContext& context, const Types&) {
  std::vector<Tensor> tensors;
  const Tensor* known = Known(context, 0);
  const auto numbers = known == nullptr ? std::nullopt : FloatValues(known->view());
  if (!numbers.has_value()) return tensors;
  const Shape& shape = known->shape();
  std::vector<int64_t> found;
  for (size_t i = 0; i < numbers->size(); ++i) {
    if ((*numbers)[i] != 0) found.push_back(static_cast<int64_t>(i));
  }
  const int rank = std::max(shape.rank(), 1);
  Tensor result(DType::kI64, Shape{rank, static_cast<int64_t>(found.size())});
  auto* out = static_cast<int64_t*>(result.view().data);
  for (size_t i = 0; i < found.size(); ++i) {
    int64_t rest = found[i];
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int64_t dim = shape.rank() == 0 ? 1 : shape.dim(axis);
      out[static_cast<size_t>(axis) * found.size() + i] = rest % dim;
      rest /= dim;
    }
  }
  tensors.push_back(std::move(result));
  return tensors;
}

absl::StatusOr<Types> InferCompress(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  if (InputDType(context, 1) != DType::kBool) {
    return absl::InvalidArgumentError("the condition is not bool");
  }
  if (!context.node->Has("axis")) return Types{TensorType(dtype, SymbolicShape(1))};
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
  SymbolicShape y = *x;
  y[static_cast<size_t>(axis)] = Dim::Unknown();
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<Types> InferUnique(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  ValueType y = TensorType(dtype, SymbolicShape(1));
  if (context.node->Has("axis")) {
    const SymbolicShape* x = InputShape(context, 0);
    if (x == nullptr) {
      y.shape.reset();
    } else {
      PARAMD_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(context.node->GetInt("axis", 0),
                                                            static_cast<int>(x->size())));
      y.shape = *x;
      (*y.shape)[static_cast<size_t>(axis)] = Dim::Unknown();
    }
  }
  const ValueType indices = TensorType(DType::kI64, SymbolicShape(1));
  return Types{y, indices, indices, indices};
}

absl::StatusOr<Types> InferNonMaxSuppression(const InferContext& context) {
  for (const int i : {0, 1}) {
    if (InputDType(context, i) != DType::kF32) {
      return absl::InvalidArgumentError(
          StrCat("input ", i, " is ", DTypeName(InputDType(context, i)), ", expected f32"));
    }
  }
  return Types{TensorType(DType::kI64, SymbolicShape{Dim::Unknown(), Dim::Of(3)})};
}

constexpr OpRow kDynamicOps[] = {
    {"", "NonZero", 9, kOpsetMax, 1, 1, 1, InferNonZero, nullptr, FoldNonZero},
    {"", "Compress", 9, kOpsetMax, 2, 2, 1, InferCompress, nullptr},
    {"", "Unique", 11, kOpsetMax, 1, 1, 4, InferUnique, nullptr},
    {"", "NonMaxSuppression", 10, kOpsetMax, 2, 5, 1, InferNonMaxSuppression, nullptr},
};

}  // namespace

absl::Span<const OpRow> DynamicOps() { return kDynamicOps; }

}  // namespace paramd::ops
