// Int8Op: products of 8-bit numbers, matrices and convolutions. oneDNN
// multiplies the bytes as they are, unsigned by signed, into 32-bit sums; zero
// points, bias and scales are applied to the sums by our own kernels
// (vectors/integer_sums.h), whose results have the bits of the reference.
//
// Why not oneDNN's attributes: they take zero points of one type and scales of
// one shape, round in another order than the reference, and put the zero point
// of a's bytes into the packed weights, which then fit one kind of source only.
//
// A packed weight is oneDNN's layout of the signed bytes, and behind it the sum
// of each column.
//
// Thread-safety: a plan is a value; the op is thread-safe.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_INT8_OP_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_INT8_OP_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/backend.h"
#include "runtime/backends/onednn/packed_parameter.h"
#include "runtime/backends/quantized_specs.h"

namespace paramd::onednn {

// How a convolution's source lies, channels-last, always in three spatial
// dimensions: what the primitive reads is padded already.
struct Int8Window {
  static constexpr int kSpatial = 3;
  using Sizes = std::array<int64_t, kSpatial>;
  Sizes in{1, 1, 1}, padded{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1};
  Sizes stride{1, 1, 1}, dilation{1, 1, 1}, pad_begin{0, 0, 0};
  int64_t batch = 1, channels = 1;

  bool pads() const { return padded != in; }
};

struct Int8Plan {
  QuantizedOperands at;
  DType a_dtype = DType::kU8, b_dtype = DType::kI8, y_dtype = DType::kI32;
  // One value, or one a row or column.
  bool many_a_scales = false, many_a_zeros = false, many_b_scales = false, many_b_zeros = false;
  bool many_y_scales = false, many_y_zeros = false;
  int64_t rows = 0, columns = 0, groups = 1;
  int64_t inner = 0;                 // Of one sum.
  int64_t row_cycle = 1;             // Values that are one a row begin again after so many rows.
  int64_t source_elements = 0;       // That the primitive reads.
  std::optional<Int8Window> window;  // Of a convolution.

  dnnl::primitive primitive;
  std::string implementation;
  dnnl::memory::desc source, weights, sums, scratchpad;
  uint64_t sums_offset = 0;            // In packed weights: of the columns' sums.
  Shape weights_shape;                 // As the spec has them.
  dnnl::memory::dims weights_strides;  // Of weights.get_dims() in the plain bytes.
  int threads = 1;
};

absl::StatusOr<Int8Plan> PlanInt8MatMul(const OpSpec& spec, const QuantizedSpec& parsed);
absl::StatusOr<Int8Plan> PlanInt8Conv(const OpSpec& spec, const QuantizedSpec& parsed);

// The layout of packed weights for this descriptor, and back: as
// EncodePackedLayout and DecodePackedLayout, with the columns' sums behind.
PackedLayout EncodeInt8Layout(const dnnl::memory::desc& weights, int64_t columns);
absl::StatusOr<dnnl::memory::desc> DecodeInt8Layout(const PackedLayout& layout,
                                                    const dnnl::memory::dims& dims,
                                                    int64_t columns);

// For a team of `threads`, which the caller has set; throws what oneDNN throws.
absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileInt8(const OpSpec& spec,
                                                              const NamedParams& params,
                                                              int threads);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_INT8_OP_H_
