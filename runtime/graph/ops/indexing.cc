// The gather and scatter families, tiles, triangles, reversals, max-unpooling,
// and space moved to depth and back.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/ops/window.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

absl::Status RequireIndices(const InferContext& context, int i) {
  const DType dtype = InputDType(context, i);
  if (dtype == DType::kI32 || dtype == DType::kI64) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", DTypeName(dtype), ", expected i32 or i64"));
}

// `axis` of data, at least 1-D; 0 where the rank is not known.
absl::StatusOr<int> DataAxis(const InferContext& context, int64_t otherwise) {
  const SymbolicShape* data = InputShape(context, 0);
  if (data == nullptr) return 0;
  return NormalizeAxis(context.node->GetInt("axis", otherwise), static_cast<int>(data->size()));
}

absl::Status SameRank(const InferContext& context, int a, int b) {
  const SymbolicShape *left = InputShape(context, a), *right = InputShape(context, b);
  if (left == nullptr || right == nullptr || left->size() == right->size()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(StrCat("inputs ", a, " and ", b, " are ", ToString(*left),
                                           " and ", ToString(*right), ": ranks differ"));
}

absl::StatusOr<Types> InferGatherElements(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireIndices(context, 1));
  PARAMD_RETURN_IF_ERROR(SameRank(context, 0, 1));
  PARAMD_RETURN_IF_ERROR(DataAxis(context, 0).status());
  ValueType type = context.inputs[1];
  type.dtype = InputDType(context, 0);
  return Types{std::move(type)};
}

absl::StatusOr<OpRow::Lowered> LowerGatherElements(const InferContext& context,
                                                   const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, DataAxis(context, 0));
  return MakeNamed(context, outputs, "gather_elements", {axis}, {}, {0, 1});
}

absl::StatusOr<int64_t> ReductionOf(const InferContext& context) {
  constexpr std::string_view kNames[] = {"none", "add", "mul", "max", "min"};
  const std::string name = context.node->GetString("reduction", "none");
  const auto* it = std::find(std::begin(kNames), std::end(kNames), name);
  if (it == std::end(kNames)) {
    return absl::InvalidArgumentError(StrCat("reduction is '", name, "'"));
  }
  return it - std::begin(kNames);
}

absl::StatusOr<Types> InferScatter(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireIndices(context, 1));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  PARAMD_RETURN_IF_ERROR(ReductionOf(context).status());
  if (context.node->op != "ScatterND") {
    PARAMD_RETURN_IF_ERROR(SameRank(context, 0, 1));
    PARAMD_RETURN_IF_ERROR(SameRank(context, 0, 2));
    PARAMD_RETURN_IF_ERROR(DataAxis(context, 0).status());
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerScatterElements(const InferContext& context,
                                                    const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, DataAxis(context, 0));
  PARAMD_ASSIGN_OR_RETURN(const int64_t reduction, ReductionOf(context));
  return MakeNamed(context, outputs, "scatter_elements", {axis, reduction}, {}, {0, 1, 2});
}

absl::StatusOr<OpRow::Lowered> LowerScatterND(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int64_t reduction, ReductionOf(context));
  return MakeNamed(context, outputs, "scatter_nd", {reduction}, {}, {0, 1, 2});
}

absl::StatusOr<Types> InferGatherND(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireIndices(context, 1));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape *data = InputShape(context, 0), *indices = InputShape(context, 1);
  if (data == nullptr || indices == nullptr || indices->empty() || !indices->back().known()) {
    return Types{UnknownShape(dtype)};
  }
  const int64_t batch = context.node->GetInt("batch_dims", 0), depth = indices->back().size;
  const auto rank = static_cast<int64_t>(data->size());
  if (batch < 0 || batch >= static_cast<int64_t>(indices->size()) || depth > rank - batch) {
    return absl::InvalidArgumentError(StrCat("indices ", ToString(*indices), " with batch_dims ",
                                             batch, " do not fit data ", ToString(*data)));
  }
  SymbolicShape y(indices->begin(), indices->end() - 1);
  y.insert(y.end(), data->begin() + batch + depth, data->end());
  if (y.size() > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(StrCat("the result would have rank ", y.size()));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerGatherND(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "gather_nd", {context.node->GetInt("batch_dims", 0)}, {},
                   {0, 1});
}

// --- Trilu, EyeLike -----------------------------------------------------------

