// Windows that have no op of their own: transposed convolution, Lp pooling,
// columns put back into an image.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/reference/window.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// The three lists that follow `first` in ints, as a Window over image `x` with
// results `y`, spatial dimensions only.
absl::StatusOr<Window> WindowOf(const NamedParams& params, size_t first, const Shape& x,
                                const Shape& y, const std::vector<int64_t>& kernel) {
  const int spatial = x.rank() - 2;
  PARAMD_RETURN_IF_ERROR(Require(spatial >= 1 && spatial <= kSpatial && y.rank() == x.rank() &&
                                     kernel.size() == static_cast<size_t>(spatial) &&
                                     params.ints.size() == first + 3 * kernel.size(),
                                 "ranks do not fit"));
  // Sums and products of two of these and a dimension stay inside 64 bits, and a
  // tap that is not before the input's end is not before its begin either.
  constexpr int64_t kExtentMax = int64_t{1} << 31;
  for (size_t i = 0; i < 3 * kernel.size(); ++i) {
    const int64_t value = params.ints[first + i];
    const bool is_pad = i >= 2 * kernel.size();
    PARAMD_RETURN_IF_ERROR(Require(value >= (is_pad ? 0 : 1) && value < kExtentMax,
                                   "a stride, dilation or padding of ", value));
  }
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int d = static_cast<int>(i) + 2;
    PARAMD_RETURN_IF_ERROR(Require(
        kernel[i] >= 1 && kernel[i] < kExtentMax && x.dim(d) < kExtentMax && y.dim(d) < kExtentMax,
        "a kernel of ", kernel[i], " over ", x.ToString()));
  }
  ConvParams lists;
  const auto* at = params.ints.data() + first;
  lists.strides.assign(at, at + spatial);
  lists.dilations.assign(at + spatial, at + 2 * spatial);
  lists.pads_begin.assign(at + 2 * spatial, at + 3 * spatial);
  lists.pads_end.assign(kernel.size(), 0);
  return MakeWindow(lists, x, y, kernel);
}

