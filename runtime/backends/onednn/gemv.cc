#include "runtime/backends/onednn/gemv.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "runtime/backends/onednn/gemv_kernel.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/half.h"

namespace paramd::onednn {
namespace {

// Weights below this may stay in the last-level cache between runs, where
// oneDNN's kernel is up to a tenth faster; above it, this one is about twice as
// fast from memory (README.md).
constexpr uint64_t kWeightBytesMin = uint64_t{8} << 20;

float ReadFloat(const void* values, DType dtype, int64_t i) {
  return dtype == DType::kF32 ? static_cast<const float*>(values)[i]
                              : BF16ToFloat(static_cast<const uint16_t*>(values)[i]);
}

void WriteFloat(void* values, DType dtype, int64_t i, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(values)[i] = value;
  } else {
    static_cast<uint16_t*>(values)[i] = FloatToBF16(value);
  }
}

class GemvBoundOp final : public BoundOp {
 public:
  GemvBoundOp(const GemvPlan& plan, const BindArgs& args)
      : plan_(plan),
        a_(args.inputs[0]),
        weights_(static_cast<const std::byte*>(args.inputs[1])),
        bias_(plan.bias ? args.inputs[2] : nullptr),
        y_(args.outputs[0]),
        rows_(static_cast<float*>(args.scratch)) {}

  absl::Status Run() override {
    WidenRows();
    const int64_t blocks = (plan_.columns + kGemvBlock - 1) / kGemvBlock;
    const int team = static_cast<int>(std::min<int64_t>(plan_.threads, blocks));
    if (team == 1) {
      RunBlocks(0, blocks);
      return absl::OkStatus();
    }
    // The team of oneDNN's own kernels; parallel_for would wake other threads.
#pragma omp parallel for num_threads(team) schedule(static)
    for (int member = 0; member < team; ++member) {
      RunBlocks(blocks * member / team, blocks * (member + 1) / team);
    }
    return absl::OkStatus();
  }

 private:
  // a as floats, a row after the other, zeros up to the packed length.
  void WidenRows() {
    for (int row = 0; row < plan_.rows; ++row) {
      float* to = rows_ + row * plan_.inner_packed;
      for (int64_t k = 0; k < plan_.inner; ++k) {
        const int64_t at = plan_.trans_a ? k * plan_.rows + row : row * plan_.inner + k;
        to[k] = ReadFloat(a_, plan_.a_dtype, at);
      }
      std::fill(to + plan_.inner, to + plan_.inner_packed, 0.0f);
    }
  }

  void RunBlocks(int64_t begin, int64_t end) {
    const int64_t element_bytes = plan_.bf16_weights ? 2 : 4;
    const int64_t block_bytes = plan_.inner_packed * kGemvBlock * element_bytes;
    float sums[kGemvRowsMax * kGemvBlock];
    for (int64_t block = begin; block < end; ++block) {
      GemvBlock(weights_ + block * block_bytes, plan_.bf16_weights, rows_, plan_.inner_packed,
                plan_.rows, sums);
      const int64_t first = block * kGemvBlock;
      const int64_t count = std::min(kGemvBlock, plan_.columns - first);
      for (int row = 0; row < plan_.rows; ++row) {
        for (int64_t i = 0; i < count; ++i) {
          WriteFloat(y_, plan_.y_dtype, row * plan_.columns + first + i,
                     Finish(sums[row * kGemvBlock + i], first + i));
        }
      }
    }
  }

  float Finish(float sum, int64_t column) const {
    float y = plan_.alpha * sum;
    if (bias_ != nullptr) {
      y += plan_.beta * ReadFloat(bias_, plan_.bias_dtype, plan_.bias_is_scalar ? 0 : column);
    }
    if (y < 0) y *= plan_.slope;
    // Written so that a NaN stays one.
    if (y < plan_.low) y = plan_.low;
    if (y > plan_.high) y = plan_.high;
    return y;
  }

  const GemvPlan plan_;
  const void* const a_;
  const std::byte* const weights_;
  const void* const bias_;
  void* const y_;
  float* const rows_;
};

class GemvOp final : public CompiledOp {
 public:
  GemvOp(const GemvPlan& plan, PackedParameter weights, std::vector<Layout> input_layouts,
         Layout output_layout)
      : plan_(plan),
        weights_(std::move(weights)),
        input_layouts_(std::move(input_layouts)),
        output_layout_(output_layout) {}

