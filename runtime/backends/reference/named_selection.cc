// What is found along an axis: extremes, the top k, running sums, one-hot rows.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// {x}; ints {axis, largest, select_last}: the index of the extreme, i64. NaN is none.
absl::StatusOr<KernelPlan> Arg(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], shape));
  const Blocks b = BlocksAt(shape, static_cast<int>(params.ints[0]));
  const bool largest = params.ints[1] != 0, last = params.ints[2] != 0;
  PARAMD_RETURN_IF_ERROR(
      Require(b.along > 0 || b.outer * b.inner == 0, "an empty axis has no extreme"));
  PARAMD_RETURN_IF_ERROR(Require(
      Out(spec, 0).dtype == DType::kI64 && Out(spec, 0).shape.elements() == b.outer * b.inner,
      "the result has another size"));
  return VisitNumber(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t o = 0; o < b.outer; ++o) {
        for (int64_t i = 0; i < b.inner; ++i) {
          const T* x = args.in<T>(0) + o * b.along * b.inner + i;
          int64_t best = 0;
          for (int64_t a = 1; a < b.along; ++a) {
            const T value = x[a * b.inner], held = x[best * b.inner];
            const bool better = largest ? value > held : value < held;
            if (better || (last && value == held)) best = a;
          }
          args.out<int64_t>(0)[o * b.inner + i] = best;
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; ints {axis, largest}; outputs {values, indices i64}: sorted, the lower
// index first among equals, NaN as the largest of numbers.
absl::StatusOr<KernelPlan> TopK(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], shape));
  const auto axis = static_cast<int>(params.ints[0]);
  const Blocks b = BlocksAt(shape, axis);
  const bool largest = params.ints[1] != 0;
  const int64_t k = Out(spec, 0).shape.rank() == shape.rank() ? Out(spec, 0).shape.dim(axis) : -1;
  PARAMD_RETURN_IF_ERROR(Require(k >= 0 && k <= b.along, "k is ", k, " of ", b.along));
  const bool indices = HasOut(spec, 1);
  return VisitNumber(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [=](const KernelArgs& args) {
      auto* const order = reinterpret_cast<int64_t*>(args.scratch);
      for (int64_t o = 0; o < b.outer; ++o) {
        for (int64_t i = 0; i < b.inner; ++i) {
          const T* x = args.in<T>(0) + o * b.along * b.inner + i;
          std::iota(order, order + b.along, int64_t{0});
          const auto before = [&](int64_t left, int64_t right) {
            const T l = x[left * b.inner], r = x[right * b.inner];
            if constexpr (std::is_floating_point_v<T>) {
              const bool nl = std::isnan(l), nr = std::isnan(r);
              if (nl || nr) return nl != nr ? (largest ? nl : nr) : left < right;
            }
            if (l != r) return largest ? l > r : l < r;
            return left < right;
          };
          std::partial_sort(order, order + k, order + b.along, before);
          for (int64_t n = 0; n < k; ++n) {
            const int64_t to = (o * k + n) * b.inner + i;
            args.out<T>(0)[to] = x[order[n] * b.inner];
            if (indices) args.out<int64_t>(1)[to] = order[n];
          }
        }
      }
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), static_cast<uint64_t>(b.along) * sizeof(int64_t)};
  });
}

