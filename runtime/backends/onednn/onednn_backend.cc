#include "runtime/backends/onednn/onednn_backend.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/packed_parameter.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/onednn/spec_check.h"
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

class Onednn final : public Backend {
 public:
  std::string_view name() const override { return "onednn"; }
  std::string_view fingerprint() const override { return Fingerprint(); }

  absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec& spec) const override {
    if (std::holds_alternative<NamedParams>(spec.params)) {
      return absl::UnimplementedError(StrCat("no ", OpName(spec.params)));
    }
    PARAMD_RETURN_IF_ERROR(CheckSpec(spec));
    if (spec.outputs[0].shape.elements() == 0) return MakeEmptyOp(spec);
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
  static bool HasPackedWeights(const OpSpec& spec) {
    return std::any_of(spec.inputs.begin(), spec.inputs.end(),
                       [](const Operand& input) { return !input.packed.plain(); });
  }

  static absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileForTeam(const OpSpec& spec,
                                                                          int threads) {
    // oneDNN chooses blockings and scratch by the team of the creating thread.
    ScopedKernelThreads team(threads);
    return WithoutThrowing([&]() -> absl::StatusOr<std::unique_ptr<const CompiledOp>> {
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
