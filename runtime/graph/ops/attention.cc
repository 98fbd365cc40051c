// Attention, which the pass fuse-attention makes of what exporters write out.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

// The attribute, a permutation of [0, rank); in order where it is not written.
absl::StatusOr<std::vector<int>> PermAttribute(const Node& node, const std::string& key, int rank) {
  std::vector<int> perm;
  for (int axis = 0; axis < rank; ++axis) perm.push_back(axis);
  if (!node.Has(key)) return perm;
  const std::vector<int64_t> written = node.GetInts(key);
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> sorted, NormalizeAxes(written, rank));
  if (sorted != perm) return absl::InvalidArgumentError(StrCat(key, " is no permutation"));
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int>(written[i]);
  return perm;
}

SymbolicShape Permuted(const SymbolicShape& shape, const std::vector<int>& perm) {
  SymbolicShape permuted;
  for (const int axis : perm) permuted.push_back(shape[static_cast<size_t>(axis)]);
  return permuted;
}

// [..., last two dimensions] of the batch and head dimensions of `shape`.
SymbolicShape WithMatrix(const SymbolicShape& shape, const Dim& rows, const Dim& columns) {
  SymbolicShape result(shape.begin(), shape.end() - 2);
  result.push_back(rows);
  result.push_back(columns);
  return result;
}

absl::StatusOr<Types> InferAttention(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  if (HasInput(context, 3)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 3));
  if (HasInput(context, 4) && InputDType(context, 4) != DType::kBool) {
    return absl::InvalidArgumentError("input 4 is not bool");
  }
  const DType dtype = InputDType(context, 0);
  std::array<SymbolicShape, 3> shapes;  // Of q, k and v as [..., rows, columns].
  constexpr std::array<const char*, 3> kKeys = {"qPerm", "kPerm", "vPerm"};
  int rank = 0;
  for (int i = 0; i < 3; ++i) {
    const SymbolicShape* shape = InputShape(context, i);
    if (shape == nullptr) return Types{UnknownShape(dtype)};
    if (i == 0) rank = static_cast<int>(shape->size());
    if (static_cast<int>(shape->size()) != rank || (rank != 3 && rank != 4)) {
      return absl::InvalidArgumentError(
          StrCat("input ", i, " is ", ToString(*shape), ", expected one rank of 3 or 4 for all"));
    }
    const auto at = static_cast<size_t>(i);
    PARAMD_ASSIGN_OR_RETURN(const std::vector<int> perm,
                            PermAttribute(*context.node, kKeys[at], rank));
    shapes[at] = Permuted(*shape, perm);
  }
  const auto& [q, k, v] = shapes;
  PARAMD_RETURN_IF_ERROR(MergeDims(q.back(), k.back()).status());
  const Dim one = Dim::Of(1);
  PARAMD_ASSIGN_OR_RETURN(
      SymbolicShape scores,
      BroadcastSymbolic(WithMatrix(q, q[q.size() - 2], one), WithMatrix(k, one, k[k.size() - 2])));
  for (const int i : {3, 4}) {
    if (!HasInput(context, i)) continue;
    const SymbolicShape* mask = InputShape(context, i);
    if (mask == nullptr) return Types{UnknownShape(dtype)};
    if (static_cast<int>(mask->size()) > rank) {
      return absl::InvalidArgumentError(
          StrCat("input ", i, " is ", ToString(*mask), " for scores ", ToString(scores)));
    }
    PARAMD_ASSIGN_OR_RETURN(scores, BroadcastSymbolic(scores, *mask));
  }
  PARAMD_RETURN_IF_ERROR(MergeDims(scores.back(), v[v.size() - 2]).status());
  PARAMD_ASSIGN_OR_RETURN(const SymbolicShape y,
                          BroadcastSymbolic(WithMatrix(scores, scores[scores.size() - 2], one),
                                            WithMatrix(v, one, v.back())));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<int> perm, PermAttribute(*context.node, "yPerm", rank));
  return Types{TensorType(dtype, Permuted(y, perm))};
}

absl::StatusOr<OpRow::Lowered> LowerAttention(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  const int rank = static_cast<int>(InputShape(context, 0)->size());
  AttentionParams params;
  params.scale = node.GetFloat("scale", 1);
  params.fill = node.GetFloat("fill", 0);
  params.drop = node.GetInt("drop", 0) != 0;
  params.zero_nan = node.GetInt("zeroNan", 0) != 0;
  PARAMD_ASSIGN_OR_RETURN(params.q_perm, PermAttribute(node, "qPerm", rank));
  PARAMD_ASSIGN_OR_RETURN(params.k_perm, PermAttribute(node, "kPerm", rank));
  PARAMD_ASSIGN_OR_RETURN(params.v_perm, PermAttribute(node, "vPerm", rank));
  PARAMD_ASSIGN_OR_RETURN(params.y_perm, PermAttribute(node, "yPerm", rank));
  return MakeLowered(context, outputs, std::move(params), {0, 1, 2, 3, 4});
}

constexpr OpRow kAttentionOps[] = {
    // y = softmax(scale q k^T, masked) v; inputs {q, k, v, mask or absent, keep or absent}.
    {kInternalDomain, "Attention", 1, 1, 3, 5, 1, InferAttention, LowerAttention},
};

}  // namespace

absl::Span<const OpRow> AttentionOps() { return kAttentionOps; }

}  // namespace paramd::ops
