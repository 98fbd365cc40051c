// Numbers of few bits: quantizing and back, products of integers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/reference/window.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// Which scale an element has: one for all, one an index of an axis, or one a
// block along it.
struct ScaleMap {
  Blocks x;
  int64_t block = 0;   // Elements of the axis that share one; 0: not blocked.
  int64_t blocks = 1;  // Along the axis.
  bool per_axis = false;

  int64_t At(int64_t o, int64_t a, int64_t i) const {
    if (block > 0) return (o * blocks + a / block) * x.inner + i;
    return per_axis ? a : 0;
  }
};

absl::StatusOr<ScaleMap> MapScales(const Shape& x, const Shape& scale, int64_t axis,
                                   int64_t block) {
  ScaleMap map;
  if (scale.elements() == 1 && block == 0) {
    map.x = {1, 1, x.elements()};
    return map;
  }
  PARAMD_RETURN_IF_ERROR(CheckAxis(axis, x));
  map.x = BlocksAt(x, static_cast<int>(axis));
  if (block == 0) {
    PARAMD_RETURN_IF_ERROR(Require(scale.elements() == map.x.along, "scales ", scale.ToString(),
                                   " for axis ", axis, " of ", x.ToString()));
    map.per_axis = true;
    return map;
  }
  map.block = block;
  map.blocks = map.x.along / block + (map.x.along % block != 0 ? 1 : 0);
  PARAMD_RETURN_IF_ERROR(Require(
      block > 0 && scale.elements() == map.x.outer * map.blocks * map.x.inner, "scales ",
      scale.ToString(), " for blocks of ", block, " along axis ", axis, " of ", x.ToString()));
  return map;
}

template <typename Y>
Y Saturate(float value) {
  if constexpr (std::is_floating_point_v<Y>) {
    return value;  // An 8-bit float: rounded when it is stored.
  } else {
    return Convert<Y>(std::clamp(value, static_cast<float>(std::numeric_limits<Y>::min()),
                                 static_cast<float>(std::numeric_limits<Y>::max())));
  }
}

// {x, scale, zero point?}; ints {axis, block_size}.
template <typename X>
absl::StatusOr<KernelPlan> QuantizeFrom(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const ScaleMap map, MapScales(In(spec, 0).shape, In(spec, 1).shape,
                                                        params.ints[0], params.ints[1]));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 1).dtype == DType::kF32, "scales are not floats"));
  PARAMD_RETURN_IF_ERROR(Require(Out(spec, 0).shape == In(spec, 0).shape, "shapes differ"));
  const bool shifted = HasIn(spec, 2);
  if (shifted) {
    PARAMD_RETURN_IF_ERROR(Require(In(spec, 2).dtype == Out(spec, 0).dtype &&
                                       In(spec, 2).shape.elements() == In(spec, 1).shape.elements(),
                                   "zero points do not fit the scales"));
  }
  return VisitNumber(
      Out(spec, 0).dtype, params.op, [&]<typename Y>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const X* x = args.in<X>(0);
          Y* y = args.out<Y>(0);
          for (int64_t o = 0; o < map.x.outer; ++o) {
            for (int64_t a = 0; a < map.x.along; ++a) {
              for (int64_t i = 0; i < map.x.inner; ++i) {
                const int64_t at = (o * map.x.along + a) * map.x.inner + i;
                const int64_t s = map.At(o, a, i);
                const float zero = shifted ? static_cast<float>(args.in<Y>(2)[s]) : 0;
                const float scaled = static_cast<float>(x[at]) / args.in<float>(1)[s];
                const float rounded = std::is_floating_point_v<Y> ? scaled : std::nearbyint(scaled);
                y[at] = Saturate<Y>(rounded + zero);
              }
            }
          }
          return absl::OkStatus();
        }};
      });
}

absl::StatusOr<KernelPlan> Quantize(const OpSpec& spec, const NamedParams& params) {
  if (In(spec, 0).dtype == DType::kI32) return QuantizeFrom<int32_t>(spec, params);
  if (In(spec, 0).dtype == DType::kF32) return QuantizeFrom<float>(spec, params);
  return NoSuchType(params.op, In(spec, 0).dtype);
}

