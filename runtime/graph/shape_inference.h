// Shape inference: runs the operator table over a graph, given the types of
// its inputs. The same function serves import (symbolic shapes) and the
// compiling of a program (concrete ones: every shape that follows from the
// inputs' shapes then comes out concrete, shape arithmetic included).
//
// Small values that are known without a request (constants, Shape of a known
// shape, arithmetic on them) are carried along as `known`: a node all of whose
// outputs are known need not run.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_SHAPE_INFERENCE_H_
#define PARAMD_RUNTIME_GRAPH_SHAPE_INFERENCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {

// Runs one op on held tensors: the reference backend in the product, so that
// folding can never disagree with running. `inputs` has one view per spec
// input (null data for absent ones).
using EvaluateFn = std::function<absl::StatusOr<std::vector<Tensor>>(
    const OpSpec& spec, absl::Span<const TensorView> inputs)>;

struct InferOptions {
  EvaluateFn evaluate;                         // May be empty: then only Shape and its like fold.
  int64_t fold_elements_max = 64 * 1024;       // Larger results stay unknown.
  int64_t fold_bytes_max = 256 * 1024 * 1024;  // Of all known values together.
};

struct Inferred {
  std::vector<ValueType> types;                      // By ValueId.
  std::vector<std::shared_ptr<const Tensor>> known;  // By ValueId; null: not known.

  const ValueType& type(ValueId id) const { return types[static_cast<size_t>(id)]; }
  const Tensor* value(ValueId id) const {
    return id == kNone ? nullptr : known[static_cast<size_t>(id)].get();
  }
  // All outputs of `node` are known: it needs no op.
  bool Folded(const Node& node) const;
};

// `input_types` in the order of graph.inputs. InvalidArgument where an operator
// refuses its inputs, Unimplemented for an operator without a row, both naming the node.
absl::StatusOr<Inferred> InferShapes(const Graph& graph, absl::Span<const ValueType> input_types,
                                     const InferOptions& options);
// With the types that the graph's inputs have.
absl::StatusOr<Inferred> InferShapes(const Graph& graph, const InferOptions& options);
// Input types for concrete shapes.
std::vector<ValueType> ConcreteInputTypes(const Graph& graph, absl::Span<const Shape> shapes);

// What the operator table needs to know of one node.
InferContext ContextOf(const Node& node, const Inferred& inferred);

// Infers symbolically and writes the types into the graph's values. Where a
// first dimension comes out unknown (a Reshape to a computed shape), it infers
// twice more with two concrete batch sizes: a dimension that follows both is
// named like the batch.
absl::Status InferAndRecord(Graph& graph, const InferOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_SHAPE_INFERENCE_H_
