// Deformable convolution (Dai et al., 2017; with a mask: Zhu et al., 2018).
#include <cmath>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

struct Geometry {
  int64_t batch, channels, height, width;  // x
  int64_t filters, kernel_h, kernel_w;     // w
  int64_t out_h, out_w;                    // y
  int64_t groups, offset_groups;
  int64_t stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;

  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t out() const { return out_h * out_w; }
};

// Between the four pixels around (h, w); what is outside counts as 0.
template <typename T>
double Sample(const T* image, const Geometry& g, double h, double w) {
  if (!(h > -1 && h < static_cast<double>(g.height) && w > -1 &&
        w < static_cast<double>(g.width))) {
    return 0;
  }
  const double top = std::floor(h), left = std::floor(w);
  double sum = 0;
  for (int corner = 0; corner < 4; ++corner) {
    const int64_t y = static_cast<int64_t>(top) + corner / 2;
    const int64_t x = static_cast<int64_t>(left) + corner % 2;
    if (y < 0 || y >= g.height || x < 0 || x >= g.width) continue;
    const double share =
        (corner / 2 == 0 ? 1 - (h - top) : h - top) * (corner % 2 == 0 ? 1 - (w - left) : w - left);
    sum += share * static_cast<double>(image[y * g.width + x]);
  }
  return sum;
}

// The sampled values of one output position, [channels, taps], into `columns`.
template <typename T>
void SampleColumns(const Geometry& g, const T* x, const T* offset, const T* mask, int64_t at,
                   double* columns) {
  const int64_t oh = at / g.out_w, ow = at % g.out_w;
  const int64_t channels_of_group = g.channels / g.offset_groups;
  for (int64_t c = 0; c < g.channels; ++c) {
    const int64_t group = c / channels_of_group;
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      const int64_t moved = group * g.taps() + tap;
      const double h =
          static_cast<double>(oh * g.stride_h - g.pad_h + tap / g.kernel_w * g.dilation_h) +
          static_cast<double>(offset[2 * moved * g.out() + at]);
      const double w =
          static_cast<double>(ow * g.stride_w - g.pad_w + tap % g.kernel_w * g.dilation_w) +
          static_cast<double>(offset[(2 * moved + 1) * g.out() + at]);
      const double share = mask == nullptr ? 1 : static_cast<double>(mask[moved * g.out() + at]);
      columns[c * g.taps() + tap] = share * Sample(x + c * g.height * g.width, g, h, w);
    }
  }
}

template <typename T>
void Run(const Geometry& g, const KernelArgs& args, bool biased, bool masked) {
  auto* const columns = reinterpret_cast<double*>(args.scratch);
  const int64_t group_channels = g.channels / g.groups, group_filters = g.filters / g.groups;
  for (int64_t n = 0; n < g.batch; ++n) {
    const T* x = args.in<T>(0) + n * g.channels * g.height * g.width;
    const T* offset = args.in<T>(2) + n * 2 * g.offset_groups * g.taps() * g.out();
    const T* mask = masked ? args.in<T>(4) + n * g.offset_groups * g.taps() * g.out() : nullptr;
    for (int64_t at = 0; at < g.out(); ++at) {
      SampleColumns(g, x, offset, mask, at, columns);
      for (int64_t m = 0; m < g.filters; ++m) {
        const T* w = args.in<T>(1) + m * group_channels * g.taps();
        const double* column = columns + m / group_filters * group_channels * g.taps();
        double sum = biased ? static_cast<double>(args.in<T>(3)[m]) : 0;
        for (int64_t i = 0; i < group_channels * g.taps(); ++i) {
          sum += column[i] * static_cast<double>(w[i]);
        }
        args.out<T>(0)[(n * g.filters + m) * g.out() + at] = static_cast<T>(sum);
      }
    }
  }
}

// {x [N, C, H, W], w [M, C/groups, kh, kw], offset [N, 2 offset_groups kh kw, oh, ow], bias [M]?,
// mask [N, offset_groups kh kw, oh, ow]?}; ints {groups, offset_groups, strides, dilations,
// pads_begin}.
absl::StatusOr<KernelPlan> DeformConv(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &w = In(spec, 1).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(x.rank() == 4 && w.rank() == 4 && y.rank() == 4, "x, w and y are not of rank 4"));
  const std::vector<int64_t>& i = params.ints;
  const Geometry g = {x.dim(0), x.dim(1), x.dim(2), x.dim(3), w.dim(0), w.dim(2),
                      w.dim(3), y.dim(2), y.dim(3), i[0],     i[1],     i[2],
                      i[3],     i[4],     i[5],     i[6],     i[7]};
  PARAMD_RETURN_IF_ERROR(
      Require(g.groups >= 1 && g.offset_groups >= 1 && g.channels % g.groups == 0 &&
                  g.filters % g.groups == 0 && g.channels % g.offset_groups == 0 &&
                  w.dim(1) == g.channels / g.groups && y.dim(0) == g.batch && y.dim(1) == g.filters,
              "x ", x.ToString(), " and w ", w.ToString(), " do not fit ", g.groups, " groups and ",
              g.offset_groups, " offset groups"));
  const auto moved = [&](int input, int64_t channels) {
    const Shape expected{g.batch, channels, g.out_h, g.out_w};
    return Require(In(spec, input).shape == expected, "input ", input, " is ",
                   In(spec, input).shape.ToString(), ", expected ", expected.ToString());
  };
  PARAMD_RETURN_IF_ERROR(moved(2, 2 * g.offset_groups * g.taps()));
  const bool biased = HasIn(spec, 3), masked = HasIn(spec, 4);
  if (masked) PARAMD_RETURN_IF_ERROR(moved(4, g.offset_groups * g.taps()));
  if (biased) {
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, 3).shape.elements() == g.filters, "the bias is not per filter"));
  }
  for (int operand = 1; operand < 5; ++operand) {
    if (HasIn(spec, operand)) PARAMD_RETURN_IF_ERROR(SameType(spec, 0, operand));
  }
  const uint64_t scratch = static_cast<uint64_t>(g.channels * g.taps()) * sizeof(double);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
                        Run<T>(g, args, biased, masked);
                        return absl::OkStatus();
                      },
                      scratch};
  });
}

constexpr NamedOp kNamedDeformConv[] = {
    {"deform_conv", 3, 5, 8, DeformConv},
};

}  // namespace

absl::Span<const NamedOp> NamedDeformConv() { return kNamedDeformConv; }

}  // namespace paramd::reference
