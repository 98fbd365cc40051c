// Images at other places: Resize in its modes, GridSample, RoiAlign.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/resize_specs.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// --- Resize -----------------------------------------------------------------------
// The numbers of ONNX's definition, one axis after the other: what each place of
// the result takes from which places of x.

using Interpolation = ResizeInterpolation;
using Transform = ResizeTransform;
using Rounding = ResizeRounding;

struct ResizeMode {
  Interpolation interpolation = Interpolation::kNearest;
  Transform transform = Transform::kHalfPixel;
  Rounding rounding = Rounding::kPreferFloor;
  bool antialias = false, exclude_outside = false;
  double cubic_a = -0.75;
};

// One axis: out places of `taps` each.
struct AxisTaps {
  int64_t in = 1, out = 1;
  int taps = 1;
  std::vector<int32_t> index;   // [out][taps], inside the axis.
  std::vector<float> weight;    // [out][taps]
  std::vector<uint8_t> beyond;  // [out]: the extrapolation value instead.
  bool identity() const { return in == out && taps == 1; }
};

double Place(const ResizeMode& mode, double at, double scale, int64_t in, int64_t out,
             double roi_begin, double roi_end) {
  const double width = scale * static_cast<double>(in);
  const auto size = static_cast<double>(in);
  switch (mode.transform) {
    case Transform::kAlignCorners:
      return width <= 1 ? 0 : at * (size - 1) / (width - 1);
    case Transform::kAsymmetric:
      return at / scale;
    case Transform::kCropAndResize: {
      const double x = out <= 1 ? (roi_end - roi_begin) * (size - 1) / 2
                                : at * (roi_end - roi_begin) * (size - 1) / (width - 1);
      return x + roi_begin * (size - 1);
    }
    case Transform::kPytorchHalfPixel:
      return width <= 1 ? -0.5 : (at + 0.5) / scale - 0.5;
    case Transform::kHalfPixelSymmetric: {
      const double adjustment = static_cast<double>(out) / width;
      return size / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5;
    }
    case Transform::kHalfPixel:
      break;
  }
  return (at + 0.5) / scale - 0.5;
}

double CubicWeight(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The weights around a place whose left neighbour is `ratio` away.
std::vector<double> Weights(const ResizeMode& mode, double ratio, double scale) {
  if (mode.interpolation == Interpolation::kNearest) {
    bool right = ratio == 1;
    if (!right) {
      switch (mode.rounding) {
        case Rounding::kPreferFloor:
          right = ratio > 0.5;
          break;
        case Rounding::kPreferCeil:
          right = ratio >= 0.5;
          break;
        case Rounding::kFloor:
          break;
        case Rounding::kCeil:
          right = true;
          break;
      }
    }
    return {right ? 0.0 : 1.0, right ? 1.0 : 0.0};
  }
  const bool cubic = mode.interpolation == Interpolation::kCubic;
  const double shrink = mode.antialias ? std::min(scale, 1.0) : 1.0;
  const double radius = cubic ? 2 : 1;
  const auto start = static_cast<int64_t>(std::floor(-radius / shrink) + 1);
  const int64_t end = 2 - start;  // One more than the last.
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = start; i < end; ++i) {
    const double x = (static_cast<double>(i) - ratio) * shrink;
    weights.push_back(cubic ? CubicWeight(x, mode.cubic_a) : std::max(0.0, 1 - std::fabs(x)));
    sum += weights.back();
  }
  if (mode.antialias) {
    for (double& weight : weights) weight /= sum;
  }
  return weights;
}

// Taps and results of one axis beyond this are refused: tables would eat memory.
constexpr int64_t kTapsMax = int64_t{1} << 23;

