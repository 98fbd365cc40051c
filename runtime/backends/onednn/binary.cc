// Elementwise arithmetic of two operands with numpy's broadcasting, where
// oneDNN has a tuned kernel for it.
//
// The output takes the layout of the first activation of the output's shape;
// dimensions are then planned in memory order with neighbours of equal
// broadcasting joined, so that most cases become the two- and three-dimensional
// ones that the kernels know.
#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/backends/onednn/activation.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

absl::StatusOr<dnnl::algorithm> AlgorithmOf(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kAdd:
      return dnnl::algorithm::binary_add;
    case BinaryKind::kSub:
      return dnnl::algorithm::binary_sub;
    case BinaryKind::kMul:
      return dnnl::algorithm::binary_mul;
    case BinaryKind::kDiv:
      return dnnl::algorithm::binary_div;
    case BinaryKind::kMin:
      return dnnl::algorithm::binary_min;
    case BinaryKind::kMax:
      return dnnl::algorithm::binary_max;
    default:
      return absl::UnimplementedError(StrCat("no ", BinaryKindName(kind)));
  }
}

// Plain, unless an activation of y's shape is channels-last and no operand of
// other rank or origin would have to be re-laid for it.
Layout BinaryLayout(const OpSpec& spec) {
  const Shape& y = spec.outputs[0].shape;
  Layout layout = Layout::kPlain;
  bool found = false;
  for (size_t i = 0; i < 2; ++i) {
    const Operand& input = spec.inputs[i];
    if (!found && input.kind == OperandKind::kActivation && input.shape == y) {
      layout = LayoutOf(input);
      found = true;
    }
  }
  if (layout == Layout::kPlain) return layout;
  for (size_t i = 0; i < 2; ++i) {
    const Operand& input = spec.inputs[i];
    const bool fixed = input.kind == OperandKind::kParameter || input.shape.rank() != y.rank();
    if (!fixed || input.shape.elements() == 1) continue;
    // As y's rank sees it: [C, 1, 1] is [1, C, 1, 1], the same bytes either way.
    Shape widened;
    for (int d = input.shape.rank(); d < y.rank(); ++d) widened.push_back(1);
    for (int64_t dim : input.shape.dims()) widened.push_back(dim);
    if (!LayoutIsMoot(widened)) return Layout::kPlain;
  }
  return layout;
}

struct Broadcast {
  Dims a, b, y;
};

// Both operands and the result in memory order, neighbours joined.
Broadcast Joined(const OpSpec& spec, Layout layout) {
  const Dims y = InMemoryOrder(DimsOf(spec.outputs[0].shape), layout);
  const auto widened = [&](const Shape& shape) {
    Dims dims(y.size() - static_cast<size_t>(shape.rank()), 1);
    dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
    return InMemoryOrder(dims, layout);
  };
  const Dims a = widened(spec.inputs[0].shape);
  const Dims b = widened(spec.inputs[1].shape);
  Broadcast joined;
  for (size_t i = 0; i < y.size(); ++i) {
    if (y[i] == 1) continue;
    const bool grows = !joined.y.empty() && (joined.a.back() == 1) == (a[i] == 1) &&
                       (joined.b.back() == 1) == (b[i] == 1);
    if (grows) {
      joined.a.back() *= a[i];
      joined.b.back() *= b[i];
      joined.y.back() *= y[i];
    } else {
      joined.a.push_back(a[i]);
      joined.b.push_back(b[i]);
      joined.y.push_back(y[i]);
    }
  }
  if (joined.y.empty()) joined = {{1}, {1}, {1}};
  return joined;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanBinary(const OpSpec& spec, const BinaryParams& binary) {
  PARAMD_ASSIGN_OR_RETURN(const auto algorithm, AlgorithmOf(binary.kind));
  PARAMD_ASSIGN_OR_RETURN(auto a_type, FloatType(spec.inputs[0].dtype));
  PARAMD_ASSIGN_OR_RETURN(auto b_type, FloatType(spec.inputs[1].dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  const Layout layout = BinaryLayout(spec);
  Broadcast dims = Joined(spec, layout);
  if (dims.y.size() > 5) {
    return absl::UnimplementedError(StrCat("broadcasting ", spec.inputs[0].shape.ToString(),
                                           " with ", spec.inputs[1].shape.ToString()));
  }

  PrimitivePlan plan;
  plan.output_layout = layout;
  plan.input_layouts = ActivationLayouts(spec, layout);
  for (size_t i = 0; i < 2; ++i) {
    // Of another rank (or one element), its own layout says nothing about y's.
    if (spec.inputs[i].shape.rank() != spec.outputs[0].shape.rank()) {
      plan.input_layouts[i] = Layout::kPlain;
    }
  }
  // The kernels repeat their second operand only.
  int a = 0, b = 1;
  dnnl::post_ops post_ops;
  if (dims.a != dims.y) {
    if (dims.b != dims.y) return absl::UnimplementedError("both operands are broadcast");
    if (binary.kind == BinaryKind::kDiv) return absl::UnimplementedError("a broadcast dividend");
    std::swap(a, b);
    std::swap(a_type, b_type);
    std::swap(dims.a, dims.b);
    // a - b = -(b - a), exactly.
    if (binary.kind == BinaryKind::kSub) {
      post_ops.append_eltwise(dnnl::algorithm::eltwise_linear, -1, 0);
    }
  }
  const auto a_desc = DenseDesc(dims.a, a_type);
  const auto b_desc = DenseDesc(dims.b, b_type);
  const auto y_desc = DenseDesc(dims.y, y_type);
  PARAMD_RETURN_IF_ERROR(AppendPostOps(spec, dims.y, Layout::kPlain, &post_ops, &plan));
  const dnnl::binary::primitive_desc desc(CpuEngine(), algorithm, a_desc, b_desc, y_desc,
                                          Attributes(post_ops));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::binary>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC_0, a, a_desc);
  plan.AddInput(DNNL_ARG_SRC_1, b, b_desc);
  plan.AddOutput(y_desc);
  const Operand& first = spec.inputs[static_cast<size_t>(a)];
  if (first.kind == OperandKind::kActivation && a_type == y_type) plan.in_place_input = a;
  return plan;
}

}  // namespace paramd::onednn
