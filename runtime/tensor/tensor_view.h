// TensorView, MutableTensorView: type, shape and address of a dense row-major
// tensor that somebody else owns. Tensor: one that owns its bytes.
//
// Elements are little-endian, 4-bit types packed two a byte (low half first,
// as ONNX packs them), bool one byte. Strings are not dense: a kString view's
// data points at std::string objects.
//
// Life: a view is valid while what it points at is.
// Thread-safety: values.
#ifndef PARAMD_RUNTIME_TENSOR_TENSOR_VIEW_H_
#define PARAMD_RUNTIME_TENSOR_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"

namespace paramd {

struct TensorView {
  DType dtype = DType::kUndefined;
  Shape shape;
  const void* data = nullptr;

  // REQUIRES: the dtype's C++ type is T; data is aligned for T.
  template <typename T>
  absl::Span<const T> as() const {
    return {static_cast<const T*>(data), static_cast<size_t>(shape.elements())};
  }
  // Bytes of the dense elements; 0 for strings.
  uint64_t bytes() const;
  absl::Span<const std::byte> byte_span() const {
    return {static_cast<const std::byte*>(data), bytes()};
  }
};

struct MutableTensorView {
  DType dtype = DType::kUndefined;
  Shape shape;
  void* data = nullptr;

  template <typename T>
  absl::Span<T> as() const {
    return {static_cast<T*>(data), static_cast<size_t>(shape.elements())};
  }
  uint64_t bytes() const;
  operator TensorView() const { return {dtype, shape, data}; }  // NOLINT: a view may become const.
};

// Owns its elements (64-byte aligned, zeroed). Movable, not copyable: a copy
// of a tensor is written out where it happens (CopyOf).
class Tensor {
 public:
  Tensor() = default;
  // REQUIRES: CheckedBytes(dtype, shape) is OK, or dtype is kString.
  Tensor(DType dtype, Shape shape);
  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  static Tensor CopyOf(const TensorView& view);
  // A tensor of `values`; the element count must match the shape (checked).
  template <typename T>
  static Tensor Of(DType dtype, Shape shape, absl::Span<const T> values) {
    Tensor tensor(dtype, std::move(shape));
    CheckCount(tensor, values.size(), sizeof(T));
    if (!values.empty()) std::memcpy(tensor.view().data, values.data(), values.size() * sizeof(T));
    return tensor;
  }

  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  const MutableTensorView& view() { return view_; }
  TensorView view() const { return view_; }

 private:
  static void CheckCount(const Tensor& tensor, size_t count, size_t element_bytes);
  struct AlignedDelete {
    void operator()(std::byte* bytes) const;
  };
  MutableTensorView view_;
  std::unique_ptr<std::byte[], AlignedDelete> bytes_;
  std::vector<std::string> strings_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_TENSOR_VIEW_H_