absl::StatusOr<AxisTaps> TapsOf(const ResizeMode& mode, double scale, int64_t in, int64_t out,
                                double roi_begin, double roi_end) {
  AxisTaps axis;
  axis.in = in;
  axis.out = out;
  const bool crops = mode.transform == Transform::kCropAndResize;
  if (in == out && scale == 1 && !crops) return axis;
  PARAMD_RETURN_IF_ERROR(Require(in >= 1 && scale > 0 && std::isfinite(scale), "an axis of ", in,
                                 " scaled by ", scale));
  const double count = mode.antialias ? 4 / std::min(scale, 1.0) + 4 : 4;
  PARAMD_RETURN_IF_ERROR(Require(
      in < (int64_t{1} << 31) && out < kTapsMax && count * static_cast<double>(out) < kTapsMax,
      "an axis is resized from ", in, " to ", out, ", which is too much"));
  for (int64_t o = 0; o < out; ++o) {
    const double at = Place(mode, static_cast<double>(o), scale, in, out, roi_begin, roi_end);
    axis.beyond.push_back(crops && (at < 0 || at > static_cast<double>(in - 1)));
    const double left = std::ceil(at) - 1;  // A whole place has ratio 1.
    std::vector<double> weights = Weights(mode, at - left, scale);
    const auto taps = static_cast<int64_t>(weights.size());
    const double first = left - static_cast<double>(taps / 2 - 1);
    if (mode.exclude_outside) {
      double sum = 0;
      for (int64_t k = 0; k < taps; ++k) {
        const double index = first + static_cast<double>(k);
        if (index < 0 || index >= static_cast<double>(in)) weights[static_cast<size_t>(k)] = 0;
        sum += weights[static_cast<size_t>(k)];
      }
      for (double& weight : weights) weight = sum == 0 ? 0 : weight / sum;
    }
    const auto index_of = [&](int64_t k) {
      return static_cast<int32_t>(
          std::clamp(first + static_cast<double>(k), 0.0, static_cast<double>(in - 1)));
    };
    if (mode.interpolation == Interpolation::kNearest) {
      axis.taps = 1;
      axis.index.push_back(index_of(weights[1] != 0 ? 1 : 0));
      axis.weight.push_back(1);
      continue;
    }
    axis.taps = static_cast<int>(taps);
    for (int64_t k = 0; k < taps; ++k) {
      axis.index.push_back(index_of(k));
      axis.weight.push_back(static_cast<float>(weights[static_cast<size_t>(k)]));
    }
  }
  if (axis.index.empty()) axis.taps = 1;
  return axis;
}

// One axis: y [outer, out, inner] from x [outer, in, inner].
template <typename T, typename Mix>
void ResizeAxis(const AxisTaps& axis, int64_t outer, int64_t inner, T beyond, const T* x, T* y,
                Mix mix) {
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t a = 0; a < axis.out; ++a) {
      T* to = y + (o * axis.out + a) * inner;
      if (axis.beyond[static_cast<size_t>(a)] != 0) {
        std::fill_n(to, inner, beyond);
        continue;
      }
      mix(&axis.index[static_cast<size_t>(a * axis.taps)],
          &axis.weight[static_cast<size_t>(a * axis.taps)], x + o * axis.in * inner, to);
    }
  }
}

