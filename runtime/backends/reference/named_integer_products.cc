// Products of 8-bit numbers: matrices and convolutions (quantized_specs.h).
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/backends/quantized_specs.h"
#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/reference/window.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

template <typename Fn>
absl::StatusOr<KernelPlan> VisitBytes(DType a, DType b, std::string_view op, Fn&& fn) {
  const bool ua = a == DType::kU8, ub = b == DType::kU8;
  if ((!ua && a != DType::kI8) || (!ub && b != DType::kI8)) {
    return absl::UnimplementedError(StrCat("no ", op, " of ", DTypeName(a), " and ", DTypeName(b)));
  }
  if (ua && ub) return fn.template operator()<uint8_t, uint8_t>();
  if (ua) return fn.template operator()<uint8_t, int8_t>();
  if (ub) return fn.template operator()<int8_t, uint8_t>();
  return fn.template operator()<int8_t, int8_t>();
}

// An operand with one value for all, or one for each row or column.
template <typename T>
struct Each {
  const T* values = nullptr;  // Null: all are `otherwise`.
  bool many = false;
  T otherwise{};

  Each(const KernelArgs& args, const OpSpec& spec, int i, T absent) : otherwise(absent) {
    if (i < 0) return;
    values = args.in<T>(i);
    many = In(spec, i).shape.elements() != 1;
  }
  T operator[](int64_t i) const { return values == nullptr ? otherwise : values[many ? i : 0]; }
};

// What becomes of a sum that has lost its zero points.
template <typename Y>
class Finish {
 public:
  Finish(const KernelArgs& args, const OpSpec& spec, const QuantizedOperands& at)
      : a_scale_(args, spec, at.a_scale, 1),
        b_scale_(args, spec, at.b_scale, 1),
        y_scale_(args, spec, at.y_scale, 1),
        y_zero_(args, spec, at.y_zero, Y{}),
        float_bias_(args, spec, std::is_same_v<Y, float> ? at.bias : -1, 0),
        bias_(args, spec, std::is_same_v<Y, float> ? -1 : at.bias, 0) {}

  Y operator()(int32_t sum, int64_t row, int64_t column) const {
    if constexpr (std::is_same_v<Y, int32_t>) {
      return sum;
    } else if constexpr (std::is_same_v<Y, float>) {
      return static_cast<float>(sum) * (a_scale_[row] * b_scale_[column]) + float_bias_[column];
    } else {
      const float scale = a_scale_[row] / y_scale_[row];
      const auto biased = static_cast<float>(Add(sum, bias_[column]));
      const float value =
          std::nearbyint(biased * scale * b_scale_[column]) + static_cast<float>(y_zero_[row]);
      return Convert<Y>(std::clamp(value, static_cast<float>(std::numeric_limits<Y>::min()),
                                   static_cast<float>(std::numeric_limits<Y>::max())));
    }
  }

 private:
  const Each<float> a_scale_, b_scale_, y_scale_;
  const Each<Y> y_zero_;
  const Each<float> float_bias_;
  const Each<int32_t> bias_;
};

// fn<A, B, Y> for the types of the spec's operands.
template <typename Fn>
absl::StatusOr<KernelPlan> VisitOperands(const OpSpec& spec, const QuantizedSpec& parsed,
                                         std::string_view op, Fn&& fn) {
  return VisitBytes(In(spec, parsed.at.a).dtype, In(spec, parsed.at.b).dtype, op,
                    [&]<typename A, typename B>() -> absl::StatusOr<KernelPlan> {
                      switch (Out(spec, 0).dtype) {
                        case DType::kF32:
                          return fn.template operator()<A, B, float>();
                        case DType::kI32:
                          return fn.template operator()<A, B, int32_t>();
                        case DType::kU8:
                          return fn.template operator()<A, B, uint8_t>();
                        default:
                          return fn.template operator()<A, B, int8_t>();
                      }
                    });
}

// --- Products of matrices -------------------------------------------------------------

