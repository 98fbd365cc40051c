// ConvTranspose, LpPool, GlobalLpPool, Col2Im.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/ops/window.h"

namespace paramd::ops {
namespace {

absl::Status CheckSpatialRank(const SymbolicShape& x) {
  if (x.size() >= 3 && x.size() <= 5) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("x is ", ToString(x), ", expected one to three spatial dimensions"));
}

void Append(std::vector<int64_t>* ints, std::initializer_list<const std::vector<int64_t>*> lists) {
  for (const auto* list : lists) ints->insert(ints->end(), list->begin(), list->end());
}

// --- ConvTranspose -------------------------------------------------------------

struct Transposed {
  Window window;
  SymbolicShape y;
};

// Sizes and pads as ONNX's definition gives them: from the pads, or from an
// output_shape that says how much of the whole is cut off.
absl::StatusOr<Transposed> TransposedOf(const InferContext& context) {
  const Node& node = *context.node;
  const SymbolicShape &x = *InputShape(context, 0), &w = *InputShape(context, 1);
  PARAMD_RETURN_IF_ERROR(CheckSpatialRank(x));
  if (w.size() != x.size()) {
    return absl::InvalidArgumentError(
        StrCat("weights ", ToString(w), " for x ", ToString(x), ": ranks differ"));
  }
  const int64_t groups = node.GetInt("group", 1);
  if (groups < 1 || groups > (int64_t{1} << 31)) {
    return absl::InvalidArgumentError(StrCat("group is ", groups));
  }
  PARAMD_RETURN_IF_ERROR(MergeDims(x[1], w[0]).status());
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < w.size(); ++i) {
    if (!w[i].known()) return absl::UnimplementedError("the kernel's size is not known");
    kernel.push_back(w[i].size);
  }
  const size_t spatial = kernel.size();
  if (node.Has("kernel_shape") && node.GetInts("kernel_shape") != kernel) {
    return absl::InvalidArgumentError("kernel_shape contradicts the weights");
  }
  Transposed result;
  PARAMD_ASSIGN_OR_RETURN(result.window, ParseWindow(node, std::move(kernel)));
  Window& window = result.window;
  std::vector<int64_t> extra = node.GetInts("output_padding");
  if (extra.empty()) extra.assign(spatial, 0);
  std::vector<int64_t> wanted = node.GetInts("output_shape");
  // Some exporters write all dimensions.
  if (wanted.size() == spatial + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (extra.size() != spatial || (!wanted.empty() && wanted.size() != spatial)) {
    return absl::InvalidArgumentError("output_padding or output_shape do not fit x");
  }
  result.y = {x[0], w[1].known() ? Dim::Of(w[1].size * groups) : Dim::Unknown()};
  const bool same = window.auto_pad == Window::AutoPad::kSameUpper ||
                    window.auto_pad == Window::AutoPad::kSameLower;
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& in = x[i + 2];
    if (extra[i] < 0 || extra[i] > (int64_t{1} << 31)) {
      return absl::InvalidArgumentError(StrCat("output_padding is ", extra[i]));
    }
    if (!in.known()) {
      result.y.push_back(Dim::Unknown());
      continue;
    }
    if (in.size < 1 || in.size > (int64_t{1} << 30)) {
      return absl::InvalidArgumentError(StrCat("spatial dimension ", i, " is ", in.size));
    }
    // Of what the windows cover before anything is cut off.
    const int64_t whole = window.strides[i] * (in.size - 1) + extra[i] +
                          (window.kernel[i] - 1) * window.dilations[i] + 1;
    int64_t size = whole - window.pads_begin[i] - window.pads_end[i];
    if (!wanted.empty() || same) {
      size = !wanted.empty() ? wanted[i] : in.size * window.strides[i];
      // More than all of it: zeros follow.
      const int64_t total = std::max<int64_t>(whole - size, 0);
      const bool upper = window.auto_pad == Window::AutoPad::kSameUpper;
      window.pads_begin[i] = upper ? total / 2 : total - total / 2;
      window.pads_end[i] = total - window.pads_begin[i];
    }
    if (size < 1 || size > (int64_t{1} << 40)) {
      return absl::InvalidArgumentError(StrCat("spatial dimension ", i, " becomes ", size));
    }
    result.y.push_back(Dim::Of(size));
  }
  return result;
}

absl::StatusOr<Types> InferConvTranspose(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  if (HasInput(context, 2)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  const DType dtype = InputDType(context, 0);
  if (InputShape(context, 0) == nullptr || InputShape(context, 1) == nullptr) {
    return Types{UnknownShape(dtype)};
  }
  PARAMD_ASSIGN_OR_RETURN(Transposed transposed, TransposedOf(context));
  return Types{TensorType(dtype, std::move(transposed.y))};
}

absl::StatusOr<OpRow::Lowered> LowerConvTranspose(const InferContext& context,
                                                  const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const Transposed transposed, TransposedOf(context));
  std::vector<int64_t> ints = {context.node->GetInt("group", 1)};
  Append(&ints,
         {&transposed.window.strides, &transposed.window.dilations, &transposed.window.pads_begin});
  return MakeNamed(context, outputs, "conv_transpose", std::move(ints), {}, {0, 1, 2});
}

