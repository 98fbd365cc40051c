// What the families of the operator table share: access to a node's inputs,
// symbolic broadcasting, axes, and the making of specs.
//
// Messages here name neither node nor operator: InferNode and LowerNode add both.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_OPS_OP_SUPPORT_H_
#define PARAMD_RUNTIME_GRAPH_OPS_OP_SUPPORT_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd::ops {

using Types = std::vector<ValueType>;

// The families, one file each.
absl::Span<const OpRow> ElementwiseOps();
absl::Span<const OpRow> LinearOps();
absl::Span<const OpRow> MovementOps();
absl::Span<const OpRow> NnOps();
absl::Span<const OpRow> ReduceOps();
absl::Span<const OpRow> ReshapeOps();
absl::Span<const OpRow> ShapeOps();
absl::Span<const OpRow> SlicingOps();
absl::Span<const OpRow> ElementwiseNamedOps();
absl::Span<const OpRow> IndexingOps();
absl::Span<const OpRow> SelectionOps();
absl::Span<const OpRow> ResamplingOps();
absl::Span<const OpRow> WindowNamedOps();
absl::Span<const OpRow> QuantizedOps();
absl::Span<const OpRow> RecurrentOps();
absl::Span<const OpRow> NormalizationOps();
absl::Span<const OpRow> SignalOps();
absl::Span<const OpRow> DynamicOps();
absl::Span<const OpRow> AttentionOps();
absl::Span<const OpRow> MlOps();
absl::Span<const OpRow> RandomOps();
absl::Span<const OpRow> DeformConvOps();
absl::Span<const OpRow> StringOps();

bool HasInput(const InferContext& context, int i);
// Null where the input is absent or of unknown rank.
const SymbolicShape* InputShape(const InferContext& context, int i);
DType InputDType(const InferContext& context, int i);
// Null where the data of input i is not known.
const Tensor* Known(const InferContext& context, int i);
// The integers of input i where they are known and of rank 0 or 1.
std::optional<std::vector<int64_t>> KnownInts(const InferContext& context, int i);
// The one integer in it, where it is known to be one.
std::optional<int64_t> KnownScalar(const InferContext& context, int i);

ValueType TensorType(DType dtype, std::optional<SymbolicShape> shape);
inline ValueType UnknownShape(DType dtype) { return TensorType(dtype, std::nullopt); }

// InvalidArgument if `axis` is outside [-rank, rank).
absl::StatusOr<int> NormalizeAxis(int64_t axis, int rank);
// The same for a list; sorted, InvalidArgument for one named twice.
absl::StatusOr<std::vector<int>> NormalizeAxes(absl::Span<const int64_t> axes, int rank);

// InvalidArgument if the two are known and can never be equal.
absl::StatusOr<Dim> MergeDims(const Dim& a, const Dim& b);
// numpy's broadcasting over what is known.
absl::StatusOr<SymbolicShape> BroadcastSymbolic(const SymbolicShape& a, const SymbolicShape& b);

// The number of elements where all dimensions are known and the product is sane.
std::optional<int64_t> KnownElements(const SymbolicShape& shape);

// InvalidArgument unless input i has one of these types.
absl::Status RequireFloat(const InferContext& context, int i);
// The type rule of what maps numbers with a fraction one by one: input 0's type.
absl::StatusOr<Types> InferFloat(const InferContext& context);
absl::Status RequireSameDType(const InferContext& context, int a, int b);

// All known dimensions; unknown ones become 0. REQUIRES: there are none (LowerNode has checked).
Shape ConcreteOf(const SymbolicShape& shape);
// Operands for a spec. REQUIRES: the shape is concrete (LowerNode has checked).
Operand ActivationOperand(DType dtype, const SymbolicShape& shape);
Operand InputOperand(const InferContext& context, int i);
// A spec with the node's inputs `operands` (kNone for absent ones) and its first output.
OpRow::Lowered MakeLowered(const InferContext& context, const Types& outputs, OpParams params,
                           std::vector<int> operands);

// The same for an operation of NamedParams, with all of the node's outputs.
OpRow::Lowered MakeNamed(const InferContext& context, const Types& outputs, std::string_view op,
                         std::vector<int64_t> ints, std::vector<double> numbers,
                         std::vector<int> operands);
// What a node that draws random numbers draws them by: its seed, or its name.
int64_t RandomSeed(const Node& node);
// Unimplemented: what input i holds decides the operation and is not known yet.
absl::Status NotKnownYet(std::string_view what);

}  // namespace paramd::ops

#endif  // PARAMD_RUNTIME_GRAPH_OPS_OP_SUPPORT_H_
