#include "runtime/backends/onednn/int8_op.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "oneapi/dnnl/dnnl_debug.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/vectors/integer_sums.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

// Sums for one member of the team; below it a team costs more than it saves.
constexpr int64_t kSumsAMember = 1 << 14;

// Where each thing lies in scratch.
struct Scratch {
  uint64_t source = 0, sums = 0, zeros = 0, scales = 0, primitive = 0, bytes = 0;
};

bool NeedsSource(const Int8Plan& plan) {
  return plan.a_dtype == DType::kI8 || (plan.window.has_value() && plan.window->pads());
}

Scratch LayOut(const Int8Plan& plan) {
  Scratch scratch;
  const auto take = [&](uint64_t bytes) {
    const uint64_t at = scratch.bytes;
    scratch.bytes += AlignedBytes(bytes);
    return at;
  };
  const auto columns = static_cast<uint64_t>(plan.columns);
  scratch.source = take(NeedsSource(plan) ? static_cast<uint64_t>(plan.source_elements) : 0);
  scratch.sums =
      take(plan.y_dtype == DType::kI32 ? 0 : static_cast<uint64_t>(plan.rows) * columns * 4);
  scratch.zeros = take(columns * 4);
  scratch.scales = take(plan.at.b_scale >= 0 ? columns * 4 : 0);
  scratch.primitive = take(plan.scratchpad.get_size());
  return scratch;
}

// Element i of an 8-bit zero point, as the flipped or plain bytes have it.
int32_t ZeroAt(const void* zeros, DType dtype, bool many, int64_t i, DType plain) {
  const int32_t shift = dtype == plain ? 0 : dtype == DType::kI8 ? 128 : -128;
  if (zeros == nullptr) return shift;
  const int64_t at = many ? i : 0;
  return shift + (dtype == DType::kU8 ? static_cast<const uint8_t*>(zeros)[at]
                                      : static_cast<const int8_t*>(zeros)[at]);
}

class Int8BoundOp final : public BoundOp {
 public:
  Int8BoundOp(const Int8Plan& plan, const BindArgs& args)
      : plan_(plan), stream_(CpuEngine()), inputs_(args.inputs.begin(), args.inputs.end()) {
    auto* scratch = static_cast<std::byte*>(args.scratch);
    const Scratch places = LayOut(plan_);
    y_ = args.outputs[0];
    source_ = NeedsSource(plan_) ? reinterpret_cast<uint8_t*>(scratch + places.source)
                                 : static_cast<uint8_t*>(const_cast<void*>(In(plan_.at.a)));
    sums_ = plan_.y_dtype == DType::kI32 ? static_cast<int32_t*>(y_)
                                         : reinterpret_cast<int32_t*>(scratch + places.sums);
    zeros_ = reinterpret_cast<int32_t*>(scratch + places.zeros);
    scales_ = reinterpret_cast<float*>(scratch + places.scales);
    const auto* weights = static_cast<const std::byte*>(In(plan_.at.b));
    column_sums_ = reinterpret_cast<const int32_t*>(weights + plan_.sums_offset);
    Add(DNNL_ARG_SRC, plan_.source, source_);
    Add(DNNL_ARG_WEIGHTS, plan_.weights, const_cast<std::byte*>(weights));
    Add(DNNL_ARG_DST, plan_.sums, sums_);
    if (plan_.scratchpad.get_size() > 0) {
      Add(DNNL_ARG_SCRATCHPAD, plan_.scratchpad, scratch + places.primitive);
    }
    for (size_t i = 0; i < memories_.size(); ++i) {
      args_.push_back({names_[i], memories_[i].get()});
    }
  }

  absl::Status Run() override {
    if (NeedsSource(plan_)) CopySource();
    {
      ScopedKernelThreads team(plan_.threads);
      const dnnl_status_t status = dnnl_primitive_execute(
          plan_.primitive.get(), stream_.get(), static_cast<int>(args_.size()), args_.data());
      if (status != dnnl_success) {
        return absl::InternalError(StrCat("oneDNN failed to run: ", dnnl_status2str(status)));
      }
    }
    const IntegerColumns columns = Columns();
    const auto team =
        static_cast<int>(std::clamp<int64_t>(plan_.rows * plan_.columns / kSumsAMember, 1,
                                             std::min<int64_t>(plan_.threads, plan_.rows)));
    if (team == 1) {
      FinishRows(columns, 0, plan_.rows);
      return absl::OkStatus();
    }
#pragma omp parallel for num_threads(team) schedule(static)
    for (int member = 0; member < team; ++member) {
      FinishRows(columns, plan_.rows * member / team, plan_.rows * (member + 1) / team);
    }
    return absl::OkStatus();
  }

