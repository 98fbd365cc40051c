#include "runtime/backends/onednn/onednn_backend.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/int8_op.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/packed_parameter.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/onednn/recurrent_op.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/backends/quantized_specs.h"
#include "runtime/backends/recurrent_specs.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace onednn {
namespace {

struct PlanFor {
  const OpSpec& spec;

  absl::StatusOr<PrimitivePlan> operator()(const ConvParams& p) const { return PlanConv(spec, p); }
  absl::StatusOr<PrimitivePlan> operator()(const MatMulParams& p) const {
    return PlanMatMul(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const PoolParams& p) const { return PlanPool(spec, p); }
  absl::StatusOr<PrimitivePlan> operator()(const UnaryParams& p) const {
    return PlanUnary(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const BinaryParams& p) const {
    return PlanBinary(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const SoftmaxParams& p) const {
    return PlanSoftmax(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const ReduceParams& p) const {
    return PlanReduce(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const LrnParams& p) const { return PlanLrn(spec, p); }
  absl::StatusOr<PrimitivePlan> operator()(const BatchNormParams& p) const {
    return PlanBatchNorm(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const LayerNormParams& p) const {
    return PlanLayerNorm(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const ConcatParams& p) const {
    return PlanConcat(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const TransposeParams& p) const {
    return PlanTranspose(spec, p);
  }
  absl::StatusOr<PrimitivePlan> operator()(const ReorderParams& p) const {
    return PlanReorder(spec, p);
  }
  template <typename Params>
  absl::StatusOr<PrimitivePlan> operator()(const Params&) const {
    return absl::UnimplementedError(StrCat("no ", OpName(spec.params)));
  }
};

bool TakesNamed(std::string_view op) {
  return IsQuantizedOp(op) || IsRecurrentOp(op) || op == "conv_transpose" || op == "resize";
}

absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileNamed(const OpSpec& spec,
                                                               const NamedParams& named,
                                                               int threads) {
  if (IsQuantizedOp(named.op)) return CompileInt8(spec, named, threads);
  if (IsRecurrentOp(named.op)) return CompileRecurrent(spec, named, threads);
  // Of these two nobody has asked yet whether what they need is there.
  const size_t needed = named.op == "resize" ? 1 : 2;
  for (size_t i = 0; i < needed; ++i) {
    if (InputOrNull(spec, static_cast<int>(i)) == nullptr) {
      return absl::InvalidArgumentError(StrCat(named.op, " lacks input ", i));
    }
  }
  PARAMD_ASSIGN_OR_RETURN(PrimitivePlan plan, named.op == "resize"
                                                  ? PlanResize(spec, named)
                                                  : PlanConvTranspose(spec, named));
  plan.threads = threads;
  return MakePrimitiveOp(std::move(plan));
}

class Onednn final : public Backend {
 public:
  std::string_view name() const override { return "onednn"; }
  std::string_view fingerprint() const override { return Fingerprint(); }

  absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec& spec) const override {
    const auto* named = std::get_if<NamedParams>(&spec.params);
    if (named != nullptr && !TakesNamed(named->op)) {
      return absl::UnimplementedError(StrCat("no ", OpName(spec.params)));
    }
    PARAMD_RETURN_IF_ERROR(CheckSpec(spec));
    if (IsEmpty(spec)) return MakeEmptyOp(spec);
    for (const Operand& input : spec.inputs) {
      if (input.kind != OperandKind::kAbsent && input.shape.elements() == 0) {
        return absl::UnimplementedError("an empty input with a result that is not");
      }
    }
    absl::StatusOr<std::unique_ptr<const CompiledOp>> op = CompileForTeam(spec, spec.threads);
    if (op.ok() || spec.threads == 1 || !HasPackedWeights(spec)) return op;
    // Some kernels block their weights by the team (1x1 and dilated convolutions
    // on AVX2). Weights that another batch has packed are then read by one
    // thread: slower than a team, far faster than a reference implementation.
    absl::StatusOr<std::unique_ptr<const CompiledOp>> alone = CompileForTeam(spec, 1);
    return alone.ok() ? std::move(alone) : std::move(op);
  }

 private:
  static bool IsEmpty(const OpSpec& spec) {
    return std::all_of(spec.outputs.begin(), spec.outputs.end(), [](const Operand& output) {
      return output.kind == OperandKind::kAbsent || output.shape.elements() == 0;
    });
  }

  static bool HasPackedWeights(const OpSpec& spec) {
    return std::any_of(spec.inputs.begin(), spec.inputs.end(),
                       [](const Operand& input) { return !input.packed.plain(); });
  }

  static absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileForTeam(const OpSpec& spec,
                                                                          int threads) {
    // oneDNN chooses blockings and scratch by the team of the creating thread.
    ScopedKernelThreads team(threads);
    return WithoutThrowing([&]() -> absl::StatusOr<std::unique_ptr<const CompiledOp>> {
      if (const auto* named = std::get_if<NamedParams>(&spec.params)) {
        return CompileNamed(spec, *named, threads);
      }
      PARAMD_ASSIGN_OR_RETURN(PrimitivePlan plan, std::visit(PlanFor{spec}, spec.params));
      plan.threads = threads;
      return MakePrimitiveOp(std::move(plan));
    });
  }
};

}  // namespace
}  // namespace onednn

const Backend& OnednnBackend() {
  static const onednn::Onednn backend;
  return backend;
}

}  // namespace paramd
