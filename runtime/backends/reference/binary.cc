// Elementwise functions of two operands, with numpy's broadcasting.
#include <string>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// y = fn(a, b): operands 0 and 1 in the order a, b; the output last.
template <typename A, typename B, typename Y, typename Fn>
Kernel Zip(const OpSpec& spec, Fn fn) {
  const Shape& shape = spec.outputs[0].shape;
  const StridedLoop<3> loop(shape.dims(),
                            {BroadcastStrides(spec.inputs[0].shape, shape),
                             BroadcastStrides(spec.inputs[1].shape, shape), DenseStrides(shape)});
  return [loop, fn](const KernelArgs& args) {
    const A* a = args.in<A>(0);
    const B* b = args.in<B>(1);
    Y* y = args.out<Y>(0);
    const int64_t sa = loop.inner(0), sb = loop.inner(1), sy = loop.inner(2);
    loop.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t count) {
      const A* pa = a + at[0];
      const B* pb = b + at[1];
      Y* py = y + at[2];
      if (sa == 1 && sb == 1 && sy == 1) {
        for (int64_t i = 0; i < count; ++i) py[i] = fn(pa[i], pb[i]);
      } else if (sa == 1 && sb == 0 && sy == 1) {
        for (int64_t i = 0; i < count; ++i) py[i] = fn(pa[i], *pb);
      } else {
        for (int64_t i = 0; i < count; ++i) py[i * sy] = fn(pa[i * sa], pb[i * sb]);
      }
    });
    return absl::OkStatus();
  };
}

template <typename T>
absl::StatusOr<Kernel> Compare(const OpSpec& spec, BinaryKind kind) {
  // Bools are written as bytes: 0 or 1.
  const auto make = [&spec](auto fn) -> Kernel {
    return Zip<T, T, uint8_t>(
        spec, [fn](const T& a, const T& b) { return static_cast<uint8_t>(fn(a, b)); });
  };
  switch (kind) {
    case BinaryKind::kEqual:
      return make([](const T& a, const T& b) { return a == b; });
    case BinaryKind::kLess:
      return make([](const T& a, const T& b) { return a < b; });
    case BinaryKind::kLessOrEqual:
      return make([](const T& a, const T& b) { return a <= b; });
    case BinaryKind::kGreater:
      return make([](const T& a, const T& b) { return a > b; });
    default:
      return make([](const T& a, const T& b) { return a >= b; });
  }
}

absl::StatusOr<Kernel> Logic(const OpSpec& spec, BinaryKind kind) {
  const auto make = [&spec](auto fn) -> Kernel {
    return Zip<uint8_t, uint8_t, uint8_t>(spec, [fn](uint8_t a, uint8_t b) {
      return static_cast<uint8_t>(fn(a != 0, b != 0));  // Any byte but 0 is true.
    });
  };
  switch (kind) {
    case BinaryKind::kAnd:
      return make([](bool a, bool b) { return a && b; });
    case BinaryKind::kOr:
      return make([](bool a, bool b) { return a || b; });
    case BinaryKind::kEqual:
      return make([](bool a, bool b) { return a == b; });
    default:
      return make([](bool a, bool b) { return a != b; });
  }
}

template <typename T>
absl::StatusOr<Kernel> Arithmetic(const OpSpec& spec, BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kAdd:
      return Zip<T, T, T>(spec, [](T a, T b) { return Add(a, b); });
    case BinaryKind::kSub:
      return Zip<T, T, T>(spec, [](T a, T b) { return Sub(a, b); });
    case BinaryKind::kMul:
      return Zip<T, T, T>(spec, [](T a, T b) { return Mul(a, b); });
    case BinaryKind::kDiv:
      return Zip<T, T, T>(spec, [](T a, T b) { return Div(a, b); });
    case BinaryKind::kMin:
      return Zip<T, T, T>(spec, [](T a, T b) { return Min(a, b); });
    case BinaryKind::kMax:
      return Zip<T, T, T>(spec, [](T a, T b) { return Max(a, b); });
    case BinaryKind::kMod:
      return Zip<T, T, T>(spec, [](T a, T b) { return Mod(a, b); });
    default:
      return NoSuchType(BinaryKindName(kind), spec.inputs[0].dtype);
  }
}

// ONNX's Pow is the one function whose operands may have different types.
absl::StatusOr<Kernel> PowKernel(const OpSpec& spec) {
  return VisitNumber(spec.inputs[0].dtype, "pow", [&]<typename T>() -> absl::StatusOr<Kernel> {
    return VisitNumber(spec.inputs[1].dtype, "pow to the power",
                       [&]<typename E>() -> absl::StatusOr<Kernel> {
                         return Zip<T, E, T>(spec, [](T a, E b) { return Pow(a, b); });
                       });
  });
}

absl::StatusOr<Kernel> Choose(const OpSpec& spec, BinaryKind kind) {
  const DType dtype = spec.inputs[0].dtype;
  const std::string_view name = BinaryKindName(kind);
  switch (kind) {
    case BinaryKind::kAnd:
    case BinaryKind::kOr:
    case BinaryKind::kXor:
      return Logic(spec, kind);
    case BinaryKind::kEqual:
    case BinaryKind::kLess:
    case BinaryKind::kLessOrEqual:
    case BinaryKind::kGreater:
    case BinaryKind::kGreaterOrEqual:
      if (dtype == DType::kBool && kind == BinaryKind::kEqual) return Logic(spec, kind);
      if (dtype == DType::kString && kind == BinaryKind::kEqual) {
        return Compare<std::string>(spec, kind);
      }
      return VisitNumber(dtype, name, [&]<typename T>() -> absl::StatusOr<Kernel> {
        return Compare<T>(spec, kind);
      });
    default:
      return VisitNumber(dtype, name, [&]<typename T>() -> absl::StatusOr<Kernel> {
        return Arithmetic<T>(spec, kind);
      });
  }
}

// ValidateSpec has seen that these have a bool output.
bool ToBool(BinaryKind kind) {
  return kind == BinaryKind::kEqual || kind == BinaryKind::kLess ||
         kind == BinaryKind::kLessOrEqual || kind == BinaryKind::kGreater ||
         kind == BinaryKind::kGreaterOrEqual;
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const BinaryParams& params) {
  const Operand& a = spec.inputs[0];
  const Operand& b = spec.inputs[1];
  const Operand& y = spec.outputs[0];
  KernelPlan plan;
  if (params.kind == BinaryKind::kPow) {
    if (y.dtype != a.dtype) {
      return absl::UnimplementedError(
          StrCat("pow from ", DTypeName(a.dtype), " to ", DTypeName(y.dtype)));
    }
    PARAMD_ASSIGN_OR_RETURN(plan.run, PowKernel(spec));
  } else {
    if (a.dtype != b.dtype || (y.dtype != a.dtype && !ToBool(params.kind))) {
      return absl::UnimplementedError(StrCat(BinaryKindName(params.kind), " of ",
                                             DTypeName(a.dtype), " and ", DTypeName(b.dtype),
                                             " to ", DTypeName(y.dtype)));
    }
    PARAMD_ASSIGN_OR_RETURN(plan.run, Choose(spec, params.kind));
  }
  // The same element is read before it is written, and only then.
  if (a.shape == y.shape && a.dtype == y.dtype) {
    plan.in_place_input = 0;
  } else if (b.shape == y.shape && b.dtype == y.dtype) {
    plan.in_place_input = 1;
  }
  return plan;
}

}  // namespace paramd::reference
