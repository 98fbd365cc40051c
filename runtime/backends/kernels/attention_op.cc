#include "runtime/backends/kernels/attention_op.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/backends/attention_shape.h"
#include "runtime/backends/kernels/attention_kernel.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::kernels {
namespace {

// Offsets within scratch stay far from wrapping below it.
constexpr int64_t kElementsMax = int64_t{1} << 31;

struct Plan {
  AttentionTask task;  // Without addresses.
  bool mask = false, keep = false;
  int team = 1;
  int64_t scratch_floats = 0;  // Of one member, a whole number of cache lines.
};

int64_t HeadOffset(const AttentionShape::Steps& steps, int64_t batch, int64_t head) {
  return batch * steps.batch + head * steps.head;
}

const void* AtElement(const void* base, bool bf16, int64_t element) {
  return static_cast<const std::byte*>(base) + element * (bf16 ? 2 : 4);
}

class AttentionBoundOp final : public BoundOp {
 public:
  AttentionBoundOp(const Plan& plan, const BindArgs& args)
      : plan_(plan),
        q_(args.inputs[0]),
        k_(args.inputs[1]),
        v_(args.inputs[2]),
        mask_(plan.mask ? static_cast<const float*>(args.inputs[3]) : nullptr),
        keep_(plan.keep ? static_cast<const uint8_t*>(args.inputs[4]) : nullptr),
        y_(args.outputs[0]),
        scratch_(static_cast<float*>(args.scratch)) {}

  absl::Status Run() override {
    const AttentionShape& shape = plan_.task.shape;
    const int64_t heads = shape.batch * shape.heads;
    const int team = static_cast<int>(std::min<int64_t>(plan_.team, heads));
    if (team <= 1) {
      RunHeads(0, heads, 0);
      return absl::OkStatus();
    }
    // The team of oneDNN's kernels; parallel_for would wake other threads.
#pragma omp parallel for num_threads(team) schedule(static)
    for (int member = 0; member < team; ++member) {
      RunHeads(heads * member / team, heads * (member + 1) / team, member);
    }
    return absl::OkStatus();
  }

 private:
  void RunHeads(int64_t begin, int64_t end, int member) {
    AttentionTask task = plan_.task;
    const AttentionShape& shape = task.shape;
    task.scratch = scratch_ + member * plan_.scratch_floats;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t batch = i / shape.heads, head = i % shape.heads;
      task.q = AtElement(q_, task.q_bf16, HeadOffset(shape.q, batch, head));
      task.k = AtElement(k_, task.k_bf16, HeadOffset(shape.k, batch, head));
      task.v = AtElement(v_, task.v_bf16, HeadOffset(shape.v, batch, head));
      if (mask_ != nullptr) task.mask = mask_ + HeadOffset(shape.mask, batch, head);
      if (keep_ != nullptr) task.keep = keep_ + HeadOffset(shape.keep, batch, head);
      task.y =
          static_cast<std::byte*>(y_) + HeadOffset(shape.y, batch, head) * (task.y_bf16 ? 2 : 4);
      AttentionHead(task);
    }
  }

  const Plan plan_;
  const void *const q_, *const k_, *const v_;
  const float* const mask_;
  const uint8_t* const keep_;
  void* const y_;
  float* const scratch_;
};

class AttentionOp final : public CompiledOp {
 public:
  AttentionOp(const OpSpec& spec, const Plan& plan) : plan_(plan) {
    for (const Operand& input : spec.inputs) {
      const bool parameter = input.kind == OperandKind::kParameter;
      bytes_.push_back(parameter ? TensorView{input.dtype, input.shape, nullptr}.bytes() : 0);
    }
  }

