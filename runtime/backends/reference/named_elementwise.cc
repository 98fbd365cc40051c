// Functions of single elements that no fused form needs: trigonometry, tests of
// floats, bits.
#include <cmath>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

absl::Status SameCount(const OpSpec& spec) {
  return Require(In(spec, 0).shape == Out(spec, 0).shape, "the result has another shape");
}

enum class Function : uint8_t { kTan, kAsin, kAcos, kAtan, kSinh, kCosh, kAsinh, kAcosh, kAtanh };

// {x}.
template <Function function>
absl::StatusOr<KernelPlan> Trigonometric(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(SameCount(spec));
  const int64_t count = In(spec, 0).shape.elements();
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{MapElements<T, T>(count, [](T x) -> T {
      switch (function) {
        case Function::kTan:
          return std::tan(x);
        case Function::kAsin:
          return std::asin(x);
        case Function::kAcos:
          return std::acos(x);
        case Function::kAtan:
          return std::atan(x);
        case Function::kSinh:
          return std::sinh(x);
        case Function::kCosh:
          return std::cosh(x);
        case Function::kAsinh:
          return std::asinh(x);
        case Function::kAcosh:
          return std::acosh(x);
        case Function::kAtanh:
          return std::atanh(x);
      }
      return x;
    })};
  });
}

// {x}; bool.
absl::StatusOr<KernelPlan> IsNan(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(SameCount(spec));
  const int64_t count = In(spec, 0).shape.elements();
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{
        MapElements<T, uint8_t>(count, [](T x) { return static_cast<uint8_t>(std::isnan(x)); })};
  });
}

// {x}; ints {detect_negative, detect_positive}; bool.
absl::StatusOr<KernelPlan> IsInf(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(SameCount(spec));
  const int64_t count = In(spec, 0).shape.elements();
  const bool negative = params.ints[0] != 0, positive = params.ints[1] != 0;
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{MapElements<T, uint8_t>(count, [negative, positive](T x) {
      return static_cast<uint8_t>(std::isinf(x) && (x < 0 ? negative : positive));
    })};
  });
}

template <typename Fn>
absl::StatusOr<KernelPlan> VisitInteger(DType dtype, std::string_view op, Fn&& fn) {
  return VisitNumber(dtype, op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    if constexpr (std::is_integral_v<T>) {
      return fn.template operator()<T>();
    } else {
      return NoSuchType(op, dtype);
    }
  });
}

// {x}.
absl::StatusOr<KernelPlan> BitNot(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(SameCount(spec));
  const int64_t count = In(spec, 0).shape.elements();
  return VisitInteger(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{MapElements<T, T>(count, [](T x) { return static_cast<T>(~x); })};
      });
}

enum class Bits : uint8_t { kAnd, kOr, kXor, kLeft, kRight, kFmod };

// C++'s remainder: the sign of the dividend.
template <typename T>
T Remainder(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

// {a, b}, broadcast. Shifts by as many bits as there are or more give 0.
template <Bits kind>
absl::StatusOr<KernelPlan> Bitwise(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
  const Shape& y = Out(spec, 0).shape;
  PARAMD_ASSIGN_OR_RETURN(const Shape both, BroadcastShapes(In(spec, 0).shape, In(spec, 1).shape));
  PARAMD_RETURN_IF_ERROR(Require(both == y, "the result is ", y.ToString()));
  const StridedLoop<3> loop(y.dims(), {DenseStrides(y), BroadcastStrides(In(spec, 0).shape, y),
                                       BroadcastStrides(In(spec, 1).shape, y)});
  return VisitInteger(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          loop.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t count) {
            for (int64_t i = 0; i < count; ++i) {
              const T a = args.in<T>(0)[at[1] + i * loop.inner(1)];
              const T b = args.in<T>(1)[at[2] + i * loop.inner(2)];
              const auto shift = static_cast<uint64_t>(b);
              const auto wide = static_cast<uint64_t>(a);
              T& to = args.out<T>(0)[at[0] + i * loop.inner(0)];
              switch (kind) {
                case Bits::kAnd:
                  to = static_cast<T>(a & b);
                  break;
                case Bits::kOr:
                  to = static_cast<T>(a | b);
                  break;
                case Bits::kXor:
                  to = static_cast<T>(a ^ b);
                  break;
                case Bits::kLeft:
                  to = shift >= 8 * sizeof(T) ? T{0} : static_cast<T>(wide << shift);
                  break;
                case Bits::kRight:
                  to = shift >= 8 * sizeof(T) ? T{0} : static_cast<T>(wide >> shift);
                  break;
                case Bits::kFmod:
                  to = Remainder(a, b);
                  break;
              }
            }
          });
          return absl::OkStatus();
        }};
      });
}

constexpr NamedOp kNamedElementwise[] = {
    {"tan", 1, 1, 0, Trigonometric<Function::kTan>},
    {"asin", 1, 1, 0, Trigonometric<Function::kAsin>},
    {"acos", 1, 1, 0, Trigonometric<Function::kAcos>},
    {"atan", 1, 1, 0, Trigonometric<Function::kAtan>},
    {"sinh", 1, 1, 0, Trigonometric<Function::kSinh>},
    {"cosh", 1, 1, 0, Trigonometric<Function::kCosh>},
    {"asinh", 1, 1, 0, Trigonometric<Function::kAsinh>},
    {"acosh", 1, 1, 0, Trigonometric<Function::kAcosh>},
    {"atanh", 1, 1, 0, Trigonometric<Function::kAtanh>},
    {"is_nan", 1, 1, 0, IsNan},
    {"is_inf", 1, 1, 2, IsInf},
    {"bit_not", 1, 1, 0, BitNot},
    {"bit_and", 2, 2, 0, Bitwise<Bits::kAnd>},
    {"bit_or", 2, 2, 0, Bitwise<Bits::kOr>},
    {"bit_xor", 2, 2, 0, Bitwise<Bits::kXor>},
    {"shift_left", 2, 2, 0, Bitwise<Bits::kLeft>},
    {"shift_right", 2, 2, 0, Bitwise<Bits::kRight>},
    {"fmod", 2, 2, 0, Bitwise<Bits::kFmod>},
};

}  // namespace

absl::Span<const NamedOp> NamedElementwise() { return kNamedElementwise; }

}  // namespace paramd::reference
