// Which primitive multiplies the bytes, and in which layouts.
#include <algorithm>
#include <limits>

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/int8_op.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

constexpr std::string_view kInt8Tag = "int8-1\n";

// Where the columns' sums begin, and where they end.
uint64_t SumsOffset(const memory::desc& weights) { return AlignedBytes(weights.get_size()); }
uint64_t PackedBytes(const memory::desc& weights, int64_t columns) {
  return SumsOffset(weights) + static_cast<uint64_t>(columns) * sizeof(int32_t);
}

absl::StatusOr<Int8Plan> CommonPlan(const OpSpec& spec, const QuantizedSpec& parsed) {
  if (!CpuHasInt8Dot()) {
    return absl::UnimplementedError("this CPU has no 8-bit dot products that keep every bit");
  }
  const QuantizedOperands& at = parsed.at;
  const auto in = [&](int i) -> const Operand& { return spec.inputs[static_cast<size_t>(i)]; };
  if (in(at.b).kind != OperandKind::kParameter) {
    return absl::UnimplementedError("8-bit weights that are computed per request");
  }
  for (const int i : {at.a_scale, at.b_scale, at.y_scale}) {
    if (i >= 0 && in(i).dtype != DType::kF32) {
      return absl::UnimplementedError(StrCat("scales of ", DTypeName(in(i).dtype)));
    }
  }
  const auto many = [&](int i) { return i >= 0 && in(i).shape.elements() != 1; };
  Int8Plan plan;
  plan.at = at;
  plan.a_dtype = in(at.a).dtype;
  plan.b_dtype = in(at.b).dtype;
  plan.y_dtype = spec.outputs[0].dtype;
  plan.many_a_scales = many(at.a_scale);
  plan.many_a_zeros = many(at.a_zero);
  plan.many_b_scales = many(at.b_scale);
  plan.many_b_zeros = many(at.b_zero);
  plan.many_y_scales = many(at.y_scale);
  plan.many_y_zeros = many(at.y_zero);
  plan.columns = parsed.columns;
  plan.weights_shape = in(at.b).shape;
  return plan;
}

absl::StatusOr<memory::desc> WeightsDesc(const OpSpec& spec, const Int8Plan& plan,
                                         const Dims& dims) {
  const PackedLayout& packed = spec.inputs[static_cast<size_t>(plan.at.b)].packed;
  if (packed.plain()) return memory::desc(dims, memory::data_type::s8, memory::format_tag::any);
  return DecodeInt8Layout(packed, dims, plan.columns);
}

template <typename Primitive>
absl::Status TakePrimitive(const typename Primitive::primitive_desc& desc, Int8Plan* plan) {
  plan->implementation = desc.impl_info_str();
  PARAMD_RETURN_IF_ERROR(CheckImplementation(plan->implementation));
  plan->weights = desc.weights_desc();
  plan->sums_offset = SumsOffset(plan->weights);
  plan->scratchpad = desc.scratchpad_desc();
  plan->primitive = Primitive(desc);
  return absl::OkStatus();
}

}  // namespace

PackedLayout EncodeInt8Layout(const memory::desc& weights, int64_t columns) {
  return EncodeTaggedLayout(kInt8Tag, weights, PackedBytes(weights, columns));
}

absl::StatusOr<memory::desc> DecodeInt8Layout(const PackedLayout& layout, const Dims& dims,
                                              int64_t columns) {
  return DecodeTaggedLayout(
      layout, kInt8Tag, dims, memory::data_type::s8,
      [columns](const memory::desc& desc) { return PackedBytes(desc, columns); });
}