 private:
  const void* In(int i) const { return i < 0 ? nullptr : inputs_[static_cast<size_t>(i)]; }
  void Add(int name, const dnnl::memory::desc& desc, void* address) {
    memories_.emplace_back(desc, CpuEngine(), address);
    names_.push_back(name);
  }
  float FloatAt(int i, bool many, int64_t at) const {
    return i < 0 ? 1 : static_cast<const float*>(In(i))[many ? at : 0];
  }
  int32_t AZero(int64_t row) const {
    return ZeroAt(In(plan_.at.a_zero), plan_.a_dtype, plan_.many_a_zeros, row, DType::kU8);
  }

  // a's bytes as unsigned ones, and around an image its zero point.
  void CopySource() {
    const auto* from = static_cast<const uint8_t*>(In(plan_.at.a));
    const bool flips = plan_.a_dtype == DType::kI8;
    if (!plan_.window.has_value() || !plan_.window->pads()) {
      return FlipSigns(from, plan_.source_elements, source_);
    }
    const Int8Window& w = *plan_.window;
    const int zero = AZero(0);
    const int64_t row_bytes = w.padded[2] * w.channels;
    const int64_t left = std::min(w.pad_begin[2], w.padded[2]) * w.channels;
    const int64_t middle =
        std::max<int64_t>(0, std::min(w.in[2], w.padded[2] - w.pad_begin[2])) * w.channels;
    uint8_t* to = source_;
    for (int64_t n = 0; n < w.batch; ++n) {
      for (int64_t i = 0; i < w.padded[0]; ++i) {
        for (int64_t j = 0; j < w.padded[1]; ++j, to += row_bytes) {
          const int64_t x0 = i - w.pad_begin[0], x1 = j - w.pad_begin[1];
          if (x0 < 0 || x0 >= w.in[0] || x1 < 0 || x1 >= w.in[1] || middle == 0) {
            std::memset(to, zero, static_cast<size_t>(row_bytes));
            continue;
          }
          const uint8_t* row = from + ((n * w.in[0] + x0) * w.in[1] + x1) * w.in[2] * w.channels;
          std::memset(to, zero, static_cast<size_t>(left));
          if (flips) {
            FlipSigns(row, middle, to + left);
          } else {
            std::memcpy(to + left, row, static_cast<size_t>(middle));
          }
          std::memset(to + left + middle, zero, static_cast<size_t>(row_bytes - left - middle));
        }
      }
    }
  }

  IntegerColumns Columns() {
    IntegerColumns columns;
    columns.count = plan_.columns;
    columns.sums = column_sums_;
    bool any_zero = false;
    for (int64_t j = 0; j < plan_.columns; ++j) {
      zeros_[j] = ZeroAt(In(plan_.at.b_zero), plan_.b_dtype, plan_.many_b_zeros, j, DType::kI8);
      any_zero = any_zero || zeros_[j] != 0;
    }
    if (any_zero) columns.zeros = zeros_;
    if (plan_.at.b_scale >= 0) {
      for (int64_t j = 0; j < plan_.columns; ++j) {
        scales_[j] = FloatAt(plan_.at.b_scale, plan_.many_b_scales, j);
      }
      columns.scales = scales_;
    }
    if (plan_.y_dtype == DType::kF32) {
      columns.addends = static_cast<const float*>(In(plan_.at.bias));
    } else {
      columns.bias = static_cast<const int32_t*>(In(plan_.at.bias));
    }
    return columns;
  }

