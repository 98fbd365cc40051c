// Reductions and softmax.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

// Sum took its axes as an input one version family before the others did.
int64_t AxesInputSince(std::string_view op) { return op == "ReduceSum" ? 13 : 18; }

// The axes to reduce, sorted; nothing if they are not known yet.
absl::StatusOr<std::optional<std::vector<int>>> ReduceAxes(const InferContext& context, int rank) {
  const Node& node = *context.node;
  std::vector<int64_t> axes;
  if (node.opset < AxesInputSince(node.op)) {
    axes = node.GetInts("axes");
  } else if (HasInput(context, 1)) {
    const auto known = KnownInts(context, 1);
    if (!known.has_value()) return std::optional<std::vector<int>>();
    axes = *known;
  }
  if (axes.empty()) {
    if (node.GetInt("noop_with_empty_axes", 0) != 0) return std::vector<int>{};
    std::vector<int> all(static_cast<size_t>(rank));
    for (int i = 0; i < rank; ++i) all[static_cast<size_t>(i)] = i;
    return all;
  }
  return NormalizeAxes(axes, rank);
}

absl::StatusOr<Types> InferReduce(const InferContext& context) {
  if (context.node->opset < AxesInputSince(context.node->op) && HasInput(context, 1)) {
    return absl::InvalidArgumentError("axes are an attribute in this opset, not an input");
  }
  const DType dtype = InputDType(context, 0);
  const bool truths =
      dtype == DType::kBool && (context.node->op == "ReduceMax" || context.node->op == "ReduceMin");
  if (!IsFloat(dtype) && !IsInteger(dtype) && !truths) {
    return absl::InvalidArgumentError(
        StrCat("input 0 is ", DTypeName(dtype), ", expected a number"));
  }
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  const int rank = static_cast<int>(x->size());
  PARAMD_ASSIGN_OR_RETURN(const auto axes, ReduceAxes(context, rank));
  const bool keep = context.node->GetInt("keepdims", 1) != 0;
  if (!axes.has_value()) {
    if (!keep) return Types{UnknownShape(dtype)};
    return Types{TensorType(dtype, SymbolicShape(x->size()))};
  }
  SymbolicShape y;
  size_t next = 0;
  for (int i = 0; i < rank; ++i) {
    if (next < axes->size() && (*axes)[next] == i) {
      ++next;
      if (keep) y.push_back(Dim::Of(1));
    } else {
      y.push_back((*x)[static_cast<size_t>(i)]);
    }
  }
  return Types{TensorType(dtype, std::move(y))};
}

template <ReduceKind kind>
absl::StatusOr<OpRow::Lowered> LowerReduce(const InferContext& context, const Types& outputs) {
  const int rank = static_cast<int>(InputShape(context, 0)->size());
  PARAMD_ASSIGN_OR_RETURN(auto axes, ReduceAxes(context, rank));
  if (!axes.has_value()) {
    return absl::UnimplementedError("axes that are computed per request are not supported");
  }
  // Squares and absolute values of single elements still have to be taken.
  const bool changes_elements =
      kind == ReduceKind::kL1 || kind == ReduceKind::kL2 || kind == ReduceKind::kSumSquare;
  if (axes->empty() && !changes_elements) {
    return MakeLowered(context, outputs, ReshapeParams{}, {0});
  }
  return MakeLowered(context, outputs, ReduceParams{kind, *std::move(axes)}, {0});
}

absl::StatusOr<int> SoftmaxAxis(const InferContext& context, int rank) {
  const int64_t otherwise = context.node->opset < 13 ? 1 : -1;
  const int64_t axis = context.node->GetInt("axis", otherwise);
  return NormalizeAxis(axis, rank);
}

absl::StatusOr<Types> InferSoftmax(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    if (x->empty()) return absl::InvalidArgumentError("a scalar has no axis");
    PARAMD_RETURN_IF_ERROR(SoftmaxAxis(context, static_cast<int>(x->size())).status());
  }
  return Types{context.inputs[0]};
}

template <bool log>
absl::StatusOr<OpRow::Lowered> LowerSoftmax(const InferContext& context, const Types& outputs) {
  const int rank = static_cast<int>(InputShape(context, 0)->size());
  SoftmaxParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis, SoftmaxAxis(context, rank));
  params.log = log;
  // Over the last dimension both meanings are one; backends know the plain one best.
  params.flattened = context.node->opset < 13 && params.axis != rank - 1;
  return MakeLowered(context, outputs, params, {0});
}

constexpr OpRow kReduceOps[] = {
    {"", "Softmax", 1, kOpsetMax, 1, 1, 1, InferSoftmax, LowerSoftmax<false>},
    {"", "LogSoftmax", 1, kOpsetMax, 1, 1, 1, InferSoftmax, LowerSoftmax<true>},
    {"", "ReduceSum", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kSum>},
    {"", "ReduceMean", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kMean>},
    {"", "ReduceMax", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kMax>},
    {"", "ReduceMin", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kMin>},
    {"", "ReduceProd", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kProd>},
    {"", "ReduceL1", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kL1>},
    {"", "ReduceL2", 1, kOpsetMax, 1, 2, 1, InferReduce, LowerReduce<ReduceKind::kL2>},
    {"", "ReduceSumSquare", 1, kOpsetMax, 1, 2, 1, InferReduce,
     LowerReduce<ReduceKind::kSumSquare>},
};

}  // namespace

absl::Span<const OpRow> ReduceOps() { return kReduceOps; }

}  // namespace paramd::ops