absl::StatusOr<Int8Plan> PlanInt8MatMul(const OpSpec& spec, const QuantizedSpec& parsed) {
  PARAMD_ASSIGN_OR_RETURN(Int8Plan plan, CommonPlan(spec, parsed));
  if (plan.weights_shape.elements() != parsed.inner * parsed.columns) {
    return absl::UnimplementedError("a stack of 8-bit weights");
  }
  plan.inner = parsed.inner;
  plan.row_cycle = parsed.rows;
  plan.rows = spec.outputs[0].shape.elements() / parsed.columns;
  plan.source_elements = plan.rows * plan.inner;
  plan.weights_strides = {plan.columns, 1};
  plan.source = DenseDesc({plan.rows, plan.inner}, memory::data_type::u8);
  plan.sums = DenseDesc({plan.rows, plan.columns}, memory::data_type::s32);
  PARAMD_ASSIGN_OR_RETURN(const memory::desc weights,
                          WeightsDesc(spec, plan, {plan.inner, plan.columns}));
  const dnnl::matmul::primitive_desc desc(CpuEngine(), plan.source, weights, plan.sums,
                                          Attributes({}));
  PARAMD_RETURN_IF_ERROR(TakePrimitive<dnnl::matmul>(desc, &plan));
  return plan;
}

absl::StatusOr<Int8Plan> PlanInt8Conv(const OpSpec& spec, const QuantizedSpec& parsed) {
  PARAMD_ASSIGN_OR_RETURN(Int8Plan plan, CommonPlan(spec, parsed));
  const Operand& x = spec.inputs[static_cast<size_t>(plan.at.a)];
  if (x.kind != OperandKind::kActivation) {
    return absl::UnimplementedError("a convolution of a parameter");
  }
  const ConvParams& conv = parsed.conv;
  const Shape &w = plan.weights_shape, &y = spec.outputs[0].shape;
  const auto spatial = static_cast<size_t>(x.shape.rank() - 2);

  Int8Window window;
  window.batch = x.shape.dim(0);
  window.channels = x.shape.dim(1);
  Dims source_dims = {window.batch, window.channels}, dilates, no_pads(spatial, 0);
  // An int8 image and its padding stay below what kernels address.
  constexpr int64_t kElementsMax = std::numeric_limits<int32_t>::max();
  int64_t elements = window.batch * window.channels;
  for (size_t i = 0; i < spatial; ++i) {
    const int d = static_cast<int>(i) + 2;
    const size_t to = Int8Window::kSpatial - spatial + i;
    window.in[to] = x.shape.dim(d);
    window.out[to] = y.dim(d);
    window.kernel[to] = w.dim(d);
    window.stride[to] = conv.strides[i];
    window.dilation[to] = conv.dilations[i];
    window.pad_begin[to] = conv.pads_begin[i];
    window.padded[to] = window.in[to] + conv.pads_begin[i] + conv.pads_end[i];
    source_dims.push_back(window.padded[to]);
    dilates.push_back(conv.dilations[i] - 1);
    if (window.padded[to] > kElementsMax / std::max<int64_t>(elements, 1)) {
      return absl::UnimplementedError("a padded image beyond 2^31 numbers");
    }
    elements *= window.padded[to];
  }
  plan.source_elements = elements;
  plan.groups = conv.groups;
  plan.rows = y.elements() / plan.columns;
  plan.inner = w.elements() / plan.columns;
  plan.window = window;

  Dims w_dims = DimsOf(w);
  if (conv.groups > 1) {
    w_dims[0] /= conv.groups;
    w_dims.insert(w_dims.begin(), conv.groups);
  }
  plan.weights_strides = DenseStrides(w_dims);
  plan.source = DenseDesc(source_dims, memory::data_type::u8, Layout::kChannelsLast);
  plan.sums = DenseDesc(DimsOf(y), memory::data_type::s32, Layout::kChannelsLast);
  PARAMD_ASSIGN_OR_RETURN(const memory::desc weights, WeightsDesc(spec, plan, w_dims));
  const dnnl::convolution_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      plan.source, weights, plan.sums, conv.strides, dilates, no_pads, no_pads, Attributes({}));
  PARAMD_RETURN_IF_ERROR(TakePrimitive<dnnl::convolution_forward>(desc, &plan));
  return plan;
}

}  // namespace paramd::onednn
