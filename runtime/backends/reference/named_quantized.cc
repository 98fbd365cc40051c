// Numbers of few bits: quantizing and back.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/vectors/quantizing.h"
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

  // One scale for all; x.inner are all elements.
  bool IsOne() const { return !per_axis && block == 0; }
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
        constexpr bool kVectors =
            std::is_same_v<X, float> && (std::is_same_v<Y, uint8_t> || std::is_same_v<Y, int8_t>);
        return KernelPlan{[=](const KernelArgs& args) {
          const X* x = args.in<X>(0);
          Y* y = args.out<Y>(0);
          if constexpr (kVectors) {
            if (map.IsOne()) {
              const float zero = shifted ? static_cast<float>(*args.in<Y>(2)) : 0;
              paramd::Quantize(x, map.x.inner, *args.in<float>(1), zero, y);
              return absl::OkStatus();
            }
          }
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
      if constexpr (std::is_same_v<X, uint8_t> || std::is_same_v<X, int8_t>) {
        if (map.IsOne()) {
          paramd::Dequantize(args.in<X>(0), map.x.inner, *args.in<float>(1),
                             shifted ? *args.in<X>(2) : 0, y);
          return absl::OkStatus();
        }
      }
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

// {x}; outputs {y u8, scale, zero point u8}: x on 256 steps that include 0.
absl::StatusOr<KernelPlan> DynamicQuantize(const OpSpec& spec, const NamedParams& params) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(spec.outputs.size() == 3 && HasOut(spec, 0) && HasOut(spec, 1) && HasOut(spec, 2),
              params.op, " has three results"));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).dtype == DType::kU8 && Out(spec, 0).shape == x &&
                  Out(spec, 1).dtype == DType::kF32 && Out(spec, 1).shape.elements() == 1 &&
                  Out(spec, 2).dtype == DType::kU8 && Out(spec, 2).shape.elements() == 1,
              "results have other types or sizes"));
  if (In(spec, 0).dtype != DType::kF32) return NoSuchType(params.op, In(spec, 0).dtype);
  const int64_t count = x.elements();
  return KernelPlan{[=](const KernelArgs& args) {
    const ValueRange range = RangeWithZero(args.in<float>(0), count);
    // All zeros have no range: any scale will do but 0.
    const float scale = range.high == range.low ? 1.0f : (range.high - range.low) / 255.0f;
    const float zero = std::nearbyint(std::clamp(-range.low / scale, 0.0f, 255.0f));
    paramd::Quantize(args.in<float>(0), count, scale, zero, args.out<uint8_t>(0));
    *args.out<float>(1) = scale;
    *args.out<uint8_t>(2) = Convert<uint8_t>(zero);
    return absl::OkStatus();
  }};
}

constexpr NamedOp kNamedQuantized[] = {
    {"quantize", 2, 3, 2, Quantize},
    {"dequantize", 2, 3, 2, Dequantize},
    {"dynamic_quantize", 1, 1, 0, DynamicQuantize},
};

}  // namespace

absl::Span<const NamedOp> NamedQuantized() { return kNamedQuantized; }

}  // namespace paramd::reference