// Where the operands of each of a stack of products begin: y, a, b.
absl::StatusOr<StridedLoop<3>> StacksOf(const Shape& a, const Shape& b, const Shape& y) {
  const auto stack = [](const Shape& shape, Strides* strides) {
    Shape outer;
    for (int i = 0; i + 2 < shape.rank(); ++i) outer.push_back(shape.dim(i));
    *strides = DenseStrides(shape);
    return outer;
  };
  Strides sa, sb, sy;
  const Shape oa = stack(a, &sa), ob = stack(b, &sb);
  stack(y, &sy);
  PARAMD_ASSIGN_OR_RETURN(const Shape both, BroadcastShapes(oa, ob));
  const auto broadcast = [&](const Shape& outer, const Strides& dense) {
    Strides strides{};
    for (int i = 0; i < outer.rank(); ++i) {
      const auto to = static_cast<size_t>(i + both.rank() - outer.rank());
      if (outer.dim(i) != 1) strides[to] = dense[static_cast<size_t>(i)];
    }
    return strides;
  };
  return StridedLoop<3>(both.dims(), {sy, broadcast(oa, sa), broadcast(ob, sb)});
}

// One row of integer products into `sums`.
template <typename A, typename B>
void RowOfSums(const A* a, int32_t a_zero, const B* b, const Each<B>& b_zero, int64_t k, int64_t n,
               int32_t* sums) {
  std::fill_n(sums, n, 0);
  for (int64_t l = 0; l < k; ++l) {
    const auto factor = static_cast<uint32_t>(static_cast<int32_t>(a[l]) - a_zero);
    if (factor == 0) continue;
    const B* row = b + l * n;
    // Sums wrap: that is what 32 bits mean here.
    for (int64_t j = 0; j < n; ++j) {
      sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) +
                                     factor * static_cast<uint32_t>(row[j] - b_zero[j]));
    }
  }
}

absl::StatusOr<KernelPlan> Products(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const QuantizedSpec parsed, ParseQuantizedSpec(spec, params));
  const QuantizedOperands at = parsed.at;
  PARAMD_ASSIGN_OR_RETURN(const StridedLoop<3> stacks,
                          StacksOf(In(spec, at.a).shape, In(spec, at.b).shape, Out(spec, 0).shape));
  const int64_t rows = parsed.rows, inner = parsed.inner, columns = parsed.columns;
  return VisitOperands(
      spec, parsed, params.op,
      [&]<typename A, typename B, typename Y>() -> absl::StatusOr<KernelPlan> {
        Kernel run = [=](const KernelArgs& args) {
          auto* sums = reinterpret_cast<int32_t*>(args.scratch);
          const Each<A> a_zero(args, spec, at.a_zero, 0);
          const Each<B> b_zero(args, spec, at.b_zero, 0);
          const Finish<Y> finish(args, spec, at);
          stacks.ForEachRow([&](const std::array<int64_t, 3>& first, int64_t count) {
            for (int64_t s = 0; s < count; ++s) {
              const A* a = args.in<A>(at.a) + first[1] + s * stacks.inner(1);
              const B* b = args.in<B>(at.b) + first[2] + s * stacks.inner(2);
              Y* y = args.out<Y>(0) + first[0] + s * stacks.inner(0);
              for (int64_t r = 0; r < rows; ++r) {
                RowOfSums(a + r * inner, a_zero[r], b, b_zero, inner, columns, sums);
                for (int64_t j = 0; j < columns; ++j) {
                  y[r * columns + j] = finish(sums[j], r, j);
                }
              }
            }
          });
          return absl::OkStatus();
        };
        return KernelPlan{std::move(run), static_cast<uint64_t>(columns) * sizeof(int32_t)};
      });
}

// --- Convolutions -----------------------------------------------------------------------

struct ConvGeometry {
  Window window;
  int64_t batch = 0, channels = 0, outputs = 0, groups = 1;
};