  std::string implementation() const override {
    return StrCat("attention:", AttentionTargetName());
  }
  Layout input_layout(int) const override { return Layout::kPlain; }
  Layout output_layout(int) const override { return Layout::kPlain; }
  // Parameters are read as they are: a mask, learned queries.
  PackedLayout parameter_layout(int i) const override {
    const auto index = static_cast<size_t>(i);
    return {"", index < bytes_.size() ? bytes_[index] : 0};
  }
  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    if (packed.size() != parameter_layout(i).bytes || source.bytes() != packed.size()) {
      return absl::InvalidArgumentError(StrCat("parameter ", i, " has ", source.bytes(),
                                               " bytes, expected ", parameter_layout(i).bytes));
    }
    std::copy_n(static_cast<const std::byte*>(source.data), packed.size(), packed.data());
    return absl::OkStatus();
  }
  uint64_t scratch_bytes() const override {
    return static_cast<uint64_t>(plan_.scratch_floats) * static_cast<uint64_t>(plan_.team) *
           sizeof(float);
  }
  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    bool complete = args.inputs.size() >= bytes_.size() && args.outputs.size() == 1 &&
                    args.outputs[0] != nullptr && args.scratch != nullptr;
    for (size_t i = 0; complete && i < bytes_.size(); ++i) {
      const bool needed = i < 3 || (i == 3 ? plan_.mask : plan_.keep);
      complete = !needed || args.inputs[i] != nullptr;
    }
    if (!complete) return absl::InternalError("attention bound without all of its addresses");
    return std::make_unique<AttentionBoundOp>(plan_, args);
  }

 private:
  const Plan plan_;
  std::vector<uint64_t> bytes_;  // Of parameters; 0 for activations.
};

absl::StatusOr<bool> IsBf16(const Operand& operand, std::string_view what) {
  if (operand.dtype == DType::kF32) return false;
  // A parameter comes as the checkpoint has it, whatever the activations are.
  if (operand.dtype == DType::kBF16) return true;
  return absl::UnimplementedError(StrCat(what, " of ", DTypeName(operand.dtype)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileAttention(const OpSpec& spec,
                                                                   const AttentionParams& params) {
  Plan plan;
  AttentionTask& task = plan.task;
  PARAMD_ASSIGN_OR_RETURN(task.shape, AttentionShapeOf(spec, params));
  task.scale = params.scale;
  task.drop = params.drop;
  task.fill = params.fill;
  task.zero_nan = params.zero_nan;
  PARAMD_ASSIGN_OR_RETURN(task.q_bf16, IsBf16(spec.inputs[0], "queries"));
  PARAMD_ASSIGN_OR_RETURN(task.k_bf16, IsBf16(spec.inputs[1], "keys"));
  PARAMD_ASSIGN_OR_RETURN(task.v_bf16, IsBf16(spec.inputs[2], "values"));
  PARAMD_ASSIGN_OR_RETURN(task.y_bf16, IsBf16(spec.outputs[0], "a result"));
  plan.mask = InputOrNull(spec, 3) != nullptr;
  plan.keep = InputOrNull(spec, 4) != nullptr;
  if (plan.mask && spec.inputs[3].dtype != DType::kF32) {
    return absl::UnimplementedError(StrCat("a mask of ", DTypeName(spec.inputs[3].dtype)));
  }
  const AttentionShape& shape = task.shape;
  for (const std::vector<Operand>* operands : {&spec.inputs, &spec.outputs}) {
    for (const Operand& operand : *operands) {
      if (operand.kind == OperandKind::kAbsent) continue;
      if (!operand.packed.plain()) return absl::UnimplementedError("a packed parameter");
      if (operand.shape.elements() > kElementsMax) {
        return absl::UnimplementedError(StrCat("an operand of ", operand.shape.ToString()));
      }
      if (operand.shape.elements() == 0) return absl::UnimplementedError("an empty operand");
    }
  }
  plan.team =
      std::max(1, static_cast<int>(std::min<int64_t>(spec.threads, shape.batch * shape.heads)));
  plan.scratch_floats = AttentionScratch(shape);
  return std::make_unique<AttentionOp>(spec, plan);
}

}  // namespace paramd::kernels