// {x}; ints {axis, exclusive, reverse}.
absl::StatusOr<KernelPlan> CumSum(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], shape));
  const Blocks b = BlocksAt(shape, static_cast<int>(params.ints[0]));
  const bool exclusive = params.ints[1] != 0, reverse = params.ints[2] != 0;
  return VisitNumber(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t o = 0; o < b.outer; ++o) {
        for (int64_t i = 0; i < b.inner; ++i) {
          const int64_t base = o * b.along * b.inner + i;
          T sum{0};
          for (int64_t n = 0; n < b.along; ++n) {
            const int64_t at = base + (reverse ? b.along - 1 - n : n) * b.inner;
            const T value = args.in<T>(0)[at];
            if (exclusive) args.out<T>(0)[at] = sum;
            sum = Add(sum, value);
            if (!exclusive) args.out<T>(0)[at] = sum;
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; ints {axis, flattened}: one where the first largest is, zero elsewhere;
// over the axis, or flattened over it and all that follow.
absl::StatusOr<KernelPlan> Hardmax(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], shape));
  Blocks b = BlocksAt(shape, static_cast<int>(params.ints[0]));
  if (params.ints[1] != 0) b = {b.outer, b.along * b.inner, 1};
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t o = 0; b.along > 0 && o < b.outer; ++o) {
        for (int64_t i = 0; i < b.inner; ++i) {
          const int64_t base = o * b.along * b.inner + i;
          const T* x = args.in<T>(0) + base;
          int64_t best = 0;
          for (int64_t a = 1; a < b.along; ++a) {
            if (x[a * b.inner] > x[best * b.inner]) best = a;
          }
          for (int64_t a = 0; a < b.along; ++a) {
            args.out<T>(0)[base + a * b.inner] = a == best ? T{1} : T{0};
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// Element i of any number type as an integer.
template <typename T>
int64_t Whole(const void* data, int64_t i) {
  return Convert<int64_t>(static_cast<const T*>(data)[i]);
}

absl::StatusOr<int64_t (*)(const void*, int64_t)> WholeReader(DType dtype) {
  return VisitNumber(
      dtype, "index",
      []<typename T>() -> absl::StatusOr<int64_t (*)(const void*, int64_t)> { return &Whole<T>; });
}

// {indices, values [off, on]}; ints {axis of the result}. Indices outside give
// no one at all.
absl::StatusOr<KernelPlan> OneHot(const OpSpec& spec, const NamedParams& params) {
  const Shape& y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], y));
  const Blocks b = BlocksAt(y, static_cast<int>(params.ints[0]));
  PARAMD_RETURN_IF_ERROR(
      Require(In(spec, 0).shape.elements() == b.outer * b.inner, "the result has another size"));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 1).shape.elements() == 2, "values are not two"));
  PARAMD_ASSIGN_OR_RETURN(const auto read, WholeReader(In(spec, 0).dtype));
  return VisitMovable(
      In(spec, 1).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const T off = args.in<T>(1)[0], on = args.in<T>(1)[1];
          for (int64_t o = 0; o < b.outer; ++o) {
            for (int64_t i = 0; i < b.inner; ++i) {
              int64_t index = read(args.inputs[0], o * b.inner + i);
              if (index < 0) index += b.along;
              for (int64_t a = 0; a < b.along; ++a) {
                args.out<T>(0)[(o * b.along + a) * b.inner + i] = a == index ? on : off;
              }
            }
          }
          return absl::OkStatus();
        }};
      });
}

// {}; numbers {start, delta}, ints {start, delta} for integers.
absl::StatusOr<KernelPlan> Range(const OpSpec& spec, const NamedParams& params) {
  const int64_t count = Out(spec, 0).shape.elements();
  PARAMD_RETURN_IF_ERROR(Require(params.numbers.size() == 2, "range of ", params.numbers.size()));
  const double start = params.numbers[0], delta = params.numbers[1];
  const auto whole = static_cast<uint64_t>(params.ints[0]);
  const auto step = static_cast<uint64_t>(params.ints[1]);
  return VisitNumber(
      Out(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          for (int64_t i = 0; i < count; ++i) {
            if constexpr (std::is_floating_point_v<T>) {
              args.out<T>(0)[i] = static_cast<T>(start + static_cast<double>(i) * delta);
            } else {
              args.out<T>(0)[i] = static_cast<T>(whole + static_cast<uint64_t>(i) * step);
            }
          }
          return absl::OkStatus();
        }};
      });
}

constexpr NamedOp kNamedSelection[] = {
    {"arg", 1, 1, 3, Arg},         {"topk", 1, 1, 2, TopK},      {"cumsum", 1, 1, 3, CumSum},
    {"hardmax", 1, 1, 2, Hardmax}, {"one_hot", 2, 2, 1, OneHot}, {"range", 0, 0, 2, Range},
};

}  // namespace

absl::Span<const NamedOp> NamedSelection() { return kNamedSelection; }

}  // namespace paramd::reference
