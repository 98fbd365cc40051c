// Resize and Upsample, GridSample, RoiAlign.
#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

constexpr double kSizeMax = 1e12;

absl::StatusOr<int64_t> OneOf(const Node& node, const std::string& key, std::string_view otherwise,
                              std::initializer_list<std::string_view> names) {
  const std::string name = node.GetString(key, otherwise);
  int64_t i = 0;
  for (const std::string_view candidate : names) {
    if (candidate == name) return i;
    ++i;
  }
  return absl::InvalidArgumentError(StrCat(key, " is '", name, "'"));
}

// The floats of input i: nothing while they are not known.
std::optional<std::vector<double>> KnownFloats(const InferContext& context, int i) {
  const Tensor* tensor = Known(context, i);
  return tensor == nullptr ? std::nullopt : FloatValues(tensor->view());
}

bool Empty(const InferContext& context, int i) {
  if (!HasInput(context, i)) return true;
  const SymbolicShape* shape = InputShape(context, i);
  return shape != nullptr && shape->size() == 1 && (*shape)[0] == Dim::Of(0);
}

struct Resized {
  std::vector<double> scales, roi_begin, roi_end;
  SymbolicShape y;
};

absl::Status ApplySizes(const InferContext& context, const SymbolicShape& x,
                        const std::vector<int>& axes, const std::vector<int64_t>& sizes,
                        Resized* resized) {
  PARAMD_ASSIGN_OR_RETURN(const int64_t policy,
                          OneOf(*context.node, "keep_aspect_ratio_policy", "stretch",
                                {"stretch", "not_larger", "not_smaller"}));
  double common = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<size_t>(axes[i]);
    if (sizes[i] < 0) return absl::InvalidArgumentError(StrCat("a size is ", sizes[i]));
    if (!x[d].known()) {
      resized->scales[d] = 0;
      resized->y[d] = policy == 0 ? Dim::Of(sizes[i]) : Dim::Unknown();
      continue;
    }
    if (x[d].size == 0 && sizes[i] != 0) {
      return absl::InvalidArgumentError("an empty dimension cannot grow");
    }
    const double scale =
        x[d].size == 0 ? 1 : static_cast<double>(sizes[i]) / static_cast<double>(x[d].size);
    resized->scales[d] = scale;
    resized->y[d] = Dim::Of(sizes[i]);
    common = i == 0 ? scale : policy == 1 ? std::min(common, scale) : std::max(common, scale);
  }
  if (policy == 0) return absl::OkStatus();
  for (const int axis : axes) {
    const auto d = static_cast<size_t>(axis);
    if (!x[d].known()) continue;
    resized->scales[d] = common;
    resized->y[d] =
        Dim::Of(static_cast<int64_t>(std::floor(common * static_cast<double>(x[d].size) + 0.5)));
  }
  return absl::OkStatus();
}

