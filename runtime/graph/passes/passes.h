// The passes' own functions, one file each; pass_list.h runs them.
//
// Thread-safety: pure functions of the graph they are given.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_

#include "runtime/graph/passes/pass_list.h"

namespace paramd {

// Conv and MatMul between DequantizeLinear and QuantizeLinear become QLinearConv
// and QLinearMatMul. Before constants are folded: the weights stay 8 bits.
absl::StatusOr<int> FuseQdq(Graph& graph, const PassOptions& options);
// Nodes whose results are known become constants; Transpose, Reshape and their
// like of a checkpoint's tensor, and weights that are widened from 8 bits, become
// derived constants.
absl::StatusOr<int> FoldConstants(Graph& graph, const PassOptions& options);
// Nodes that hand on their input unchanged go: Identity, Dropout, a Reshape to
// the same shape, a Cast to the same type, ...
absl::StatusOr<int> RemoveIdentities(Graph& graph, const PassOptions& options);
// Pad with zeros of spatial dimensions, into the convolution that reads it.
absl::StatusOr<int> FusePadIntoConv(Graph& graph, const PassOptions& options);
// BatchNormalization, and a per-channel Mul, into the convolution or linear
// operator before it: new weights and biases are derived, the checkpoint's stay.
absl::StatusOr<int> FoldBatchNorm(Graph& graph, const PassOptions& options);
// A constant for each output, or one for all, added to a Conv, MatMul or Gemm becomes its bias.
absl::StatusOr<int> FuseBias(Graph& graph, const PassOptions& options);
// A Transpose of the last two dimensions that only a MatMul reads.
absl::StatusOr<int> FuseTransposeIntoMatMul(Graph& graph, const PassOptions& options);
// Dimensions of computed shapes that are dimensions of an input: their names, so
// that other passes see which shapes are equal.
absl::StatusOr<int> NameDimensions(Graph& graph, const PassOptions& options);
// Reshape to three dimensions, Transpose, Reshape back: one Transpose.
absl::StatusOr<int> UnflattenTransposes(Graph& graph, const PassOptions& options);
// Transposes go below elementwise operators and joins; two in a row become one,
// or none.
absl::StatusOr<int> MoveTransposes(Graph& graph, const PassOptions& options);
// x Sigmoid(x) is Silu; with a factor inside, too.
absl::StatusOr<int> FuseSilu(Graph& graph, const PassOptions& options);
// Gelu written out, by Erf and by Tanh.
absl::StatusOr<int> FuseGelu(Graph& graph, const PassOptions& options);
// HardSwish and HardSigmoid written out by Add and Clip.
absl::StatusOr<int> FuseHardSwish(Graph& graph, const PassOptions& options);
// LayerNormalization written out, over the last dimensions.
absl::StatusOr<int> FuseLayerNorm(Graph& graph, const PassOptions& options);
// MatMul, masks, Softmax, MatMul, and the transposes around them: one op that
// holds no more than some rows of scores.
absl::StatusOr<int> FuseAttention(Graph& graph, const PassOptions& options);
// An activation joins the node that makes its input, as a post-op.
absl::StatusOr<int> FuseActivations(Graph& graph, const PassOptions& options);
// An Add of two equal shapes joins the later of the nodes that make its operands.
absl::StatusOr<int> FuseResiduals(Graph& graph, const PassOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_PASSES_H_
