// Operator expansion: rewrites operators that have no op of their own into
// nodes that have: Sum, Min, Max and Mean of many operands into chains of two,
// Split into its parts, PRelu into a choice. Runs once at import, before roles.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_OP_EXPANSION_H_
#define PARAMD_RUNTIME_GRAPH_OP_EXPANSION_H_

#include <string_view>

#include "absl/status/status.h"
#include "runtime/graph/graph.h"

namespace paramd {

// Whether ExpandOperators rewrites this operator, so that it needs no row.
bool IsExpanded(std::string_view domain, std::string_view op);

// InvalidArgument, naming the node, where its inputs contradict its definition.
absl::Status ExpandOperators(Graph& graph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_OP_EXPANSION_H_
