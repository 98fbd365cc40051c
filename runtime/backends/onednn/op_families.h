// The op families, one file each: a spec becomes a PrimitivePlan, or a Status
// that says why not. They may throw dnnl::error; OnednnBackend catches.
// REQUIRES of all: CheckSpec(spec) was OK, and no operand is empty.
//
// To add one: a function here, its file, a line in onednn_backend.cc, a case in
// tests/conformance.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_OP_FAMILIES_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_OP_FAMILIES_H_

#include "absl/status/statusor.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/op_specs.h"

namespace paramd::onednn {

absl::StatusOr<PrimitivePlan> PlanConv(const OpSpec& spec, const ConvParams& conv);
absl::StatusOr<PrimitivePlan> PlanMatMul(const OpSpec& spec, const MatMulParams& matmul);
absl::StatusOr<PrimitivePlan> PlanPool(const OpSpec& spec, const PoolParams& pool);
absl::StatusOr<PrimitivePlan> PlanUnary(const OpSpec& spec, const UnaryParams& unary);
absl::StatusOr<PrimitivePlan> PlanBinary(const OpSpec& spec, const BinaryParams& binary);
absl::StatusOr<PrimitivePlan> PlanSoftmax(const OpSpec& spec, const SoftmaxParams& softmax);
absl::StatusOr<PrimitivePlan> PlanReduce(const OpSpec& spec, const ReduceParams& reduce);
absl::StatusOr<PrimitivePlan> PlanLrn(const OpSpec& spec, const LrnParams& lrn);
absl::StatusOr<PrimitivePlan> PlanBatchNorm(const OpSpec& spec, const BatchNormParams& norm);
absl::StatusOr<PrimitivePlan> PlanLayerNorm(const OpSpec& spec, const LayerNormParams& norm);
absl::StatusOr<PrimitivePlan> PlanConcat(const OpSpec& spec, const ConcatParams& concat);
absl::StatusOr<PrimitivePlan> PlanTranspose(const OpSpec& spec, const TransposeParams& transpose);
absl::StatusOr<PrimitivePlan> PlanReorder(const OpSpec& spec, const ReorderParams& reorder);
// Of NamedParams: operands are checked here, beyond what CheckSpec knows of them.
absl::StatusOr<PrimitivePlan> PlanConvTranspose(const OpSpec& spec, const NamedParams& params);
absl::StatusOr<PrimitivePlan> PlanResize(const OpSpec& spec, const NamedParams& params);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_OP_FAMILIES_H_
