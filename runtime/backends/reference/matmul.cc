// MatMul: y = alpha op(a) op(b) + beta bias, batched with numpy's broadcasting.
#include <type_traits>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/gemm.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/spec_validation.h"

namespace paramd::reference {
namespace {

struct MatMulPlan {
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_column = 0;  // Strides of op(a).
  int64_t b_row = 0, b_column = 0;  // Strides of op(b).
  // Over the batch: offsets of a, b, bias and y.
  StridedLoop<4> batches;
  bool has_bias = false;
  int64_t bias_row = 0, bias_column = 0;
  float alpha = 1, beta = 1;
};

MatMulPlan PlanMatMul(const OpSpec& spec, const MatMulParams& params) {
  const Shape& a = spec.inputs[0].shape;
  const Shape& b = spec.inputs[1].shape;
  const Shape& y = spec.outputs[0].shape;
  MatMulPlan plan;
  plan.alpha = params.alpha;
  plan.beta = params.beta;
  plan.m = y.dim(y.rank() - 2);
  plan.n = y.dim(y.rank() - 1);
  plan.k = a.dim(params.trans_a ? a.rank() - 2 : a.rank() - 1);
  plan.a_row = params.trans_a ? 1 : plan.k;
  plan.a_column = params.trans_a ? plan.m : 1;
  plan.b_row = params.trans_b ? 1 : plan.n;
  plan.b_column = params.trans_b ? plan.k : 1;

  const auto batch_rank = static_cast<size_t>(y.rank() - 2);
  // The strides of whole matrices: those of the tensors' leading dimensions.
  const auto leading = [&](const Shape& shape) {
    const Strides dense = DenseStrides(shape);
    Strides strides{};
    const int shift = y.rank() - shape.rank();
    for (int i = 0; i < shape.rank() - 2; ++i) {
      if (shape.dim(i) != 1)
        strides[static_cast<size_t>(i + shift)] = dense[static_cast<size_t>(i)];
    }
    return strides;
  };
  Strides bias{};
  if (const Operand* operand = OwnInputs(spec) > 2 ? InputOrNull(spec, 2) : nullptr;
      operand != nullptr) {
    plan.has_bias = true;
    bias = BroadcastStrides(operand->shape, y);
    plan.bias_row = bias[batch_rank];
    plan.bias_column = bias[batch_rank + 1];
  }
  plan.batches = StridedLoop<4>(y.dims().subspan(0, batch_rank),
                                {leading(a), leading(b), bias, DenseStrides(y)});
  return plan;
}

template <typename T>
T Finish(T sum, float alpha, float beta, bool has_bias, T bias) {
  if (alpha != 1) sum = Convert<T>(alpha * static_cast<double>(sum));
  if (!has_bias) return sum;
  if (beta != 1) bias = Convert<T>(beta * static_cast<double>(bias));
  return Add(sum, bias);
}

// Signed sums wrap as their unsigned twins do.
template <typename T, bool kIntegral = std::is_integral_v<T>>
struct SumType {
  using type = T;
};
template <typename T>
struct SumType<T, true> {
  using type = std::make_unsigned_t<T>;
};

template <typename T>
void MultiplyOne(const MatMulPlan& plan, const T* a, const T* b, const T* bias, T* y,
                 std::byte* scratch) {
  using S = typename SumType<T>::type;
  const auto pack = [&](int64_t j, int64_t columns, S* panel) {
    // Rows beyond `columns` of the panel are zero.
    if (columns < kPanelColumns<S>) std::fill_n(panel, plan.k * kPanelColumns<S>, S{0});
    if (plan.b_column == 1) {
      for (int64_t l = 0; l < plan.k; ++l) {
        const T* row = b + l * plan.b_row + j;
        for (int64_t c = 0; c < columns; ++c)
          panel[l * kPanelColumns<S> + c] = static_cast<S>(row[c]);
      }
      return;
    }
    for (int64_t c = 0; c < columns; ++c) {
      const T* column = b + (j + c) * plan.b_column;
      for (int64_t l = 0; l < plan.k; ++l) {
        panel[l * kPanelColumns<S> + c] = static_cast<S>(column[l * plan.b_row]);
      }
    }
  };
  const auto store = [&](int64_t i, int64_t j, int64_t columns, const S* sums) {
    T* row = y + i * plan.n + j;
    const T* row_bias = plan.has_bias ? bias + i * plan.bias_row + j * plan.bias_column : nullptr;
    for (int64_t c = 0; c < columns; ++c) {
      row[c] = Finish(static_cast<T>(sums[c]), plan.alpha, plan.beta, plan.has_bias,
                      plan.has_bias ? row_bias[c * plan.bias_column] : T{});
    }
  };
  // A signed type and its unsigned twin may read each other's objects.
  const GemmLeft<S> left{reinterpret_cast<const S*>(a), plan.a_row, plan.a_column};
  Gemm(plan.m, plan.n, plan.k, left, reinterpret_cast<S*>(scratch), pack, store);
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const MatMulParams& params) {
  const DType dtype = spec.inputs[0].dtype;
  const Operand* bias = OwnInputs(spec) > 2 ? InputOrNull(spec, 2) : nullptr;
  const bool same = spec.inputs[1].dtype == dtype && spec.outputs[0].dtype == dtype &&
                    (bias == nullptr || bias->dtype == dtype);
  if (!same) return absl::UnimplementedError("matmul of operands of different types");
  const auto make = [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    const MatMulPlan plan = PlanMatMul(spec, params);
    // Empty sums, and nothing to write, need no panel.
    const bool empty = spec.outputs[0].shape.elements() == 0;
    KernelPlan kernel;
    const uint64_t panel_row_bytes = sizeof(T) * static_cast<uint64_t>(kPanelColumns<T>);
    if (!empty) {
      if (static_cast<uint64_t>(plan.k) > (uint64_t{1} << 62) / panel_row_bytes) {
        return absl::InvalidArgumentError("matmul: the inner dimension is too large");
      }
      kernel.scratch_bytes = static_cast<uint64_t>(plan.k) * panel_row_bytes;
    }
    kernel.run = [plan, empty](const KernelArgs& args) {
      if (empty) return absl::OkStatus();
      const T* a = args.in<T>(0);
      const T* b = args.in<T>(1);
      const T* bias = plan.has_bias ? args.in<T>(2) : nullptr;
      T* y = args.out<T>(0);
      const int64_t sa = plan.batches.inner(0), sb = plan.batches.inner(1);
      const int64_t sbias = plan.batches.inner(2), sy = plan.batches.inner(3);
      plan.batches.ForEachRow([&](const std::array<int64_t, 4>& at, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
          MultiplyOne(plan, a + at[0] + i * sa, b + at[1] + i * sb,
                      plan.has_bias ? bias + at[2] + i * sbias : nullptr, y + at[3] + i * sy,
                      args.scratch);
        }
      });
      return absl::OkStatus();
    };
    return kernel;
  };
  switch (dtype) {
    case DType::kI32:
      return make.template operator()<int32_t>();
    case DType::kU32:
      return make.template operator()<uint32_t>();
    case DType::kI64:
      return make.template operator()<int64_t>();
    case DType::kU64:
      return make.template operator()<uint64_t>();
    default:
      return VisitFloat(dtype, "matmul", make);
  }
}

}  // namespace paramd::reference
