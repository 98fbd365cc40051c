// Normalisations that have no op of their own, and what a norm says of itself.
#include <cmath>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

struct Moments {
  double mean = 0, variance = 0;
};

template <typename T>
Moments MomentsOf(const T* x, int64_t count) {
  Moments m;
  for (int64_t i = 0; i < count; ++i) m.mean += static_cast<double>(x[i]);
  m.mean /= static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(x[i]) - m.mean;
    m.variance += d * d;
  }
  m.variance /= static_cast<double>(count);
  return m;
}

// {x [N, C, ...], scale [C], bias [C]}; numbers {epsilon}: each image's channel by itself.
absl::StatusOr<KernelPlan> InstanceNorm(const OpSpec& spec, const NamedParams& params) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(x.rank() >= 2 && params.numbers.size() == 1, "x has rank ", x.rank()));
  const int64_t channels = x.dim(1), planes = x.dim(0) * channels;
  for (const int i : {1, 2}) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, i));
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, i).shape.elements() == channels, "input ", i, " is not per channel"));
  }
  const int64_t size = planes == 0 ? 0 : x.elements() / planes;
  const double epsilon = params.numbers[0];
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t p = 0; p < planes; ++p) {
        const T* x = args.in<T>(0) + p * size;
        T* y = args.out<T>(0) + p * size;
        const Moments m = MomentsOf(x, size);
        const double factor =
            static_cast<double>(args.in<T>(1)[p % channels]) / std::sqrt(m.variance + epsilon);
        const double shift = static_cast<double>(args.in<T>(2)[p % channels]);
        for (int64_t i = 0; i < size; ++i) {
          y[i] = static_cast<T>((static_cast<double>(x[i]) - m.mean) * factor + shift);
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x, scale, bias?}; ints {axis}; numbers {epsilon}; outputs {y, mean?, 1/deviation?}.
// Over [axis, rank).
absl::StatusOr<KernelPlan> LayerNormStats(const OpSpec& spec, const NamedParams& params) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], x));
  PARAMD_RETURN_IF_ERROR(Require(params.numbers.size() == 1, "epsilon"));
  const Blocks b = BlocksAt(x, static_cast<int>(params.ints[0]));
  const int64_t size = b.along * b.inner, rows = b.outer;
  const bool biased = HasIn(spec, 2);
  for (const int i : {1, 2}) {
    if (!HasIn(spec, i)) continue;
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, i));
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, i).shape.elements() == size, "input ", i, " has another size"));
  }
  const bool outputs[3] = {HasOut(spec, 0), HasOut(spec, 1), HasOut(spec, 2)};
  for (const int i : {1, 2}) {
    if (!outputs[i]) continue;
    PARAMD_RETURN_IF_ERROR(
        Require(Out(spec, i).dtype == In(spec, 0).dtype && Out(spec, i).shape.elements() == rows,
                "output ", i, " has another size"));
  }
  const double epsilon = params.numbers[0];
  const bool y_there = outputs[0], mean_there = outputs[1], deviation_there = outputs[2];
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t r = 0; r < rows; ++r) {
        const T* x = args.in<T>(0) + r * size;
        const Moments m = MomentsOf(x, size);
        const double inverse = 1 / std::sqrt(m.variance + epsilon);
        if (mean_there) args.out<T>(1)[r] = static_cast<T>(m.mean);
        if (deviation_there) args.out<T>(2)[r] = static_cast<T>(inverse);
        for (int64_t i = 0; y_there && i < size; ++i) {
          const double y = (static_cast<double>(x[i]) - m.mean) * inverse *
                               static_cast<double>(args.in<T>(1)[i]) +
                           (biased ? static_cast<double>(args.in<T>(2)[i]) : 0);
          args.out<T>(0)[r * size + i] = static_cast<T>(y);
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; ints {axis, p}: by the 1- or 2-norm along the axis; nothing stays nothing.
absl::StatusOr<KernelPlan> LpNorm(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], In(spec, 0).shape));
  const int64_t p = params.ints[1];
  PARAMD_RETURN_IF_ERROR(Require(p == 1 || p == 2, "p is ", p));
  const Blocks b = BlocksAt(In(spec, 0).shape, static_cast<int>(params.ints[0]));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t o = 0; o < b.outer; ++o) {
        for (int64_t i = 0; i < b.inner; ++i) {
          const int64_t base = o * b.along * b.inner + i;
          double sum = 0;
          for (int64_t a = 0; a < b.along; ++a) {
            const auto value = static_cast<double>(args.in<T>(0)[base + a * b.inner]);
            sum += p == 1 ? std::fabs(value) : value * value;
          }
          const double norm = p == 1 ? sum : std::sqrt(sum);
          for (int64_t a = 0; a < b.along; ++a) {
            const int64_t at = base + a * b.inner;
            args.out<T>(0)[at] =
                norm == 0 ? T{0} : static_cast<T>(static_cast<double>(args.in<T>(0)[at]) / norm);
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x [N, C, ...], scale, shift, running mean, running variance, all [C]}; numbers {epsilon,
// momentum}; outputs {y?, the running ones moved towards the batch's?}.
absl::StatusOr<KernelPlan> BatchNormTraining(const OpSpec& spec, const NamedParams& params) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(x.rank() >= 2 && params.numbers.size() == 2, "x has rank ", x.rank()));
  const int64_t rows = x.dim(0), channels = x.dim(1);
  for (int i = 1; i < 5; ++i) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, i));
    PARAMD_RETURN_IF_ERROR(
        Require(In(spec, i).shape.elements() == channels, "input ", i, " is not per channel"));
  }
  const int64_t size = rows * channels == 0 ? 0 : x.elements() / (rows * channels);
  const double epsilon = params.numbers[0], momentum = params.numbers[1];
  const bool values = HasOut(spec, 0), mean_there = HasOut(spec, 1), var_there = HasOut(spec, 2);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      const auto at = [&](int64_t n, int64_t c) { return (n * channels + c) * size; };
      const auto count = static_cast<double>(rows * size);
      for (int64_t c = 0; c < channels; ++c) {
        double mean = 0, variance = 0;
        const auto each = [&](auto&& fn) {
          for (int64_t n = 0; n < rows; ++n) {
            for (int64_t i = 0; i < size; ++i) fn(at(n, c) + i);
          }
        };
        each([&](int64_t i) { mean += static_cast<double>(args.in<T>(0)[i]) / count; });
        each([&](int64_t i) {
          const double apart = static_cast<double>(args.in<T>(0)[i]) - mean;
          variance += apart * apart / count;
        });
        const double factor = static_cast<double>(args.in<T>(1)[c]) / std::sqrt(variance + epsilon);
        const auto shift = static_cast<double>(args.in<T>(2)[c]);
        if (values) {
          each([&](int64_t i) {
            args.out<T>(0)[i] =
                static_cast<T>((static_cast<double>(args.in<T>(0)[i]) - mean) * factor + shift);
          });
        }
        const auto moved = [&](int input, double now) {
          const auto before = static_cast<double>(args.in<T>(input)[c]);
          return static_cast<T>(before * momentum + now * (1 - momentum));
        };
        if (mean_there) args.out<T>(1)[c] = moved(3, mean);
        if (var_there) args.out<T>(2)[c] = moved(4, variance);
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; outputs {x as it is?, a mask that hides nothing}: dropout at inference.
absl::StatusOr<KernelPlan> DropoutMask(const OpSpec& spec, const NamedParams& params) {
  const int64_t count = In(spec, 0).shape.elements();
  PARAMD_RETURN_IF_ERROR(Require(HasOut(spec, 1) && Out(spec, 1).dtype == DType::kBool &&
                                     Out(spec, 1).shape.elements() == count,
                                 "the mask has another size"));
  const bool copied = HasOut(spec, 0);
  return VisitMovable(In(spec, 0).dtype, params.op,
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[=](const KernelArgs& args) {
                          if (copied) std::copy_n(args.in<T>(0), count, args.out<T>(0));
                          std::fill_n(args.out<uint8_t>(1), count, uint8_t{1});
                          return absl::OkStatus();
                        }};
                      });
}

constexpr NamedOp kNamedNormalization[] = {
    {"instance_norm", 3, 3, 0, InstanceNorm},
    {"layer_norm_stats", 2, 3, 1, LayerNormStats},
    {"lp_norm", 1, 1, 2, LpNorm},
    {"dropout_mask", 1, 1, 0, DropoutMask},
    {"batch_norm_training", 5, 5, 0, BatchNormTraining},
};

}  // namespace

absl::Span<const NamedOp> NamedNormalization() { return kNamedNormalization; }

}  // namespace paramd::reference
