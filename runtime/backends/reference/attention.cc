// Attention, one row of queries at a time.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/backends/attention_shape.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

template <typename T>
struct Row {
  const T *q, *k, *v, *mask;
  const uint8_t* keep;
  T* y;
};

// The row's scores go to `scores`, and come to be its softmax.
template <typename T>
void OneRow(const AttentionShape& shape, const AttentionParams& params, const Row<T>& row,
            double* scores) {
  double most = -std::numeric_limits<double>::infinity();
  for (int64_t t = 0; t < shape.keys; ++t) {
    double sum = 0;
    for (int64_t d = 0; d < shape.head_size; ++d) {
      sum += static_cast<double>(row.q[d * shape.q.column]) *
             row.k[t * shape.k.row + d * shape.k.column];
    }
    // Masks are added to numbers of the operands' type: -FLT_MAX swallows the rest.
    T score = static_cast<T>(sum * params.scale);
    if (row.keep != nullptr) {
      const bool kept = row.keep[t * shape.keep.column] != 0;
      if (kept == params.drop) score = static_cast<T>(params.fill);
    }
    if (row.mask != nullptr) score += row.mask[t * shape.mask.column];
    scores[t] = score;
    if (!(scores[t] <= most)) most = scores[t];  // NaN stays.
  }
  double sum = 0;
  for (int64_t t = 0; t < shape.keys; ++t) {
    scores[t] = std::exp(scores[t] - most);
    sum += scores[t];
  }
  const bool zeros = params.zero_nan && std::isnan(sum);
  for (int64_t e = 0; e < shape.value_size; ++e) {
    double value = 0;
    for (int64_t t = 0; t < shape.keys && !zeros; ++t) {
      value += scores[t] / sum * row.v[t * shape.v.row + e * shape.v.column];
    }
    row.y[e * shape.y.column] = static_cast<T>(value);
  }
}

int64_t At(const AttentionShape::Steps& steps, int64_t b, int64_t h, int64_t r) {
  return b * steps.batch + h * steps.head + r * steps.row;
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const AttentionParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const AttentionShape shape, AttentionShapeOf(spec, params));
  const DType dtype = spec.inputs[0].dtype;
  const bool has_mask = InputOrNull(spec, 3) != nullptr, has_keep = InputOrNull(spec, 4) != nullptr;
  for (size_t i = 1; i < 4; ++i) {
    const Operand* operand = InputOrNull(spec, static_cast<int>(i));
    if (operand != nullptr && operand->dtype != dtype) {
      return absl::UnimplementedError("attention of operands of different types");
    }
  }
  if (spec.outputs[0].dtype != dtype) return absl::UnimplementedError("attention to another type");
  return VisitFloat(dtype, "attention", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [shape, params, has_mask, has_keep](const KernelArgs& args) {
      auto* scores = reinterpret_cast<double*>(args.scratch);
      for (int64_t b = 0; b < shape.batch; ++b) {
        for (int64_t h = 0; h < shape.heads; ++h) {
          for (int64_t r = 0; r < shape.rows; ++r) {
            // Rows of k and v are keys: each query reads all of them.
            OneRow<T>(shape, params,
                      {.q = args.in<T>(0) + At(shape.q, b, h, r),
                       .k = args.in<T>(1) + At(shape.k, b, h, 0),
                       .v = args.in<T>(2) + At(shape.v, b, h, 0),
                       .mask = has_mask ? args.in<T>(3) + At(shape.mask, b, h, r) : nullptr,
                       .keep = has_keep ? args.in<uint8_t>(4) + At(shape.keep, b, h, r) : nullptr,
                       .y = args.out<T>(0) + At(shape.y, b, h, r)},
                      scores);
          }
        }
      }
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), static_cast<uint64_t>(shape.keys) * sizeof(double), -1};
  });
}

}  // namespace paramd::reference
