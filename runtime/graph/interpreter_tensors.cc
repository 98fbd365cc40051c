#include <cstring>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/interpreter_builtins.h"

namespace paramd {
namespace {

// Bytes of one element, or Unimplemented for types that are not whole bytes.
absl::StatusOr<uint64_t> ElementBytes(DType dtype) {
  const int bits = DTypeBits(dtype);
  if (bits > 0 && bits % 8 == 0) return static_cast<uint64_t>(bits / 8);
  return absl::UnimplementedError(StrCat("cutting or joining tensors of ", DTypeName(dtype)));
}

// Elements before, along and after `axis` as if the tensor had three dimensions.
struct Blocks {
  uint64_t outer = 1, along = 1, inner = 1;
};
Blocks BlocksAt(const Shape& shape, int axis) {
  Blocks blocks;
  for (int i = 0; i < shape.rank(); ++i) {
    const auto dim = static_cast<uint64_t>(shape.dim(i));
    (i < axis ? blocks.outer : i == axis ? blocks.along : blocks.inner) *= dim;
  }
  return blocks;
}

}  // namespace

absl::StatusOr<RuntimeValue> SliceAlong(const Interpreter& interpreter, const RuntimeValue& value,
                                        int axis, int64_t index) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t element, ElementBytes(value.dtype()));
  Shape shape;
  for (int i = 0; i < value.shape().rank(); ++i) {
    if (i != axis) shape.push_back(value.shape().dim(i));
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor slice, interpreter.NewTensor(value.dtype(), shape));
  const Blocks blocks = BlocksAt(value.shape(), axis);
  const uint64_t piece = blocks.inner * element;
  const auto* from = static_cast<const std::byte*>(value.view().data);
  auto* to = static_cast<std::byte*>(slice.view().data);
  for (uint64_t o = 0; piece > 0 && o < blocks.outer; ++o) {
    std::memcpy(to + o * piece, from + (o * blocks.along + static_cast<uint64_t>(index)) * piece,
                piece);
  }
  return RuntimeValue::Of(std::move(slice));
}

absl::StatusOr<RuntimeValue> JoinAlong(const Interpreter& interpreter,
                                       absl::Span<const RuntimeValue> parts, int axis,
                                       bool new_axis) {
  if (parts.empty()) return absl::InvalidArgumentError("nothing to join");
  const RuntimeValue& first = parts[0];
  PARAMD_ASSIGN_OR_RETURN(const uint64_t element, ElementBytes(first.dtype()));
  const int rank = first.shape().rank() + (new_axis ? 1 : 0);
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(
        StrCat("axis ", axis, " is outside [", -rank, ",", rank, ")"));
  }
  if (axis < 0) axis += rank;

  int64_t along = 0;
  for (const RuntimeValue& part : parts) {
    bool fits = part.is_tensor() && part.dtype() == first.dtype() &&
                part.shape().rank() == first.shape().rank();
    for (int i = 0; fits && i < first.shape().rank(); ++i) {
      fits = (i == axis && !new_axis) || part.shape().dim(i) == first.shape().dim(i);
    }
    if (!fits) {
      return absl::InvalidArgumentError(StrCat(
          "joining ", DTypeName(part.dtype()), part.is_tensor() ? part.shape().ToString() : "",
          " with ", DTypeName(first.dtype()), first.shape().ToString(), " along axis ", axis));
    }
    const int64_t add = new_axis ? 1 : part.shape().dim(axis);
    if (along > (int64_t{1} << 62) - add) return absl::InvalidArgumentError("too many elements");
    along += add;
  }
  Shape shape;
  for (int i = 0, from = 0; i < rank; ++i) {
    if (i == axis) {
      shape.push_back(along);
      if (!new_axis) ++from;
    } else {
      shape.push_back(first.shape().dim(from++));
    }
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor joined, interpreter.NewTensor(first.dtype(), shape));
  const Blocks blocks = BlocksAt(shape, axis);
  auto* const to = static_cast<std::byte*>(joined.view().data);
  const uint64_t row = blocks.along * blocks.inner * element;
  uint64_t offset = 0;
  for (const RuntimeValue& part : parts) {
    const uint64_t count = new_axis ? 1 : static_cast<uint64_t>(part.shape().dim(axis));
    const uint64_t piece = count * blocks.inner * element;
    const auto* const from = static_cast<const std::byte*>(part.view().data);
    for (uint64_t o = 0; piece > 0 && o < blocks.outer; ++o) {
      std::memcpy(to + o * row + offset, from + o * piece, piece);
    }
    offset += piece;
  }
  return RuntimeValue::Of(std::move(joined));
}

}  // namespace paramd
