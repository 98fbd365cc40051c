// Cast between numbers, bools and strings.
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/tensor/small_float.h"

namespace paramd::reference {
namespace {

struct Bool {};  // Stored as a byte: any but 0 is true, 0 and 1 are written.

template <typename T>
using Stored = std::conditional_t<std::is_same_v<T, Bool>, uint8_t, T>;

template <typename To, typename From>
Stored<To> CastOne(Stored<From> x) {
  if constexpr (std::is_same_v<From, Bool>) {
    return static_cast<Stored<To>>(x != 0 ? 1 : 0);
  } else if constexpr (std::is_same_v<To, Bool>) {
    return Convert<bool>(x) ? 1 : 0;
  } else {
    return Convert<To>(x);
  }
}

template <typename To>
bool Parse(const std::string& text, To* number) {
  if constexpr (std::is_floating_point_v<To>) {
    double value = 0;
    if (!absl::SimpleAtod(text, &value)) return false;
    *number = Convert<To>(value);
    return true;
  } else {
    // Wider than the type, so that what does not fit is noticed.
    std::conditional_t<std::is_signed_v<To>, int64_t, uint64_t> value = 0;
    if (!absl::SimpleAtoi(text, &value)) return false;
    *number = static_cast<To>(value);
    return static_cast<decltype(value)>(*number) == value;
  }
}

template <typename From>
std::string Format(From x) {
  if constexpr (std::is_floating_point_v<From>) {
    if (std::isnan(x)) return "NaN";
    if (std::isinf(x)) return x > 0 ? "INF" : "-INF";
  }
  char text[64];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), x);
  return std::string(text, end.ptr);
}

template <typename From, typename To>
KernelPlan CastKernel(int64_t count) {
  return {[count](const KernelArgs& args) {
    const auto* x = args.in<Stored<From>>(0);
    auto* y = args.out<Stored<To>>(0);
    for (int64_t i = 0; i < count; ++i) y[i] = CastOne<To, From>(x[i]);
    return absl::OkStatus();
  }};
}

template <typename Fn>
auto VisitNumberOrBool(DType dtype, Fn&& fn) -> decltype(fn.template operator()<float>()) {
  if (dtype == DType::kBool) return fn.template operator()<Bool>();
  return VisitNumber(dtype, "cast", fn);
}

absl::StatusOr<KernelPlan> FromString(DType to, int64_t count) {
  return VisitNumber(
      to, "cast of strings to numbers", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[count](const KernelArgs& args) {
          const auto* x = args.in<std::string>(0);
          T* y = args.out<T>(0);
          for (int64_t i = 0; i < count; ++i) {
            if (!Parse(x[i], &y[i])) {
              return absl::InvalidArgumentError(
                  StrCat("cast: the string at position ", i, " is no number of the wanted type"));
            }
          }
          return absl::OkStatus();
        }};
      });
}

// The one kernel that allocates: strings are objects.
absl::StatusOr<KernelPlan> ToString(DType from, int64_t count) {
  return VisitNumber(from, "cast to strings", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[count](const KernelArgs& args) {
      const T* x = args.in<T>(0);
      auto* y = args.out<std::string>(0);
      for (int64_t i = 0; i < count; ++i) y[i] = Format(x[i]);
      return absl::OkStatus();
    }};
  });
}

// Without saturation; with it, operands are staged.
absl::StatusOr<KernelPlan> ToSmallFloat(DType from, DType to, int64_t count) {
  return VisitNumberOrBool(from, [&]<typename From>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[to, count](const KernelArgs& args) {
      const auto* x = args.in<Stored<From>>(0);
      for (int64_t i = 0; i < count; ++i) {
        args.out<uint8_t>(0)[i] = FloatToSmallFloat(to, CastOne<float, From>(x[i]), false);
      }
      return absl::OkStatus();
    }};
  });
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const CastParams& params) {
  const int64_t count = spec.inputs[0].shape.elements();
  const DType from = spec.inputs[0].dtype, to = spec.outputs[0].dtype;
  if (from == to) return CompileKernel(spec, ReshapeParams{});
  if (!params.saturate && IsSmallFloat(to)) return ToSmallFloat(from, to, count);
  if (from == DType::kString) return FromString(to, count);
  if (to == DType::kString) return ToString(from, count);
  return VisitNumberOrBool(from, [&]<typename From>() -> absl::StatusOr<KernelPlan> {
    return VisitNumberOrBool(to, [&]<typename To>() -> absl::StatusOr<KernelPlan> {
      return CastKernel<From, To>(count);
    });
  });
}

}  // namespace paramd::reference
