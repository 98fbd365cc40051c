// What passes share: who reads a value, and moving names and users about.
//
// Life: PassIndex is valid until the graph changes in ways it was not told of.
// Thread-safety: none needed; a pass owns its graph.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_PASS_SUPPORT_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_PASS_SUPPORT_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/graph/graph.h"

namespace paramd {

class PassIndex {
 public:
  explicit PassIndex(const Graph& graph);

  // The one node that reads `id`, if it reads it once, and it is no graph
  // output; kNone else. Subgraphs' captures count as reads.
  NodeId OnlyReader(ValueId id) const;
  bool IsOutput(ValueId id) const { return is_output_[static_cast<size_t>(id)]; }
  const std::vector<NodeId>& Readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }
  // Tells it that `after` reads `id` now, instead of `before` or (kNone) as well.
  void ReaderChanged(ValueId id, NodeId before, NodeId after);

 private:
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> is_output_;
};

// Longer epilogues gain nothing, and backends bound them.
inline constexpr size_t kPostOpsMax = 4;

// Whether the node is a live one of ai.onnx with this operator.
bool Is(const Node& node, std::string_view op);

// `into` makes what `gone` made, under its name: for fusing a node into its
// producer. `gone` dies; its names are kept in `fused`.
void TakeOverOutput(Graph& graph, NodeId into, NodeId gone);

// A derived constant and a value for it.
ValueId AddDerived(Graph& graph, std::string name, std::string_view transform,
                   std::vector<ConstantId> parents, std::vector<double> args, DType dtype,
                   Shape shape, ParameterRole role);

// The constant behind a value; null if it is none.
const Constant* ConstantOf(const Graph& graph, ValueId id);

// Whether a constant holds one element per index of `axis` of a tensor of this
// rank, broadcast over all other dimensions: [C,1,1] for axis 1 of rank 4. A
// single element counts when `n` is 1 only.
bool IsPerAxis(const Shape& shape, int axis, int rank, int64_t n);

// Whether two values have the same type, and shapes that are equal whatever
// the named dimensions turn out to be.
bool SameType(const Value& a, const Value& b);

// The node's parameters as its row lowers them, for operators whose parameters
// do not depend on sizes (activations, pads): open dimensions are filled in.
// An error where the row needs what is not known.
absl::StatusOr<OpParams> ParamsOf(const Graph& graph, const Node& node);

// Conv, Gemm, or MatMul of matrices: what takes a bias and post-ops best.
bool IsLinear(const Graph& graph, const Node& node);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_PASS_SUPPORT_H_
