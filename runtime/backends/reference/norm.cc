// Normalisations: across channels (LRN), by stored statistics (BatchNorm) and
// by each row's own (LayerNorm).
#include <algorithm>
#include <cmath>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/spec_validation.h"

namespace paramd::reference {
namespace {

// x [batch, channels, inner].
struct ChannelPlan {
  int64_t batch = 0, channels = 0, inner = 1;
};

ChannelPlan PlanChannels(const Shape& x) {
  if (x.elements() == 0) return {};
  ChannelPlan plan{x.dim(0), x.dim(1), 1};
  for (int i = 2; i < x.rank(); ++i) plan.inner *= x.dim(i);
  return plan;
}

template <typename T>
void Lrn(const ChannelPlan& plan, const LrnParams& params, const T* x, T* y) {
  // A stripe of positions at a time: every channel's row is read contiguously.
  constexpr int64_t kStripe = 64;
  const int64_t before = (params.size - 1) / 2, after = params.size - 1 - before;
  const double alpha = static_cast<double>(params.alpha) / static_cast<double>(params.size);
  for (int64_t n = 0; n < plan.batch; ++n) {
    const T* image = x + n * plan.channels * plan.inner;
    T* result = y + n * plan.channels * plan.inner;
    for (int64_t s = 0; s < plan.inner; s += kStripe) {
      const int64_t width = std::min(kStripe, plan.inner - s);
      for (int64_t c = 0; c < plan.channels; ++c) {
        double sums[kStripe] = {};
        const int64_t last = std::min(plan.channels - 1, c + after);
        for (int64_t other = std::max<int64_t>(0, c - before); other <= last; ++other) {
          const T* row = image + other * plan.inner + s;
          for (int64_t i = 0; i < width; ++i) sums[i] += static_cast<double>(row[i]) * row[i];
        }
        const int64_t at = c * plan.inner + s;
        for (int64_t i = 0; i < width; ++i) {
          const double divisor =
              std::pow(params.bias + alpha * sums[i], static_cast<double>(params.beta));
          result[at + i] = static_cast<T>(image[at + i] / divisor);
        }
      }
    }
  }
}

// One number of a parameter that may be f32 beside an f64 tensor, or the other way.
double Load(DType dtype, const void* data, int64_t i) {
  if (dtype == DType::kF64) return static_cast<const double*>(data)[i];
  return static_cast<const float*>(data)[i];
}

bool Loadable(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF64; }

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const LrnParams& params) {
  const DType dtype = spec.inputs[0].dtype;
  if (spec.outputs[0].dtype != dtype) return absl::UnimplementedError("lrn to another type");
  const ChannelPlan plan = PlanChannels(spec.inputs[0].shape);
  return VisitFloat(dtype, "lrn", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[plan, params](const KernelArgs& args) {
      Lrn(plan, params, args.in<T>(0), args.out<T>(0));
      return absl::OkStatus();
    }};
  });
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const BatchNormParams& params) {
  const DType dtype = spec.inputs[0].dtype;
  if (spec.outputs[0].dtype != dtype) return absl::UnimplementedError("batch_norm to another type");
  std::array<DType, 5> types{};
  for (size_t i = 0; i < types.size(); ++i) {
    types[i] = spec.inputs[i].dtype;
    if (!Loadable(types[i])) return NoSuchType("batch_norm", types[i]);
  }
  const ChannelPlan plan = PlanChannels(spec.inputs[0].shape);
  return VisitFloat(dtype, "batch_norm", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [plan, types, epsilon = params.epsilon](const KernelArgs& args) {
      for (int64_t c = 0; c < plan.channels; ++c) {
        const double variance = Load(types[4], args.inputs[4], c);
        const double scale =
            Load(types[1], args.inputs[1], c) / std::sqrt(variance + static_cast<double>(epsilon));
        const double shift =
            Load(types[2], args.inputs[2], c) - Load(types[3], args.inputs[3], c) * scale;
        for (int64_t n = 0; n < plan.batch; ++n) {
          const int64_t at = (n * plan.channels + c) * plan.inner;
          const T* x = args.in<T>(0) + at;
          T* y = args.out<T>(0) + at;
          for (int64_t i = 0; i < plan.inner; ++i) y[i] = static_cast<T>(x[i] * scale + shift);
        }
      }
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), 0, 0};
  });
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const LayerNormParams& params) {
  const Shape& x = spec.inputs[0].shape;
  const DType dtype = spec.inputs[0].dtype;
  const Operand* bias = OwnInputs(spec) > 2 ? InputOrNull(spec, 2) : nullptr;
  const bool same = spec.outputs[0].dtype == dtype && spec.inputs[1].dtype == dtype &&
                    (bias == nullptr || bias->dtype == dtype);
  if (!same) return absl::UnimplementedError("layer_norm of operands of different types");
  const auto axis = static_cast<size_t>(CanonicalAxis(params.axis, x.rank()));
  const std::array<Strides, 3> all = {
      DenseStrides(x), BroadcastStrides(spec.inputs[1].shape, x),
      bias == nullptr ? Strides{} : BroadcastStrides(bias->shape, x)};
  std::array<Strides, 3> inner{};
  for (size_t k = 0; k < 3; ++k) std::copy(all[k].begin() + axis, all[k].end(), inner[k].begin());
  const StridedLoop<3> rows(x.dims().subspan(0, axis), all);
  const StridedLoop<3> row(x.dims().subspan(axis), inner);
  const double count =
      x.elements() == 0 ? 0 : static_cast<double>(Shape(x.dims().subspan(axis)).elements());
  return VisitFloat(dtype, "layer_norm", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [rows, row, count, has_bias = bias != nullptr,
                  epsilon = static_cast<double>(params.epsilon)](const KernelArgs& args) {
      const int64_t sx = row.inner(0), sscale = row.inner(1), sbias = row.inner(2);
      const auto one = [&](const T* x, const T* scale, const T* bias, T* y) {
        double sum = 0, squares = 0;
        row.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t n) {
          for (int64_t i = 0; i < n; ++i) sum += x[at[0] + i * sx];
        });
        const double mean = sum / count;
        row.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t n) {
          for (int64_t i = 0; i < n; ++i) {
            const double centred = x[at[0] + i * sx] - mean;
            squares += centred * centred;
          }
        });
        const double factor = 1 / std::sqrt(squares / count + epsilon);
        row.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t n) {
          for (int64_t i = 0; i < n; ++i) {
            const int64_t at_x = at[0] + i * sx;
            double value = (x[at_x] - mean) * factor * scale[at[1] + i * sscale];
            if (has_bias) value += bias[at[2] + i * sbias];
            y[at_x] = static_cast<T>(value);
          }
        });
      };
      if (count == 0) return absl::OkStatus();
      rows.ForEachRow([&](const std::array<int64_t, 3>& at, int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at_x = at[0] + i * rows.inner(0);
          one(args.in<T>(0) + at_x, args.in<T>(1) + at[1] + i * rows.inner(1),
              has_bias ? args.in<T>(2) + at[2] + i * rows.inner(2) : nullptr,
              args.out<T>(0) + at_x);
        }
      });
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), 0, 0};
  });
}

}  // namespace paramd::reference