// Scales and sizes per dimension; nothing while they are not known.
absl::StatusOr<std::optional<Resized>> ResizedOf(const InferContext& context) {
  const Node& node = *context.node;
  const SymbolicShape& x = *InputShape(context, 0);
  Resized resized;
  resized.scales.assign(x.size(), 1);
  resized.roi_begin.assign(x.size(), 0);
  resized.roi_end.assign(x.size(), 1);
  resized.y = x;
  std::vector<int> axes;
  for (const int64_t axis : node.GetInts("axes")) {
    PARAMD_ASSIGN_OR_RETURN(const int one, NormalizeAxis(axis, static_cast<int>(x.size())));
    if (std::find(axes.begin(), axes.end(), one) != axes.end()) {
      return absl::InvalidArgumentError("an axis is named twice");
    }
    axes.push_back(one);
  }
  if (axes.empty()) {
    for (size_t d = 0; d < x.size(); ++d) axes.push_back(static_cast<int>(d));
  }
  const bool old = node.op == "Upsample" || node.opset < 11;
  const int roi_input = old ? -1 : 1, scales_input = old ? 1 : 2, sizes_input = old ? -1 : 3;
  if (roi_input >= 0 && !Empty(context, roi_input)) {
    const auto roi = KnownFloats(context, roi_input);
    if (!roi.has_value()) return std::optional<Resized>();
    if (roi->size() == 2 * axes.size()) {
      for (size_t i = 0; i < axes.size(); ++i) {
        resized.roi_begin[static_cast<size_t>(axes[i])] = (*roi)[i];
        resized.roi_end[static_cast<size_t>(axes[i])] = (*roi)[axes.size() + i];
      }
    }
  }
  if (sizes_input >= 0 && !Empty(context, sizes_input)) {
    const auto sizes = KnownInts(context, sizes_input);
    if (!sizes.has_value()) return std::optional<Resized>();
    if (sizes->size() != axes.size()) {
      return absl::InvalidArgumentError(
          StrCat(sizes->size(), " sizes for ", axes.size(), " dimensions"));
    }
    PARAMD_RETURN_IF_ERROR(ApplySizes(context, x, axes, *sizes, &resized));
    return resized;
  }
  std::vector<double> scales;
  if (node.op == "Upsample" && node.opset < 9) {
    const auto it = node.attributes.find("scales");
    const auto* list =
        it == node.attributes.end() ? nullptr : std::get_if<std::vector<float>>(&it->second);
    if (list == nullptr) return absl::InvalidArgumentError("has no scales");
    scales.assign(list->begin(), list->end());
  } else {
    if (Empty(context, scales_input)) {
      return absl::InvalidArgumentError("has neither scales nor sizes");
    }
    const auto known = KnownFloats(context, scales_input);
    if (!known.has_value()) return std::optional<Resized>();
    scales = *known;
  }
  if (scales.size() != axes.size()) {
    return absl::InvalidArgumentError(
        StrCat(scales.size(), " scales for ", axes.size(), " dimensions"));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<size_t>(axes[i]);
    if (!(scales[i] > 0) || !std::isfinite(scales[i])) {
      return absl::InvalidArgumentError(StrCat("a scale is ", scales[i]));
    }
    resized.scales[d] = scales[i];
    if (scales[i] == 1) continue;
    if (!x[d].known()) {
      resized.y[d] = Dim::Unknown();
      continue;
    }
    const double size = std::floor(static_cast<double>(x[d].size) * scales[i]);
    if (size > kSizeMax) return absl::InvalidArgumentError(StrCat("a dimension becomes ", size));
    resized.y[d] = Dim::Of(static_cast<int64_t>(size));
  }
  return resized;
}

absl::StatusOr<std::vector<int64_t>> ResizeInts(const InferContext& context) {
  const Node& node = *context.node;
  std::vector<int64_t> ints;
  PARAMD_ASSIGN_OR_RETURN(ints.emplace_back(),
                          OneOf(node, "mode", "nearest", {"nearest", "linear", "cubic"}));
  if (node.op == "Upsample" || node.opset < 11) {
    ints.insert(ints.end(), {4, 2, 0, 0});  // asymmetric, floor.
    return ints;
  }
  PARAMD_ASSIGN_OR_RETURN(ints.emplace_back(),
                          OneOf(node, "coordinate_transformation_mode", "half_pixel",
                                {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                                 "align_corners", "asymmetric", "tf_crop_and_resize"}));
  PARAMD_ASSIGN_OR_RETURN(ints.emplace_back(),
                          OneOf(node, "nearest_mode", "round_prefer_floor",
                                {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}));
  ints.push_back(node.GetInt("antialias", 0));
  ints.push_back(node.GetInt("exclude_outside", 0));
  return ints;
}

absl::StatusOr<Types> InferResize(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  PARAMD_RETURN_IF_ERROR(ResizeInts(context).status());
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(auto resized, ResizedOf(context));
  if (!resized.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
  return Types{TensorType(dtype, std::move(resized->y))};
}

absl::StatusOr<OpRow::Lowered> LowerResize(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const auto resized, ResizedOf(context));
  if (!resized.has_value()) return NotKnownYet("a size");
  PARAMD_ASSIGN_OR_RETURN(std::vector<int64_t> ints, ResizeInts(context));
  std::vector<double> numbers = {context.node->GetFloat("cubic_coeff_a", -0.75f),
                                 context.node->GetFloat("extrapolation_value", 0)};
  for (const auto* list : {&resized->scales, &resized->roi_begin, &resized->roi_end}) {
    numbers.insert(numbers.end(), list->begin(), list->end());
  }
  return MakeNamed(context, outputs, "resize", std::move(ints), std::move(numbers), {0});
}

// --- GridSample -------------------------------------------------------------------

