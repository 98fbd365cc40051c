// Interpreter: runs a graph node by node on heap tensors, with shapes that are
// known only while it runs. Slower than a compiled program in every way, and
// able to do what one cannot: If, Loop, Scan, sequences, results whose shape
// depends on data. Also what folds constants at load.
//
// Life: borrows graphs and backends; keeps compiled ops of the nodes it has
// seen. Thread-safety: belongs to one thread.
#ifndef PARAMD_RUNTIME_GRAPH_INTERPRETER_H_
#define PARAMD_RUNTIME_GRAPH_INTERPRETER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/op_profile.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/runtime_value.h"

namespace paramd {

struct InterpreterOptions {
  // Best first. A backend is passed over for an op that it wants in a layout
  // other than plain, so the list should end with the reference.
  absl::Span<const Backend* const> backends;
  // The bytes of a constant that the graph (or subgraph) does not hold inline.
  // Null: such constants are an error.
  std::function<absl::StatusOr<TensorView>(const Graph&, ConstantId)> constants;
  int threads = 1;
  // What a model may ask for in one result; more is ResourceExhausted.
  uint64_t tensor_bytes_max = uint64_t{1} << 31;
  // Rounds of one Loop; a body that never ends must not hold the stream for good.
  int64_t loop_rounds_max = int64_t{1} << 24;
};

// The values of one graph while it runs.
class InterpreterFrame {
 public:
  InterpreterFrame(const Graph& graph, std::vector<RuntimeValue> values)
      : graph_(graph), values_(std::move(values)) {}
  const Graph& graph() const { return graph_; }
  RuntimeValue& at(ValueId id) { return values_[static_cast<size_t>(id)]; }

 private:
  const Graph& graph_;
  std::vector<RuntimeValue> values_;
};

class Interpreter {
 public:
  explicit Interpreter(InterpreterOptions options);
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // One value per graph output. InvalidArgument where inputs or data contradict
  // an operator; Unimplemented for an operator that nobody here has.
  absl::StatusOr<std::vector<RuntimeValue>> Run(const Graph& graph,
                                                absl::Span<const RuntimeValue> inputs);
  // One node without captures on its own: one value per output of the node. Not
  // for an interpreter that also runs graphs.
  absl::StatusOr<std::vector<RuntimeValue>> RunNode(const Node& node,
                                                    absl::Span<const RuntimeValue> inputs);

  // For built-ins: a subgraph whose captures come from `outer`.
  absl::StatusOr<std::vector<RuntimeValue>> RunSubgraph(const Graph& graph,
                                                        absl::Span<const RuntimeValue> inputs,
                                                        InterpreterFrame& outer);
  // A zeroed tensor, or ResourceExhausted with both numbers.
  absl::StatusOr<Tensor> NewTensor(DType dtype, const Shape& shape) const;
  const InterpreterOptions& options() const { return options_; }

  // From now on each node's time is added there; null: no longer. Borrowed.
  void set_profile(OpProfile* profile) { profile_ = profile; }

 private:
  absl::StatusOr<std::vector<RuntimeValue>> RunFrame(InterpreterFrame& frame);
  absl::StatusOr<std::vector<RuntimeValue>> Execute(const Node& node,
                                                    absl::Span<const RuntimeValue> inputs,
                                                    InterpreterFrame* frame);
  absl::StatusOr<std::vector<RuntimeValue>> ExecuteTimed(const Node& node,
                                                         absl::Span<const RuntimeValue> inputs,
                                                         InterpreterFrame* frame);
  absl::StatusOr<std::vector<RuntimeValue>> ExecuteRow(const Node& node,
                                                       absl::Span<const RuntimeValue> inputs,
                                                       bool lives_on);
  absl::StatusOr<const CompiledOp*> PlanPlain(const Node& node, const InferContext& context,
                                              const OpRow::Lowered& lowered);
  absl::StatusOr<RuntimeValue> Constant(const Graph& graph, ConstantId id);

  const InterpreterOptions options_;
  int depth_ = 0;  // Of subgraphs being run.
  OpProfile* profile_ = nullptr;
  const CompiledOp* last_op_ = nullptr;  // Of the node that ran last; null: it took none.
  // By node, types, shapes and the data that lowering read.
  absl::flat_hash_map<std::string, std::unique_ptr<const CompiledOp>> compiled_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_INTERPRETER_H_