// {x}; ints {mode, transform, rounding, antialias, exclude_outside};
// numbers {cubic_a, extrapolation, scale..., roi begin..., roi end...}, one a dimension.
absl::StatusOr<KernelPlan> Resize(const OpSpec& spec, const NamedParams& params) {
  const Shape &x_shape = In(spec, 0).shape, &y_shape = Out(spec, 0).shape;
  const auto rank = static_cast<size_t>(x_shape.rank());
  PARAMD_RETURN_IF_ERROR(Require(x_shape.rank() == y_shape.rank() &&
                                     params.numbers.size() == 2 + 3 * rank &&
                                     AreResizeNumbers(params.ints),
                                 "attributes do not fit"));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).dtype == In(spec, 0).dtype, "the result has another type"));
  ResizeMode mode;
  mode.interpolation = static_cast<Interpolation>(params.ints[0]);
  mode.transform = static_cast<Transform>(params.ints[1]);
  mode.rounding = static_cast<Rounding>(params.ints[2]);
  mode.antialias = params.ints[3] != 0 && mode.interpolation != Interpolation::kNearest;
  mode.exclude_outside = params.ints[4] != 0;
  mode.cubic_a = params.numbers[0];
  const double extrapolation = params.numbers[1];
  auto axes = std::make_shared<std::vector<AxisTaps>>();
  // The largest of the results between, twice: one axis reads what another wrote.
  int64_t between = x_shape.elements(), largest = 0;
  std::vector<size_t> worked;
  for (size_t d = 0; d < rank; ++d) {
    const int64_t in = x_shape.dim(static_cast<int>(d)), out = y_shape.dim(static_cast<int>(d));
    PARAMD_ASSIGN_OR_RETURN(
        AxisTaps axis, TapsOf(mode, params.numbers[2 + d], in, out, params.numbers[2 + rank + d],
                              params.numbers[2 + 2 * rank + d]));
    if (!axis.beyond.empty() || in != out) {
      worked.push_back(d);
      int64_t next = 0;
      PARAMD_RETURN_IF_ERROR(Require(
          in > 0 && !__builtin_mul_overflow(between / in, out, &next) && next < (int64_t{1} << 40),
          "a result between is too large"));
      between = next;
      largest = std::max(largest, between);
    }
    axes->push_back(std::move(axis));
  }
  const int64_t elements = x_shape.elements();
  const auto run = [=]<typename T>(auto mix_of) -> KernelPlan {
    Kernel kernel = [=](const KernelArgs& args) {
      const T* from = args.in<T>(0);
      if (worked.empty()) {
        std::copy_n(from, elements, args.out<T>(0));
        return absl::OkStatus();
      }
      T* buffers[2] = {reinterpret_cast<T*>(args.scratch),
                       reinterpret_cast<T*>(args.scratch) + largest};
      Shape shape = x_shape;
      for (size_t w = 0; w < worked.size(); ++w) {
        const AxisTaps& axis = (*axes)[worked[w]];
        const Blocks b = BlocksAt(shape, static_cast<int>(worked[w]));
        T* to = w + 1 == worked.size() ? args.out<T>(0) : buffers[w % 2];
        ResizeAxis<T>(axis, b.outer, b.inner, static_cast<T>(extrapolation), from, to,
                      mix_of(axis.taps, b.inner));
        Shape next;
        for (int d = 0; d < shape.rank(); ++d) {
          next.push_back(static_cast<size_t>(d) == worked[w] ? axis.out : shape.dim(d));
        }
        shape = next;
        from = to;
      }
      return absl::OkStatus();
    };
    return {std::move(kernel), 2 * static_cast<uint64_t>(largest) * sizeof(T)};
  };
  if (mode.interpolation == Interpolation::kNearest &&
      mode.transform != Transform::kCropAndResize) {
    return VisitNumber(In(spec, 0).dtype, params.op,
                       [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                         return run.template operator()<T>([](int, int64_t inner) {
                           return [inner](const int32_t* index, const float*, const T* x, T* y) {
                             if (inner == 1) {
                               *y = x[*index];
                             } else {
                               std::copy_n(x + *index * inner, inner, y);
                             }
                           };
                         });
                       });
  }
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return run.template operator()<T>([](int taps, int64_t inner) {
      return [taps, inner](const int32_t* index, const float* weight, const T* x, T* y) {
        for (int64_t i = 0; i < inner; ++i)
          y[i] = x[index[0] * inner + i] * static_cast<T>(weight[0]);
        for (int k = 1; k < taps; ++k) {
          const T* row = x + index[k] * inner;
          const T factor = static_cast<T>(weight[k]);
          for (int64_t i = 0; i < inner; ++i) y[i] += row[i] * factor;
        }
      };
    });
  });
}

// --- GridSample ---------------------------------------------------------------------

struct Grid {
  int spatial = 2;
  Interpolation interpolation = Interpolation::kLinear;
  int padding = 0;  // zeros, border, reflection
  bool align = false;
  std::array<int64_t, 3> dims{1, 1, 1}, strides{0, 0, 0};
};

double Reflect(double x, double low, double high) {
  const double range = high - low;
  if (!(range > 0)) return low;
  const double beyond = x < low ? low - x : x - high;
  const double turns = std::floor(beyond / range), rest = beyond - turns * range;
  const bool even = std::fmod(turns, 2) == 0;
  return (x < low) == even ? low + rest : high - rest;
}

template <typename T>
T PixelAt(const Grid& grid, const T* x, const std::array<double, 3>& at) {
  int64_t offset = 0;
  for (int d = 0; d < grid.spatial; ++d) {
    const auto i = static_cast<size_t>(d);
    const auto size = static_cast<double>(grid.dims[i]);
    double place = at[i];
    if (!(place >= 0 && place < size)) {
      if (grid.padding == 0 || std::isnan(place)) return 0;
      if (grid.padding == 1) {
        place = std::clamp(place, 0.0, size - 1);
      } else {
        place =
            std::trunc(grid.align ? Reflect(place, 0, size - 1) : Reflect(place, -0.5, size - 0.5));
        place = std::clamp(place, 0.0, size - 1);
      }
    }
    offset += static_cast<int64_t>(place) * grid.strides[i];
  }
  return x[offset];
}

