// Operators whose result follows from shapes or attributes alone: Constant,
// Shape, Size, ConstantOfShape.
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

// Not inline: GCC 14 takes a moved, empty InlinedVector for an uninitialized one.
[[gnu::noinline]] Shape Scalar() { return {}; }

absl::StatusOr<std::vector<Tensor>> One(Tensor tensor) {
  std::vector<Tensor> tensors;
  tensors.push_back(std::move(tensor));
  return tensors;
}

const std::shared_ptr<const Tensor>* TensorAttribute(const Node& node, const std::string& key) {
  const auto it = node.attributes.find(key);
  if (it == node.attributes.end()) return nullptr;
  const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&it->second);
  return held == nullptr || *held == nullptr ? nullptr : held;
}

// --- Constant ---------------------------------------------------------------

absl::StatusOr<Tensor> ConstantTensor(const Node& node) {
  if (const auto* value = TensorAttribute(node, "value"); value != nullptr) {
    return Tensor::CopyOf((*value)->view());
  }
  for (const auto& [key, attribute] : node.attributes) {
    if (const auto* one = std::get_if<float>(&attribute); one && key == "value_float") {
      return Tensor::Of<float>(DType::kF32, Scalar(), {one, 1});
    }
    if (const auto* one = std::get_if<int64_t>(&attribute); one && key == "value_int") {
      return Tensor::Of<int64_t>(DType::kI64, Scalar(), {one, 1});
    }
    if (const auto* many = std::get_if<std::vector<float>>(&attribute);
        many && key == "value_floats") {
      return Tensor::Of<float>(DType::kF32, Shape{static_cast<int64_t>(many->size())}, *many);
    }
    if (const auto* many = std::get_if<std::vector<int64_t>>(&attribute);
        many && key == "value_ints") {
      return IntVector(*many);
    }
    if (const auto* one = std::get_if<std::string>(&attribute); one && key == "value_string") {
      return Tensor::CopyOf({DType::kString, Scalar(), one});
    }
    if (const auto* many = std::get_if<std::vector<std::string>>(&attribute);
        many && key == "value_strings") {
      return Tensor::CopyOf(
          {DType::kString, Shape{static_cast<int64_t>(many->size())}, many->data()});
    }
  }
  if (node.Has("sparse_value")) {
    return absl::UnimplementedError("sparse constants are not supported");
  }
  return absl::InvalidArgumentError("has no value");
}

absl::StatusOr<Types> InferConstant(const InferContext& context) {
  PARAMD_ASSIGN_OR_RETURN(const Tensor tensor, ConstantTensor(*context.node));
  return Types{TensorType(tensor.dtype(), ToSymbolic(tensor.shape()))};
}

absl::StatusOr<std::vector<Tensor>> FoldConstant(const InferContext& context, const Types&) {
  PARAMD_ASSIGN_OR_RETURN(Tensor tensor, ConstantTensor(*context.node));
  return One(std::move(tensor));
}

// --- Shape, Size --------------------------------------------------------------

// [start, end) of the dimensions that Shape gives (attributes since opset 15).
std::pair<int64_t, int64_t> ShapeRange(const Node& node, int64_t rank) {
  const auto clamp = [rank](int64_t axis) {
    if (axis < 0) axis = axis < -rank ? 0 : axis + rank;
    return std::min(axis, rank);
  };
  const int64_t start = clamp(node.GetInt("start", 0));
  const int64_t end = clamp(node.GetInt("end", std::numeric_limits<int64_t>::max()));
  return {start, std::max(start, end)};
}

absl::StatusOr<Types> InferShape(const InferContext& context) {
  Dim count = Dim::Unknown();
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    const auto [start, end] = ShapeRange(*context.node, static_cast<int64_t>(x->size()));
    count = Dim::Of(end - start);
  }
  return Types{TensorType(DType::kI64, SymbolicShape{count})};
}

