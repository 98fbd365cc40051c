// DeformConv: a convolution whose taps are moved by what the request says.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/ops/window.h"

namespace paramd::ops {
namespace {

// {x [N, C, H, W], w [M, C/group, kh, kw], offset, bias?, mask?}
absl::StatusOr<Window> WindowOf(const InferContext& context) {
  const SymbolicShape &x = *InputShape(context, 0), &w = *InputShape(context, 1);
  if (x.size() != 4 || w.size() != 4) {
    return absl::UnimplementedError(
        StrCat("x is ", ToString(x), " and w ", ToString(w), ": only two spatial dimensions are"));
  }
  std::vector<int64_t> kernel = context.node->GetInts("kernel_shape");
  for (size_t i = kernel.size(); i < 2; ++i) {
    if (!w[i + 2].known()) return absl::UnimplementedError("the kernel's size is not known");
    kernel.push_back(w[i + 2].size);
  }
  for (size_t i = 0; i < 2; ++i)
    PARAMD_RETURN_IF_ERROR(MergeDims(w[i + 2], Dim::Of(kernel[i])).status());
  return ParseWindow(*context.node, std::move(kernel));
}

absl::StatusOr<Types> InferDeformConv(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  for (int i = 1; i < 5; ++i) {
    if (HasInput(context, i)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
  }
  const DType dtype = InputDType(context, 0);
  const SymbolicShape *x = InputShape(context, 0), *w = InputShape(context, 1);
  if (x == nullptr || w == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(const Window window, WindowOf(context));
  SymbolicShape y{(*x)[0], (*w)[0]};
  for (size_t i = 0; i < 2; ++i) {
    PARAMD_ASSIGN_OR_RETURN(Dim steps, WindowSteps(window, i, (*x)[i + 2]));
    y.push_back(std::move(steps));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerDeformConv(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(Window window, WindowOf(context));
  bool overhang = false;
  PARAMD_RETURN_IF_ERROR(
      ResolvePads(window, absl::Span<const Dim>(*InputShape(context, 0)).subspan(2), &overhang));
  std::vector<int64_t> ints = {context.node->GetInt("group", 1),
                               context.node->GetInt("offset_group", 1)};
  for (const auto* list : {&window.strides, &window.dilations, &window.pads_begin}) {
    ints.insert(ints.end(), list->begin(), list->end());
  }
  return MakeNamed(context, outputs, "deform_conv", std::move(ints), {}, {0, 1, 2, 3, 4});
}

constexpr OpRow kDeformConvOps[] = {
    {"", "DeformConv", 19, kOpsetMax, 3, 5, 1, InferDeformConv, LowerDeformConv},
};

}  // namespace

absl::Span<const OpRow> DeformConvOps() { return kDeformConvOps; }

}  // namespace paramd::ops
