// GraphPlan: what a graph needs before it can run: which parameters in which
// forms, decided from shapes alone, before one byte of them is read.
//
// It compiles the graph for a few canonical shapes and keeps those programs for
// the model. A graph that no program can express (control flow, sequences,
// shapes known only while running) is planned for the interpreter instead.
//
// Life: Make -> the loader brings every form -> GraphProgram takes it over.
// Thread-safety: immutable after Make.
#ifndef PARAMD_RUNTIME_GRAPH_GRAPH_PLAN_H_
#define PARAMD_RUNTIME_GRAPH_GRAPH_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/compile_program.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/parameter_forms.h"
#include "runtime/graph/program_cache.h"

namespace paramd {

struct GraphPlanOptions {
  CompileOptions compile;
  // Batch sizes to plan for, first the one that must work. Only the first is
  // used where the graph has no batch dimension.
  std::vector<int64_t> rows = {1, 2, 8};
};

class GraphPlan {
 public:
  // InvalidArgument or Unimplemented, naming node and operator, if the graph
  // can run neither way.
  static absl::StatusOr<std::unique_ptr<GraphPlan>> Make(std::unique_ptr<const Graph> graph,
                                                         const GraphPlanOptions& options);
  GraphPlan(const GraphPlan&) = delete;
  GraphPlan& operator=(const GraphPlan&) = delete;

  const Graph& graph() const { return *graph_; }
  const CompileOptions& compile_options() const { return options_.compile; }
  ParameterForms& forms() { return forms_; }
  const ParameterForms& forms() const { return forms_; }
  const std::vector<ProgramRef>& programs() const { return programs_; }
  // Why the graph is interpreted; empty if it is compiled.
  const std::string& interpreted_because() const { return interpreted_because_; }
  bool interpreted() const { return !interpreted_because_.empty(); }
  // So many of the batch sizes, the first ones, asked for forms: a plan for these
  // alone has the same forms, and the same programs for the others.
  size_t sizes_needed() const { return sizes_needed_; }
  // The largest arena of the planned programs.
  uint64_t arena_bytes() const;

 private:
  GraphPlan(std::unique_ptr<const Graph> graph, const GraphPlanOptions& options)
      : graph_(std::move(graph)), options_(options) {}
  absl::Status PlanPrograms();
  void PlanInterpreted(const Graph& graph);

  std::unique_ptr<const Graph> graph_;
  const GraphPlanOptions options_;
  ParameterForms forms_;
  std::vector<ProgramRef> programs_;
  size_t sizes_needed_ = 1;
  std::string interpreted_because_;
};

// True if every input and output has the same symbol as its first dimension,
// which is then the batch.
bool HasBatchDimension(const Graph& graph);

// Concrete shapes for the graph's inputs: `rows` for the first dimension of
// inputs whose first dimension is not fixed, `other` for other dimensions that are not.
std::vector<Shape> CanonicalShapes(const Graph& graph, int64_t rows, int64_t other);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_GRAPH_PLAN_H_
