// The passes: what happens to an imported graph before it is planned, in one
// visible list. A pass rewrites the graph in place and says how many changes it
// made; after each one the graph is compacted and verified.
//
// To add one: a file here, a line in pass_list.cc, a golden test of its text form.
//
// Thread-safety: pure functions of the graph they are given.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_PASS_LIST_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_PASS_LIST_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/shape_inference.h"

namespace paramd {

struct PassOptions {
  EvaluateFn evaluate;  // For constant folding.
  // A folded constant beyond this is not held: its node stays.
  int64_t fold_elements_max = 4 * 1024 * 1024;
  // Names of passes to leave out, for finding out what a pass did.
  std::vector<std::string> disabled;
};

struct Pass {
  std::string_view name;
  absl::StatusOr<int> (*run)(Graph& graph, const PassOptions& options);
};

// In the order in which they run.
absl::Span<const Pass> AllPasses();

struct PassReport {
  std::string_view name;
  int changes = 0;
};

// InvalidArgument for a name in `disabled` that no pass has. Internal, naming
// the pass, if one left a broken graph.
absl::StatusOr<std::vector<PassReport>> RunPasses(Graph& graph, const PassOptions& options);
// One pass by name, compacted and verified.
absl::StatusOr<int> RunPass(Graph& graph, std::string_view name, const PassOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_PASS_LIST_H_
