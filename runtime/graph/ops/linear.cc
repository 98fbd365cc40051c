// Gemm, MatMul, and the MatMul with bias that fusion makes.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

absl::Status CheckBroadcastsTo(const SymbolicShape& bias, const SymbolicShape& y) {
  const auto refuse = [&] {
    return absl::InvalidArgumentError(
        StrCat("bias ", ToString(bias), " does not broadcast to ", ToString(y)));
  };
  if (bias.size() > y.size()) return refuse();
  for (size_t i = 0; i < bias.size(); ++i) {
    const Dim& from = bias[bias.size() - 1 - i];
    const Dim& to = y[y.size() - 1 - i];
    if (from.known() && to.known() && from.size != 1 && from.size != to.size) return refuse();
  }
  return absl::OkStatus();
}

// --- Gemm -----------------------------------------------------------------

absl::StatusOr<Types> InferGemm(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  if (HasInput(context, 2)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  const Node& node = *context.node;
  const DType dtype = InputDType(context, 0);
  SymbolicShape y(2);
  Dim inner[2];
  for (int i = 0; i < 2; ++i) {
    const SymbolicShape* shape = InputShape(context, i);
    if (shape == nullptr) continue;
    if (shape->size() != 2) {
      return absl::InvalidArgumentError(
          StrCat("input ", i, " is ", ToString(*shape), ", expected rank 2"));
    }
    const bool transposed = node.GetInt(i == 0 ? "transA" : "transB", 0) != 0;
    const size_t outer_axis = (i == 0) != transposed ? 0 : 1;
    y[static_cast<size_t>(i)] = (*shape)[outer_axis];
    inner[i] = (*shape)[1 - outer_axis];
  }
  if (const auto merged = MergeDims(inner[0], inner[1]); !merged.ok()) {
    return absl::InvalidArgumentError(
        StrCat("inner ", FromAbsl(merged.status().message()), " in ",
               ToString(context.inputs[0].shape.value_or(SymbolicShape{})), " and ",
               ToString(context.inputs[1].shape.value_or(SymbolicShape{}))));
  }
  if (const SymbolicShape* bias = InputShape(context, 2); bias != nullptr) {
    PARAMD_RETURN_IF_ERROR(CheckBroadcastsTo(*bias, y));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerGemm(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  MatMulParams params;
  params.trans_a = node.GetInt("transA", 0) != 0;
  params.trans_b = node.GetInt("transB", 0) != 0;
  params.alpha = node.GetFloat("alpha", 1);
  params.beta = node.GetFloat("beta", 1);
  return MakeLowered(context, outputs, params, {0, 1, 2});
}

// --- MatMul ---------------------------------------------------------------

// The shapes of a MatMul with its rank-1 operands widened, transposes applied.
struct Widened {
  SymbolicShape a, b, y;  // y still has the dimensions that widening added.
  bool a_was_vector = false, b_was_vector = false;
};

absl::StatusOr<Widened> Widen(const SymbolicShape& a, const SymbolicShape& b, bool trans_a,
                              bool trans_b) {
  Widened wide{a, b, {}, a.size() == 1, b.size() == 1};
  if (a.empty() || b.empty()) return absl::InvalidArgumentError("a scalar cannot be multiplied");
  if (wide.a_was_vector) wide.a.insert(wide.a.begin(), Dim::Of(1));
  if (wide.b_was_vector) wide.b.push_back(Dim::Of(1));
  const size_t ra = wide.a.size(), rb = wide.b.size();
  const Dim& rows = wide.a[trans_a ? ra - 1 : ra - 2];
  const Dim& inner_a = wide.a[trans_a ? ra - 2 : ra - 1];
  const Dim& inner_b = wide.b[trans_b ? rb - 1 : rb - 2];
  const Dim& columns = wide.b[trans_b ? rb - 2 : rb - 1];
  if (const auto merged = MergeDims(inner_a, inner_b); !merged.ok()) {
    return absl::InvalidArgumentError(StrCat("inner ", FromAbsl(merged.status().message()), " in ",
                                             ToString(a), " and ", ToString(b)));
  }
  PARAMD_ASSIGN_OR_RETURN(wide.y,
                          BroadcastSymbolic(SymbolicShape(wide.a.begin(), wide.a.end() - 2),
                                            SymbolicShape(wide.b.begin(), wide.b.end() - 2)));
  wide.y.push_back(rows);
  wide.y.push_back(columns);
  return wide;
}

bool TransA(const Node& node) { return node.GetInt("transA", 0) != 0; }
bool TransB(const Node& node) { return node.GetInt("transB", 0) != 0; }

absl::StatusOr<Types> InferMatMul(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* a = InputShape(context, 0);
  const SymbolicShape* b = InputShape(context, 1);
  if (a == nullptr || b == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(Widened wide,
                          Widen(*a, *b, TransA(*context.node), TransB(*context.node)));
  if (const SymbolicShape* bias = InputShape(context, 2); bias != nullptr) {
    PARAMD_RETURN_IF_ERROR(CheckBroadcastsTo(*bias, wide.y));
  }
  if (wide.a_was_vector) wide.y.erase(wide.y.end() - 2);
  if (wide.b_was_vector) wide.y.pop_back();
  return Types{TensorType(dtype, std::move(wide.y))};
}

absl::StatusOr<OpRow::Lowered> LowerMatMul(const InferContext& context, const Types& outputs) {
  MatMulParams params;
  params.trans_a = TransA(*context.node);
  params.trans_b = TransB(*context.node);
  PARAMD_ASSIGN_OR_RETURN(
      const Widened wide,
      Widen(*InputShape(context, 0), *InputShape(context, 1), params.trans_a, params.trans_b));
  OpRow::Lowered lowered = MakeLowered(context, outputs, params, {0, 1, 2});
  lowered.spec.inputs[0].shape = ConcreteOf(wide.a);
  lowered.spec.inputs[1].shape = ConcreteOf(wide.b);
  lowered.spec.outputs[0].shape = ConcreteOf(wide.y);
  return lowered;
}

constexpr OpRow kLinearOps[] = {
    {"", "Gemm", 7, kOpsetMax, 2, 3, 1, InferGemm, LowerGemm},
    {"", "MatMul", 1, kOpsetMax, 2, 2, 1, InferMatMul, LowerMatMul},
    // y = a b + bias, with transA and transB of the last two dimensions.
    {kInternalDomain, "MatMul", 1, 1, 2, 3, 1, InferMatMul, LowerMatMul},
};

}  // namespace

absl::Span<const OpRow> LinearOps() { return kLinearOps; }

}  // namespace paramd::ops