// --- LpPool ---------------------------------------------------------------------

absl::StatusOr<Types> InferLpPool(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  if (context.node->GetInt("p", 2) < 1) return absl::InvalidArgumentError("p is below 1");
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_RETURN_IF_ERROR(CheckSpatialRank(*x));
  SymbolicShape y{(*x)[0], (*x)[1]};
  if (context.node->op == "GlobalLpPool") {
    y.resize(x->size(), Dim::Of(1));
    return Types{TensorType(dtype, std::move(y))};
  }
  PARAMD_ASSIGN_OR_RETURN(const Window window,
                          ParseWindow(*context.node, context.node->GetInts("kernel_shape")));
  if (window.kernel.size() + 2 != x->size()) {
    return absl::InvalidArgumentError("kernel_shape does not fit x");
  }
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(Dim steps, WindowSteps(window, i, (*x)[i + 2]));
    y.push_back(std::move(steps));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerLpPool(const InferContext& context, const Types& outputs) {
  const SymbolicShape& x = *InputShape(context, 0);
  Window window;
  if (context.node->op == "GlobalLpPool") {
    for (size_t i = 2; i < x.size(); ++i) {
      if (x[i].size == 0) return absl::InvalidArgumentError("a spatial dimension is 0");
      window.kernel.push_back(x[i].size);
    }
    window.strides.assign(window.kernel.size(), 1);
    window.dilations = window.strides;
    window.pads_begin.assign(window.kernel.size(), 0);
  } else {
    PARAMD_ASSIGN_OR_RETURN(window,
                            ParseWindow(*context.node, context.node->GetInts("kernel_shape")));
    bool overhang = false;
    PARAMD_RETURN_IF_ERROR(ResolvePads(window, absl::Span<const Dim>(x).subspan(2), &overhang));
  }
  std::vector<int64_t> ints = {context.node->GetInt("p", 2)};
  Append(&ints, {&window.kernel, &window.strides, &window.dilations, &window.pads_begin});
  return MakeNamed(context, outputs, "lp_pool", std::move(ints), {}, {0});
}

// --- Col2Im ---------------------------------------------------------------------

struct Columns {
  Window window;
  std::vector<int64_t> image, steps;
};

// Nothing while the image's and the block's sizes are not known.
absl::StatusOr<std::optional<Columns>> ColumnsOf(const InferContext& context) {
  const auto image = KnownInts(context, 1), block = KnownInts(context, 2);
  if (!image.has_value() || !block.has_value()) return std::optional<Columns>();
  if (image->size() != block->size() || image->empty() || image->size() > 3) {
    return absl::InvalidArgumentError(
        StrCat("an image of ", image->size(), " dimensions, a block of ", block->size()));
  }
  Columns columns;
  columns.image = *image;
  PARAMD_ASSIGN_OR_RETURN(columns.window, ParseWindow(*context.node, *block));
  for (size_t i = 0; i < image->size(); ++i) {
    if ((*image)[i] < 0) return absl::InvalidArgumentError("the image's size is negative");
    PARAMD_ASSIGN_OR_RETURN(const Dim steps, WindowSteps(columns.window, i, Dim::Of((*image)[i])));
    columns.steps.push_back(steps.size);
  }
  return columns;
}

absl::StatusOr<Types> InferCol2Im(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto columns, ColumnsOf(context));
  if (x == nullptr || !columns.has_value()) return Types{UnknownShape(dtype)};
  if (x->size() != 3) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 3"));
  }
  const auto taps = CheckedElements(columns->window.kernel);
  if (!taps.ok() || *taps < 1 || ((*x)[1].known() && (*x)[1].size % *taps != 0)) {
    return absl::InvalidArgumentError("the columns are no multiple of the block");
  }
  SymbolicShape y{(*x)[0], (*x)[1].known() ? Dim::Of((*x)[1].size / *taps) : Dim::Unknown()};
  for (const int64_t size : columns->image) y.push_back(Dim::Of(size));
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerCol2Im(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const auto columns, ColumnsOf(context));
  if (!columns.has_value()) return NotKnownYet("an image's size");
  std::vector<int64_t> ints;
  Append(&ints, {&columns->window.kernel, &columns->window.strides, &columns->window.dilations,
                 &columns->window.pads_begin, &columns->steps});
  return MakeNamed(context, outputs, "col2im", std::move(ints), {}, {0});
}

constexpr OpRow kWindowNamedOps[] = {
    {"", "ConvTranspose", 1, kOpsetMax, 2, 3, 1, InferConvTranspose, LowerConvTranspose},
    {"", "LpPool", 2, kOpsetMax, 1, 1, 1, InferLpPool, LowerLpPool},
    {"", "GlobalLpPool", 2, kOpsetMax, 1, 1, 1, InferLpPool, LowerLpPool},
    {"", "Col2Im", 18, kOpsetMax, 3, 3, 1, InferCol2Im, LowerCol2Im},
};

}  // namespace

absl::Span<const OpRow> WindowNamedOps() { return kWindowNamedOps; }

}  // namespace paramd::ops