// {x, scale, zero point?}; ints {axis, block_size}; the result has the scale's type.
absl::StatusOr<KernelPlan> Dequantize(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const ScaleMap map, MapScales(In(spec, 0).shape, In(spec, 1).shape,
                                                        params.ints[0], params.ints[1]));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 1).dtype == DType::kF32 &&
                                     Out(spec, 0).dtype == DType::kF32 &&
                                     Out(spec, 0).shape == In(spec, 0).shape,
                                 "scales or result are not as x"));
  const bool shifted = HasIn(spec, 2);
  if (shifted) {
    PARAMD_RETURN_IF_ERROR(Require(In(spec, 2).dtype == In(spec, 0).dtype &&
                                       In(spec, 2).shape.elements() == In(spec, 1).shape.elements(),
                                   "zero points do not fit the scales"));
  }
  return VisitNumber(In(spec, 0).dtype, params.op, [&]<typename X>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      float* y = args.out<float>(0);
      for (int64_t o = 0; o < map.x.outer; ++o) {
        for (int64_t a = 0; a < map.x.along; ++a) {
          for (int64_t i = 0; i < map.x.inner; ++i) {
            const int64_t at = (o * map.x.along + a) * map.x.inner + i;
            const int64_t s = map.At(o, a, i);
            const double zero = shifted ? static_cast<double>(args.in<X>(2)[s]) : 0;
            y[at] = static_cast<float>(static_cast<double>(args.in<X>(0)[at]) - zero) *
                    args.in<float>(1)[s];
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

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

// The product of stacks of matrices, and where each one's operands begin.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  StridedLoop<3> stacks;  // y, a, b.
};

absl::StatusOr<Product> ProductOf(const Shape& a, const Shape& b, const Shape& y) {
  PARAMD_RETURN_IF_ERROR(Require(a.rank() >= 2 && b.rank() >= 2 && y.rank() >= 2, "ranks below 2"));
  Product p;
  p.m = a.dim(a.rank() - 2);
  p.k = a.dim(a.rank() - 1);
  p.n = b.dim(b.rank() - 1);
  PARAMD_RETURN_IF_ERROR(Require(b.dim(b.rank() - 2) == p.k, "inner dimensions differ"));
  const auto stack = [](const Shape& shape, Strides* strides) {
    Shape outer;
    for (int i = 0; i + 2 < shape.rank(); ++i) outer.push_back(shape.dim(i));
    *strides = DenseStrides(shape);
    return outer;
  };
  Strides sa, sb, sy;
  const Shape oa = stack(a, &sa), ob = stack(b, &sb), oy = stack(y, &sy);
  PARAMD_ASSIGN_OR_RETURN(const Shape both, BroadcastShapes(oa, ob));
  PARAMD_RETURN_IF_ERROR(
      Require(both == oy && y.dim(y.rank() - 2) == p.m && y.dim(y.rank() - 1) == p.n,
              "the result has another shape"));
  const auto broadcast = [&](const Shape& outer, const Strides& dense) {
    Strides strides{};
    for (int i = 0; i < outer.rank(); ++i) {
      const auto to = static_cast<size_t>(i + both.rank() - outer.rank());
      if (outer.dim(i) != 1) strides[to] = dense[static_cast<size_t>(i)];
    }
    return strides;
  };
  p.stacks = StridedLoop<3>(both.dims(), {sy, broadcast(oa, sa), broadcast(ob, sb)});
  return p;
}

// A zero point or scale of rows (of a) or columns (of b): one, or as many.
absl::Status CheckPer(const OpSpec& spec, int i, int64_t count) {
  if (!HasIn(spec, i)) return absl::OkStatus();
  const int64_t elements = In(spec, i).shape.elements();
  return Require(elements == 1 || elements == count, "input ", i, " has ", elements,
                 " values, expected 1 or ", count);
}

// One row of integer products into `sums`.
template <typename A, typename B>
void RowOfSums(const A* a, int32_t a_zero, const B* b, const B* b_zero, bool b_zeros, int64_t k,
               int64_t n, int32_t* sums) {
  std::fill_n(sums, n, 0);
  for (int64_t l = 0; l < k; ++l) {
    const auto factor = static_cast<uint32_t>(static_cast<int32_t>(a[l]) - a_zero);
    if (factor == 0) continue;
    const B* row = b + l * n;
    if (b_zero == nullptr || !b_zeros) {
      const int32_t zero = b_zero == nullptr ? 0 : b_zero[0];
      // Sums wrap: that is what 32 bits mean here.
      for (int64_t j = 0; j < n; ++j) {
        sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) +
                                       factor * static_cast<uint32_t>(row[j] - zero));
      }
    } else {
      for (int64_t j = 0; j < n; ++j) {
        sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) +
                                       factor * static_cast<uint32_t>(row[j] - b_zero[j]));
      }
    }
  }
}

