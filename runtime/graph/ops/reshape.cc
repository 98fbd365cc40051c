// Operators that keep the elements and their order, and change the shape.
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

constexpr OpRow kReshapeOps[] = {
    {"", "Identity", 1, kOpsetMax, 1, 1, 1, InferIdentity, LowerReshape},
    {"", "Reshape", 5, kOpsetMax, 2, 2, 1, InferReshape, LowerReshape},
    {"", "Flatten", 1, kOpsetMax, 1, 1, 1, InferFlatten, LowerReshape},
    {"", "Squeeze", 1, kOpsetMax, 1, 2, 1, InferSqueeze, LowerReshape},
    {"", "Unsqueeze", 1, 12, 1, 1, 1, InferUnsqueeze, LowerReshape},
    {"", "Unsqueeze", 13, kOpsetMax, 2, 2, 1, InferUnsqueeze, LowerReshape},
};

}  // namespace

absl::Span<const OpRow> ReshapeOps() { return kReshapeOps; }

}  // namespace paramd::ops
