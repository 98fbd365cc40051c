// The table of operators: what each ONNX operator means here. One row an
// operator: how its output types and shapes follow from its inputs, and how
// it becomes an OpSpec once shapes are concrete. To add an operator: a row in
// the file of its family; see CONTRIBUTING.md.
//
// Shape inference runs on symbolic shapes at import and on concrete ones when a
// program is compiled for a batch: the same function serves both. It sees the
// values of small integer inputs (shape arithmetic) where they are known.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_OPS_OP_TABLE_H_
#define PARAMD_RUNTIME_GRAPH_OPS_OP_TABLE_H_

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"
#include "runtime/graph/graph.h"

namespace paramd {

// What is known of a node's inputs. Absent ones have dtype kUndefined.
struct InferContext {
  const Node* node = nullptr;
  std::vector<ValueType> inputs;
  // The data of input i where it is known now (constants, folded arithmetic), else null.
  std::vector<const Tensor*> known;
};

// One row.
struct OpRow {
  std::string_view domain;
  std::string_view op;
  int64_t since;  // First opset whose meaning this row implements ...
  int64_t until;  // ... and the last.
  int inputs_min, inputs_max, outputs_max;
  // One type per output. A shape may stay unknown (data-dependent).
  // InvalidArgument when inputs contradict the operator's definition;
  // Unimplemented when an attribute asks for what is missing, naming it.
  absl::StatusOr<std::vector<ValueType>> (*infer)(const InferContext& context);
  // Every input and output shape is concrete here. Inputs that the spec takes
  // as parameters of the operation (axes, shapes, pads) are not operands:
  // `operands` of the result says which node inputs are, in the spec's order.
  struct Lowered {
    OpSpec spec;
    std::vector<int> operands;  // Node input index per spec input; kNone = absent.
  };
  absl::StatusOr<Lowered> (*lower)(const InferContext& context,
                                   const std::vector<ValueType>& outputs);
  // For results that need no arithmetic (Constant, Shape, ConstantOfShape): one
  // tensor per output, or an empty vector while they are not known yet. Null
  // for all other operators. The caller has looked at the outputs' sizes.
  absl::StatusOr<std::vector<Tensor>> (*fold)(const InferContext& context,
                                              const std::vector<ValueType>& outputs) = nullptr;
};

// The domain of operators that only our passes and expansions make; importers
// refuse it in a file.
inline constexpr std::string_view kInternalDomain = "paramd";
// The opsets of ai.onnx that the rows cover.
inline constexpr int64_t kOpsetMin = 7, kOpsetMax = 22;

// Null if there is none for this domain, name and opset.
const OpRow* FindOp(std::string_view domain, std::string_view op, int64_t opset);
std::vector<const OpRow*> AllOps();

// How the callers use a row: looks it up, checks the number of inputs, leaves
// out the inputs that only the node's post-ops read, and says in an error
// which node it is about. Lowering adds the post-ops; the operands of a spec
// may have another shape than the values (a rank-1 MatMul is widened), never
// other elements.
absl::StatusOr<std::vector<ValueType>> InferNode(const InferContext& context);
absl::StatusOr<OpRow::Lowered> LowerNode(const InferContext& context,
                                         const std::vector<ValueType>& outputs);
// An empty vector if the node's results are not known without arithmetic.
absl::StatusOr<std::vector<Tensor>> FoldNode(const InferContext& context,
                                             const std::vector<ValueType>& outputs);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_OPS_OP_TABLE_H_