// {a, b, zero point of a's rows?, zero point of b's columns?}; i32.
absl::StatusOr<KernelPlan> MatMulInteger(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const Product p,
                          ProductOf(In(spec, 0).shape, In(spec, 1).shape, Out(spec, 0).shape));
  PARAMD_RETURN_IF_ERROR(CheckPer(spec, 2, p.m));
  PARAMD_RETURN_IF_ERROR(CheckPer(spec, 3, p.n));
  for (int i = 2; i < 4; ++i) {
    if (HasIn(spec, i)) PARAMD_RETURN_IF_ERROR(SameType(spec, i, i - 2));
  }
  PARAMD_RETURN_IF_ERROR(Require(Out(spec, 0).dtype == DType::kI32, "the result is not i32"));
  const bool a_zeros = HasIn(spec, 2) && In(spec, 2).shape.elements() != 1;
  const bool b_zeros = HasIn(spec, 3) && In(spec, 3).shape.elements() != 1;
  const bool has_a = HasIn(spec, 2), has_b = HasIn(spec, 3);
  return VisitBytes(In(spec, 0).dtype, In(spec, 1).dtype, params.op,
                    [&]<typename A, typename B>() -> absl::StatusOr<KernelPlan> {
                      return KernelPlan{[=](const KernelArgs& args) {
                        p.stacks.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t count) {
                          for (int64_t s = 0; s < count; ++s) {
                            const A* a = args.in<A>(0) + at[1] + s * p.stacks.inner(1);
                            const B* b = args.in<B>(1) + at[2] + s * p.stacks.inner(2);
                            int32_t* y = args.out<int32_t>(0) + at[0] + s * p.stacks.inner(0);
                            for (int64_t r = 0; r < p.m; ++r) {
                              const int32_t zero = has_a ? args.in<A>(2)[a_zeros ? r : 0] : 0;
                              RowOfSums(a + r * p.k, zero, b, has_b ? args.in<B>(3) : nullptr,
                                        b_zeros, p.k, p.n, y + r * p.n);
                            }
                          }
                        });
                        return absl::OkStatus();
                      }};
                    });
}