absl::StatusOr<std::vector<int64_t>> GridInts(const InferContext& context) {
  const Node& node = *context.node;
  // Opset 16 had other names for two of the modes.
  const std::string mode = node.GetString("mode", node.opset < 20 ? "bilinear" : "linear");
  std::vector<int64_t> ints;
  if (mode == "nearest") {
    ints.push_back(0);
  } else if (mode == "linear" || mode == "bilinear") {
    ints.push_back(1);
  } else if (mode == "cubic" || mode == "bicubic") {
    ints.push_back(2);
  } else {
    return absl::InvalidArgumentError(StrCat("mode is '", mode, "'"));
  }
  PARAMD_ASSIGN_OR_RETURN(ints.emplace_back(),
                          OneOf(node, "padding_mode", "zeros", {"zeros", "border", "reflection"}));
  ints.push_back(node.GetInt("align_corners", 0));
  return ints;
}

absl::StatusOr<Types> InferGridSample(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  PARAMD_RETURN_IF_ERROR(GridInts(context).status());
  const DType dtype = InputDType(context, 0);
  const SymbolicShape *x = InputShape(context, 0), *grid = InputShape(context, 1);
  if (x == nullptr || grid == nullptr) return Types{UnknownShape(dtype)};
  if (x->size() < 3 || x->size() > 5 || grid->size() != x->size()) {
    return absl::InvalidArgumentError(
        StrCat("grid ", ToString(*grid), " does not fit x ", ToString(*x)));
  }
  SymbolicShape y{(*x)[0], (*x)[1]};
  y.insert(y.end(), grid->begin() + 1, grid->end() - 1);
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerGridSample(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(std::vector<int64_t> ints, GridInts(context));
  return MakeNamed(context, outputs, "grid_sample", std::move(ints), {}, {0, 1});
}

// --- RoiAlign ---------------------------------------------------------------------

absl::StatusOr<Types> InferRoiAlign(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape *x = InputShape(context, 0), *rois = InputShape(context, 1);
  if (x == nullptr || rois == nullptr) return Types{UnknownShape(dtype)};
  if (x->size() != 4 || rois->size() != 2) {
    return absl::InvalidArgumentError(
        StrCat("rois ", ToString(*rois), " do not fit x ", ToString(*x)));
  }
  const int64_t rows = context.node->GetInt("output_height", 1);
  const int64_t columns = context.node->GetInt("output_width", 1);
  const int64_t ratio = context.node->GetInt("sampling_ratio", 0);
  if (rows < 1 || columns < 1 || rows > 65536 || columns > 65536 || ratio < 0 || ratio > 4096) {
    return absl::InvalidArgumentError("output or sampling sizes are out of range");
  }
  return Types{
      TensorType(dtype, SymbolicShape{(*rois)[0], (*x)[1], Dim::Of(rows), Dim::Of(columns)})};
}

absl::StatusOr<OpRow::Lowered> LowerRoiAlign(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  PARAMD_ASSIGN_OR_RETURN(const int64_t max, OneOf(node, "mode", "avg", {"avg", "max"}));
  int64_t half = 0;
  if (node.opset >= 16) {
    PARAMD_ASSIGN_OR_RETURN(half, OneOf(node, "coordinate_transformation_mode", "half_pixel",
                                        {"output_half_pixel", "half_pixel"}));
  }
  return MakeNamed(context, outputs, "roi_align", {max, node.GetInt("sampling_ratio", 0), half},
                   {node.GetFloat("spatial_scale", 1)}, {0, 1, 2});
}

constexpr OpRow kResamplingOps[] = {
    {"", "Resize", 10, 10, 2, 2, 1, InferResize, LowerResize},
    {"", "Resize", 11, kOpsetMax, 1, 4, 1, InferResize, LowerResize},
    {"", "Upsample", 7, 8, 1, 1, 1, InferResize, LowerResize},
    {"", "Upsample", 9, 9, 2, 2, 1, InferResize, LowerResize},
    {"", "GridSample", 16, kOpsetMax, 2, 2, 1, InferGridSample, LowerGridSample},
    {"", "RoiAlign", 10, kOpsetMax, 3, 3, 1, InferRoiAlign, LowerRoiAlign},
};

}  // namespace

absl::Span<const OpRow> ResamplingOps() { return kResamplingOps; }

}  // namespace paramd::ops
