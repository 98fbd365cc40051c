// onednn_ops_bench: single ops of convolutional networks on the oneDNN backend,
// in GFLOP/s, or GB/s of the bytes that must move, to hold against the machine's
// ceilings (README.md). Teams of one and two run in turn, and the best of the
// rounds is printed: the machine is shared, and noise only ever slows.
//
//   onednn_ops_bench [rounds = 15 [part of a case's name]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backends/onednn/onednn_backend.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {
namespace {

struct BenchCase {
  std::string name;
  OpSpec spec;
  double flops = 0;  // 0: judged by bytes.
};

Operand Activation(DType dtype, Shape shape, Layout layout) {
  return {.kind = OperandKind::kActivation,
          .dtype = dtype,
          .shape = std::move(shape),
          .layout = layout};
}

Operand Parameter(DType dtype, Shape shape) {
  return {.kind = OperandKind::kParameter, .dtype = dtype, .shape = std::move(shape)};
}

struct SquareConv {
  int64_t batch = 1, channels = 1, size = 1, filters = 1, kernel = 1, stride = 1, pad = 0,
          groups = 1;
  bool residual = false;
};

BenchCase ConvCase(std::string name, DType dtype, const SquareConv& c) {
  const int64_t out = (c.size + 2 * c.pad - c.kernel) / c.stride + 1;
  OpSpec spec;
  spec.params = ConvParams{.strides = {c.stride, c.stride},
                           .dilations = {1, 1},
                           .pads_begin = {c.pad, c.pad},
                           .pads_end = {c.pad, c.pad},
                           .groups = c.groups};
  spec.inputs = {Activation(dtype, {c.batch, c.channels, c.size, c.size}, Layout::kChannelsLast),
                 Parameter(dtype, {c.filters, c.channels / c.groups, c.kernel, c.kernel}),
                 Parameter(DType::kF32, {c.filters})};
  spec.outputs = {Activation(dtype, {c.batch, c.filters, out, out}, Layout::kPlain)};
  if (c.residual) {
    spec.inputs.push_back(Activation(dtype, {c.batch, c.filters, out, out}, Layout::kChannelsLast));
    spec.post_ops.push_back({.kind = PostOp::Kind::kAdd, .operand = 3});
  }
  spec.post_ops.push_back({.activation = ActivationKind::kRelu});
  const double flops = 2.0 * static_cast<double>(c.batch * c.filters * out * out) *
                       static_cast<double>(c.channels / c.groups * c.kernel * c.kernel);
  return {std::move(name), std::move(spec), flops};
}

BenchCase LinearCase(std::string name, DType dtype, int64_t rows, int64_t inner, int64_t columns) {
  OpSpec spec;
  spec.params = MatMulParams{.trans_b = true};
  spec.inputs = {Activation(dtype, {rows, inner}, Layout::kPlain),
                 Parameter(dtype, {columns, inner}), Parameter(DType::kF32, {columns})};
  spec.outputs = {Activation(dtype, {rows, columns}, Layout::kPlain)};
  // Few rows wait for the weights to come from memory.
  const double flops = 2.0 * static_cast<double>(rows * inner * columns);
  return {std::move(name), std::move(spec), rows < 4 ? 0 : flops};
}

BenchCase MapCase(std::string name, DType dtype, OpParams params, Shape x, Shape y,
                  Layout from = Layout::kChannelsLast, Layout to = Layout::kChannelsLast) {
  OpSpec spec;
  spec.params = std::move(params);
  spec.inputs = {Activation(dtype, std::move(x), from)};
  spec.outputs = {Activation(dtype, std::move(y), to)};
  return {std::move(name), std::move(spec), 0};
}

std::vector<BenchCase> Cases(DType dtype) {
  std::vector<BenchCase> cases;
  for (int64_t n : {1, 8}) {
    const std::string batch = " n" + std::to_string(n);
    const auto conv = [&](const char* name, SquareConv c) {
      c.batch = n;
      cases.push_back(ConvCase(name + batch, dtype, c));
    };
    conv("3x3 64->64 @56", {.channels = 64, .size = 56, .filters = 64, .kernel = 3, .pad = 1});
    conv("3x3 512->512 @7", {.channels = 512, .size = 7, .filters = 512, .kernel = 3, .pad = 1});
    conv("7x7/2 3->64 @224",
         {.channels = 3, .size = 224, .filters = 64, .kernel = 7, .stride = 2, .pad = 3});
    conv("1x1 64->256 @56", {.channels = 64, .size = 56, .filters = 256});
    conv("1x1 64->256 @56 + residual",
         {.channels = 64, .size = 56, .filters = 256, .residual = true});
    conv("1x1 1024->256 @14", {.channels = 1024, .size = 14, .filters = 256});
    conv("depthwise 3x3 144 @56",
         {.channels = 144, .size = 56, .filters = 144, .kernel = 3, .pad = 1, .groups = 144});
    conv("depthwise 5x5 480 @14",
         {.channels = 480, .size = 14, .filters = 480, .kernel = 5, .pad = 2, .groups = 480});
    cases.push_back(LinearCase("fc 9216->4096" + batch, dtype, n, 9216, 4096));
    cases.push_back(LinearCase("fc 4096->4096" + batch, dtype, n, 4096, 4096));
    cases.push_back(LinearCase("fc 1280->1000" + batch, dtype, n, 1280, 1000));
    cases.push_back(MapCase("max pool 3x3/2 64 @112" + batch, dtype,
                            PoolParams{.kernel = {3, 3},
                                       .strides = {2, 2},
                                       .dilations = {1, 1},
                                       .pads_begin = {1, 1},
                                       .pads_end = {1, 1}},
                            {n, 64, 112, 112}, {n, 64, 56, 56}));
    cases.push_back(MapCase("mean of pixels 2048 @7" + batch, dtype,
                            ReduceParams{.kind = ReduceKind::kMean, .axes = {2, 3}},
                            {n, 2048, 7, 7}, {n, 2048}));
    cases.push_back(MapCase("lrn 5 of 96 @55" + batch, dtype, LrnParams{.size = 5}, {n, 96, 55, 55},
                            {n, 96, 55, 55}));
    cases.push_back(MapCase("relu 64 @112" + batch, dtype, UnaryParams{}, {n, 64, 112, 112},
                            {n, 64, 112, 112}));
    cases.push_back(MapCase("softmax 1000" + batch, dtype, SoftmaxParams{}, {n, 1000}, {n, 1000}));
    cases.push_back(MapCase("to channels-last 3 @224" + batch, dtype, ReorderParams{},
                            {n, 3, 224, 224}, {n, 3, 224, 224}, Layout::kPlain,
                            Layout::kChannelsLast));
    cases.push_back(MapCase("to plain 256 @13" + batch, dtype, ReorderParams{}, {n, 256, 13, 13},
                            {n, 256, 13, 13}, Layout::kChannelsLast, Layout::kPlain));
  }
  return cases;
}

// A compiled op with buffers of its own.
struct Runner {
  std::vector<Tensor> buffers;
  std::unique_ptr<const CompiledOp> compiled;
  std::unique_ptr<BoundOp> op;
  uint64_t bytes = 0;  // Read and written at least once.
  double best_us = 1e30;
};

Runner MakeRunner(OpSpec spec, int threads) {
  Runner runner;
  spec.threads = threads;
  absl::StatusOr<std::unique_ptr<const CompiledOp>> compiled = OnednnBackend().Compile(spec);
  if (!compiled.ok()) {
    std::printf("%s: %s\n", Describe(spec).c_str(), compiled.status().ToString().c_str());
    return runner;
  }
  runner.compiled = std::move(*compiled);
  std::vector<const void*> inputs;
  const auto buffer = [&runner](DType dtype, const Shape& shape) {
    runner.buffers.emplace_back(dtype, shape);
    return runner.buffers.back().view().data;
  };
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const PackedLayout layout = runner.compiled->parameter_layout(static_cast<int>(i));
    const bool packed = !layout.plain();
    inputs.push_back(packed ? buffer(DType::kU8, {static_cast<int64_t>(layout.bytes)})
                            : buffer(spec.inputs[i].dtype, spec.inputs[i].shape));
    runner.bytes += runner.buffers.back().view().bytes();
  }
  void* output = buffer(spec.outputs[0].dtype, spec.outputs[0].shape);
  runner.bytes += runner.buffers.back().view().bytes();
  void* scratch = buffer(DType::kU8, {static_cast<int64_t>(runner.compiled->scratch_bytes()) + 1});
  auto bound = runner.compiled->Bind(
      {.inputs = inputs, .outputs = absl::MakeConstSpan(&output, 1), .scratch = scratch});
  if (bound.ok()) runner.op = std::move(*bound);
  return runner;
}