  std::string implementation() const override { return StrCat("gemv:", GemvTargetName()); }
  Layout input_layout(int i) const override {
    const auto index = static_cast<size_t>(i);
    return index < input_layouts_.size() ? input_layouts_[index] : Layout::kPlain;
  }
  Layout output_layout(int) const override { return output_layout_; }
  PackedLayout parameter_layout(int i) const override {
    return i == weights_.index ? weights_.layout : PackedLayout{};
  }
  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    if (i != weights_.index) {
      return absl::InternalError(StrCat("input ", i, " is read plain: there is nothing to pack"));
    }
    return PackParameter(weights_, source, packed);
  }
  uint64_t scratch_bytes() const override {
    return static_cast<uint64_t>(plan_.rows * plan_.inner_packed) * sizeof(float);
  }
  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    const size_t needed = plan_.bias ? 3 : 2;
    bool complete = args.inputs.size() >= needed && !args.outputs.empty() &&
                    args.outputs[0] != nullptr && args.scratch != nullptr;
    for (size_t i = 0; complete && i < needed; ++i) complete = args.inputs[i] != nullptr;
    if (!complete) return absl::InternalError("a matmul bound without all of its addresses");
    return std::make_unique<GemvBoundOp>(plan_, args);
  }

 private:
  const GemvPlan plan_;
  const PackedParameter weights_;
  const std::vector<Layout> input_layouts_;
  const Layout output_layout_;
};

}  // namespace

bool GemvReads(const dnnl::memory::desc& weights, GemvPlan* plan) {
  using Dims = dnnl::memory::dims;
  if (weights.get_size() < kWeightBytesMin) return false;
  const Dims blocks = weights.get_inner_blks();
  const Dims indices = weights.get_inner_idxs();
  const Dims padded = weights.get_padded_dims();
  const Dims strides = weights.get_strides();
  if (padded.size() != 2 || weights.get_submemory_offset() != 0) return false;
  // [columns / 64][inner / 16][16][64], and for bf16 [16][64][2] innermost: in
  // both, the blocks of one group of columns follow each other.
  int64_t block_rows = 0;
  if (weights.get_data_type() == dnnl::memory::data_type::f32) {
    if (indices != Dims{0, 1} || blocks[1] != kGemvBlock) return false;
    block_rows = blocks[0];
    plan->bf16_weights = false;
  } else if (weights.get_data_type() == dnnl::memory::data_type::bf16) {
    if (indices != Dims{0, 1, 0} || blocks[1] != kGemvBlock || blocks[2] != 2) return false;
    block_rows = blocks[0] * 2;
    plan->bf16_weights = true;
  } else {
    return false;
  }
  if (strides[0] != block_rows * kGemvBlock || strides[1] != padded[0] * kGemvBlock) return false;
  plan->inner_packed = padded[0];
  return true;
}

bool GemvFuses(const OpSpec& spec, GemvPlan* plan) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  plan->low = -kInfinity;
  plan->high = kInfinity;
  plan->slope = 1;
  if (spec.post_ops.empty()) return true;
  const PostOp& post_op = spec.post_ops[0];
  if (spec.post_ops.size() > 1 || post_op.kind != PostOp::Kind::kActivation) return false;
  switch (post_op.activation) {
    case ActivationKind::kRelu:
      plan->low = 0;
      return true;
    case ActivationKind::kLeakyRelu:
      plan->slope = post_op.alpha;
      return true;
    case ActivationKind::kClip:
      plan->low = post_op.alpha;
      plan->high = post_op.beta;
      return true;
    default:
      return false;
  }
}

std::unique_ptr<const CompiledOp> MakeGemvOp(const GemvPlan& plan, PackedParameter weights,
                                             std::vector<Layout> input_layouts,
                                             Layout output_layout) {
  return std::make_unique<GemvOp>(plan, std::move(weights), std::move(input_layouts),
                                  output_layout);
}

}  // namespace paramd::onednn
