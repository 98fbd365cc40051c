// Role analysis: which constants of a graph are weights, biases or statistics,
// judged by how the graph uses them. Runs once at import, before any pass.
//
//   weight     linear, convolution and recurrent weights, embeddings, norm scales
//   bias       added per output of a linear operator or a normalisation
//   statistic  batch-norm mean and variance
//   none       everything else: shapes, axes, scalars of arithmetic
//
// A constant that reaches its use through nodes that only rearrange or rescale
// constants (Transpose, Cast, a product of two constants) has the role of the use.
//
// Thread-safety: a pure function of the graph.
#ifndef PARAMD_RUNTIME_GRAPH_ROLE_ANALYSIS_H_
#define PARAMD_RUNTIME_GRAPH_ROLE_ANALYSIS_H_

#include "runtime/graph/graph.h"

namespace paramd {

// Sets Constant::role, in subgraphs too.
void AssignRoles(Graph& graph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ROLE_ANALYSIS_H_