absl::StatusOr<Types> InferTrilu(const InferContext& context) {
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr && x->size() < 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected a matrix"));
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerTrilu(const InferContext& context, const Types& outputs) {
  int64_t k = 0;
  if (HasInput(context, 1)) {
    const Tensor* tensor = Known(context, 1);
    const auto known = tensor == nullptr ? std::nullopt : IntValues(tensor->view());
    if (!known.has_value() || known->size() != 1) return NotKnownYet("a diagonal");
    k = (*known)[0];
  }
  return MakeNamed(context, outputs, "trilu", {context.node->GetInt("upper", 1), k}, {}, {0});
}

absl::StatusOr<Types> InferEyeLike(const InferContext& context) {
  DType dtype = InputDType(context, 0);
  if (context.node->Has("dtype")) {
    const auto wanted = DTypeFromOnnx(static_cast<int32_t>(context.node->GetInt("dtype", 1)));
    if (!wanted.has_value()) return absl::InvalidArgumentError("dtype names no type");
    dtype = *wanted;
  }
  const SymbolicShape* x = InputShape(context, 0);
  if (x != nullptr && x->size() != 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected a matrix"));
  }
  return Types{TensorType(dtype, context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerEyeLike(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "eye_like", {context.node->GetInt("k", 0)}, {}, {});
}

// --- Tile -----------------------------------------------------------------------

absl::StatusOr<Types> InferTile(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  const auto repeats = KnownInts(context, 1);
  if (!repeats.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
  if (repeats->size() != x->size()) {
    return absl::InvalidArgumentError(StrCat(repeats->size(), " repeats for rank ", x->size()));
  }
  SymbolicShape y = *x;
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t times = (*repeats)[i];
    if (times < 0) return absl::InvalidArgumentError(StrCat("repeats ", times, " times"));
    if (times == 1) continue;
    int64_t size = 0;
    if (!y[i].known()) {
      y[i] = times == 0 ? Dim::Of(0) : Dim::Unknown();
    } else if (__builtin_mul_overflow(y[i].size, times, &size)) {
      return absl::InvalidArgumentError("the result is too large");
    } else {
      y[i] = Dim::Of(size);
    }
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerTile(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "tile", {}, {}, {0});
}

// --- ReverseSequence ------------------------------------------------------------

absl::StatusOr<Types> InferReverseSequence(const InferContext& context) {
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr && x->size() < 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 2 or more"));
  }
  const int64_t batch = context.node->GetInt("batch_axis", 1);
  const int64_t time = context.node->GetInt("time_axis", 0);
  if (batch < 0 || batch > 1 || time != 1 - batch) {
    return absl::InvalidArgumentError(
        StrCat("batch_axis ", batch, " and time_axis ", time, ", expected 0 and 1"));
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerReverseSequence(const InferContext& context,
                                                    const Types& outputs) {
  return MakeNamed(context, outputs, "reverse_sequence",
                   {context.node->GetInt("batch_axis", 1), context.node->GetInt("time_axis", 0)},
                   {}, {0, 1});
}

// --- MaxUnpool ------------------------------------------------------------------

// What the pool must have had: its dimensions follow from x and the window.
absl::StatusOr<SymbolicShape> Unpooled(const InferContext& context) {
  const SymbolicShape& x = *InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const Window window,
                          ParseWindow(*context.node, context.node->GetInts("kernel_shape")));
  if (window.kernel.size() + 2 != x.size()) {
    return absl::InvalidArgumentError("kernel_shape does not fit x");
  }
  SymbolicShape y = x;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    Dim& dim = y[i + 2];
    if (!dim.known() || dim.size == 0 || dim.size > (int64_t{1} << 31)) {
      dim = dim.known() && dim.size == 0 ? dim : Dim::Unknown();
      continue;
    }
    const int64_t size = (dim.size - 1) * window.strides[i] + window.kernel[i] -
                         window.pads_begin[i] - window.pads_end[i];
    if (size < 0) return absl::InvalidArgumentError("the pads are larger than the result");
    dim = Dim::Of(size);
  }
  return y;
}

absl::StatusOr<Types> InferMaxUnpool(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  PARAMD_RETURN_IF_ERROR(RequireIndices(context, 1));
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr || x->size() < 3) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape y, Unpooled(context));
  if (HasInput(context, 2)) {
    const auto wanted = KnownInts(context, 2);
    if (!wanted.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
    if (wanted->size() != x->size()) {
      return absl::InvalidArgumentError(StrCat("output_shape has ", wanted->size(), " values"));
    }
    PARAMD_RETURN_IF_ERROR(CheckedBytes(dtype, *wanted).status());
    y = ToSymbolic(Shape(*wanted));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerMaxUnpool(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const SymbolicShape pooled, Unpooled(context));
  std::vector<int64_t> dims;
  for (const Dim& dim : pooled) {
    if (!dim.known()) return absl::InvalidArgumentError("a dimension is too large");
    dims.push_back(dim.size);
  }
  return MakeNamed(context, outputs, "max_unpool", std::move(dims), {}, {0, 1});
}

// --- DepthToSpace, SpaceToDepth: a transpose of six dimensions ---------------------

absl::StatusOr<int64_t> BlockSize(const InferContext& context) {
  const int64_t block = context.node->GetInt("blocksize", 0);
  if (block >= 1 && block <= (1 << 15)) return block;
  return absl::InvalidArgumentError(StrCat("blocksize is ", block));
}

template <bool to_space>
absl::StatusOr<Types> InferDepthSpace(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const int64_t block, BlockSize(context));
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  if (x->size() != 4) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 4"));
  }
  SymbolicShape y = *x;
  const auto divide = [](Dim& dim, int64_t by) {
    if (dim.known() && dim.size % by != 0) {
      return absl::InvalidArgumentError(StrCat(dim.size, " is no multiple of ", by));
    }
    dim = dim.known() ? Dim::Of(dim.size / by) : Dim::Unknown();
    return absl::OkStatus();
  };
  const auto multiply = [](Dim& dim, int64_t by) {
    int64_t size = 0;
    if (dim.known() && __builtin_mul_overflow(dim.size, by, &size)) {
      return absl::InvalidArgumentError("the result is too large");
    }
    dim = dim.known() ? Dim::Of(size) : Dim::Unknown();
    return absl::OkStatus();
  };
  if (to_space) {
    PARAMD_RETURN_IF_ERROR(divide(y[1], block * block));
    PARAMD_RETURN_IF_ERROR(multiply(y[2], block));
    PARAMD_RETURN_IF_ERROR(multiply(y[3], block));
  } else {
    PARAMD_RETURN_IF_ERROR(multiply(y[1], block * block));
    PARAMD_RETURN_IF_ERROR(divide(y[2], block));
    PARAMD_RETURN_IF_ERROR(divide(y[3], block));
  }
  return Types{TensorType(dtype, std::move(y))};
}

template <bool to_space>
absl::StatusOr<OpRow::Lowered> LowerDepthSpace(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const int64_t block, BlockSize(context));
  const Shape x = ConcreteOf(*InputShape(context, 0));
  const std::string mode = context.node->GetString("mode", "DCR");
  if (to_space && mode != "DCR" && mode != "CRD") {
    return absl::InvalidArgumentError(StrCat("mode is '", mode, "'"));
  }
  TransposeParams params;
  Shape from;
  if (!to_space) {
    from = Shape{x.dim(0), x.dim(1), x.dim(2) / block, block, x.dim(3) / block, block};
    params.perm = {0, 3, 5, 1, 2, 4};
  } else if (mode == "DCR") {
    from = Shape{x.dim(0), block, block, x.dim(1) / (block * block), x.dim(2), x.dim(3)};
    params.perm = {0, 3, 4, 1, 5, 2};
  } else {
    from = Shape{x.dim(0), x.dim(1) / (block * block), block, block, x.dim(2), x.dim(3)};
    params.perm = {0, 1, 4, 2, 5, 3};
  }
  Shape to;
  for (const int i : params.perm) to.push_back(from.dim(i));
  OpRow::Lowered lowered = MakeLowered(context, outputs, std::move(params), {0});
  lowered.spec.inputs[0].shape = std::move(from);
  lowered.spec.outputs[0].shape = std::move(to);
  return lowered;
}

