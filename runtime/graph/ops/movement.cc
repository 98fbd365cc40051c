// Operators that move elements without changing them: reshaping, slicing,
// gathering, padding, joining.
#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

absl::StatusOr<OpRow::Lowered> LowerReshape(const InferContext& context, const Types& outputs) {
  const auto from = KnownElements(*InputShape(context, 0));
  const auto to = KnownElements(*outputs[0].shape);
  if (from != to) {
    return absl::InvalidArgumentError(StrCat("cannot reshape ", ToString(*InputShape(context, 0)),
                                             " to ", ToString(*outputs[0].shape)));
  }
  return MakeLowered(context, outputs, ReshapeParams{}, {0});
}

absl::StatusOr<Types> InferIdentity(const InferContext& context) {
  return Types{context.inputs[0]};
}

// --- Reshape ----------------------------------------------------------------

// The dimension that stands for -1: what is left of x after the other ones.
// Dimensions that are the same symbol on both sides cancel out.
absl::StatusOr<Dim> RemainingDim(const SymbolicShape& x, const SymbolicShape& y, size_t at) {
  std::vector<Dim> above = x, below;
  for (size_t i = 0; i < y.size(); ++i) {
    if (i != at) below.push_back(y[i]);
  }
  int64_t top = 1, bottom = 1;
  std::vector<Dim> left;
  for (const Dim& dim : above) {
    if (dim.known()) {
      if (dim.size != 0 && top > (int64_t{1} << 62) / dim.size) {
        return absl::InvalidArgumentError("the input has more than 2^62 elements");
      }
      top *= dim.size;
      continue;
    }
    const auto same = std::find(below.begin(), below.end(), dim);
    if (!dim.symbol.empty() && same != below.end()) {
      below.erase(same);
    } else {
      left.push_back(dim);
    }
  }
  for (const Dim& dim : below) {
    if (!dim.known()) return Dim::Unknown();
    if (dim.size != 0 && bottom > (int64_t{1} << 62) / dim.size) {
      return absl::InvalidArgumentError("the target has more than 2^62 elements");
    }
    bottom *= dim.size;
  }
  if (left.empty()) {
    if (bottom == 0 || top % bottom != 0) {
      return absl::InvalidArgumentError(
          StrCat("cannot reshape ", ToString(x), ": ", top, " elements do not divide by ", bottom));
    }
    return Dim::Of(top / bottom);
  }
  if (left.size() == 1 && top == bottom && top != 0) return left[0];
  return Dim::Unknown();
}

absl::StatusOr<Types> InferReshape(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  const auto target = KnownInts(context, 1);
  if (!target.has_value()) {
    // The rank follows from how many dimensions are asked for.
    const SymbolicShape* shape = InputShape(context, 1);
    if (shape == nullptr || shape->size() != 1 || !(*shape)[0].known() ||
        (*shape)[0].size > kRankMax) {
      return Types{UnknownShape(dtype)};
    }
    return Types{TensorType(dtype, SymbolicShape(static_cast<size_t>((*shape)[0].size)))};
  }
  if (target->size() > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(
        StrCat("rank ", target->size(), " is above the limit of ", kRankMax));
  }
  const bool allow_zero = context.node->GetInt("allowzero", 0) != 0;
  SymbolicShape y;
  std::optional<size_t> free;
  for (size_t i = 0; i < target->size(); ++i) {
    const int64_t size = (*target)[i];
    if (size == -1) {
      if (free.has_value()) return absl::InvalidArgumentError("two dimensions are -1");
      free = i;
      y.push_back(Dim::Unknown());
    } else if (size == 0 && !allow_zero) {
      if (x == nullptr) {
        y.push_back(Dim::Unknown());
      } else if (i < x->size()) {
        y.push_back((*x)[i]);
      } else {
        return absl::InvalidArgumentError(
            StrCat("dimension ", i, " is to be copied from rank ", x->size()));
      }
    } else if (size < 0) {
      return absl::InvalidArgumentError(StrCat("dimension ", i, " is to be ", size));
    } else {
      y.push_back(Dim::Of(size));
    }
  }
  if (x == nullptr) return Types{TensorType(dtype, std::move(y))};
  if (free.has_value()) {
    PARAMD_ASSIGN_OR_RETURN(y[*free], RemainingDim(*x, y, *free));
  } else {
    const auto from = KnownElements(*x), to = KnownElements(y);
    if (from.has_value() && to.has_value() && *from != *to) {
      return absl::InvalidArgumentError(
          StrCat("cannot reshape ", ToString(*x), " to ", ToString(y)));
    }
  }
  return Types{TensorType(dtype, std::move(y))};
}

// --- Flatten, Squeeze, Unsqueeze ----------------------------------------------