// Over dimension `d` and those after it.
template <typename T>
double Sample(const Grid& grid, const T* x, const std::array<double, 3>& at,
              std::array<double, 3>& pixel, int d) {
  if (d == grid.spatial) return PixelAt(grid, x, pixel);
  const auto i = static_cast<size_t>(d);
  const double floor = std::floor(at[i]), ratio = at[i] - floor;
  double sum = 0;
  const bool cubic = grid.interpolation == Interpolation::kCubic;
  for (int k = cubic ? -1 : 0; k <= (cubic ? 2 : 1); ++k) {
    pixel[i] = floor + k;
    const double weight = cubic ? CubicWeight(k - ratio, -0.75) : (k == 0 ? 1 - ratio : ratio);
    sum += weight * Sample(grid, x, at, pixel, d + 1);
  }
  return sum;
}

// {x [N, C, ...], grid [N, places..., spatial]}; ints {mode, padding, align_corners}.
absl::StatusOr<KernelPlan> GridSample(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &g = In(spec, 1).shape, &y = Out(spec, 0).shape;
  Grid grid;
  grid.spatial = x.rank() - 2;
  PARAMD_RETURN_IF_ERROR(Require(grid.spatial >= 1 && grid.spatial <= 3 && g.rank() == x.rank() &&
                                     g.dim(g.rank() - 1) == grid.spatial && g.dim(0) == x.dim(0) &&
                                     params.ints[0] >= 0 && params.ints[0] <= 2 &&
                                     params.ints[1] >= 0 && params.ints[1] <= 2,
                                 "grid ", g.ToString(), " for x ", x.ToString()));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
  grid.interpolation = static_cast<Interpolation>(params.ints[0]);
  grid.padding = static_cast<int>(params.ints[1]);
  grid.align = params.ints[2] != 0;
  int64_t stride = 1;
  for (int d = grid.spatial - 1; d >= 0; --d) {
    grid.dims[static_cast<size_t>(d)] = x.dim(d + 2);
    grid.strides[static_cast<size_t>(d)] = stride;
    stride *= x.dim(d + 2);
  }
  const int64_t image = stride, batch = x.dim(0), channels = x.dim(1);
  PARAMD_RETURN_IF_ERROR(Require(image > 0, "the image is empty"));
  int64_t places = 1;
  for (int d = 1; d + 1 < g.rank(); ++d) places *= g.dim(d);
  PARAMD_RETURN_IF_ERROR(Require(y.elements() == batch * channels * places, "the result's size"));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t n = 0; n < batch; ++n) {
        for (int64_t p = 0; p < places; ++p) {
          const T* place = args.in<T>(1) + (n * places + p) * grid.spatial;
          std::array<double, 3> at{}, pixel{};
          for (int d = 0; d < grid.spatial; ++d) {
            const auto i = static_cast<size_t>(d);
            // The grid names the last dimension first.
            const double v = place[grid.spatial - 1 - d];
            const auto size = static_cast<double>(grid.dims[i]);
            double to = grid.align ? (v + 1) / 2 * (size - 1) : ((v + 1) * size - 1) / 2;
            if (grid.interpolation == Interpolation::kNearest) to = std::nearbyint(to);
            const double low = grid.align ? 0 : -0.5, high = grid.align ? size - 1 : size - 0.5;
            if (to < low || to > high) {
              if (grid.padding == 1) to = std::clamp(to, 0.0, size - 1);
              if (grid.padding == 2) to = Reflect(to, low, high);
            }
            at[i] = to;
          }
          for (int64_t c = 0; c < channels; ++c) {
            const T* x = args.in<T>(0) + (n * channels + c) * image;
            args.out<T>(0)[(n * channels + c) * places + p] =
                grid.interpolation == Interpolation::kNearest
                    ? PixelAt(grid, x, at)
                    : static_cast<T>(Sample(grid, x, at, pixel, 0));
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// --- RoiAlign -----------------------------------------------------------------------

// The mean or maximum of bilinear samples of each bin.
// {x [N, C, H, W], rois [R, 4], batch index [R]}; ints {max, sampling_ratio, half_pixel};
// numbers {spatial_scale}; y [R, C, rows, columns].
absl::StatusOr<KernelPlan> RoiAlign(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &rois = In(spec, 1).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(x.rank() == 4 && rois.rank() == 2 && rois.dim(1) == 4 &&
                                     y.rank() == 4 && y.dim(0) == rois.dim(0) &&
                                     y.dim(1) == x.dim(1) && params.numbers.size() == 1 &&
                                     In(spec, 2).shape.elements() == rois.dim(0) &&
                                     params.ints[1] >= 0 && params.ints[1] <= 4096,
                                 "rois ", rois.ToString(), " for x ", x.ToString()));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
  const DType index_type = In(spec, 2).dtype;
  PARAMD_RETURN_IF_ERROR(CheckIndexType(index_type));
  const bool max = params.ints[0] != 0, half = params.ints[2] != 0;
  const int64_t ratio = params.ints[1];
  const double scale = params.numbers[0];
  const int64_t batch = x.dim(0), channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t count = rois.dim(0), rows = y.dim(2), columns = y.dim(3);
  PARAMD_RETURN_IF_ERROR(Require(height > 0 && width > 0, "the image is empty"));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) -> absl::Status {
      // Of one sample, the four weighted pixels; the largest of them where that is asked.
      const auto sample = [&](const T* x, double row, double column) -> double {
        if (!(row >= -1 && row <= static_cast<double>(height) && column >= -1 &&
              column <= static_cast<double>(width))) {
          return 0;
        }
        row = std::max(row, 0.0);
        column = std::max(column, 0.0);
        auto r = static_cast<int64_t>(row), c = static_cast<int64_t>(column);
        int64_t r1 = r + 1, c1 = c + 1;
        if (r >= height - 1) r = r1 = height - 1, row = static_cast<double>(r);
        if (c >= width - 1) c = c1 = width - 1, column = static_cast<double>(c);
        const double lr = row - static_cast<double>(r), lc = column - static_cast<double>(c);
        const double a = (1 - lr) * (1 - lc) * x[r * width + c];
        const double b = (1 - lr) * lc * x[r * width + c1];
        const double d = lr * (1 - lc) * x[r1 * width + c], e = lr * lc * x[r1 * width + c1];
        return max ? std::max(std::max(a, b), std::max(d, e)) : a + b + d + e;
      };
      for (int64_t n = 0; n < count; ++n) {
        const int64_t image = IndexAt(index_type, args.inputs[2], n);
        if (image < 0 || image >= batch) return OutsideError(image, batch);
        const T* roi = args.in<T>(1) + n * 4;
        const double shift = half ? 0.5 : 0;
        const double left = roi[0] * scale - shift, top = roi[1] * scale - shift;
        double wide = roi[2] * scale - shift - left, high = roi[3] * scale - shift - top;
        if (!half) wide = std::max(wide, 1.0), high = std::max(high, 1.0);
        if (!(std::fabs(wide) < 1e6) || !(std::fabs(high) < 1e6)) {
          return absl::InvalidArgumentError("a region is beyond every image");
        }
        const double bin_w = wide / static_cast<double>(columns);
        const double bin_h = high / static_cast<double>(rows);
        const auto grid_h =
            static_cast<int64_t>(ratio > 0 ? static_cast<double>(ratio) : std::ceil(bin_h));
        const auto grid_w =
            static_cast<int64_t>(ratio > 0 ? static_cast<double>(ratio) : std::ceil(bin_w));
        const double samples = std::max<double>(static_cast<double>(grid_h * grid_w), 1);
        for (int64_t c = 0; c < channels; ++c) {
          const T* x = args.in<T>(0) + (image * channels + c) * height * width;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              double result = 0;
              for (int64_t a = 0; a < grid_h; ++a) {
                for (int64_t b = 0; b < grid_w; ++b) {
                  const double value = sample(
                      x,
                      top + bin_h * (static_cast<double>(i) +
                                     (static_cast<double>(a) + 0.5) / static_cast<double>(grid_h)),
                      left + bin_w * (static_cast<double>(j) + (static_cast<double>(b) + 0.5) /
                                                                   static_cast<double>(grid_w)));
                  result = max ? (a + b == 0 ? value : std::max(result, value)) : result + value;
                }
              }
              args.out<T>(0)[((n * channels + c) * rows + i) * columns + j] =
                  static_cast<T>(max ? result : result / samples);
            }
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

constexpr NamedOp kNamedResampling[] = {
    {"resize", 1, 1, 5, Resize},
    {"grid_sample", 2, 2, 3, GridSample},
    {"roi_align", 3, 3, 3, RoiAlign},
};

}  // namespace

absl::Span<const NamedOp> NamedResampling() { return kNamedResampling; }

}  // namespace paramd::reference
