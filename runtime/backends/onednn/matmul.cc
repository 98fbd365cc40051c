// MatMul: one right side for all rows becomes a two-dimensional product with
// packed weights; different right sides (attention) a batch of plain ones.
#include <algorithm>
#include <optional>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/matmul_2d.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

// `shape`'s dimensions with ones before them, as numpy aligns.
Dims Widened(const Shape& shape, int rank) {
  Dims dims(static_cast<size_t>(std::max(0, rank - shape.rank())), 1);
  dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
  return dims;
}

int64_t BatchOf(const Shape& shape) {
  return Product(shape.dims().subspan(0, static_cast<size_t>(shape.rank() - 2)));
}

// How the bias lies over [rows, columns], where the batch of y may have been
// folded into the rows; nothing if it repeats in another rhythm (one per row
// too: oneDNN has only its reference implementation for that).
std::optional<MatMul2d::Bias> BiasShape(const Shape& bias, const Shape& y) {
  const Dims dims = Widened(bias, y.rank());
  const int64_t columns = dims.back();
  const int64_t rows = Product(dims) / columns;
  if (rows == 1) {
    return columns == y.dim(y.rank() - 1) ? MatMul2d::Bias::kRow : MatMul2d::Bias::kScalar;
  }
  if (bias == y) return MatMul2d::Bias::kFull;
  return std::nullopt;
}

absl::StatusOr<PrimitivePlan> PlanBatched(const OpSpec& spec, const MatMulParams& matmul) {
  const Operand& a = spec.inputs[0];
  const Operand& b = spec.inputs[1];
  const Operand& y = spec.outputs[0];
  if (matmul.alpha != 1 && HasInput(spec, 2)) {
    return absl::UnimplementedError("a batch of products that is scaled and has a bias");
  }
  if (HasInput(spec, 2) && matmul.beta != 1) {
    return absl::UnimplementedError("a batch of products with a scaled bias");
  }
  PARAMD_ASSIGN_OR_RETURN(const auto a_type, FloatType(a.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto b_type, FloatType(b.dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(y.dtype));

  const int rank = y.shape.rank();
  const auto batch_rank = static_cast<size_t>(rank - 2);
  Dims a_dims = Widened(a.shape, rank);
  Dims b_dims = Widened(b.shape, rank);
  Dims y_dims = DimsOf(y.shape);
  // Equal batch dimensions are one: the kernels are tuned for three.
  const bool same_batch = std::equal(a_dims.begin(), a_dims.end() - 2, b_dims.begin());
  const bool fold = same_batch && !HasInput(spec, 2) && batch_rank > 1;
  if (fold) {
    for (Dims* dims : {&a_dims, &b_dims, &y_dims}) {
      const int64_t batch = Product(absl::MakeSpan(*dims).subspan(0, batch_rank));
      *dims = {batch, (*dims)[batch_rank], (*dims)[batch_rank + 1]};
    }
  }
  const auto desc_of = [](Dims dims, bool transposed, memory::data_type type) {
    Dims strides = DenseStrides(dims);
    if (transposed) {
      std::swap(dims[dims.size() - 1], dims[dims.size() - 2]);
      std::swap(strides[dims.size() - 1], strides[dims.size() - 2]);
    }
    return memory::desc(dims, type, strides);
  };
  const memory::desc a_desc = desc_of(a_dims, matmul.trans_a, a_type);
  const memory::desc b_desc = desc_of(b_dims, matmul.trans_b, b_type);
  const memory::desc y_desc = DenseDesc(y_dims, y_type);

  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, Layout::kPlain);
  memory::desc bias_desc;
  dnnl::post_ops post_ops;
  if (matmul.alpha != 1) {
    post_ops.append_eltwise(dnnl::algorithm::eltwise_linear, matmul.alpha, 0);
  }
  if (HasInput(spec, 2)) {
    PARAMD_ASSIGN_OR_RETURN(const auto bias_type, FloatType(spec.inputs[2].dtype));
    bias_desc = DenseDesc(Widened(spec.inputs[2].shape, rank), bias_type);
    plan.AddInput(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_ops.len()) | DNNL_ARG_SRC_1, 2, bias_desc);
    post_ops.append_binary(dnnl::algorithm::binary_add, bias_desc);
  }
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, y_dims, Layout::kPlain, &post_ops, &plan));
  const dnnl::matmul::primitive_desc desc(CpuEngine(), a_desc, b_desc, y_desc,
                                          Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::matmul>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, a_desc);
  plan.AddInput(DNNL_ARG_WEIGHTS, 1, b_desc);
  plan.AddOutput(y_desc);
  return plan;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanMatMul(const OpSpec& spec, const MatMulParams& matmul) {
  const Shape& a = spec.inputs[0].shape;
  const Shape& b = spec.inputs[1].shape;
  const Shape& y = spec.outputs[0].shape;
  // Rows of a transposed left side are not together, so a batch cannot fold into them.
  if (BatchOf(b) != 1 || (matmul.trans_a && BatchOf(a) != 1)) return PlanBatched(spec, matmul);

  MatMul2d product;
  product.columns = y.dim(y.rank() - 1);
  product.rows = y.elements() / product.columns;
  product.inner = a.dim(a.rank() - (matmul.trans_a ? 2 : 1));
  product.trans_a = matmul.trans_a;
  product.weights_strides = matmul.trans_b ? Dims{1, product.inner} : Dims{product.columns, 1};
  product.alpha = matmul.alpha;
  product.beta = matmul.beta;
  if (HasInput(spec, 2)) {
    const std::optional<MatMul2d::Bias> bias = BiasShape(spec.inputs[2].shape, y);
    if (!bias.has_value()) {
      return absl::UnimplementedError(
          StrCat("a bias of ", spec.inputs[2].shape.ToString(), " over ", y.ToString()));
    }
    product.bias = *bias;
  }
  return PlanMatMul2d(spec, product);
}

}  // namespace paramd::onednn