// The product of what is known; a single unknown dimension may stand alone.
Dim ProductOf(absl::Span<const Dim> dims) {
  int64_t product = 1;
  const Dim* open = nullptr;
  for (const Dim& dim : dims) {
    if (!dim.known()) {
      if (open != nullptr) return Dim::Unknown();
      open = &dim;
    } else if (dim.size != 0 && product > (int64_t{1} << 62) / dim.size) {
      return Dim::Unknown();
    } else {
      product *= dim.size;
    }
  }
  if (open == nullptr) return Dim::Of(product);
  return product == 1 ? *open : Dim::Unknown();
}

absl::StatusOr<Types> InferFlatten(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{TensorType(dtype, SymbolicShape(2))};
  const auto rank = static_cast<int64_t>(x->size());
  int64_t axis = context.node->GetInt("axis", 1);
  if (axis < -rank || axis > rank) {
    return absl::InvalidArgumentError(
        StrCat("axis ", axis, " is outside [", -rank, ", ", rank, "]"));
  }
  if (axis < 0) axis += rank;
  const auto split = static_cast<size_t>(axis);
  return Types{TensorType(dtype, SymbolicShape{ProductOf({x->data(), split}),
                                               ProductOf({x->data() + split, x->size() - split})})};
}

// Axes: an attribute before opset 13, an input since. Nothing: not known yet.
absl::StatusOr<std::optional<std::vector<int64_t>>> SqueezeAxes(const InferContext& context) {
  if (context.node->opset < 13) {
    if (HasInput(context, 1)) {
      return absl::InvalidArgumentError("axes are an attribute in this opset, not an input");
    }
    return context.node->GetInts("axes");
  }
  if (!HasInput(context, 1)) return std::vector<int64_t>{};
  return KnownInts(context, 1);
}

absl::StatusOr<Types> InferSqueeze(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto wanted, SqueezeAxes(context));
  if (x == nullptr || !wanted.has_value()) return Types{UnknownShape(dtype)};
  const int rank = static_cast<int>(x->size());
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> axes, NormalizeAxes(*wanted, rank));
  SymbolicShape y;
  for (int i = 0; i < rank; ++i) {
    const Dim& dim = (*x)[static_cast<size_t>(i)];
    if (axes.empty()) {
      if (!dim.known()) return Types{UnknownShape(dtype)};  // It may be 1.
      if (dim.size != 1) y.push_back(dim);
    } else if (std::binary_search(axes.begin(), axes.end(), i)) {
      if (dim.known() && dim.size != 1) {
        return absl::InvalidArgumentError(
            StrCat("dimension ", i, " of ", ToString(*x), " is not 1"));
      }
    } else {
      y.push_back(dim);
    }
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<Types> InferUnsqueeze(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto wanted, SqueezeAxes(context));
  if (x == nullptr || !wanted.has_value()) return Types{UnknownShape(dtype)};
  const size_t rank = x->size() + wanted->size();
  if (rank > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(StrCat("rank ", rank, " is above the limit of ", kRankMax));
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> axes,
                          NormalizeAxes(*wanted, static_cast<int>(rank)));
  SymbolicShape y;
  size_t next = 0;
  for (int i = 0; i < static_cast<int>(rank); ++i) {
    const bool added = std::binary_search(axes.begin(), axes.end(), i);
    y.push_back(added ? Dim::Of(1) : (*x)[next++]);
  }
  return Types{TensorType(dtype, std::move(y))};
}

// --- Transpose, Concat ----------------------------------------------------------

absl::StatusOr<std::vector<int>> Permutation(const Node& node, int rank) {
  const std::vector<int64_t> wanted = node.GetInts("perm");
  std::vector<int> perm;
  if (wanted.empty()) {
    for (int i = rank - 1; i >= 0; --i) perm.push_back(i);
    return perm;
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> sorted, NormalizeAxes(wanted, rank));
  if (static_cast<int>(sorted.size()) != rank) {
    return absl::InvalidArgumentError(StrCat("perm has ", wanted.size(), " axes for rank ", rank));
  }
  for (int64_t axis : wanted) perm.push_back(static_cast<int>(axis < 0 ? axis + rank : axis));
  return perm;
}

absl::StatusOr<Types> InferTranspose(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> perm,
                          Permutation(*context.node, static_cast<int>(x->size())));
  SymbolicShape y;
  for (int axis : perm) y.push_back((*x)[static_cast<size_t>(axis)]);
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerTranspose(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(
      std::vector<int> perm,
      Permutation(*context.node, static_cast<int>(InputShape(context, 0)->size())));
  return MakeLowered(context, outputs, TransposeParams{std::move(perm)}, {0});
}

