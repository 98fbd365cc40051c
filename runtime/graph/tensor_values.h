// The elements of small tensors as int64_t or double, whatever their type:
// shape arithmetic, pads, axes, clip bounds.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_TENSOR_VALUES_H_
#define PARAMD_RUNTIME_GRAPH_TENSOR_VALUES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/tensor/tensor_view.h"

namespace paramd {

// Integer and bool tensors (u64 beyond int64_t saturates); nothing for others.
std::optional<std::vector<int64_t>> IntValues(const TensorView& view);

// f32, f64, f16, bf16 and everything that IntValues takes; nothing for others.
std::optional<std::vector<double>> FloatValues(const TensorView& view);

// A dense i64 vector of rank 1.
Tensor IntVector(const std::vector<int64_t>& values);

// A scalar or filled tensor of any dense numeric type (4-bit ones apart);
// `value` is converted to the type. REQUIRES: CheckedBytes(dtype, shape) is OK.
std::optional<Tensor> FilledTensor(DType dtype, const Shape& shape, double value);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_TENSOR_VALUES_H_
