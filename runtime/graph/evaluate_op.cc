#include "runtime/graph/evaluate_op.h"

#include <string>
#include <vector>

#include "runtime/backends/reference/reference_backend.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

bool PlainThroughout(const CompiledOp& op, const OpSpec& spec) {
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const int at = static_cast<int>(i);
    if (spec.inputs[i].kind == OperandKind::kAbsent) continue;
    if (op.input_layout(at) != Layout::kPlain || !op.parameter_layout(at).plain()) return false;
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    if (spec.outputs[i].kind == OperandKind::kAbsent) continue;
    if (op.output_layout(static_cast<int>(i)) != Layout::kPlain) return false;
  }
  return true;
}

absl::StatusOr<std::vector<Tensor>> Evaluate(absl::Span<const Backend* const> backends,
                                             const OpSpec& spec,
                                             absl::Span<const TensorView> inputs) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<const CompiledOp> op, CompilePlain(backends, spec));
  std::vector<const void*> in;
  for (const TensorView& view : inputs) in.push_back(view.data);
  std::vector<Tensor> results;
  std::vector<void*> out;
  for (const Operand& output : spec.outputs) {
    if (output.kind == OperandKind::kAbsent) {
      results.emplace_back();
      out.push_back(nullptr);
      continue;
    }
    results.emplace_back(output.dtype, output.shape);
    out.push_back(results.back().view().data);
  }
  Tensor scratch(DType::kU8, Shape{static_cast<int64_t>(op->scratch_bytes())});
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<BoundOp> bound,
                          op->Bind({in, out, scratch.view().data}));
  PARAMD_RETURN_IF_ERROR(bound->Run());
  return results;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const CompiledOp>> CompilePlain(
    absl::Span<const Backend* const> backends, const OpSpec& spec) {
  PARAMD_RETURN_IF_ERROR(ValidateSpec(spec));
  std::string refusals;
  for (const Backend* backend : backends) {
    absl::StatusOr<std::unique_ptr<const CompiledOp>> op = backend->Compile(spec);
    if (op.ok() && PlainThroughout(**op, spec)) return *std::move(op);
    StrAppend(&refusals, refusals.empty() ? "" : "; ", backend->name(), ": ",
              op.ok() ? "wants another layout" : FromAbsl(op.status().message()));
  }
  return absl::UnimplementedError(StrCat("no backend takes ", Describe(spec), " (", refusals, ")"));
}

EvaluateFn ReferenceEvaluator() {
  return [](const OpSpec& spec, absl::Span<const TensorView> inputs) {
    const Backend* const reference = &ReferenceBackend();
    return Evaluate({&reference, 1}, spec, inputs);
  };
}

}  // namespace paramd