// {a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero}.
absl::StatusOr<KernelPlan> QLinearMatMul(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const Product p,
                          ProductOf(In(spec, 0).shape, In(spec, 3).shape, Out(spec, 0).shape));
  for (const int i : {1, 2, 6, 7}) PARAMD_RETURN_IF_ERROR(CheckPer(spec, i, p.m));
  for (const int i : {4, 5}) PARAMD_RETURN_IF_ERROR(CheckPer(spec, i, p.n));
  for (const int i : {1, 4, 6}) {
    PARAMD_RETURN_IF_ERROR(Require(In(spec, i).dtype == DType::kF32, "scales are not floats"));
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 2));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 3, 5));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 7).dtype == Out(spec, 0).dtype, "y_zero_point's type"));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).dtype == DType::kU8 || Out(spec, 0).dtype == DType::kI8, "y's type"));
  std::array<bool, 8> many{};
  for (const int i : {1, 2, 4, 5, 6, 7}) {
    many[static_cast<size_t>(i)] = In(spec, i).shape.elements() != 1;
  }
  const bool y_unsigned = Out(spec, 0).dtype == DType::kU8;
  return VisitBytes(
      In(spec, 0).dtype, In(spec, 3).dtype, params.op,
      [&]<typename A, typename B>() -> absl::StatusOr<KernelPlan> {
        Kernel run = [=](const KernelArgs& args) {
          auto* sums = reinterpret_cast<int32_t*>(args.scratch);
          p.stacks.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t count) {
            for (int64_t s = 0; s < count; ++s) {
              const A* a = args.in<A>(0) + at[1] + s * p.stacks.inner(1);
              const B* b = args.in<B>(3) + at[2] + s * p.stacks.inner(2);
              const int64_t y = at[0] + s * p.stacks.inner(0);
              for (int64_t r = 0; r < p.m; ++r) {
                RowOfSums(a + r * p.k, args.in<A>(2)[many[2] ? r : 0], b, args.in<B>(5), many[5],
                          p.k, p.n, sums);
                const float row_scale =
                    args.in<float>(1)[many[1] ? r : 0] / args.in<float>(6)[many[6] ? r : 0];
                for (int64_t j = 0; j < p.n; ++j) {
                  const float value = std::nearbyint(static_cast<float>(sums[j]) * row_scale *
                                                     args.in<float>(4)[many[4] ? j : 0]);
                  const int64_t to = y + r * p.n + j, z = many[7] ? r : 0;
                  if (y_unsigned) {
                    args.out<uint8_t>(0)[to] = Saturate<uint8_t>(value + args.in<uint8_t>(7)[z]);
                  } else {
                    args.out<int8_t>(0)[to] = Saturate<int8_t>(value + args.in<int8_t>(7)[z]);
                  }
                }
              }
            }
          });
          return absl::OkStatus();
        };
        return KernelPlan{std::move(run), static_cast<uint64_t>(p.n) * sizeof(int32_t)};
      });
}

struct ConvGeometry {
  Window window;
  int64_t batch = 0, channels = 0, outputs = 0, groups = 1;
};

// ints {groups, strides..., dilations..., pads_begin...}.
absl::StatusOr<ConvGeometry> ConvOf(const NamedParams& params, const Shape& x, const Shape& w,
                                    const Shape& y) {
  const int spatial = x.rank() - 2;
  PARAMD_RETURN_IF_ERROR(Require(spatial >= 1 && spatial <= kSpatial && w.rank() == x.rank() &&
                                     y.rank() == x.rank() &&
                                     params.ints.size() == 1 + 3 * static_cast<size_t>(spatial),
                                 "ranks do not fit"));
  ConvParams conv;
  const auto* at = params.ints.data() + 1;
  conv.strides.assign(at, at + spatial);
  conv.dilations.assign(at + spatial, at + 2 * spatial);
  conv.pads_begin.assign(at + 2 * spatial, at + 3 * spatial);
  conv.pads_end.assign(static_cast<size_t>(spatial), 0);
  std::vector<int64_t> kernel;
  for (int i = 2; i < w.rank(); ++i) kernel.push_back(w.dim(i));
  ConvGeometry g;
  g.window = MakeWindow(conv, x, y, kernel);
  g.batch = x.dim(0);
  g.channels = x.dim(1);
  g.outputs = w.dim(0);
  g.groups = params.ints[0];
  PARAMD_RETURN_IF_ERROR(
      Require(g.groups >= 1 && g.channels % g.groups == 0 && g.outputs % g.groups == 0 &&
                  w.dim(1) == g.channels / g.groups && y.dim(1) == g.outputs && y.dim(0) == g.batch,
              "groups do not fit"));
  return g;
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

// {x, w, x_zero?, w_zero?}; i32.
absl::StatusOr<KernelPlan> ConvInteger(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const ConvGeometry g,
                          ConvOf(params, In(spec, 0).shape, In(spec, 1).shape, Out(spec, 0).shape));
  PARAMD_RETURN_IF_ERROR(CheckPer(spec, 2, 1));
  PARAMD_RETURN_IF_ERROR(CheckPer(spec, 3, g.outputs));
  for (int i = 2; i < 4; ++i) {
    if (HasIn(spec, i)) PARAMD_RETURN_IF_ERROR(SameType(spec, i, i - 2));
  }
  PARAMD_RETURN_IF_ERROR(Require(Out(spec, 0).dtype == DType::kI32, "the result is not i32"));
  const bool has_x = HasIn(spec, 2), has_w = HasIn(spec, 3);
  const bool many = has_w && In(spec, 3).shape.elements() != 1;
  return VisitBytes(
      In(spec, 0).dtype, In(spec, 1).dtype, params.op,
      [&]<typename X, typename W>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const int64_t per_group = g.channels / g.groups;
          const int32_t x_zero = has_x ? args.in<X>(2)[0] : 0;
          ForEachOutput(g, [&](int64_t n, int64_t m, const std::array<int64_t, kSpatial>& out,
                               int64_t at) {
            const int64_t group = m / (g.outputs / g.groups);
            args.out<int32_t>(0)[at] = ConvSum(
                g, args.in<X>(0) + (n * g.channels + group * per_group) * g.window.in_elements(),
                x_zero, args.in<W>(1) + m * per_group * g.window.taps(),
                has_w ? args.in<W>(3)[many ? m : 0] : 0, out);
          });
          return absl::OkStatus();
        }};
      });
}

