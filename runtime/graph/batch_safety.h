// Batch safety: is it proved that rows of a graph do not mix? Then calls may be
// put together along the first dimension and taken apart again.
//
// The proof goes operator by operator over three kinds of values: rows (the
// first dimension is the batch, row i depends on row i of the inputs alone),
// free of the batch, and sizes (numbers that depend on how many rows there are:
// good for shapes, never for arithmetic on data). What no rule covers is unsafe.
//
// Thread-safety: a pure function of the graph.
#ifndef PARAMD_RUNTIME_GRAPH_BATCH_SAFETY_H_
#define PARAMD_RUNTIME_GRAPH_BATCH_SAFETY_H_

#include <string>

#include "runtime/graph/graph.h"

namespace paramd {

struct BatchSafety {
  bool safe = false;
  std::string symbol;  // The batch dimension's name when safe.
  std::string reason;  // Why not, naming value or node; when safe, what was proved.
};

// REQUIRES: types are recorded (InferAndRecord).
BatchSafety ProveBatchSafety(const Graph& graph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_BATCH_SAFETY_H_
