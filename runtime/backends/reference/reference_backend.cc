#include "runtime/backends/reference/reference_backend.h"

#include <utility>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/staging.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

using reference::Kernel;
using reference::KernelArgs;
using reference::KernelPlan;

// An operand that the kernel sees through scratch in another type.
struct Staged {
  size_t index = 0;
  DType outside = DType::kUndefined, inside = DType::kUndefined;
  int64_t count = 0;
  uint64_t offset = 0;  // In scratch.
};

// One post-op: y = step(y, operand), in place.
struct PostStep {
  Kernel run;
  int operand = -1;
};

struct Program {
  Kernel kernel;
  std::vector<PostStep> post_steps;
  std::vector<Staged> staged_inputs, staged_outputs;
};

class ReferenceBoundOp final : public BoundOp {
 public:
  ReferenceBoundOp(const OpSpec& spec, const Program& program, const BindArgs& args)
      : program_(program),
        outside_inputs_(args.inputs.begin(), args.inputs.end()),
        outside_outputs_(args.outputs.begin(), args.outputs.end()),
        inputs_(outside_inputs_),
        outputs_(outside_outputs_),
        scratch_(static_cast<std::byte*>(args.scratch)) {
    // An empty tensor may have no address, but kernels add offsets to it.
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (spec.inputs[i].kind != OperandKind::kAbsent && inputs_[i] == nullptr) {
        inputs_[i] = nowhere_;
      }
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (spec.outputs[i].kind != OperandKind::kAbsent && outputs_[i] == nullptr) {
        outputs_[i] = nowhere_;
      }
    }
    for (const Staged& staged : program_.staged_inputs) {
      inputs_[staged.index] = scratch_ + staged.offset;
    }
    for (const Staged& staged : program_.staged_outputs) {
      outputs_[staged.index] = scratch_ + staged.offset;
    }
  }

  absl::Status Run() override {
    for (const Staged& staged : program_.staged_inputs) {
      reference::Widen(staged.outside, outside_inputs_[staged.index], staged.inside,
                       scratch_ + staged.offset, staged.count);
    }
    PARAMD_RETURN_IF_ERROR(program_.kernel({inputs_.data(), outputs_.data(), scratch_}));
    for (const PostStep& step : program_.post_steps) {
      const void* operands[] = {
          outputs_[0], step.operand < 0 ? nullptr : inputs_[static_cast<size_t>(step.operand)]};
      PARAMD_RETURN_IF_ERROR(step.run({operands, outputs_.data(), nullptr}));
    }
    for (const Staged& staged : program_.staged_outputs) {
      reference::Narrow(staged.inside, scratch_ + staged.offset, staged.outside,
                        outside_outputs_[staged.index], staged.count);
    }
    return absl::OkStatus();
  }

 private:
  const Program program_;
  const std::vector<const void*> outside_inputs_;
  const std::vector<void*> outside_outputs_;
  std::vector<const void*> inputs_;  // As the kernel sees them.
  std::vector<void*> outputs_;
  std::byte* const scratch_;
  alignas(64) std::byte nowhere_[64] = {};  // Read and written by nobody.
};

class ReferenceCompiledOp final : public CompiledOp {
 public:
  ReferenceCompiledOp(OpSpec spec, Program program, uint64_t scratch_bytes, int in_place_input)
      : spec_(std::move(spec)),
        program_(std::move(program)),
        scratch_bytes_(scratch_bytes),
        in_place_input_(in_place_input) {}

  std::string implementation() const override { return "plain loops"; }

  // A reorder is the one op that may be given, and may leave, channels-last.
  Layout input_layout(int i) const override {
    if (i != 0 || !std::holds_alternative<ReorderParams>(spec_.params)) return Layout::kPlain;
    return spec_.inputs[0].layout;
  }
  Layout output_layout(int) const override {
    if (!std::holds_alternative<ReorderParams>(spec_.params)) return Layout::kPlain;
    return spec_.outputs[0].layout;
  }

  PackedLayout parameter_layout(int i) const override {
    const Operand* operand = InputOrNull(spec_, i);
    if (operand == nullptr || operand->kind != OperandKind::kParameter) return {};
    return {"", TensorView{operand->dtype, operand->shape, nullptr}.bytes()};
  }

  // Parameters stay plain: a copy, or a rounding where the spec says bf16.
  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    const Operand* operand = InputOrNull(spec_, i);
    if (operand == nullptr || operand->kind != OperandKind::kParameter) {
      return absl::InvalidArgumentError(StrCat("input ", i, " is no parameter"));
    }
    if (source.shape != operand->shape || packed.size() != parameter_layout(i).bytes) {
      return absl::InvalidArgumentError(
          StrCat("parameter ", i, " of shape ", source.shape.ToString(), " for ",
                 operand->shape.ToString(), " and ", packed.size(), " bytes"));
    }
    if (source.dtype == operand->dtype && source.dtype != DType::kString) {
      reference::CopyBytes(packed.data(), source.data, packed.size());
      return absl::OkStatus();
    }
    if (source.dtype == DType::kF32 && operand->dtype == DType::kBF16) {
      reference::Narrow(DType::kF32, source.data, DType::kBF16, packed.data(),
                        source.shape.elements());
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(StrCat("parameter ", i, " is ", DTypeName(source.dtype),
                                             ", expected ", DTypeName(operand->dtype)));
  }

