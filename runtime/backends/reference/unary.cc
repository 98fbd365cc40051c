// Elementwise functions of one operand, and Reshape's copy.
#include <cmath>
#include <string>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// Comparisons are written so that NaN comes out as NaN.
template <typename T>
T Clamp(T x, T low, T high) {
  if (x < low) x = low;
  return x > high ? high : x;
}

template <typename T>
T Sigmoid(T x) {
  // Never exp of a large positive number.
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);
  return e / (1 + e);
}

template <typename T>
absl::StatusOr<Kernel> FloatUnary(const UnaryParams& params, DType dtype, int64_t n) {
  const T alpha = params.alpha, beta = params.beta;
  switch (params.kind) {
    case ActivationKind::kRelu:
      return MapElements<T, T>(n, [](T x) { return x < 0 ? T{0} : x; });
    case ActivationKind::kLeakyRelu:
      return MapElements<T, T>(n, [alpha](T x) { return x < 0 ? alpha * x : x; });
    case ActivationKind::kClip:
      return MapElements<T, T>(n, [alpha, beta](T x) { return Clamp(x, alpha, beta); });
    case ActivationKind::kSigmoid:
      return MapElements<T, T>(n, [](T x) { return Sigmoid(x); });
    case ActivationKind::kTanh:
      return MapElements<T, T>(n, [](T x) { return std::tanh(x); });
    case ActivationKind::kElu:
      return MapElements<T, T>(n, [alpha](T x) { return x < 0 ? alpha * std::expm1(x) : x; });
    case ActivationKind::kHardSigmoid:
      return MapElements<T, T>(n, [alpha, beta](T x) { return Clamp<T>(alpha * x + beta, 0, 1); });
    case ActivationKind::kHardSwish:
      return MapElements<T, T>(n, [](T x) { return x * Clamp<T>(x / 6 + T{0.5}, 0, 1); });
    case ActivationKind::kSilu:
      return MapElements<T, T>(n, [alpha](T x) { return x * Sigmoid(alpha * x); });
    case ActivationKind::kGeluErf:
      return MapElements<T, T>(n,
                               [](T x) { return T{0.5} * x * (1 + std::erf(x * T(M_SQRT1_2))); });
    case ActivationKind::kGeluTanh:
      return MapElements<T, T>(n, [](T x) {
        const T inner = T(M_2_SQRTPI * M_SQRT1_2) * (x + T(0.044715) * x * x * x);
        return T{0.5} * x * (1 + std::tanh(inner));
      });
    case ActivationKind::kSoftplus:
      return MapElements<T, T>(
          n, [](T x) { return (x > 0 ? x : T{0}) + std::log1p(std::exp(-std::fabs(x))); });
    case ActivationKind::kSoftsign:
      return MapElements<T, T>(n, [](T x) { return x / (1 + std::fabs(x)); });
    case ActivationKind::kSelu:
      return MapElements<T, T>(
          n, [alpha, beta](T x) { return beta * (x < 0 ? alpha * std::expm1(x) : x); });
    case ActivationKind::kAbs:
      return MapElements<T, T>(n, [](T x) { return std::fabs(x); });
    case ActivationKind::kNeg:
      return MapElements<T, T>(n, [](T x) { return -x; });
    case ActivationKind::kExp:
      return MapElements<T, T>(n, [](T x) { return std::exp(x); });
    case ActivationKind::kLog:
      return MapElements<T, T>(n, [](T x) { return std::log(x); });
    case ActivationKind::kSqrt:
      return MapElements<T, T>(n, [](T x) { return std::sqrt(x); });
    case ActivationKind::kReciprocal:
      return MapElements<T, T>(n, [](T x) { return 1 / x; });
    case ActivationKind::kErf:
      return MapElements<T, T>(n, [](T x) { return std::erf(x); });
    case ActivationKind::kFloor:
      return MapElements<T, T>(n, [](T x) { return std::floor(x); });
    case ActivationKind::kCeil:
      return MapElements<T, T>(n, [](T x) { return std::ceil(x); });
    case ActivationKind::kRound:
      return MapElements<T, T>(n, [](T x) { return std::nearbyint(x); });
    case ActivationKind::kSign:
      return MapElements<T, T>(n, [](T x) { return x > 0 ? T{1} : x < 0 ? T{-1} : x; });
    case ActivationKind::kSin:
      return MapElements<T, T>(n, [](T x) { return std::sin(x); });
    case ActivationKind::kCos:
      return MapElements<T, T>(n, [](T x) { return std::cos(x); });
    case ActivationKind::kNot:
      break;
  }
  return NoSuchType(ActivationKindName(params.kind), dtype);
}

