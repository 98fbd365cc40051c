// The reference kernels: one CompileKernel a params struct, one file an op
// family. A kernel is a function of addresses; everything that depends on
// shapes and types was worked out when it was compiled, and it allocates
// nothing.
//
// The spec has passed ValidateSpec, and types that kernels do not compute in
// (f16, bf16, 8-bit floats; 4-bit types where elements move) have been replaced
// by those that they do (staging.h). A CompileKernel answers Unimplemented for
// a type that its operation is not defined for.
//
// Thread-safety: pure functions; a Kernel may run on any number of threads.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_KERNELS_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"

namespace paramd::reference {

struct KernelArgs {
  const void* const* inputs = nullptr;  // As the spec's operands; null where absent.
  void* const* outputs = nullptr;
  std::byte* scratch = nullptr;

  template <typename T>
  const T* in(int i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <typename T>
  T* out(int i) const {
    return static_cast<T*>(outputs[i]);
  }
};

using Kernel = std::function<absl::Status(const KernelArgs&)>;

struct KernelPlan {
  Kernel run;
  uint64_t scratch_bytes = 0;
  int in_place_input = -1;
};

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const AttentionParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const BatchNormParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const CastParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ConcatParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ConvParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ExpandParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const GatherParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const LayerNormParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const LrnParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const PadParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const PoolParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReduceParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReorderParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const SliceParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const TransposeParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const WhereParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const BinaryParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const MatMulParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReshapeParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const SoftmaxParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const UnaryParams& params);
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const NamedParams& params);

// y = fn(x), one by one, from input 0 to output 0.
template <typename T, typename R, typename Fn>
Kernel MapElements(int64_t count, Fn fn) {
  return [count, fn](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    R* y = args.out<R>(0);
    for (int64_t i = 0; i < count; ++i) y[i] = fn(x[i]);
    return absl::OkStatus();
  };
}

// y = kind(x) over `count` elements; x and y may be the same address.
absl::StatusOr<Kernel> MakeUnary(const UnaryParams& params, DType dtype, int64_t count);

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_KERNELS_H_
