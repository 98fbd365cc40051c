#include "tests/conformance/op_runner.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::conformance {
namespace {

constexpr size_t kGuardBytes = 128;
constexpr int kGuardByte = 0xa5;
constexpr int kPoisonByte = 0xcd;  // What nobody has written.

// 64-byte aligned bytes between two guards.
class GuardedBytes {
 public:
  explicit GuardedBytes(uint64_t bytes) : bytes_(bytes) {
    all_ = static_cast<std::byte*>(
        ::operator new[](kGuardBytes + bytes + kGuardBytes, std::align_val_t{64}));
    std::memset(all_, kGuardByte, kGuardBytes);
    std::memset(data(), kPoisonByte, bytes);
    std::memset(data() + bytes, kGuardByte, kGuardBytes);
  }
  ~GuardedBytes() {
    if (all_ != nullptr) ::operator delete[](all_, std::align_val_t{64});
  }
  GuardedBytes(GuardedBytes&& other) noexcept
      : bytes_(other.bytes_), all_(std::exchange(other.all_, nullptr)) {}
  GuardedBytes& operator=(GuardedBytes&&) = delete;

  std::byte* data() const { return all_ + kGuardBytes; }
  uint64_t bytes() const { return bytes_; }
  void Poison() const { std::memset(data(), kPoisonByte, bytes_); }
  bool GuardsAreWhole() const {
    const auto whole = [](const std::byte* guard) {
      return std::all_of(guard, guard + kGuardBytes,
                         [](std::byte b) { return b == std::byte{kGuardByte}; });
    };
    return whole(all_) && whole(data() + bytes_);
  }

 private:
  uint64_t bytes_;
  std::byte* all_;
};

absl::Status Broken(const OpSpec& spec, std::string_view what) {
  return absl::InternalError(StrCat(Describe(spec), ": ", what));
}

// The operands of one run: dense ones between guards, strings as they are.
struct Operands {
  std::vector<GuardedBytes> bytes;
  std::vector<Tensor> strings;
  std::vector<const Tensor*> unchanged;  // What each input must still be; null: free to change.
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
};

absl::Status AddInput(const CompiledOp& op, const OpSpec& spec, int i, const Tensor& tensor,
                      std::vector<Tensor>* relaid, Operands* operands) {
  const Operand& operand = spec.inputs[static_cast<size_t>(i)];
  if (operand.kind == OperandKind::kAbsent) {
    operands->inputs.push_back(nullptr);
    return absl::OkStatus();
  }
  if (tensor.shape() != operand.shape) {
    return absl::InvalidArgumentError(StrCat("test data of input ", i, " has another shape"));
  }
  if (operand.dtype == DType::kString) {
    operands->inputs.push_back(tensor.view().data);
    return absl::OkStatus();
  }
  if (operand.kind == OperandKind::kParameter) {
    const PackedLayout layout = op.parameter_layout(i);
    const bool converts = tensor.dtype() != operand.dtype;
    if (!layout.plain() || converts) {
      operands->bytes.emplace_back(layout.bytes);
      const GuardedBytes& packed = operands->bytes.back();
      PARAMD_RETURN_IF_ERROR(op.Pack(i, tensor.view(), {packed.data(), packed.bytes()}));
      operands->inputs.push_back(packed.data());
      return absl::OkStatus();
    }
    const uint64_t dense = tensor.view().bytes();
    if (layout.bytes != 0 && layout.bytes != dense) {
      return Broken(spec, StrCat("parameter ", i, " is plain and has ", layout.bytes,
                                 " bytes, expected ", dense));
    }
  }
  const Layout wanted =
      operand.kind == OperandKind::kParameter ? Layout::kPlain : op.input_layout(i);
  relaid->push_back(Relaid(tensor.view(), Layout::kPlain, wanted));
  const TensorView view = std::as_const(relaid->back()).view();
  operands->bytes.emplace_back(view.bytes());
  if (view.bytes() > 0) std::memcpy(operands->bytes.back().data(), view.data, view.bytes());
  operands->inputs.push_back(operands->bytes.back().data());
  return absl::OkStatus();
}

}  // namespace

Tensor Relaid(const TensorView& tensor, Layout from, Layout to) {
  const int rank = tensor.shape.rank();
  if (from == to || rank < 3) return Tensor::CopyOf(tensor);
  Tensor result(tensor.dtype, tensor.shape);
  const auto element = static_cast<int64_t>(DTypeBits(tensor.dtype) / 8);
  const int64_t batch = tensor.shape.dim(0), channels = tensor.shape.dim(1);
  const int64_t elements = tensor.shape.elements();
  const int64_t spatial = elements == 0 ? 0 : elements / batch / channels;
  const auto* source = static_cast<const std::byte*>(tensor.data);
  auto* target = static_cast<std::byte*>(result.view().data);
  for (int64_t n = 0; n < batch && elements > 0; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t s = 0; s < spatial; ++s) {
        const int64_t plain = (n * channels + c) * spatial + s;
        const int64_t last = (n * spatial + s) * channels + c;
        const bool to_last = to == Layout::kChannelsLast;
        std::memcpy(target + (to_last ? last : plain) * element,
                    source + (to_last ? plain : last) * element, static_cast<size_t>(element));
      }
    }
  }
  return result;
}

