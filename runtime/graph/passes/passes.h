// The passes' own functions, one file each; pass_list.h runs them.
//
// Thread-safety: pure functions of the graph they are given.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_

#include "runtime/graph/passes/pass_list.h"

namespace paramd {

// Nodes whose results are known become constants; Transpose, Reshape and their
// like of a checkpoint's tensor become derived constants.
absl::StatusOr<int> FoldConstants(Graph& graph, const PassOptions& options);
// Nodes that hand on their input unchanged go: Identity, Dropout, a Reshape to
// the same shape, a Cast to the same type, ...
absl::StatusOr<int> RemoveIdentities(Graph& graph, const PassOptions& options);
// Pad with zeros of spatial dimensions, into the convolution that reads it.
absl::StatusOr<int> FusePadIntoConv(Graph& graph, const PassOptions& options);
// BatchNormalization, and a per-channel Mul, into the convolution or linear
// operator before it: new weights and biases are derived, the checkpoint's stay.
absl::StatusOr<int> FoldBatchNorm(Graph& graph, const PassOptions& options);
// A per-output constant added to a Conv, MatMul or Gemm becomes its bias.
absl::StatusOr<int> FuseBias(Graph& graph, const PassOptions& options);
// A Transpose of the last two dimensions that only a MatMul reads.
absl::StatusOr<int> FuseTransposeIntoMatMul(Graph& graph, const PassOptions& options);
// x * Sigmoid(x) is Silu; one op instead of two.
absl::StatusOr<int> FuseSilu(Graph& graph, const PassOptions& options);
// An activation joins the node that makes its input, as a post-op.
absl::StatusOr<int> FuseActivations(Graph& graph, const PassOptions& options);
// An Add of two equal shapes joins the later of the nodes that make its operands.
absl::StatusOr<int> FuseResiduals(Graph& graph, const PassOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_