void TimeOnce(Runner* runner, int threads) {
  if (runner->op == nullptr) return;
  SetKernelThreads(threads);
  const auto start = std::chrono::steady_clock::now();
  if (!runner->op->Run().ok()) std::abort();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  runner->best_us = std::min(runner->best_us, took.count());
}

int Main(int rounds, const std::string& filter) {
  std::printf("%s, best of %d\n", std::string(OnednnBackend().fingerprint()).c_str(), rounds);
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (const BenchCase& c : Cases(dtype)) {
      if (c.name.find(filter) == std::string::npos) continue;
      Runner one = MakeRunner(c.spec, 1), two = MakeRunner(c.spec, 2);
      if (one.op == nullptr || two.op == nullptr) continue;
      for (int i = 0; i < rounds; ++i) {
        TimeOnce(&one, 1);
        TimeOnce(&two, 2);
      }
      const double work = c.flops > 0 ? c.flops : static_cast<double>(one.bytes);
      std::printf("%-32s %-5s %9.1f us %6.1f | two threads %9.1f us %6.1f %s  %s\n", c.name.c_str(),
                  std::string(DTypeName(dtype)).c_str(), one.best_us, work / one.best_us / 1e3,
                  two.best_us, work / two.best_us / 1e3, c.flops > 0 ? "GFLOP/s" : "GB/s",
                  two.compiled->implementation().c_str());
    }
  }
  return 0;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) {
  return paramd::Main(argc > 1 ? std::atoi(argv[1]) : 15, argc > 2 ? argv[2] : "");
}