  void FinishRows(const IntegerColumns& columns, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t cycle = plan_.row_cycle == 1 ? 0 : r % plan_.row_cycle;
      IntegerRow row;
      row.zero = AZero(cycle);
      row.scale = FloatAt(plan_.at.a_scale, plan_.many_a_scales, cycle);
      if (plan_.at.y_scale >= 0) {
        row.scale /= FloatAt(plan_.at.y_scale, plan_.many_y_scales, cycle);
        row.result_zero = static_cast<float>(
            ZeroAt(In(plan_.at.y_zero), plan_.y_dtype, plan_.many_y_zeros, cycle, plan_.y_dtype));
      }
      if (columns.zeros == nullptr) {
        FinishRow(columns, row, r, 0);
        continue;
      }
      const int64_t per_group = plan_.columns / plan_.groups;
      for (int64_t g = 0; g < plan_.groups; ++g) {
        IntegerColumns group = columns;
        group.count = per_group;
        group.sums += g * per_group;
        group.zeros += g * per_group;
        if (group.bias != nullptr) group.bias += g * per_group;
        if (group.scales != nullptr) group.scales += g * per_group;
        if (group.addends != nullptr) group.addends += g * per_group;
        row.rest =
            static_cast<int32_t>(SumUnder(r, g)) - static_cast<int32_t>(plan_.inner) * row.zero;
        FinishRow(group, row, r, g * per_group);
      }
    }
  }

  void FinishRow(const IntegerColumns& columns, const IntegerRow& row, int64_t r, int64_t first) {
    const int64_t at = r * plan_.columns + first;
    const int32_t* sums = sums_ + at;
    switch (plan_.y_dtype) {
      case DType::kF32:
        return FinishF32(sums, columns, row, static_cast<float*>(y_) + at);
      case DType::kU8:
        return FinishU8(sums, columns, row, static_cast<uint8_t*>(y_) + at);
      case DType::kI8:
        return FinishI8(sums, columns, row, static_cast<int8_t*>(y_) + at);
      default:
        return FinishI32(sums, columns, row, static_cast<int32_t*>(y_) + at);
    }
  }

  // The sum of the source's bytes that went into row r's sums of group g.
  uint32_t SumUnder(int64_t r, int64_t g) const {
    if (!plan_.window.has_value()) return SumOfBytes(source_ + r * plan_.inner, plan_.inner);
    const Int8Window& w = *plan_.window;
    const int64_t k = r % w.out[2], j = r / w.out[2] % w.out[1];
    const int64_t i = r / (w.out[2] * w.out[1]) % w.out[0];
    const int64_t n = r / (w.out[2] * w.out[1] * w.out[0]);
    const int64_t channels = w.channels / plan_.groups;
    uint32_t sum = 0;
    for (int64_t a = 0; a < w.kernel[0]; ++a) {
      for (int64_t b = 0; b < w.kernel[1]; ++b) {
        for (int64_t c = 0; c < w.kernel[2]; ++c) {
          const int64_t pixel =
              ((n * w.padded[0] + i * w.stride[0] + a * w.dilation[0]) * w.padded[1] +
               j * w.stride[1] + b * w.dilation[1]) *
                  w.padded[2] +
              k * w.stride[2] + c * w.dilation[2];
          sum += SumOfBytes(source_ + pixel * w.channels + g * channels, channels);
        }
      }
    }
    return sum;
  }

  const Int8Plan plan_;
  const dnnl::stream stream_;
  const std::vector<const void*> inputs_;
  void* y_ = nullptr;
  uint8_t* source_ = nullptr;  // Written only where NeedsSource.
  int32_t* sums_ = nullptr;
  int32_t* zeros_ = nullptr;
  float* scales_ = nullptr;
  const int32_t* column_sums_ = nullptr;
  std::vector<dnnl::memory> memories_;
  std::vector<int> names_;
  std::vector<dnnl_exec_arg_t> args_;
};

class Int8Op final : public CompiledOp {
 public:
  explicit Int8Op(Int8Plan plan)
      : plan_(std::move(plan)),
        layout_(EncodeInt8Layout(plan_.weights, plan_.columns)),
        scratch_bytes_(LayOut(plan_).bytes) {}