  int in_place_input() const override { return in_place_input_; }
  uint64_t scratch_bytes() const override { return scratch_bytes_; }

  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    if (args.inputs.size() != spec_.inputs.size() || args.outputs.size() != spec_.outputs.size()) {
      return absl::InvalidArgumentError(StrCat(args.inputs.size(), " inputs and ",
                                               args.outputs.size(), " outputs bound to ",
                                               Describe(spec_)));
    }
    PARAMD_RETURN_IF_ERROR(CheckAddresses(spec_.inputs, args.inputs, "input"));
    PARAMD_RETURN_IF_ERROR(CheckAddresses(spec_.outputs, args.outputs, "output"));
    if (scratch_bytes_ > 0 && args.scratch == nullptr) {
      return absl::InvalidArgumentError(StrCat("no scratch bound to ", Describe(spec_)));
    }
    return std::make_unique<ReferenceBoundOp>(spec_, program_, args);
  }

 private:
  template <typename Pointer>
  absl::Status CheckAddresses(const std::vector<Operand>& operands, absl::Span<Pointer> addresses,
                              std::string_view what) const {
    for (size_t i = 0; i < operands.size(); ++i) {
      const bool needed =
          operands[i].kind != OperandKind::kAbsent && operands[i].shape.elements() > 0;
      if (needed && addresses[i] == nullptr) {
        return absl::InvalidArgumentError(
            StrCat(what, " ", i, " of ", Describe(spec_), " is bound to no address"));
      }
    }
    return absl::OkStatus();
  }

  const OpSpec spec_;
  const Program program_;
  const uint64_t scratch_bytes_;
  const int in_place_input_;
};

// Plans `operands` in their staged types and the scratch that this takes.
absl::Status Stage(const OpSpec& spec, std::vector<Operand>* operands, std::vector<Staged>* staged,
                   uint64_t* scratch_bytes) {
  constexpr uint64_t kScratchMax = uint64_t{1} << 62;
  for (size_t i = 0; i < operands->size(); ++i) {
    Operand& operand = (*operands)[i];
    if (operand.kind == OperandKind::kAbsent) continue;
    const DType inside = reference::StagedType(spec, operand.dtype);
    if (inside == operand.dtype) continue;
    *scratch_bytes = (*scratch_bytes + 63) / 64 * 64;
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedBytes(inside, operand.shape.dims()));
    if (bytes > kScratchMax - *scratch_bytes) {
      return absl::InvalidArgumentError(
          StrCat(OpName(spec.params), ": operands need more than 2^62 bytes of scratch"));
    }
    staged->push_back({i, operand.dtype, inside, operand.shape.elements(), *scratch_bytes});
    *scratch_bytes += bytes;
    operand.dtype = inside;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PostStep>> CompilePostSteps(const OpSpec& spec) {
  const Operand& y = spec.outputs[0];
  std::vector<PostStep> steps;
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kActivation) {
      PARAMD_ASSIGN_OR_RETURN(Kernel run, reference::MakeUnary({.kind = post_op.activation,
                                                                .alpha = post_op.alpha,
                                                                .beta = post_op.beta},
                                                               y.dtype, y.shape.elements()));
      steps.push_back({std::move(run), -1});
      continue;
    }
    OpSpec add;
    add.params = BinaryParams{BinaryKind::kAdd};
    add.inputs = {y, *InputOrNull(spec, post_op.operand)};
    add.outputs = {y};
    PARAMD_ASSIGN_OR_RETURN(KernelPlan plan,
                            reference::CompileKernel(add, std::get<BinaryParams>(add.params)));
    steps.push_back({std::move(plan.run), post_op.operand});
  }
  return steps;
}

// An op may write over an input only where that is as large as the output and
// no post-op reads it afterwards.
int InPlaceInput(const OpSpec& spec, int wanted) {
  const Operand* input = InputOrNull(spec, wanted);
  if (input == nullptr || input->kind != OperandKind::kActivation) return -1;
  if (input->dtype != spec.outputs[0].dtype) return -1;
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd && post_op.operand == wanted) return -1;
  }
  return wanted;
}

class Reference final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string_view fingerprint() const override { return "reference 1"; }

  absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec& spec) const override {
    PARAMD_RETURN_IF_ERROR(ValidateSpec(spec));
    for (const Operand& input : spec.inputs) {
      if (!input.packed.plain()) {
        return absl::UnimplementedError("a parameter is packed for another backend");
      }
    }
    OpSpec inside = spec;
    Program program;
    // Staged operands are kept apart: the kernel's own scratch starts at 0 and
    // its size is not known yet, so offsets are shifted once it is.
    uint64_t staged_bytes = 0;
    PARAMD_RETURN_IF_ERROR(Stage(spec, &inside.inputs, &program.staged_inputs, &staged_bytes));
    PARAMD_RETURN_IF_ERROR(Stage(spec, &inside.outputs, &program.staged_outputs, &staged_bytes));
    PARAMD_ASSIGN_OR_RETURN(KernelPlan plan, std::visit(
                                                 [&inside](const auto& params) {
                                                   return reference::CompileKernel(inside, params);
                                                 },
                                                 inside.params));
    PARAMD_ASSIGN_OR_RETURN(program.post_steps, CompilePostSteps(inside));
    program.kernel = std::move(plan.run);
    const uint64_t shift = (plan.scratch_bytes + 63) / 64 * 64;
    for (Staged& staged : program.staged_inputs) staged.offset += shift;
    for (Staged& staged : program.staged_outputs) staged.offset += shift;
    const uint64_t scratch_bytes = staged_bytes == 0 ? plan.scratch_bytes : shift + staged_bytes;
    const int in_place_input = InPlaceInput(spec, plan.in_place_input);
    return std::make_unique<ReferenceCompiledOp>(spec, std::move(program), scratch_bytes,
                                                 in_place_input);
  }
};

}  // namespace

const Backend& ReferenceBackend() {
  static const Reference backend;
  return backend;
}

}  // namespace paramd