// {x [N, C, ...], w [C, M/groups, kernel...], bias [M]?};
// ints {groups, strides..., dilations..., pads_begin...}.
absl::StatusOr<KernelPlan> ConvTranspose(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &w = In(spec, 1).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(w.rank() == x.rank() && x.rank() >= 3, "ranks do not fit"));
  std::vector<int64_t> kernel;
  for (int i = 2; i < w.rank(); ++i) kernel.push_back(w.dim(i));
  // The window walks over y, which plays the image.
  PARAMD_ASSIGN_OR_RETURN(const Window window, WindowOf(params, 1, y, x, kernel));
  const int64_t groups = params.ints[0], channels = x.dim(1), outputs = y.dim(1);
  PARAMD_RETURN_IF_ERROR(Require(groups >= 1 && channels % groups == 0 && outputs % groups == 0 &&
                                     w.dim(0) == channels && w.dim(1) == outputs / groups &&
                                     y.dim(0) == x.dim(0),
                                 "groups do not fit"));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).dtype == In(spec, 0).dtype, "the result has another type"));
  const bool biased = HasIn(spec, 2);
  if (biased) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 2));
    PARAMD_RETURN_IF_ERROR(Require(In(spec, 2).shape.elements() == outputs, "the bias's size"));
  }
  const int64_t batch = x.dim(0);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      const int64_t in = window.out_elements(), out = window.in_elements(), taps = window.taps();
      const int64_t ci = channels / groups, co = outputs / groups;
      for (int64_t n = 0; n < batch; ++n) {
        for (int64_t m = 0; m < outputs; ++m) {
          T* y = args.out<T>(0) + (n * outputs + m) * out;
          std::fill_n(y, out, biased ? args.in<T>(2)[m] : T{0});
          const int64_t group = m / co;
          for (int64_t c = group * ci; c < (group + 1) * ci; ++c) {
            const T* x = args.in<T>(0) + (n * channels + c) * in;
            const T* w = args.in<T>(1) + (c * co + m % co) * taps;
            for (int64_t i0 = 0; i0 < window.out[0]; ++i0) {
              const TapRange t0 = Taps(window, 0, i0);
              for (int64_t i1 = 0; i1 < window.out[1]; ++i1) {
                const TapRange t1 = Taps(window, 1, i1);
                for (int64_t i2 = 0; i2 < window.out[2]; ++i2) {
                  const TapRange t2 = Taps(window, 2, i2);
                  const T value = x[(i0 * window.out[1] + i1) * window.out[2] + i2];
                  for (int64_t a = t0.first; a < t0.last; ++a) {
                    for (int64_t b = t1.first; b < t1.last; ++b) {
                      T* row = y +
                               ((t0.start + a * window.dilation[0]) * window.in[1] + t1.start +
                                b * window.dilation[1]) *
                                   window.in[2] +
                               t2.start;
                      const T* weights = w + (a * window.kernel[1] + b) * window.kernel[2];
                      for (int64_t k = t2.first; k < t2.last; ++k) {
                        row[k * window.dilation[2]] += value * weights[k];
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; ints {p, kernel..., strides..., dilations..., pads_begin...}: the p-norm
// of what is under the window.
absl::StatusOr<KernelPlan> LpPool(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  const int64_t p = params.ints[0];
  PARAMD_RETURN_IF_ERROR(
      Require(p >= 1 && x.rank() >= 3 && params.ints.size() >= static_cast<size_t>(x.rank() - 1),
              "p is ", p));
  const std::vector<int64_t> kernel(params.ints.begin() + 1, params.ints.begin() + x.rank() - 1);
  PARAMD_ASSIGN_OR_RETURN(const Window window, WindowOf(params, 1 + kernel.size(), x, y, kernel));
  const int64_t planes = x.dim(0) * x.dim(1);
  PARAMD_RETURN_IF_ERROR(Require(y.dim(0) * y.dim(1) == planes, "the result has other channels"));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      T* y = args.out<T>(0);
      for (int64_t plane = 0; plane < planes; ++plane) {
        const T* x = args.in<T>(0) + plane * window.in_elements();
        for (int64_t i0 = 0; i0 < window.out[0]; ++i0) {
          const TapRange t0 = Taps(window, 0, i0);
          for (int64_t i1 = 0; i1 < window.out[1]; ++i1) {
            const TapRange t1 = Taps(window, 1, i1);
            for (int64_t i2 = 0; i2 < window.out[2]; ++i2) {
              const TapRange t2 = Taps(window, 2, i2);
              double sum = 0;
              for (int64_t a = t0.first; a < t0.last; ++a) {
                for (int64_t b = t1.first; b < t1.last; ++b) {
                  const T* row = x +
                                 ((t0.start + a * window.dilation[0]) * window.in[1] + t1.start +
                                  b * window.dilation[1]) *
                                     window.in[2] +
                                 t2.start;
                  for (int64_t k = t2.first; k < t2.last; ++k) {
                    sum += std::pow(std::fabs(static_cast<double>(row[k * window.dilation[2]])),
                                    static_cast<double>(p));
                  }
                }
              }
              *y++ = static_cast<T>(std::pow(sum, 1.0 / static_cast<double>(p)));
            }
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {columns [N, C * taps, steps]}; y [N, C, image...];
// ints {kernel..., strides..., dilations..., pads_begin..., steps...}.
absl::StatusOr<KernelPlan> Col2Im(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  const auto spatial = static_cast<size_t>(std::max(y.rank() - 2, 0));
  PARAMD_RETURN_IF_ERROR(Require(
      x.rank() == 3 && spatial >= 1 && spatial <= kSpatial && params.ints.size() == 5 * spatial,
      "ranks do not fit"));
  const std::vector<int64_t> kernel(params.ints.begin(),
                                    params.ints.begin() + static_cast<int64_t>(spatial));
  Shape steps{y.dim(0), y.dim(1)};
  for (size_t i = 0; i < spatial; ++i) steps.push_back(params.ints[4 * spatial + i]);
  NamedParams lists = params;
  lists.ints.resize(4 * spatial);
  PARAMD_ASSIGN_OR_RETURN(const Window window, WindowOf(lists, spatial, y, steps, kernel));
  const int64_t planes = y.dim(0) * y.dim(1);
  PARAMD_RETURN_IF_ERROR(Require(x.dim(0) == y.dim(0) && x.dim(1) == y.dim(1) * window.taps() &&
                                     x.dim(2) == window.out_elements(),
                                 "columns ", x.ToString(), " do not fit the image"));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      const T* x = args.in<T>(0);
      for (int64_t plane = 0; plane < planes; ++plane) {
        T* y = args.out<T>(0) + plane * window.in_elements();
        std::fill_n(y, window.in_elements(), T{0});
        for (int64_t tap = 0; tap < window.taps(); ++tap) {
          const std::array<int64_t, kSpatial> t = {tap / (window.kernel[1] * window.kernel[2]),
                                                   tap / window.kernel[2] % window.kernel[1],
                                                   tap % window.kernel[2]};
          for (int64_t i0 = 0; i0 < window.out[0]; ++i0) {
            for (int64_t i1 = 0; i1 < window.out[1]; ++i1) {
              for (int64_t i2 = 0; i2 < window.out[2]; ++i2) {
                const T value = *x++;
                const std::array<int64_t, kSpatial> out = {i0, i1, i2};
                int64_t at = 0;
                bool inside = true;
                for (size_t d = 0; d < kSpatial; ++d) {
                  const int64_t index =
                      out[d] * window.stride[d] - window.pad_begin[d] + t[d] * window.dilation[d];
                  inside &= index >= 0 && index < window.in[d];
                  at = at * window.in[d] + index;
                }
                if (inside) y[at] += value;
              }
            }
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

constexpr NamedOp kNamedWindow[] = {
    {"conv_transpose", 2, 3, 4, ConvTranspose},
    {"lp_pool", 1, 1, 5, LpPool},
    {"col2im", 1, 1, 5, Col2Im},
};

}  // namespace

absl::Span<const NamedOp> NamedWindow() { return kNamedWindow; }

}  // namespace paramd::reference