absl::StatusOr<Types> InferConcat(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  if (!context.node->Has("axis")) return absl::InvalidArgumentError("has no axis");
  std::optional<SymbolicShape> y;
  bool complete = true;
  int axis = 0;
  for (int i = 0; i < static_cast<int>(context.inputs.size()); ++i) {
    if (!HasInput(context, i))
      return absl::InvalidArgumentError(StrCat("input ", i, " is missing"));
    PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
    const SymbolicShape* x = InputShape(context, i);
    if (x == nullptr) {
      complete = false;
      continue;
    }
    if (!y.has_value()) {
      PARAMD_ASSIGN_OR_RETURN(
          axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
      y = *x;
      continue;
    }
    if (x->size() != y->size()) {
      return absl::InvalidArgumentError(
          StrCat("cannot join ", ToString(*y), " and ", ToString(*x)));
    }
    for (size_t d = 0; d < x->size(); ++d) {
      Dim& dim = (*y)[d];
      if (d == static_cast<size_t>(axis)) {
        const bool sums = dim.known() && (*x)[d].known() && dim.size <= (int64_t{1} << 61) &&
                          (*x)[d].size <= (int64_t{1} << 61);
        dim = sums ? Dim::Of(dim.size + (*x)[d].size) : Dim::Unknown();
      } else if (auto merged = MergeDims(dim, (*x)[d]); merged.ok()) {
        dim = *std::move(merged);
      } else {
        return absl::InvalidArgumentError(
            StrCat("cannot join ", ToString(*y), " and ", ToString(*x), " along axis ", axis));
      }
    }
  }
  if (y.has_value() && !complete) (*y)[static_cast<size_t>(axis)] = Dim::Unknown();
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerConcat(const InferContext& context, const Types& outputs) {
  ConcatParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis,
                          NormalizeAxis(context.node->GetInt("axis", 0),
                                        static_cast<int>(InputShape(context, 0)->size())));
  std::vector<int> operands;
  for (int i = 0; i < static_cast<int>(context.inputs.size()); ++i) operands.push_back(i);
  return MakeLowered(context, outputs, params, std::move(operands));
}

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

absl::StatusOr<Types> InferSlice(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto arguments, SliceArgumentsOf(context));
  if (x == nullptr) return Types{UnknownShape(dtype)};
  if (!arguments.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
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

absl::StatusOr<AxisSlice> SplitRange(const Node& node, int64_t size) {
  const int64_t index = node.GetInt("index", 0), parts = node.GetInt("parts", 1);
  const std::vector<int64_t> sizes = node.GetInts("split");
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
  if (dim.known()) {
    PARAMD_ASSIGN_OR_RETURN(const AxisSlice slice, SplitRange(*context.node, dim.size));
    dim = Dim::Of(slice.count);
  } else {
    const std::vector<int64_t> sizes = context.node->GetInts("split");
    const auto index = static_cast<size_t>(context.node->GetInt("index", 0));
    dim = index < sizes.size() && sizes[index] >= 0 ? Dim::Of(sizes[index]) : Dim::Unknown();
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerSplitPart(const InferContext& context, const Types& outputs) {
  const SymbolicShape& x = *InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x.size())));
  PARAMD_ASSIGN_OR_RETURN(const AxisSlice slice,
                          SplitRange(*context.node, x[static_cast<size_t>(axis)].size));
  SliceParams params;
  params.starts.assign(x.size(), 0);
  params.steps.assign(x.size(), 1);
  params.starts[static_cast<size_t>(axis)] = slice.count == 0 ? 0 : slice.start;
  return MakeLowered(context, outputs, std::move(params), {0});
}

// --- Gather, Expand, Where, Cast ----------------------------------------------------

absl::StatusOr<Types> InferGather(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const DType indices_type = InputDType(context, 1);
  if (indices_type != DType::kI32 && indices_type != DType::kI64) {
    return absl::InvalidArgumentError(
        StrCat("indices are ", DTypeName(indices_type), ", expected i32 or i64"));
  }
  const SymbolicShape* x = InputShape(context, 0);
  const SymbolicShape* indices = InputShape(context, 1);
  if (x == nullptr || indices == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(
      const int axis, NormalizeAxis(context.node->GetInt("axis", 0), static_cast<int>(x->size())));
  SymbolicShape y(x->begin(), x->begin() + axis);
  y.insert(y.end(), indices->begin(), indices->end());
  y.insert(y.end(), x->begin() + axis + 1, x->end());
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerGather(const InferContext& context, const Types& outputs) {
  GatherParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis,
                          NormalizeAxis(context.node->GetInt("axis", 0),
                                        static_cast<int>(InputShape(context, 0)->size())));
  return MakeLowered(context, outputs, params, {0, 1});
}

absl::StatusOr<Types> InferExpand(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  const auto target = KnownInts(context, 1);
  if (x == nullptr || !target.has_value()) {
    const SymbolicShape* shape = InputShape(context, 1);
    if (x == nullptr || shape == nullptr || shape->size() != 1 || !(*shape)[0].known() ||
        (*shape)[0].size > kRankMax) {
      return Types{UnknownShape(dtype)};
    }
    return Types{TensorType(
        dtype, SymbolicShape(std::max(x->size(), static_cast<size_t>((*shape)[0].size))))};
  }
  PARAMD_RETURN_IF_ERROR(CheckedElements(*target).status());
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape y, BroadcastSymbolic(*x, ToSymbolic(Shape(*target))));
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerExpand(const InferContext& context, const Types& outputs) {
  if (*InputShape(context, 0) == *outputs[0].shape) {
    return MakeLowered(context, outputs, ReshapeParams{}, {0});
  }
  return MakeLowered(context, outputs, ExpandParams{}, {0});
}

absl::StatusOr<Types> InferWhere(const InferContext& context) {
  if (InputDType(context, 0) != DType::kBool) {
    return absl::InvalidArgumentError(
        StrCat("the condition is ", DTypeName(InputDType(context, 0)), ", expected bool"));
  }
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 1, 2));
  const DType dtype = InputDType(context, 1);
  SymbolicShape y;
  for (int i = 0; i < 3; ++i) {
    const SymbolicShape* x = InputShape(context, i);
    if (x == nullptr) return Types{UnknownShape(dtype)};
    PARAMD_ASSIGN_OR_RETURN(y, BroadcastSymbolic(y, *x));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerWhere(const InferContext& context, const Types& outputs) {
  return MakeLowered(context, outputs, WhereParams{}, {0, 1, 2});
}

absl::StatusOr<Types> InferCast(const InferContext& context) {
  const int64_t to = context.node->GetInt("to", 0);
  const std::optional<DType> dtype =
      to < 0 || to > 255 ? std::nullopt : DTypeFromOnnx(static_cast<int32_t>(to));
  if (!dtype.has_value() || *dtype == DType::kUndefined) {
    return absl::InvalidArgumentError(StrCat("casts to the type number ", to));
  }
  if (*dtype == DType::kString || InputDType(context, 0) == DType::kString) {
    return absl::UnimplementedError("casts from and to strings are not supported");
  }
  const bool small = DTypeBits(*dtype) <= 8 && IsFloat(*dtype);
  if (small && context.node->GetInt("saturate", 1) == 0) {
    return absl::UnimplementedError(
        StrCat("saturate=0 for ", DTypeName(*dtype), " is not supported"));
  }
  return Types{TensorType(*dtype, context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerCast(const InferContext& context, const Types& outputs) {
  if (InputDType(context, 0) == outputs[0].dtype) {
    return MakeLowered(context, outputs, ReshapeParams{}, {0});
  }
  return MakeLowered(context, outputs, CastParams{}, {0});
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

constexpr OpRow kRows[] = {
    {"", "Identity", 1, kOpsetMax, 1, 1, 1, InferIdentity, LowerReshape},
    {"", "Reshape", 5, kOpsetMax, 2, 2, 1, InferReshape, LowerReshape},
    {"", "Flatten", 1, kOpsetMax, 1, 1, 1, InferFlatten, LowerReshape},
    {"", "Squeeze", 1, kOpsetMax, 1, 2, 1, InferSqueeze, LowerReshape},
    {"", "Unsqueeze", 1, 12, 1, 1, 1, InferUnsqueeze, LowerReshape},
    {"", "Unsqueeze", 13, kOpsetMax, 2, 2, 1, InferUnsqueeze, LowerReshape},
    {"", "Transpose", 1, kOpsetMax, 1, 1, 1, InferTranspose, LowerTranspose},
    {"", "Concat", 4, kOpsetMax, 1, std::numeric_limits<int>::max(), 1, InferConcat, LowerConcat},
    {"", "Slice", 1, 9, 1, 1, 1, InferSlice, LowerSlice},
    {"", "Slice", 10, kOpsetMax, 3, 5, 1, InferSlice, LowerSlice},
    {kInternalDomain, "SplitPart", 1, 1, 1, 1, 1, InferSplitPart, LowerSplitPart},
    {"", "Gather", 1, kOpsetMax, 2, 2, 1, InferGather, LowerGather},
    {"", "Expand", 8, kOpsetMax, 2, 2, 1, InferExpand, LowerExpand},
    {"", "Where", 9, kOpsetMax, 3, 3, 1, InferWhere, LowerWhere},
    {"", "Cast", 6, kOpsetMax, 1, 1, 1, InferCast, LowerCast},
    {"", "Pad", 2, 10, 1, 1, 1, InferPad, LowerPad},
    {"", "Pad", 11, 17, 2, 3, 1, InferPad, LowerPad},
    {"", "Pad", 18, kOpsetMax, 2, 4, 1, InferPad, LowerPad},
};

}  // namespace

absl::Span<const OpRow> MovementOps() { return kRows; }

}  // namespace paramd::ops
