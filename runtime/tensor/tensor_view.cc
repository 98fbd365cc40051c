#include "runtime/tensor/tensor_view.h"

#include <new>

#include "absl/log/check.h"

namespace paramd {
namespace {

constexpr std::align_val_t kAlignment{64};  // AVX-512 loads and one cache line.

uint64_t DenseBytes(DType dtype, const Shape& shape) {
  if (dtype == DType::kString || dtype == DType::kUndefined) return 0;
  const auto elements = static_cast<uint64_t>(shape.elements());
  const auto bits = static_cast<uint64_t>(DTypeBits(dtype));
  return bits < 8 ? (elements + 1) / 2 : elements * (bits / 8);
}

}  // namespace

uint64_t TensorView::bytes() const { return DenseBytes(dtype, shape); }
uint64_t MutableTensorView::bytes() const { return DenseBytes(dtype, shape); }

void Tensor::AlignedDelete::operator()(std::byte* bytes) const {
  ::operator delete[](bytes, kAlignment);
}

Tensor::Tensor(DType dtype, Shape shape) : view_{dtype, std::move(shape), nullptr} {
  if (dtype == DType::kString) {
    strings_.resize(static_cast<size_t>(view_.shape.elements()));
    view_.data = strings_.data();
    return;
  }
  const uint64_t bytes = view_.bytes();
  bytes_.reset(static_cast<std::byte*>(::operator new[](bytes == 0 ? 1 : bytes, kAlignment)));
  std::memset(bytes_.get(), 0, bytes);
  view_.data = bytes_.get();
}

Tensor Tensor::CopyOf(const TensorView& view) {
  Tensor tensor(view.dtype, view.shape);
  if (view.dtype == DType::kString) {
    const auto strings = view.as<std::string>();
    tensor.strings_.assign(strings.begin(), strings.end());
    tensor.view_.data = tensor.strings_.data();
  } else if (const uint64_t bytes = view.bytes(); bytes > 0) {
    std::memcpy(tensor.view_.data, view.data, bytes);
  }
  return tensor;
}

void Tensor::CheckCount(const Tensor& tensor, size_t count, size_t element_bytes) {
  CHECK_EQ(static_cast<size_t>(tensor.shape().elements()), count);
  CHECK_EQ(static_cast<size_t>(DTypeBits(tensor.dtype())), element_bytes * 8);
}

}  // namespace paramd
