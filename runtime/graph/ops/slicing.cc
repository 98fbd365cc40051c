// Operators that cut a part out of a tensor or put a frame around it: Slice,
// the parts of a Split, Pad.
#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

// --- Slice --------------------------------------------------------------------

struct SliceArguments {
  std::vector<int64_t> starts, ends, axes, steps;
};

// Nothing where the arguments are not known yet.
absl::StatusOr<std::optional<SliceArguments>> SliceArgumentsOf(const InferContext& context) {
  SliceArguments arguments;
  const Node& node = *context.node;
  if (node.opset < 10) {
    arguments.starts = node.GetInts("starts");
    arguments.ends = node.GetInts("ends");
    arguments.axes = node.GetInts("axes");
  } else {
    std::vector<int64_t>* const into[] = {&arguments.starts, &arguments.ends, &arguments.axes,
                                          &arguments.steps};
    for (int i = 1; i <= 4; ++i) {
      if (!HasInput(context, i)) continue;
      auto known = KnownInts(context, i);
      if (!known.has_value()) return std::optional<SliceArguments>();
      *into[i - 1] = *std::move(known);
    }
  }
  const size_t count = arguments.starts.size();
  if (arguments.axes.empty()) {
    for (size_t i = 0; i < count; ++i) arguments.axes.push_back(static_cast<int64_t>(i));
  }
  if (arguments.steps.empty()) arguments.steps.assign(count, 1);
  if (arguments.ends.size() != count || arguments.axes.size() != count ||
      arguments.steps.size() != count) {
    return absl::InvalidArgumentError(StrCat(count, " starts, ", arguments.ends.size(), " ends, ",
                                             arguments.axes.size(), " axes and ",
                                             arguments.steps.size(), " steps"));
  }
  return arguments;
}

// One axis, clamped as numpy does. REQUIRES: step != 0.
struct AxisSlice {
  int64_t start = 0, step = 1, count = 0;
};

AxisSlice ClampSlice(int64_t size, int64_t start, int64_t end, int64_t step) {
  // Only what lies within [-size, size] means anything; the rest is clamped
  // before sums are formed.
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? size : size - 1;
  const auto clamp = [&](int64_t at) {
    if (at < 0) at = at < -size ? low : at + size;
    return std::clamp(at, low, std::max(low, high));
  };
  AxisSlice slice{clamp(start), step, 0};
  const int64_t stop = clamp(end);
  const int64_t span = step > 0 ? stop - slice.start : slice.start - stop;
  if (span > 0) {
    const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : -static_cast<uint64_t>(step);
    slice.count = static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride + 1);
  }
  if (slice.count == 0) slice.start = 0;
  if (slice.count <= 1) slice.step = 1;
  return slice;
}

bool KeepsAll(int64_t start, int64_t end, int64_t step) {
  return start == 0 && step == 1 && end >= std::numeric_limits<int32_t>::max();
}

// Where the bounds are computed: what they do not cut keeps its size.
absl::StatusOr<SymbolicShape> CutSomewhere(const InferContext& context, SymbolicShape x) {
  const auto axes = HasInput(context, 3) ? KnownInts(context, 3) : std::nullopt;
  if (!axes.has_value()) return SymbolicShape(x.size());
  for (const int64_t at : *axes) {
    PARAMD_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(at, static_cast<int>(x.size())));
    x[static_cast<size_t>(axis)] = Dim::Unknown();
  }
  return x;
}

absl::StatusOr<Types> InferSlice(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto arguments, SliceArgumentsOf(context));
  if (x == nullptr) return Types{UnknownShape(dtype)};
  if (!arguments.has_value()) {
    PARAMD_ASSIGN_OR_RETURN(SymbolicShape y, CutSomewhere(context, *x));
    return Types{TensorType(dtype, std::move(y))};
  }
  PARAMD_RETURN_IF_ERROR(NormalizeAxes(arguments->axes, static_cast<int>(x->size())).status());
  SymbolicShape y = *x;
  for (size_t i = 0; i < arguments->axes.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(const int axis,
                            NormalizeAxis(arguments->axes[i], static_cast<int>(x->size())));
    if (arguments->steps[i] == 0) return absl::InvalidArgumentError("a step is 0");
    Dim& dim = y[static_cast<size_t>(axis)];
    const int64_t start = arguments->starts[i], end = arguments->ends[i];
    if (dim.known()) {
      dim = Dim::Of(ClampSlice(dim.size, start, end, arguments->steps[i]).count);
    } else if (!KeepsAll(start, end, arguments->steps[i])) {
      dim = Dim::Unknown();
    }
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerSlice(const InferContext& context, const Types& outputs) {
  const SymbolicShape& x = *InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto arguments, SliceArgumentsOf(context));
  if (!arguments.has_value()) {
    return absl::UnimplementedError("bounds that are computed per request are not supported");
  }
  SliceParams params;
  params.starts.assign(x.size(), 0);
  params.steps.assign(x.size(), 1);
  for (size_t i = 0; i < arguments->axes.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(const int axis,
                            NormalizeAxis(arguments->axes[i], static_cast<int>(x.size())));
    if (arguments->steps[i] == 0) return absl::InvalidArgumentError("a step is 0");
    const AxisSlice slice = ClampSlice(x[static_cast<size_t>(axis)].size, arguments->starts[i],
                                       arguments->ends[i], arguments->steps[i]);
    params.starts[static_cast<size_t>(axis)] = slice.start;
    params.steps[static_cast<size_t>(axis)] = slice.step;
  }
  return MakeLowered(context, outputs, std::move(params), {0});
}

