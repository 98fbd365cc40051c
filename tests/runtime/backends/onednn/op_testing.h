// Building specs, running a compiled op on owned tensors in whatever layout and
// packing it asks for, and comparing with the reference backend.
//
// Thread-safety: for the test's thread.
#ifndef PARAMD_TESTS_RUNTIME_BACKENDS_ONEDNN_OP_TESTING_H_
#define PARAMD_TESTS_RUNTIME_BACKENDS_ONEDNN_OP_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd::onednn_testing {

Operand Activation(DType dtype, Shape shape, Layout layout = Layout::kPlain);
Operand Parameter(DType dtype, Shape shape);

OpSpec ConvSpec(DType dtype, Shape x, Shape w, Shape y, ConvParams params, bool bias = true);
// A convolution over squares: [n, c, size, size] -> m channels.
OpSpec SquareConv(DType dtype, int64_t n, int64_t c, int64_t size, int64_t m, int64_t kernel,
                  int64_t stride = 1, int64_t pad = 0, int64_t groups = 1, int64_t dilation = 1);
OpSpec LinearSpec(DType dtype, int64_t rows, int64_t inner, int64_t columns, bool bias = true);

// A small spec of every family.
std::vector<OpSpec> OneOfEach();

// Deterministic values in [-1, 1).
Tensor RandomTensor(DType dtype, const Shape& shape, uint32_t seed);
// f32 elements of an f32 or bf16 tensor.
std::vector<float> Floats(const TensorView& view);

// The elements of a plain tensor in another layout, and back.
Tensor Relaid(const TensorView& view, Layout from, Layout to);

// Owns everything a bound op works on.
struct Bound {
  std::vector<Tensor> inputs;  // In the layouts and packings that the op asked for.
  std::vector<std::vector<std::byte>> packed;
  Tensor output;
  std::unique_ptr<std::byte[]> scratch;
  std::unique_ptr<BoundOp> op;
};
absl::StatusOr<std::unique_ptr<Bound>> BindTo(const CompiledOp& op, const OpSpec& spec,
                                              const std::vector<Tensor>& plain_inputs);

// Plain inputs for every operand of the spec; variances and scales positive.
std::vector<Tensor> RandomInputs(const OpSpec& spec, uint32_t seed);

// Compiles on both backends, runs both on the same inputs, and returns
// max |a - b| / max |b|. Unimplemented if oneDNN refuses.
absl::StatusOr<double> ErrorAgainstReference(const OpSpec& spec, uint32_t seed = 1);

}  // namespace paramd::onednn_testing

#endif  // PARAMD_TESTS_RUNTIME_BACKENDS_ONEDNN_OP_TESTING_H_
