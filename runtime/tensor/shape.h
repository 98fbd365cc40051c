// Shape: the concrete dimensions of a tensor, each >= 0, outermost first. A
// scalar has rank 0 and one element. Shapes with unknown or named dimensions
// live in runtime/graph/symbolic_shape.h.
//
// Thread-safety: a value.
#ifndef PARAMD_RUNTIME_TENSOR_SHAPE_H_
#define PARAMD_RUNTIME_TENSOR_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/dtype.h"

namespace paramd {

// Ranks beyond this are refused everywhere.
inline constexpr int kRankMax = 16;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(absl::Span<const int64_t> dims) : dims_(dims.begin(), dims.end()) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t dim(int axis) const { return dims_[static_cast<size_t>(axis)]; }
  void set_dim(int axis, int64_t value) { dims_[static_cast<size_t>(axis)] = value; }
  void push_back(int64_t value) { dims_.push_back(value); }
  absl::Span<const int64_t> dims() const { return dims_; }

  // The product of the dimensions. REQUIRES: Validate(shape, dtype) was OK for
  // some dtype, so the product cannot wrap (checked where shapes come in).
  int64_t elements() const;

  // "[8,3,224,224]"; "[]" for a scalar.
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) { return a.dims_ == b.dims_; }
  template <typename H>
  friend H AbslHashValue(H h, const Shape& s) {
    return H::combine(std::move(h), s.dims_);
  }

 private:
  absl::InlinedVector<int64_t, 6> dims_;  // Six dimensions without the heap.
};

// Elements of `shape`, or InvalidArgument: negative dimension, rank above
// kRankMax, or a product beyond 2^62.
absl::StatusOr<int64_t> CheckedElements(absl::Span<const int64_t> dims);

// Bytes of a dense tensor (4-bit types packed two a byte, rounded up), or
// InvalidArgument as above. Strings have no fixed size: InvalidArgument.
absl::StatusOr<uint64_t> CheckedBytes(DType dtype, absl::Span<const int64_t> dims);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_SHAPE_H_