// --- SplitPart: one output of a Split, made by the importer ------------------------
// Attributes: axis; index; parts; split (sizes; empty: equal parts, the last one smaller).

// The sizes, from the attribute or from input 1; nothing while they are not known.
std::optional<std::vector<int64_t>> SplitSizes(const InferContext& context) {
  return HasInput(context, 1) ? KnownInts(context, 1) : context.node->GetInts("split");
}

absl::StatusOr<AxisSlice> SplitRange(const Node& node, const std::vector<int64_t>& sizes,
                                     int64_t size) {
  const int64_t index = node.GetInt("index", 0), parts = node.GetInt("parts", 1);
  if (index < 0 || index >= parts) return absl::InvalidArgumentError("the part does not exist");
  AxisSlice slice;
  if (sizes.empty()) {
    // Since opset 18 the parts may be unequal; before, they must not be.
    if (node.GetInt("uneven", 0) == 0 && size % parts != 0) {
      return absl::InvalidArgumentError(
          StrCat("dimension ", size, " does not divide into ", parts, " parts"));
    }
    const int64_t each = size / parts + (size % parts != 0 ? 1 : 0);
    slice.start = std::min(size, each <= size / std::max<int64_t>(index, 1) ? each * index : size);
    slice.count = std::min(each, size - slice.start);
    return slice;
  }
  int64_t total = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 || sizes[i] > size - total) {
      return absl::InvalidArgumentError(StrCat("parts do not add up to dimension ", size));
    }
    if (static_cast<int64_t>(i) == index) {
      slice.start = total;
      slice.count = sizes[i];
    }
    total += sizes[i];
  }
  if (total != size || static_cast<int64_t>(sizes.size()) != parts) {
    return absl::InvalidArgumentError(StrCat(sizes.size(), " parts of together ", total,
                                             " for dimension ", size, " and ", parts, " outputs"));
  }
  return slice;
}

absl::StatusOr<Types> InferSplitPart(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
  SymbolicShape y = *x;
  Dim& dim = y[static_cast<size_t>(axis)];
  const auto known = SplitSizes(context);
  if (!known.has_value()) {
    dim = Dim::Unknown();
  } else if (dim.known()) {
    PARAMD_ASSIGN_OR_RETURN(const AxisSlice slice, SplitRange(*context.node, *known, dim.size));
    dim = Dim::Of(slice.count);
  } else {
    const std::vector<int64_t>& sizes = *known;
    const auto index = static_cast<size_t>(context.node->GetInt("index", 0));
    dim = index < sizes.size() && sizes[index] >= 0 ? Dim::Of(sizes[index]) : Dim::Unknown();
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerSplitPart(const InferContext& context, const Types& outputs) {
  const SymbolicShape& x = *InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x.size())));
  const auto sizes = SplitSizes(context);
  if (!sizes.has_value()) return NotKnownYet("the parts of a Split");
  PARAMD_ASSIGN_OR_RETURN(const AxisSlice slice,
                          SplitRange(*context.node, *sizes, x[static_cast<size_t>(axis)].size));
  SliceParams params;
  params.starts.assign(x.size(), 0);
  params.steps.assign(x.size(), 1);
  params.starts[static_cast<size_t>(axis)] = slice.count == 0 ? 0 : slice.start;
  return MakeLowered(context, outputs, std::move(params), {0});
}

// --- Pad ----------------------------------------------------------------------