  std::string implementation() const override { return StrCat("int8 ", plan_.implementation); }
  Layout input_layout(int i) const override {
    return i == plan_.at.a ? OwnLayout() : Layout::kPlain;
  }
  Layout output_layout(int) const override { return OwnLayout(); }
  uint64_t scratch_bytes() const override { return scratch_bytes_; }
  PackedLayout parameter_layout(int i) const override {
    return i == plan_.at.b ? layout_ : PackedLayout{};
  }

  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    if (i != plan_.at.b) {
      return absl::InternalError(StrCat("input ", i, " is read plain: there is nothing to pack"));
    }
    if (source.dtype != plan_.b_dtype || source.shape != plan_.weights_shape ||
        packed.size() != layout_.bytes || source.data == nullptr) {
      return absl::InvalidArgumentError(
          StrCat("parameter ", i, " is ", DTypeName(source.dtype), source.shape.ToString(), " for ",
                 packed.size(), " bytes, expected ", DTypeName(plan_.b_dtype),
                 plan_.weights_shape.ToString(), " for ", layout_.bytes));
    }
    const int64_t elements = source.shape.elements();
    std::vector<int8_t> flipped;
    const auto* bytes = static_cast<const int8_t*>(source.data);
    if (plan_.b_dtype == DType::kU8) {
      flipped.resize(static_cast<size_t>(elements));
      FlipSigns(bytes, elements, flipped.data());
      bytes = flipped.data();
    }
    const uint64_t weight_bytes = plan_.weights.get_size();
    // The gap before the sums is part of the content.
    std::memset(packed.data() + weight_bytes, 0, packed.size() - weight_bytes);
    SumColumns(bytes, packed.subspan(plan_.sums_offset));
    const PackedParameter parameter = {.index = i,
                                       .shape = plan_.weights_shape,
                                       .desc = plan_.weights,
                                       .source_strides = plan_.weights_strides,
                                       .layout = {.descriptor = {}, .bytes = weight_bytes}};
    return PackParameter(parameter, {DType::kI8, source.shape, bytes},
                         packed.subspan(0, weight_bytes));
  }

  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    bool complete = !args.outputs.empty() && args.outputs[0] != nullptr && args.scratch != nullptr;
    for (const int i :
         {plan_.at.a, plan_.at.b, plan_.at.a_scale, plan_.at.b_scale, plan_.at.y_scale,
          plan_.at.a_zero, plan_.at.b_zero, plan_.at.y_zero, plan_.at.bias}) {
      const auto at = static_cast<size_t>(i);
      complete = complete && (i < 0 || (at < args.inputs.size() && args.inputs[at] != nullptr));
    }
    if (!complete) return absl::InternalError("an 8-bit product bound without all its addresses");
    return WithoutThrowing([&]() -> absl::StatusOr<std::unique_ptr<BoundOp>> {
      return std::make_unique<Int8BoundOp>(plan_, args);
    });
  }

 private:
  Layout OwnLayout() const {
    return plan_.window.has_value() ? Layout::kChannelsLast : Layout::kPlain;
  }

  // [inner, columns] of a matmul, [columns, inner] of a convolution.
  void SumColumns(const int8_t* bytes, absl::Span<std::byte> out) const {
    std::vector<int32_t> sums(static_cast<size_t>(plan_.columns), 0);
    if (plan_.window.has_value()) {
      for (int32_t& sum : sums) {
        for (int64_t k = 0; k < plan_.inner; ++k) sum += *bytes++;
      }
    } else {
      for (int64_t k = 0; k < plan_.inner; ++k) {
        for (int32_t& sum : sums) sum += *bytes++;
      }
    }
    std::memcpy(out.data(), sums.data(), sums.size() * sizeof(int32_t));
  }

  const Int8Plan plan_;
  const PackedLayout layout_;
  const uint64_t scratch_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileInt8(const OpSpec& spec,
                                                              const NamedParams& params,
                                                              int threads) {
  PARAMD_ASSIGN_OR_RETURN(const QuantizedSpec parsed, ParseQuantizedSpec(spec, params));
  PARAMD_ASSIGN_OR_RETURN(
      Int8Plan plan, parsed.is_conv ? PlanInt8Conv(spec, parsed) : PlanInt8MatMul(spec, parsed));
  plan.threads = threads;
  return std::make_unique<Int8Op>(std::move(plan));
}

}  // namespace paramd::onednn
