// NodePlanner: asks the backends for one node of a program, with its parameters
// in the forms that were chosen for them. While forms may still grow, the first
// backend that accepts decides; once they are frozen only a backend that reads
// what is loaded can be taken.
//
// Life: while one node is compiled. Thread-safety: not synchronised.
#ifndef PARAMD_RUNTIME_GRAPH_NODE_PLANNER_H_
#define PARAMD_RUNTIME_GRAPH_NODE_PLANNER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/op_planner.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/parameter_forms.h"

namespace paramd {

struct NodePlan {
  OpSpec spec;  // With the parameters' layouts filled in.
  PlannedOp planned;
  std::vector<FormId> forms;  // By spec input; kNone where it is no parameter.
};

class NodePlanner {
 public:
  // Borrows everything. `lowered` says which inputs of the spec are which of the node.
  NodePlanner(const Graph& graph, NodeId node, const OpRow::Lowered& lowered,
              absl::Span<const Backend* const> backends, ParameterForms* forms)
      : graph_(graph), node_(node), lowered_(lowered), backends_(backends), forms_(forms) {}

  // `spec` is the lowered one with other types and layouts of its activations;
  // its parameters' layouts are ignored. Without `reference` the reference
  // backend is not asked. Unimplemented, with every reason, if all refuse.
  absl::StatusOr<NodePlan> Plan(const OpSpec& spec, bool reference);

 private:
  absl::StatusOr<NodePlan> PlanWith(const OpSpec& spec, const NodeForms& forms);
  absl::StatusOr<NodePlan> PlanPlain(const OpSpec& spec, absl::Span<const Backend* const> backends);
  absl::StatusOr<NodePlan> PlanFreely(const OpSpec& spec, absl::Span<const Backend* const> backends,
                                      DType compute);
  // The constant behind spec input `i`, which is a parameter.
  ConstantId ConstantOf(size_t i) const;

  const Graph& graph_;
  const NodeId node_;
  const OpRow::Lowered& lowered_;
  const absl::Span<const Backend* const> backends_;
  ParameterForms* const forms_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_NODE_PLANNER_H_