// {x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias i32?}.
absl::StatusOr<KernelPlan> QLinearConv(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const ConvGeometry g,
                          ConvOf(params, In(spec, 0).shape, In(spec, 3).shape, Out(spec, 0).shape));
  for (const int i : {1, 2, 6, 7}) PARAMD_RETURN_IF_ERROR(CheckPer(spec, i, 1));
  for (const int i : {4, 5}) PARAMD_RETURN_IF_ERROR(CheckPer(spec, i, g.outputs));
  for (const int i : {1, 4, 6}) {
    PARAMD_RETURN_IF_ERROR(Require(In(spec, i).dtype == DType::kF32, "scales are not floats"));
  }
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 2));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 3, 5));
  const bool y_unsigned = Out(spec, 0).dtype == DType::kU8;
  PARAMD_RETURN_IF_ERROR(Require(
      (y_unsigned || Out(spec, 0).dtype == DType::kI8) && In(spec, 7).dtype == Out(spec, 0).dtype,
      "y's type"));
  const bool biased = HasIn(spec, 8);
  if (biased) {
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, 8).dtype == DType::kI32 && In(spec, 8).shape.elements() == g.outputs,
                "the bias does not fit"));
  }
  const bool scales = In(spec, 4).shape.elements() != 1, zeros = In(spec, 5).shape.elements() != 1;
  return VisitBytes(
      In(spec, 0).dtype, In(spec, 3).dtype, params.op,
      [&]<typename X, typename W>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const int64_t per_group = g.channels / g.groups;
          const int32_t x_zero = args.in<X>(2)[0];
          const float scale = args.in<float>(1)[0] / args.in<float>(6)[0];
          ForEachOutput(g, [&](int64_t n, int64_t m, const std::array<int64_t, kSpatial>& out,
                               int64_t at) {
            const int64_t group = m / (g.outputs / g.groups);
            int32_t sum = ConvSum(
                g, args.in<X>(0) + (n * g.channels + group * per_group) * g.window.in_elements(),
                x_zero, args.in<W>(3) + m * per_group * g.window.taps(),
                args.in<W>(5)[zeros ? m : 0], out);
            if (biased) sum = Add(sum, args.in<int32_t>(8)[m]);
            const float value =
                std::nearbyint(static_cast<float>(sum) * scale * args.in<float>(4)[scales ? m : 0]);
            if (y_unsigned) {
              args.out<uint8_t>(0)[at] = Saturate<uint8_t>(value + args.in<uint8_t>(7)[0]);
            } else {
              args.out<int8_t>(0)[at] = Saturate<int8_t>(value + args.in<int8_t>(7)[0]);
            }
          });
          return absl::OkStatus();
        }};
      });
}

constexpr NamedOp kNamedQuantized[] = {
    {"quantize", 2, 3, 2, Quantize},
    {"dequantize", 2, 3, 2, Dequantize},
    {"matmul_integer", 2, 4, 0, MatMulInteger},
    {"qlinear_matmul", 8, 8, 0, QLinearMatMul},
    {"conv_integer", 2, 4, 1, ConvInteger},
    {"qlinear_conv", 8, 9, 1, QLinearConv},
};

}  // namespace

absl::Span<const NamedOp> NamedQuantized() { return kNamedQuantized; }

}  // namespace paramd::reference