template <typename T>
absl::StatusOr<Kernel> IntegerUnary(const UnaryParams& params, DType dtype, int64_t n) {
  switch (params.kind) {
    case ActivationKind::kRelu:
      return MapElements<T, T>(n, [](T x) { return x > 0 ? x : T{0}; });
    case ActivationKind::kClip: {
      // Bounds are f32 in the spec: exact to 2^24, nearest beyond, saturated at
      // the type's ends.
      const T low = Convert<T>(params.alpha), high = Convert<T>(params.beta);
      return MapElements<T, T>(n, [low, high](T x) { return Clamp(x, low, high); });
    }
    case ActivationKind::kAbs:
      return MapElements<T, T>(n, [](T x) { return Abs(x); });
    case ActivationKind::kNeg:
      return MapElements<T, T>(n, [](T x) { return Sub<T>(0, x); });
    case ActivationKind::kSign:
      return MapElements<T, T>(n, [](T x) {
        if constexpr (std::is_signed_v<T>) {
          if (x < 0) return T{-1};
        }
        return x > 0 ? T{1} : T{0};
      });
    case ActivationKind::kFloor:
    case ActivationKind::kCeil:
    case ActivationKind::kRound:
      return MapElements<T, T>(n, [](T x) { return x; });
    default:
      return NoSuchType(ActivationKindName(params.kind), dtype);
  }
}

}  // namespace

absl::StatusOr<Kernel> MakeUnary(const UnaryParams& params, DType dtype, int64_t count) {
  if (dtype == DType::kBool && params.kind == ActivationKind::kNot) {
    // Any byte but 0 is true: bool tensors come from the wire.
    return MapElements<uint8_t, uint8_t>(count,
                                         [](uint8_t x) { return static_cast<uint8_t>(x == 0); });
  }
  return VisitNumber(dtype, ActivationKindName(params.kind),
                     [&]<typename T>() -> absl::StatusOr<Kernel> {
                       if constexpr (std::is_floating_point_v<T>) {
                         return FloatUnary<T>(params, dtype, count);
                       } else {
                         return IntegerUnary<T>(params, dtype, count);
                       }
                     });
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const UnaryParams& params) {
  const Operand& x = spec.inputs[0];
  if (spec.outputs[0].dtype != x.dtype) {
    return absl::UnimplementedError(StrCat(ActivationKindName(params.kind), " from ",
                                           DTypeName(x.dtype), " to ",
                                           DTypeName(spec.outputs[0].dtype)));
  }
  PARAMD_ASSIGN_OR_RETURN(Kernel run, MakeUnary(params, x.dtype, x.shape.elements()));
  return KernelPlan{std::move(run), 0, 0};
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReshapeParams&) {
  const int64_t count = spec.inputs[0].shape.elements();
  return VisitMovable(spec.inputs[0].dtype, "reshape",
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        Kernel run = [count](const KernelArgs& args) {
                          const T* x = args.in<T>(0);
                          T* y = args.out<T>(0);
                          if (x != y) std::copy_n(x, count, y);
                          return absl::OkStatus();
                        };
                        return KernelPlan{std::move(run), 0, 0};
                      });
}

}  // namespace paramd::reference
