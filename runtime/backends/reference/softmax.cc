// Softmax and log-softmax over one dimension, or over all from an axis on.
#include <cmath>
#include <limits>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/spec_validation.h"

namespace paramd::reference {
namespace {

// `count` elements, `step` apart; x and y may be the same address.
template <typename T>
void SoftmaxRow(const T* x, T* y, int64_t count, int64_t step, bool log) {
  T largest = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < count; ++i) {
    const T value = x[i * step];
    if (value > largest || value != value) largest = value;
  }
  // Summed in double: a row of a million f32 must not drift.
  double sum = 0;
  if (log) {
    for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i * step] - largest);
    const T shift = largest + static_cast<T>(std::log(sum));
    for (int64_t i = 0; i < count; ++i) y[i * step] = x[i * step] - shift;
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const T value = std::exp(x[i * step] - largest);
    y[i * step] = value;
    sum += value;
  }
  for (int64_t i = 0; i < count; ++i) y[i * step] = static_cast<T>(y[i * step] / sum);
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const SoftmaxParams& params) {
  const Shape& x = spec.inputs[0].shape;
  if (spec.outputs[0].dtype != spec.inputs[0].dtype) {
    return absl::UnimplementedError("softmax to another type");
  }
  const int axis = CanonicalAxis(params.axis, x.rank());
  int64_t outer = 1, count = 1, inner = 1;
  for (int i = 0; i < x.rank(); ++i) {
    const bool in_row = i == axis || (params.flattened && i > axis);
    (i < axis ? outer : in_row ? count : inner) *= x.dim(i);
  }
  // Dimensions beside an empty one may be huge.
  if (x.elements() == 0) outer = 0;
  return VisitFloat(spec.inputs[0].dtype, "softmax",
                    [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                      Kernel run = [outer, count, inner, log = params.log](const KernelArgs& args) {
                        const T* x = args.in<T>(0);
                        T* y = args.out<T>(0);
                        for (int64_t o = 0; o < outer; ++o) {
                          for (int64_t i = 0; i < inner; ++i) {
                            const int64_t at = o * count * inner + i;
                            SoftmaxRow(x + at, y + at, count, inner, log);
                          }
                        }
                        return absl::OkStatus();
                      };
                      return KernelPlan{std::move(run), 0, 0};
                    });
}

}  // namespace paramd::reference