ConvGeometry ConvOf(const ConvParams& conv, const Shape& x, const Shape& w, const Shape& y) {
  std::vector<int64_t> kernel;
  for (int i = 2; i < w.rank(); ++i) kernel.push_back(w.dim(i));
  return {.window = MakeWindow(conv, x, y, kernel),
          .batch = x.dim(0),
          .channels = x.dim(1),
          .outputs = w.dim(0),
          .groups = conv.groups};
}

// The sum under the window at `out`, of group-local channels.
template <typename X, typename W>
int32_t ConvSum(const ConvGeometry& g, const X* x, int32_t x_zero, const W* w, int32_t w_zero,
                const std::array<int64_t, kSpatial>& out) {
  const Window& window = g.window;
  const std::array<TapRange, kSpatial> taps = {Taps(window, 0, out[0]), Taps(window, 1, out[1]),
                                               Taps(window, 2, out[2])};
  uint32_t sum = 0;
  for (int64_t c = 0; c < g.channels / g.groups; ++c) {
    for (int64_t i = taps[0].first; i < taps[0].last; ++i) {
      for (int64_t j = taps[1].first; j < taps[1].last; ++j) {
        const int64_t row = (taps[0].start + i * window.dilation[0]) * window.in[1] +
                            taps[1].start + j * window.dilation[1];
        for (int64_t k = taps[2].first; k < taps[2].last; ++k) {
          const int32_t value = x[c * window.in_elements() + row * window.in[2] + taps[2].start +
                                  k * window.dilation[2]] -
                                x_zero;
          const int32_t weight =
              w[c * window.taps() + (i * window.kernel[1] + j) * window.kernel[2] + k] - w_zero;
          sum += static_cast<uint32_t>(value) * static_cast<uint32_t>(weight);
        }
      }
    }
  }
  return static_cast<int32_t>(sum);
}

template <typename Fn>
void ForEachOutput(const ConvGeometry& g, Fn&& fn) {
  int64_t at = 0;
  for (int64_t n = 0; n < g.batch; ++n) {
    for (int64_t m = 0; m < g.outputs; ++m) {
      for (int64_t i = 0; i < g.window.out[0]; ++i) {
        for (int64_t j = 0; j < g.window.out[1]; ++j) {
          for (int64_t k = 0; k < g.window.out[2]; ++k) fn(n, m, {i, j, k}, at++);
        }
      }
    }
  }
}

absl::StatusOr<KernelPlan> Convolutions(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const QuantizedSpec parsed, ParseQuantizedSpec(spec, params));
  const QuantizedOperands at = parsed.at;
  const ConvGeometry g =
      ConvOf(parsed.conv, In(spec, at.a).shape, In(spec, at.b).shape, Out(spec, 0).shape);
  return VisitOperands(
      spec, parsed, params.op,
      [&]<typename X, typename W, typename Y>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const Each<X> x_zero(args, spec, at.a_zero, 0);
          const Each<W> w_zero(args, spec, at.b_zero, 0);
          const Finish<Y> finish(args, spec, at);
          const int64_t per_group = g.channels / g.groups;
          ForEachOutput(g, [&](int64_t n, int64_t m, const std::array<int64_t, kSpatial>& out,
                               int64_t to) {
            const int64_t group = m / (g.outputs / g.groups);
            const int32_t sum = ConvSum(
                g, args.in<X>(at.a) + (n * g.channels + group * per_group) * g.window.in_elements(),
                x_zero[0], args.in<W>(at.b) + m * per_group * g.window.taps(), w_zero[m], out);
            args.out<Y>(0)[to] = finish(sum, 0, m);
          });
          return absl::OkStatus();
        }};
      });
}

constexpr NamedOp kNamedIntegerProducts[] = {
    {"matmul_integer", 2, 4, 0, Products},   {"matmul_integer_to_float", 4, 7, 0, Products},
    {"qlinear_matmul", 8, 8, 0, Products},   {"conv_integer", 2, 4, 1, Convolutions},
    {"qlinear_conv", 8, 9, 1, Convolutions},
};

}  // namespace

absl::Span<const NamedOp> NamedIntegerProducts() { return kNamedIntegerProducts; }

}  // namespace paramd::reference
