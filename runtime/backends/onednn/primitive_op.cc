#include "runtime/backends/onednn/primitive_op.h"

#include <utility>

#include "oneapi/dnnl/dnnl_debug.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

class PrimitiveBoundOp final : public BoundOp {
 public:
  // `memories` and `args` belong together: args point into memories' handles.
  PrimitiveBoundOp(const dnnl::primitive& primitive, std::vector<dnnl::memory> memories,
                   std::vector<dnnl_exec_arg_t> args, int threads)
      : primitive_(primitive),
        memories_(std::move(memories)),
        args_(std::move(args)),
        stream_(CpuEngine()),
        threads_(threads) {}

  absl::Status Run() override {
    ScopedKernelThreads team(threads_);
    // The C call: the C++ wrapper would build this list anew each time.
    const dnnl_status_t status = dnnl_primitive_execute(
        primitive_.get(), stream_.get(), static_cast<int>(args_.size()), args_.data());
    if (status == dnnl_success) return absl::OkStatus();
    return absl::InternalError(StrCat("oneDNN failed to run: ", dnnl_status2str(status)));
  }

 private:
  const dnnl::primitive primitive_;
  const std::vector<dnnl::memory> memories_;
  const std::vector<dnnl_exec_arg_t> args_;
  const dnnl::stream stream_;
  const int threads_;
};

class PrimitiveOp final : public CompiledOp {
 public:
  explicit PrimitiveOp(PrimitivePlan plan)
      : plan_(std::move(plan)), scratch_bytes_(plan_.scratchpad.get_size()) {}

  std::string implementation() const override { return plan_.implementation; }
  Layout input_layout(int i) const override {
    const auto index = static_cast<size_t>(i);
    return index < plan_.input_layouts.size() ? plan_.input_layouts[index] : Layout::kPlain;
  }
  Layout output_layout(int) const override { return plan_.output_layout; }
  int in_place_input() const override { return plan_.in_place_input; }
  uint64_t scratch_bytes() const override { return scratch_bytes_; }

  PackedLayout parameter_layout(int i) const override {
    const PackedParameter* parameter = FindPacked(i);
    return parameter == nullptr ? PackedLayout{} : parameter->layout;
  }

  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    const PackedParameter* parameter = FindPacked(i);
    if (parameter == nullptr) {
      return absl::InternalError(StrCat("input ", i, " is read plain: there is nothing to pack"));
    }
    return PackParameter(*parameter, source, packed);
  }

  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    return WithoutThrowing([&]() -> absl::StatusOr<std::unique_ptr<BoundOp>> {
      std::vector<dnnl::memory> memories;
      std::vector<dnnl_exec_arg_t> exec_args;
      memories.reserve(plan_.args.size() + 1);
      for (const PrimitiveArg& arg : plan_.args) {
        PARAMD_ASSIGN_OR_RETURN(void* address, AddressOf(arg, args));
        memories.emplace_back(arg.desc, CpuEngine(), address);
        exec_args.push_back({arg.dnnl_arg, memories.back().get()});
      }
      if (scratch_bytes_ > 0) {
        if (args.scratch == nullptr) {
          return absl::InternalError(StrCat("no scratch bound, needs ", scratch_bytes_, " bytes"));
        }
        memories.emplace_back(plan_.scratchpad, CpuEngine(), args.scratch);
        exec_args.push_back({DNNL_ARG_SCRATCHPAD, memories.back().get()});
      }
      return std::make_unique<PrimitiveBoundOp>(plan_.primitive, std::move(memories),
                                                std::move(exec_args), plan_.threads);
    });
  }

 private:
  const PackedParameter* FindPacked(int i) const {
    for (const PackedParameter& parameter : plan_.packed) {
      if (parameter.index == i) return &parameter;
    }
    return nullptr;
  }

  static absl::StatusOr<void*> AddressOf(const PrimitiveArg& arg, const BindArgs& args) {
    const auto index = static_cast<size_t>(arg.index);
    const bool output = arg.source == PrimitiveArg::Source::kOutput;
    const size_t count = output ? args.outputs.size() : args.inputs.size();
    void* address = nullptr;
    if (index < count) {
      // oneDNN's interface has no const; inputs are only read.
      address = output ? args.outputs[index] : const_cast<void*>(args.inputs[index]);
    }
    if (address == nullptr) {
      return absl::InternalError(
          StrCat("no address bound for ", output ? "output " : "input ", arg.index));
    }
    return address;
  }

  const PrimitivePlan plan_;
  const uint64_t scratch_bytes_;
};

class EmptyBoundOp final : public BoundOp {
 public:
  absl::Status Run() override { return absl::OkStatus(); }
};

class EmptyOp final : public CompiledOp {
 public:
  explicit EmptyOp(const OpSpec& spec) {
    for (const Operand& input : spec.inputs) packed_.push_back(input.packed);
  }
  std::string implementation() const override { return "empty"; }
  Layout input_layout(int) const override { return Layout::kPlain; }
  Layout output_layout(int) const override { return Layout::kPlain; }
  PackedLayout parameter_layout(int i) const override {
    const auto index = static_cast<size_t>(i);
    return index < packed_.size() ? packed_[index] : PackedLayout{};
  }
  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs&) const override {
    return std::make_unique<EmptyBoundOp>();
  }

 private:
  std::vector<PackedLayout> packed_;
};

}  // namespace

dnnl::primitive_attr Attributes(const dnnl::post_ops& post_ops) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post_ops);
  return attributes;
}

absl::StatusOr<PrimitivePlan> InEitherLayout(
    const Operand& x, const std::function<absl::StatusOr<PrimitivePlan>(Layout)>& plan_in) {
  const Layout layout = LayoutOf(x);
  absl::StatusOr<PrimitivePlan> plan = WithoutThrowing([&] { return plan_in(layout); });
  if (plan.ok() || x.kind != OperandKind::kActivation || LayoutIsMoot(x.shape)) return plan;
  return plan_in(OtherLayout(layout));
}

std::unique_ptr<const CompiledOp> MakePrimitiveOp(PrimitivePlan plan) {
  if (plan.gemv.has_value()) {
    plan.gemv->threads = plan.threads;
    return MakeGemvOp(*plan.gemv, std::move(plan.packed[0]), std::move(plan.input_layouts),
                      plan.output_layout);
  }
  return std::make_unique<PrimitiveOp>(std::move(plan));
}

std::unique_ptr<const CompiledOp> MakeEmptyOp(const OpSpec& spec) {
  return std::make_unique<EmptyOp>(spec);
}

}  // namespace paramd::onednn