constexpr OpRow kIndexingOps[] = {
    {"", "GatherElements", 11, kOpsetMax, 2, 2, 1, InferGatherElements, LowerGatherElements},
    {"", "GatherND", 11, kOpsetMax, 2, 2, 1, InferGatherND, LowerGatherND},
    {"", "Scatter", 9, 10, 3, 3, 1, InferScatter, LowerScatterElements},
    {"", "ScatterElements", 11, kOpsetMax, 3, 3, 1, InferScatter, LowerScatterElements},
    {"", "ScatterND", 11, kOpsetMax, 3, 3, 1, InferScatter, LowerScatterND},
    {"", "Trilu", 14, kOpsetMax, 1, 2, 1, InferTrilu, LowerTrilu},
    {"", "EyeLike", 9, kOpsetMax, 1, 1, 1, InferEyeLike, LowerEyeLike},
    {"", "Tile", 6, kOpsetMax, 2, 2, 1, InferTile, LowerTile},
    {"", "ReverseSequence", 10, kOpsetMax, 2, 2, 1, InferReverseSequence, LowerReverseSequence},
    {"", "MaxUnpool", 9, kOpsetMax, 2, 3, 1, InferMaxUnpool, LowerMaxUnpool},
    {"", "DepthToSpace", 1, kOpsetMax, 1, 1, 1, InferDepthSpace<true>, LowerDepthSpace<true>},
    {"", "SpaceToDepth", 1, kOpsetMax, 1, 1, 1, InferDepthSpace<false>, LowerDepthSpace<false>},
};

}  // namespace

absl::Span<const OpRow> IndexingOps() { return kIndexingOps; }

}  // namespace paramd::ops