absl::StatusOr<std::vector<Tensor>> RunCompiled(const CompiledOp& op, const OpSpec& spec,
                                                absl::Span<const Tensor> inputs,
                                                const RunOptions& options) {
  if (inputs.size() != spec.inputs.size()) {
    return absl::InvalidArgumentError("test data for another number of inputs");
  }
  Operands operands;
  // References into these are kept while they grow.
  operands.bytes.reserve(inputs.size() + spec.outputs.size() + 1);
  std::vector<Tensor> relaid;
  relaid.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    PARAMD_RETURN_IF_ERROR(AddInput(op, spec, static_cast<int>(i), inputs[i], &relaid, &operands));
  }
  const size_t input_buffers = operands.bytes.size();
  std::vector<Tensor> before;  // Copies of what the op was given.
  for (const GuardedBytes& bytes : operands.bytes) {
    before.emplace_back(DType::kU8, Shape{static_cast<int64_t>(bytes.bytes())});
    std::memcpy(before.back().view().data, bytes.data(), bytes.bytes());
  }

  const int over = options.in_place ? op.in_place_input() : -1;
  std::vector<const GuardedBytes*> output_bytes;
  std::vector<Tensor> string_outputs;
  string_outputs.reserve(spec.outputs.size());
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    const Operand& output = spec.outputs[i];
    output_bytes.push_back(nullptr);
    if (output.kind == OperandKind::kAbsent) {
      operands.outputs.push_back(nullptr);
    } else if (output.dtype == DType::kString) {
      string_outputs.emplace_back(DType::kString, output.shape);
      operands.outputs.push_back(string_outputs.back().view().data);
    } else if (i == 0 && over >= 0) {
      operands.outputs.push_back(
          const_cast<void*>(operands.inputs[static_cast<size_t>(over)]));  // Ours, and writable.
    } else {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes,
                              CheckedBytes(output.dtype, output.shape.dims()));
      operands.bytes.emplace_back(bytes);
      output_bytes.back() = &operands.bytes.back();
      operands.outputs.push_back(operands.bytes.back().data());
    }
  }
  const GuardedBytes scratch(op.scratch_bytes());

  PARAMD_ASSIGN_OR_RETURN(
      const std::unique_ptr<BoundOp> bound,
      op.Bind({operands.inputs, absl::MakeSpan(operands.outputs), scratch.data()}));
  std::vector<Tensor> first;
  for (int run = 0; run < options.runs; ++run) {
    for (const GuardedBytes* bytes : output_bytes) {
      if (bytes != nullptr) bytes->Poison();
    }
    scratch.Poison();
    if (over >= 0) {  // The last run wrote over it.
      for (size_t i = 0; i < input_buffers; ++i) {
        std::memcpy(operands.bytes[i].data(), std::as_const(before[i]).view().data,
                    operands.bytes[i].bytes());
      }
    }
    const uint64_t allocations = options.allocations == nullptr ? 0 : options.allocations();
    PARAMD_RETURN_IF_ERROR(bound->Run());
    if (options.allocations != nullptr && options.allocations() != allocations) {
      return Broken(spec, "allocated while it ran");
    }

    if (!scratch.GuardsAreWhole()) return Broken(spec, "wrote outside its scratch");
    for (size_t i = 0; i < operands.bytes.size(); ++i) {
      const GuardedBytes& bytes = operands.bytes[i];
      if (!bytes.GuardsAreWhole()) {
        return Broken(spec, StrCat("wrote outside ", i < input_buffers ? "an input" : "an output"));
      }
      const bool overwritten = over >= 0 && bytes.data() == operands.outputs[0];
      if (i < input_buffers && !overwritten &&
          std::memcmp(bytes.data(), std::as_const(before[i]).view().data, bytes.bytes()) != 0) {
        return Broken(spec, "changed an input");
      }
    }
    std::vector<Tensor> results;
    size_t next_string = 0;
    for (size_t i = 0; i < spec.outputs.size(); ++i) {
      const Operand& output = spec.outputs[i];
      if (output.kind == OperandKind::kAbsent) {
        results.emplace_back();
      } else if (output.dtype == DType::kString) {
        results.push_back(Tensor::CopyOf(std::as_const(string_outputs[next_string++]).view()));
      } else {
        results.push_back(Relaid({output.dtype, output.shape, operands.outputs[i]},
                                 op.output_layout(static_cast<int>(i)), Layout::kPlain));
      }
    }
    if (run == 0) {
      first = std::move(results);
      continue;
    }
    for (size_t i = 0; i < results.size(); ++i) {
      const TensorView a = std::as_const(first[i]).view(), b = std::as_const(results[i]).view();
      if (a.bytes() > 0 && std::memcmp(a.data, b.data, a.bytes()) != 0) {
        return Broken(spec, "gave another answer when it ran again");
      }
    }
  }
  return first;
}

absl::StatusOr<std::vector<Tensor>> RunOp(const Backend& backend, const OpSpec& spec,
                                          absl::Span<const Tensor> inputs) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<const CompiledOp> op, backend.Compile(spec));
  PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> outputs, RunCompiled(*op, spec, inputs, {}));
  if (op->in_place_input() < 0) return outputs;
  PARAMD_ASSIGN_OR_RETURN(const std::vector<Tensor> in_place,
                          RunCompiled(*op, spec, inputs, {.in_place = true}));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorView a = std::as_const(outputs[i]).view(), b = in_place[i].view();
    if (a.bytes() > 0 && std::memcmp(a.data, b.data, a.bytes()) != 0) {
      return Broken(spec, "gave another answer in place");
    }
  }
  return outputs;
}

}  // namespace paramd::conformance