absl::StatusOr<std::vector<Tensor>> FoldShape(const InferContext& context, const Types&) {
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return std::vector<Tensor>{};
  const auto [start, end] = ShapeRange(*context.node, static_cast<int64_t>(x->size()));
  std::vector<int64_t> dims;
  for (int64_t i = start; i < end; ++i) {
    const Dim& dim = (*x)[static_cast<size_t>(i)];
    if (!dim.known()) return std::vector<Tensor>{};
    dims.push_back(dim.size);
  }
  return One(IntVector(dims));
}

absl::StatusOr<Types> InferSize(const InferContext&) {
  return Types{TensorType(DType::kI64, SymbolicShape{})};
}

absl::StatusOr<std::vector<Tensor>> FoldSize(const InferContext& context, const Types&) {
  const SymbolicShape* x = InputShape(context, 0);
  const std::optional<int64_t> elements = x == nullptr ? std::nullopt : KnownElements(*x);
  if (!elements.has_value()) return std::vector<Tensor>{};
  return One(Tensor::Of<int64_t>(DType::kI64, Scalar(), {&*elements, 1}));
}

// --- ConstantOfShape ------------------------------------------------------------

absl::Status CheckFill(const Tensor& value) {
  if (value.shape().elements() != 1 || DTypeBits(value.dtype()) < 8) {
    return absl::InvalidArgumentError(StrCat("value is ", DTypeName(value.dtype()),
                                             value.shape().ToString(), ", expected one number"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Types> InferConstantOfShape(const InferContext& context) {
  DType dtype = DType::kF32;
  if (const auto* value = TensorAttribute(*context.node, "value"); value != nullptr) {
    PARAMD_RETURN_IF_ERROR(CheckFill(**value));
    dtype = (*value)->dtype();
  }
  if (const auto dims = KnownInts(context, 0); dims.has_value()) {
    PARAMD_RETURN_IF_ERROR(CheckedBytes(dtype, *dims).status());
    return Types{TensorType(dtype, ToSymbolic(Shape(*dims)))};
  }
  const SymbolicShape* shape = InputShape(context, 0);
  if (shape == nullptr || shape->size() != 1 || !(*shape)[0].known()) {
    return Types{UnknownShape(dtype)};
  }
  if ((*shape)[0].size > kRankMax) {
    return absl::InvalidArgumentError(
        StrCat("rank ", (*shape)[0].size, " is above the limit of ", kRankMax));
  }
  return Types{TensorType(dtype, SymbolicShape(static_cast<size_t>((*shape)[0].size)))};
}

absl::StatusOr<std::vector<Tensor>> FoldConstantOfShape(const InferContext& context,
                                                        const Types& outputs) {
  if (!KnownInts(context, 0).has_value() || !outputs[0].shape.has_value()) {
    return std::vector<Tensor>{};
  }
  const std::optional<Shape> shape = ToConcrete(*outputs[0].shape);
  if (!shape.has_value()) return std::vector<Tensor>{};
  Tensor filled(outputs[0].dtype, *shape);
  if (const auto* value = TensorAttribute(*context.node, "value"); value != nullptr) {
    const auto element_bytes = static_cast<size_t>(DTypeBits(filled.dtype())) / 8;
    auto* to = static_cast<std::byte*>(filled.view().data);
    for (uint64_t at = 0; at < filled.view().bytes(); at += element_bytes) {
      std::memcpy(to + at, (*value)->view().data, element_bytes);
    }
  }
  return One(std::move(filled));
}

// None of these runs: a program knows their results, or refuses the graph.
constexpr OpRow kShapeOps[] = {
    {"", "Constant", 1, kOpsetMax, 0, 0, 1, InferConstant, nullptr, FoldConstant},
    {"", "Shape", 1, kOpsetMax, 1, 1, 1, InferShape, nullptr, FoldShape},
    {"", "Size", 1, kOpsetMax, 1, 1, 1, InferSize, nullptr, FoldSize},
    {"", "ConstantOfShape", 9, kOpsetMax, 1, 1, 1, InferConstantOfShape, nullptr,
     FoldConstantOfShape},
};

}  // namespace

absl::Span<const OpRow> ShapeOps() { return kShapeOps; }

}  // namespace paramd::ops
