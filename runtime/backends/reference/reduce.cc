// Reductions over any set of dimensions.
#include <cmath>
#include <limits>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

struct ReducePlan {
  StridedLoop<2> kept;     // Offsets of x and y.
  StridedLoop<1> reduced;  // Offsets of x from there.
  int64_t count = 1;       // Elements under one output.
};

ReducePlan PlanReduce(const Shape& x, const std::vector<int>& axes) {
  const Strides dense = DenseStrides(x);
  std::vector<int64_t> kept_dims, reduced_dims;
  Strides kept{}, reduced{};
  ReducePlan plan;
  size_t next = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (next < axes.size() && axes[next] == i) {
      ++next;
      reduced[reduced_dims.size()] = dense[static_cast<size_t>(i)];
      reduced_dims.push_back(x.dim(i));
      plan.count *= x.dim(i);
    } else {
      kept[kept_dims.size()] = dense[static_cast<size_t>(i)];
      kept_dims.push_back(x.dim(i));
    }
  }
  plan.kept = StridedLoop<2>(kept_dims, {kept, DenseStrides(Shape(kept_dims))});
  plan.reduced = StridedLoop<1>(reduced_dims, {reduced});
  return plan;
}

// y = finish(fold of step over x, starting from `start`), in A.
template <typename T, typename A, typename Step, typename Finish>
Kernel Fold(const ReducePlan& plan, A start, Step step, Finish finish) {
  return [plan, start, step, finish](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>(0);
    const int64_t sx = plan.kept.inner(0), sy = plan.kept.inner(1), sr = plan.reduced.inner(0);
    plan.kept.ForEachRow([&](const std::array<int64_t, 2>& at, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const T* from = x + at[0] + i * sx;
        A sum = start;
        plan.reduced.ForEachRow([&](const std::array<int64_t, 1>& inner, int64_t run) {
          for (int64_t r = 0; r < run; ++r) sum = step(sum, from[inner[0] + r * sr]);
        });
        y[at[1] + i * sy] = finish(sum);
      }
    });
    return absl::OkStatus();
  };
}

// Sums in double; one rounding at the end.
template <typename T>
Kernel FloatReduce(ReduceKind kind, const ReducePlan& plan) {
  const auto round = [](double sum) { return Convert<T>(sum); };
  const auto count = static_cast<double>(plan.count);
  switch (kind) {
    case ReduceKind::kSum:
      return Fold<T>(
          plan, 0.0, [](double sum, T x) { return sum + x; }, round);
    case ReduceKind::kMean:
      return Fold<T>(
          plan, 0.0, [](double sum, T x) { return sum + x; },
          [count](double sum) { return Convert<T>(sum / count); });
    case ReduceKind::kProd:
      return Fold<T>(
          plan, 1.0, [](double sum, T x) { return sum * x; }, round);
    case ReduceKind::kL1:
      return Fold<T>(
          plan, 0.0, [](double sum, T x) { return sum + std::fabs(x); }, round);
    case ReduceKind::kSumSquare:
      return Fold<T>(
          plan, 0.0, [](double sum, T x) { return sum + static_cast<double>(x) * x; }, round);
    case ReduceKind::kL2:
      return Fold<T>(
          plan, 0.0, [](double sum, T x) { return sum + static_cast<double>(x) * x; },
          [](double sum) { return Convert<T>(std::sqrt(sum)); });
    case ReduceKind::kMax:
    case ReduceKind::kMin:
      break;
  }
  const T infinity = std::numeric_limits<T>::infinity();
  const auto same = [](T x) { return x; };
  if (kind == ReduceKind::kMax) {
    return Fold<T>(
        plan, -infinity, [](T a, T b) { return Max(a, b); }, same);
  }
  return Fold<T>(
      plan, infinity, [](T a, T b) { return Min(a, b); }, same);
}

// Sums in 64 bits, cut to the type at the end: wraps as the type would.
template <typename T>
Kernel IntegerReduce(ReduceKind kind, const ReducePlan& plan) {
  using Sum = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  const auto cut = [](Sum sum) { return static_cast<T>(sum); };
  const auto count = static_cast<Sum>(plan.count);
  switch (kind) {
    case ReduceKind::kSum:
      return Fold<T>(
          plan, Sum{0}, [](Sum sum, T x) { return Add<Sum>(sum, x); }, cut);
    case ReduceKind::kMean:
      return Fold<T>(
          plan, Sum{0}, [](Sum sum, T x) { return Add<Sum>(sum, x); },
          [count](Sum sum) { return static_cast<T>(Div(sum, count)); });
    case ReduceKind::kProd:
      return Fold<T>(
          plan, Sum{1}, [](Sum sum, T x) { return Mul<Sum>(sum, x); }, cut);
    case ReduceKind::kL1:
      return Fold<T>(
          plan, Sum{0}, [](Sum sum, T x) { return Add<Sum>(sum, Abs<Sum>(x)); }, cut);
    case ReduceKind::kSumSquare:
      return Fold<T>(
          plan, Sum{0}, [](Sum sum, T x) { return Add<Sum>(sum, Mul<Sum>(x, x)); }, cut);
    case ReduceKind::kL2:
      return Fold<T>(
          plan, 0.0,
          [](double sum, T x) { return sum + static_cast<double>(x) * static_cast<double>(x); },
          [](double sum) { return Convert<T>(std::sqrt(sum)); });
    case ReduceKind::kMax:
    case ReduceKind::kMin:
      break;
  }
  const auto same = [](T x) { return x; };
  if (kind == ReduceKind::kMax) {
    return Fold<T>(
        plan, std::numeric_limits<T>::min(), [](T a, T b) { return Max(a, b); }, same);
  }
  return Fold<T>(
      plan, std::numeric_limits<T>::max(), [](T a, T b) { return Min(a, b); }, same);
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReduceParams& params) {
  const DType dtype = spec.inputs[0].dtype;
  const std::string_view name = OpName(spec.params);
  if (spec.outputs[0].dtype != dtype) {
    return absl::UnimplementedError(StrCat(name, " to another type"));
  }
  const ReducePlan plan = PlanReduce(spec.inputs[0].shape, params.axes);
  if (dtype == DType::kBool) {
    // Any byte but 0 is true. The least bool is false: max of nothing is false.
    switch (params.kind) {
      case ReduceKind::kMax:
        return KernelPlan{Fold<uint8_t>(
            plan, false, [](bool any, uint8_t x) { return any || x != 0; },
            [](bool any) { return static_cast<uint8_t>(any); })};
      case ReduceKind::kMin:
        return KernelPlan{Fold<uint8_t>(
            plan, true, [](bool all, uint8_t x) { return all && x != 0; },
            [](bool all) { return static_cast<uint8_t>(all); })};
      default:
        return NoSuchType(name, dtype);
    }
  }
  return VisitNumber(dtype, name, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    if constexpr (std::is_floating_point_v<T>) {
      return KernelPlan{FloatReduce<T>(params.kind, plan)};
    } else {
      return KernelPlan{IntegerReduce<T>(params.kind, plan)};
    }
  });
}

}  // namespace paramd::reference
