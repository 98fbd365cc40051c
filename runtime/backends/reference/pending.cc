// Families whose kernels are not written yet; goes when the last one is.
#include "runtime/backends/reference/kernels.h"

namespace paramd::reference {

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const BatchNormParams&) {
  return absl::UnimplementedError("BatchNorm is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const CastParams&) {
  return absl::UnimplementedError("Cast is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const ConcatParams&) {
  return absl::UnimplementedError("Concat is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const ConvParams&) {
  return absl::UnimplementedError("Conv is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const ExpandParams&) {
  return absl::UnimplementedError("Expand is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const GatherParams&) {
  return absl::UnimplementedError("Gather is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const LayerNormParams&) {
  return absl::UnimplementedError("LayerNorm is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const LrnParams&) {
  return absl::UnimplementedError("Lrn is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const PadParams&) {
  return absl::UnimplementedError("Pad is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const PoolParams&) {
  return absl::UnimplementedError("Pool is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const ReduceParams&) {
  return absl::UnimplementedError("Reduce is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const ReorderParams&) {
  return absl::UnimplementedError("Reorder is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const SliceParams&) {
  return absl::UnimplementedError("Slice is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const TransposeParams&) {
  return absl::UnimplementedError("Transpose is not written yet");
}
absl::StatusOr<KernelPlan> CompileKernel(const OpSpec&, const WhereParams&) {
  return absl::UnimplementedError("Where is not written yet");
}

}  // namespace paramd::reference
