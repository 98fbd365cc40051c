#include "tests/runtime/backends/onednn/op_testing.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "runtime/backends/onednn/onednn_backend.h"
#include "runtime/backends/reference/reference_backend.h"
#include "runtime/base/status_macros.h"
#include "runtime/tensor/half.h"

namespace paramd::onednn_testing {
namespace {

constexpr size_t kAlignment = 64;

std::byte* Aligned(std::byte* bytes) {
  const auto address = reinterpret_cast<uintptr_t>(bytes);
  return bytes + (kAlignment - address % kAlignment) % kAlignment;
}

// Element offsets of [N, C, inner...] in channels-last order.
template <typename Visit>
void VisitChannelsLast(const Shape& shape, Visit visit) {
  const int64_t n = shape.dim(0), c = shape.dim(1);
  const int64_t inner = shape.elements() / std::max<int64_t>(1, n * c);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      for (int64_t k = 0; k < inner; ++k) visit((i * c + j) * inner + k, (i * inner + k) * c + j);
    }
  }
}

template <typename T>
void Relay(const TensorView& view, Layout to, Tensor* out) {
  const auto from_span = view.as<T>();
  const auto to_span = out->view().as<T>();
  VisitChannelsLast(view.shape, [&](int64_t plain, int64_t last) {
    const auto p = static_cast<size_t>(plain), l = static_cast<size_t>(last);
    if (to == Layout::kChannelsLast) {
      to_span[l] = from_span[p];
    } else {
      to_span[p] = from_span[l];
    }
  });
}

}  // namespace

Operand Activation(DType dtype, Shape shape, Layout layout) {
  return {.kind = OperandKind::kActivation,
          .dtype = dtype,
          .shape = std::move(shape),
          .layout = layout};
}

Operand Parameter(DType dtype, Shape shape) {
  return {.kind = OperandKind::kParameter, .dtype = dtype, .shape = std::move(shape)};
}

OpSpec ConvSpec(DType dtype, Shape x, Shape w, Shape y, ConvParams params, bool bias) {
  OpSpec spec;
  const int64_t m = w.dim(0);
  spec.params = std::move(params);
  spec.inputs = {Activation(dtype, std::move(x)), Parameter(dtype, std::move(w))};
  if (bias) spec.inputs.push_back(Parameter(DType::kF32, {m}));
  spec.outputs = {Activation(dtype, std::move(y))};
  return spec;
}

OpSpec SquareConv(DType dtype, int64_t n, int64_t c, int64_t size, int64_t m, int64_t kernel,
                  int64_t stride, int64_t pad, int64_t groups, int64_t dilation) {
  const int64_t out = (size + 2 * pad - ((kernel - 1) * dilation + 1)) / stride + 1;
  return ConvSpec(dtype, {n, c, size, size}, {m, c / groups, kernel, kernel}, {n, m, out, out},
                  {.strides = {stride, stride},
                   .dilations = {dilation, dilation},
                   .pads_begin = {pad, pad},
                   .pads_end = {pad, pad},
                   .groups = groups});
}

OpSpec LinearSpec(DType dtype, int64_t rows, int64_t inner, int64_t columns, bool bias) {
  OpSpec spec;
  spec.params = MatMulParams{.trans_b = true};
  spec.inputs = {Activation(dtype, {rows, inner}), Parameter(dtype, {columns, inner})};
  if (bias) spec.inputs.push_back(Parameter(DType::kF32, {columns}));
  spec.outputs = {Activation(dtype, {rows, columns})};
  return spec;
}

std::vector<OpSpec> OneOfEach() {
  std::vector<OpSpec> specs = {
      SquareConv(DType::kF32, 2, 16, 14, 32, 3, 1, 1),
      SquareConv(DType::kF32, 2, 16, 14, 32, 1),
      SquareConv(DType::kF32, 2, 32, 14, 32, 3, 1, 1, 32),
      LinearSpec(DType::kF32, 1, 256, 100),
      LinearSpec(DType::kF32, 8, 256, 100),
      LinearSpec(DType::kF32, 1, 2200, 1000),
  };
  const auto add = [&specs](OpParams params, Shape x, Shape y) {
    OpSpec spec;
    spec.params = std::move(params);
    spec.inputs = {Activation(DType::kF32, std::move(x))};
    spec.outputs = {Activation(DType::kF32, std::move(y))};
    specs.push_back(std::move(spec));
  };
  add(PoolParams{.kernel = {3, 3},
                 .strides = {2, 2},
                 .dilations = {1, 1},
                 .pads_begin = {1, 1},
                 .pads_end = {1, 1}},
      {2, 16, 13, 13}, {2, 16, 7, 7});
  add(UnaryParams{.kind = ActivationKind::kSilu, .alpha = 1}, {2, 16, 13, 13}, {2, 16, 13, 13});
  add(SoftmaxParams{}, {4, 1000}, {4, 1000});
  add(ReduceParams{.kind = ReduceKind::kMean, .axes = {2, 3}}, {2, 16, 7, 7}, {2, 16});
  add(LrnParams{.size = 5}, {2, 32, 7, 7}, {2, 32, 7, 7});
  add(TransposeParams{.perm = {0, 2, 1}}, {2, 16, 7}, {2, 7, 16});
  OpSpec sum;
  sum.params = BinaryParams{.kind = BinaryKind::kAdd};
  sum.inputs = {Activation(DType::kF32, {2, 16, 7, 7}), Activation(DType::kF32, {16, 1, 1})};
  sum.outputs = {Activation(DType::kF32, {2, 16, 7, 7})};
  specs.push_back(sum);
  OpSpec concat;
  concat.params = ConcatParams{.axis = 1};
  concat.inputs = {Activation(DType::kF32, {2, 16, 7, 7}), Activation(DType::kF32, {2, 8, 7, 7})};
  concat.outputs = {Activation(DType::kF32, {2, 24, 7, 7})};
  specs.push_back(concat);
  return specs;
}

