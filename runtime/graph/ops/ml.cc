// Operators of our own domain that the definitions of ai.onnx.ml end in
// (../functions): trees, tables of labels, n-grams, coupled probabilities.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

absl::Status RequireRank(const InferContext& context, int i, size_t rank) {
  const SymbolicShape* shape = InputShape(context, i);
  if (shape == nullptr || shape->size() == rank) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", ToString(*shape), ", expected rank ", rank));
}

// The rows of input 0 and this many columns.
SymbolicShape RowsBy(const InferContext& context, int64_t columns) {
  const SymbolicShape* x = InputShape(context, 0);
  return {x == nullptr ? Dim::Unknown() : x->front(), Dim::Of(columns)};
}

absl::StatusOr<Types> InferTrees(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireRank(context, 0, 2));
  return Types{
      TensorType(InputDType(context, 5), RowsBy(context, context.node->GetInt("targets", 1)))};
}

absl::StatusOr<OpRow::Lowered> LowerTrees(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "tree_ensemble", {context.node->GetInt("aggregate", 1)}, {},
                   {0, 1, 2, 3, 4, 5, 6});
}

absl::StatusOr<Types> InferLabelLookup(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  if (HasInput(context, 3)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 2, 3));
  return Types{TensorType(InputDType(context, 2), context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerLabelLookup(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "label_lookup", {}, {}, {0, 1, 2, 3});
}

absl::StatusOr<Types> InferPairwise(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireRank(context, 0, 2));
  return Types{
      TensorType(InputDType(context, 0), RowsBy(context, context.node->GetInt("classes", 2)))};
}

absl::StatusOr<OpRow::Lowered> LowerPairwise(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "pairwise_probability", {}, {}, {0, 1, 2});
}

// {ids i64 [..., tokens], grams i64 [n, 1 + longest], columns i32 [n]}
absl::StatusOr<Types> InferNGrams(const InferContext& context) {
  const int64_t columns = context.node->GetInt("columns", 1);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(DType::kF32)};
  if (x->empty() || x->size() > 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 1 or 2"));
  }
  SymbolicShape y = *x;
  y.back() = Dim::Of(columns);
  return Types{TensorType(DType::kF32, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerNGrams(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  return MakeNamed(context, outputs, "ngram_counts",
                   {node.GetInt("shortest", 1), node.GetInt("longest", 1), node.GetInt("skips", 0)},
                   {}, {0, 1, 2});
}

constexpr OpRow kMlOps[] = {
    {kInternalDomain, "TreeEnsemble", 1, 1, 6, 7, 1, InferTrees, LowerTrees},
    {kInternalDomain, "LabelLookup", 1, 1, 3, 4, 1, InferLabelLookup, LowerLabelLookup},
    {kInternalDomain, "NGramCounts", 1, 1, 3, 3, 1, InferNGrams, LowerNGrams},
    {kInternalDomain, "PairwiseProbability", 1, 1, 3, 3, 1, InferPairwise, LowerPairwise},
};

}  // namespace

absl::Span<const OpRow> MlOps() { return kMlOps; }

}  // namespace paramd::ops
