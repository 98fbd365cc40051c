// StridedLoop<N>: N operands walked together over one index space, row by row.
// Dimensions that are contiguous for every operand are merged when the loop is
// made, so the innermost row is as long as it can be and no element costs an
// index division.
//
//   loop.ForEachRow([&](const std::array<int64_t, 2>& at, int64_t count) {
//     for (int64_t i = 0; i < count; ++i) y[at[0] + i * sy] = x[at[1] + i * sx];
//   });
//
// Thread-safety: a value; ForEachRow is const.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_STRIDED_LOOP_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_STRIDED_LOOP_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/types/span.h"
#include "runtime/tensor/shape.h"

namespace paramd::reference {

using Strides = std::array<int64_t, kRankMax>;  // Elements, one per dimension.

// Row-major strides. Zero dimensions count as one, so nothing wraps.
inline Strides DenseStrides(const Shape& shape) {
  Strides strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = stride;
    stride *= std::max<int64_t>(shape.dim(i), 1);
  }
  return strides;
}

// Strides of a tensor of shape `from` as numpy broadcasts it to `to`.
inline Strides BroadcastStrides(const Shape& from, const Shape& to) {
  const Strides dense = DenseStrides(from);
  Strides strides{};
  const int shift = to.rank() - from.rank();
  for (int i = 0; i < from.rank(); ++i) {
    if (from.dim(i) != 1) strides[static_cast<size_t>(i + shift)] = dense[static_cast<size_t>(i)];
  }
  return strides;
}

template <int N>
class StridedLoop {
 public:
  using Offsets = std::array<int64_t, N>;

  StridedLoop() = default;
  StridedLoop(absl::Span<const int64_t> dims, const std::array<Strides, N>& strides,
              const Offsets& base = {})
      : base_(base) {
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] == 0) empty_ = true;
      if (dims[d] == 1) continue;
      bool merges = rank_ > 0;
      for (size_t k = 0; merges && k < N; ++k) {
        merges = strides_[k][rank_ - 1] == strides[k][d] * dims[d];
      }
      if (merges && !empty_) {
        dims_[rank_ - 1] *= dims[d];
      } else {
        dims_[rank_++] = dims[d];
      }
      for (size_t k = 0; k < N; ++k) strides_[k][rank_ - 1] = strides[k][d];
    }
    if (rank_ == 0) dims_[rank_++] = 1;  // One row of one element.
  }

  // Operand k's step along a row.
  int64_t inner(int k) const { return strides_[static_cast<size_t>(k)][rank_ - 1]; }

  // Calls fn(offsets of the row's first elements, elements in the row).
  template <typename Fn>
  void ForEachRow(Fn&& fn) const {
    if (empty_) return;
    Strides at{};
    Offsets offsets = base_;
    const int64_t count = dims_[rank_ - 1];
    for (;;) {
      fn(offsets, count);
      size_t d = rank_ - 1;
      for (; d > 0; --d) {
        const size_t outer = d - 1;
        for (size_t k = 0; k < N; ++k) offsets[k] += strides_[k][outer];
        if (++at[outer] < dims_[outer]) break;
        for (size_t k = 0; k < N; ++k) offsets[k] -= strides_[k][outer] * dims_[outer];
        at[outer] = 0;
      }
      if (d == 0) return;
    }
  }

 private:
  size_t rank_ = 0;
  bool empty_ = false;
  Strides dims_{};
  std::array<Strides, N> strides_{};
  Offsets base_{};
};

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_STRIDED_LOOP_H_