Tensor RandomTensor(DType dtype, const Shape& shape, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> values(-1, 1);
  Tensor tensor(dtype, shape);
  if (dtype == DType::kF32) {
    for (float& value : tensor.view().as<float>()) value = values(generator);
  } else if (dtype == DType::kBF16) {
    for (uint16_t& value : tensor.view().as<uint16_t>()) value = FloatToBF16(values(generator));
  } else {
    std::byte* bytes = static_cast<std::byte*>(tensor.view().data);
    for (uint64_t i = 0; i < tensor.view().bytes(); ++i) {
      bytes[i] = static_cast<std::byte>(generator() & 0xff);
    }
  }
  return tensor;
}

std::vector<float> Floats(const TensorView& view) {
  std::vector<float> floats;
  if (view.dtype == DType::kF32) {
    const auto values = view.as<float>();
    floats.assign(values.begin(), values.end());
  } else {
    for (uint16_t value : view.as<uint16_t>()) floats.push_back(BF16ToFloat(value));
  }
  return floats;
}

Tensor Relaid(const TensorView& view, Layout from, Layout to) {
  if (from == to || view.shape.rank() < 3) return Tensor::CopyOf(view);
  Tensor out(view.dtype, view.shape);
  switch (DTypeBits(view.dtype)) {
    case 32:
      Relay<uint32_t>(view, to, &out);
      break;
    case 16:
      Relay<uint16_t>(view, to, &out);
      break;
    default:
      Relay<uint8_t>(view, to, &out);
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Bound>> BindTo(const CompiledOp& op, const OpSpec& spec,
                                              const std::vector<Tensor>& plain_inputs) {
  auto bound = std::make_unique<Bound>();
  std::vector<const void*> addresses;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const int index = static_cast<int>(i);
    if (spec.inputs[i].kind == OperandKind::kAbsent) {
      addresses.push_back(nullptr);
      continue;
    }
    const PackedLayout layout = op.parameter_layout(index);
    if (!layout.plain()) {
      bound->packed.emplace_back(layout.bytes + kAlignment);
      std::byte* bytes = Aligned(bound->packed.back().data());
      PARAMD_RETURN_IF_ERROR(op.Pack(index, plain_inputs[i].view(), {bytes, layout.bytes}));
      addresses.push_back(bytes);
      continue;
    }
    bound->inputs.push_back(Relaid(plain_inputs[i].view(), Layout::kPlain, op.input_layout(index)));
    addresses.push_back(bound->inputs.back().view().data);
  }
  bound->output = Tensor(spec.outputs[0].dtype, spec.outputs[0].shape);
  bound->scratch = std::make_unique<std::byte[]>(op.scratch_bytes() + kAlignment);
  void* output = bound->output.view().data;
  PARAMD_ASSIGN_OR_RETURN(bound->op, op.Bind({.inputs = addresses,
                                              .outputs = absl::MakeConstSpan(&output, 1),
                                              .scratch = Aligned(bound->scratch.get())}));
  return bound;
}

std::vector<Tensor> RandomInputs(const OpSpec& spec, uint32_t seed) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const Operand& operand = spec.inputs[i];
    if (operand.kind == OperandKind::kAbsent) {
      inputs.emplace_back();
      continue;
    }
    inputs.push_back(RandomTensor(operand.dtype, operand.shape, seed + static_cast<uint32_t>(i)));
    // A variance is not negative.
    if (std::holds_alternative<BatchNormParams>(spec.params) && i == 4) {
      for (float& value : inputs.back().view().as<float>()) value = std::abs(value) + 0.1f;
    }
  }
  return inputs;
}

absl::StatusOr<double> ErrorAgainstReference(const OpSpec& spec, uint32_t seed) {
  PARAMD_ASSIGN_OR_RETURN(const auto op, OnednnBackend().Compile(spec));
  PARAMD_ASSIGN_OR_RETURN(const auto reference, ReferenceBackend().Compile(spec));
  const std::vector<Tensor> inputs = RandomInputs(spec, seed);
  PARAMD_ASSIGN_OR_RETURN(const auto bound, BindTo(*op, spec, inputs));
  PARAMD_ASSIGN_OR_RETURN(const auto want, BindTo(*reference, spec, inputs));
  PARAMD_RETURN_IF_ERROR(bound->op->Run());
  PARAMD_RETURN_IF_ERROR(want->op->Run());
  const Tensor plain = Relaid(bound->output.view(), op->output_layout(0), Layout::kPlain);
  const std::vector<float> got_values = Floats(plain.view());
  const std::vector<float> want_values = Floats(want->output.view());
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < want_values.size(); ++i) {
    if (std::isnan(got_values[i]) != std::isnan(want_values[i])) return 1e30;
    difference = std::max(difference, std::abs(double{got_values[i]} - want_values[i]));
    largest = std::max(largest, std::abs(double{want_values[i]}));
  }
  return difference / largest;
}

}  // namespace paramd::onednn_testing
