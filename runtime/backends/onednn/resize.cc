// Resize where oneDNN's coordinates are ONNX's: linear with half pixels, and
// nearest where every pixel is repeated a whole number of times.
#include <cmath>

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/op_families.h"
#include "runtime/backends/onednn/spec_check.h"
#include "runtime/backends/resize_specs.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using Transform = ResizeTransform;
using Rounding = ResizeRounding;

bool TakesHalfPixels(Transform transform) {
  return transform == Transform::kHalfPixel || transform == Transform::kPytorchHalfPixel;
}

// With (o + 1/2) / f - 1/2 rounded to the nearest, as oneDNN does it, output o of
// a whole factor f takes pixel o / f rounded down.
bool NearestAgrees(Transform transform, Rounding rounding, int64_t in, int64_t out) {
  if (in == out) return true;
  if (out % in != 0) return false;
  if (transform == Transform::kAsymmetric) return rounding == Rounding::kFloor;
  const bool to_nearest = rounding == Rounding::kPreferFloor || rounding == Rounding::kPreferCeil;
  return TakesHalfPixels(transform) && to_nearest;
}

// PyTorch's single place is the first, not the middle.
bool LinearAgrees(Transform transform, int64_t in, int64_t out) {
  return TakesHalfPixels(transform) && (in == out || transform == Transform::kHalfPixel || out > 1);
}

absl::StatusOr<PrimitivePlan> PlanResizeIn(const OpSpec& spec, dnnl::algorithm algorithm,
                                           Layout layout) {
  PARAMD_ASSIGN_OR_RETURN(const auto x_type, FloatType(spec.inputs[0].dtype));
  PARAMD_ASSIGN_OR_RETURN(const auto y_type, FloatType(spec.outputs[0].dtype));
  PrimitivePlan plan;
  plan.input_layouts = ActivationLayouts(spec, layout);
  plan.output_layout = layout;
  const auto x = DenseDesc(DimsOf(spec.inputs[0].shape), x_type, layout);
  const auto y = DenseDesc(DimsOf(spec.outputs[0].shape), y_type, layout);
  const dnnl::resampling_forward::primitive_desc desc(
      CpuEngine(), dnnl::prop_kind::forward_inference, algorithm, x, y, Attributes({}));
  PARAMD_RETURN_IF_ERROR(SetPrimitive<dnnl::resampling_forward>(desc, &plan));
  plan.AddInput(DNNL_ARG_SRC, 0, x);
  plan.AddOutput(y);
  return plan;
}

}  // namespace

absl::StatusOr<PrimitivePlan> PlanResize(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = spec.inputs[0].shape, &y = spec.outputs[0].shape;
  const auto rank = static_cast<size_t>(x.rank());
  if (spec.inputs.size() != 1 || spec.outputs.size() != 1 || rank < 3 || rank > 5 ||
      y.rank() != x.rank() || !AreResizeNumbers(params.ints) ||
      params.numbers.size() != 2 + 3 * rank) {
    return absl::UnimplementedError("a resize of other than images");
  }
  const auto mode = static_cast<ResizeInterpolation>(params.ints[0]);
  const auto transform = static_cast<Transform>(params.ints[1]);
  const auto rounding = static_cast<Rounding>(params.ints[2]);
  const bool nearest = mode == ResizeInterpolation::kNearest;
  const bool antialias = params.ints[3] != 0, exclude_outside = params.ints[4] != 0;
  if ((!nearest && mode != ResizeInterpolation::kLinear) || x.dim(0) != y.dim(0) ||
      x.dim(1) != y.dim(1)) {
    return absl::UnimplementedError("a resize that is cubic or of rows and channels");
  }
  for (size_t i = 0; i < rank; ++i) {
    const int64_t in = x.dim(static_cast<int>(i)), out = y.dim(static_cast<int>(i));
    const double scale = params.numbers[2 + i];
    if (std::fabs(scale * static_cast<double>(in) - static_cast<double>(out)) >
        1e-6 * static_cast<double>(out)) {
      return absl::UnimplementedError(StrCat("a resize from ", in, " to ", out, " by ", scale));
    }
    const bool agrees =
        nearest ? NearestAgrees(transform, rounding, in, out)
                : LinearAgrees(transform, in, out) && !exclude_outside && (!antialias || out >= in);
    if (!agrees) {
      return absl::UnimplementedError(
          StrCat("a resize from ", in, " to ", out, " with other coordinates"));
    }
  }
  const auto algorithm =
      nearest ? dnnl::algorithm::resampling_nearest : dnnl::algorithm::resampling_linear;
  return InEitherLayout(spec.inputs[0],
                        [&](Layout layout) { return PlanResizeIn(spec, algorithm, layout); });
}

}  // namespace paramd::onednn