absl::StatusOr<PadParams::Mode> PadMode(const Node& node) {
  const std::string mode = node.GetString("mode", "constant");
  if (mode == "constant") return PadParams::Mode::kConstant;
  if (mode == "reflect") return PadParams::Mode::kReflect;
  if (mode == "edge") return PadParams::Mode::kEdge;
  if (mode == "wrap" && node.opset >= 19) return PadParams::Mode::kWrap;
  return absl::InvalidArgumentError(StrCat("mode is '", mode, "' in opset ", node.opset));
}

// Pads per dimension; nothing where they are not known yet.
absl::StatusOr<std::optional<PadParams>> PadParamsOf(const InferContext& context, int rank) {
  const Node& node = *context.node;
  PadParams params;
  PARAMD_ASSIGN_OR_RETURN(params.mode, PadMode(node));
  std::vector<int64_t> pads;
  std::vector<int> axes;
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  if (node.opset < 11) {
    pads = node.GetInts("pads");
    params.value = node.GetFloat("value", 0);
  } else {
    const auto known = KnownInts(context, 1);
    if (!known.has_value()) return std::optional<PadParams>();
    pads = *known;
    if (HasInput(context, 2)) {
      const Tensor* value = Known(context, 2);
      if (value == nullptr) return std::optional<PadParams>();
      const auto numbers = FloatValues(value->view());
      if (!numbers.has_value() || numbers->size() != 1) {
        return absl::InvalidArgumentError("the padding value is not one number");
      }
      params.value = (*numbers)[0];
    }
    if (HasInput(context, 3)) {
      const auto wanted = KnownInts(context, 3);
      if (!wanted.has_value()) return std::optional<PadParams>();
      PARAMD_RETURN_IF_ERROR(NormalizeAxes(*wanted, rank).status());
      axes.clear();
      for (int64_t axis : *wanted) {
        axes.push_back(static_cast<int>(axis < 0 ? axis + rank : axis));
      }
    }
  }
  if (pads.size() != 2 * axes.size()) {
    return absl::InvalidArgumentError(
        StrCat(pads.size(), " pads for ", axes.size(), " dimensions"));
  }
  params.pads_begin.assign(static_cast<size_t>(rank), 0);
  params.pads_end = params.pads_begin;
  for (size_t i = 0; i < axes.size(); ++i) {
    for (int64_t pad : {pads[i], pads[i + axes.size()]}) {
      if (pad < -(int64_t{1} << 31) || pad > (int64_t{1} << 31)) {
        return absl::InvalidArgumentError(StrCat("a pad of ", pad, " is beyond 2^31"));
      }
    }
    params.pads_begin[static_cast<size_t>(axes[i])] = pads[i];
    params.pads_end[static_cast<size_t>(axes[i])] = pads[i + axes.size()];
  }
  return params;
}

absl::StatusOr<Types> InferPad(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_RETURN_IF_ERROR(PadMode(*context.node).status());
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(const auto params, PadParamsOf(context, static_cast<int>(x->size())));
  if (!params.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
  SymbolicShape y = *x;
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t pads = params->pads_begin[i] + params->pads_end[i];
    if (pads == 0) continue;
    if (!y[i].known()) {
      y[i] = Dim::Unknown();
      continue;
    }
    if (y[i].size + pads < 0) {
      return absl::InvalidArgumentError(
          StrCat("dimension ", i, " of ", ToString(*x), " is padded by ", pads));
    }
    y[i] = Dim::Of(y[i].size + pads);
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerPad(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(auto params,
                          PadParamsOf(context, static_cast<int>(InputShape(context, 0)->size())));
  if (!params.has_value()) {
    return absl::UnimplementedError("pads that are computed per request are not supported");
  }
  return MakeLowered(context, outputs, *std::move(params), {0});
}

constexpr OpRow kSlicingOps[] = {
    {"", "Slice", 1, 9, 1, 1, 1, InferSlice, LowerSlice},
    {"", "Slice", 10, kOpsetMax, 3, 5, 1, InferSlice, LowerSlice},
    {kInternalDomain, "SplitPart", 1, 1, 1, 2, 1, InferSplitPart, LowerSplitPart},
    {"", "Pad", 2, 10, 1, 1, 1, InferPad, LowerPad},
    {"", "Pad", 11, 17, 2, 3, 1, InferPad, LowerPad},
    {"", "Pad", 18, kOpsetMax, 2, 4, 1, InferPad, LowerPad},
};

}  // namespace

absl::Span<const OpRow> SlicingOps() { return kSlicingOps; }

}  // namespace paramd::ops
