// BatchingCheck: may rows of different calls share a batch? Asked of the model
// itself, with data: two rows run together must answer what they answer apart.
// The proof from the graph (batch_safety.h) comes before; this catches what a
// proof over operators cannot: a kernel that is wrong for two rows.
//
// Thread-safety: a pure function of the model and the seed.
#ifndef PARAMD_RUNTIME_LOADING_BATCHING_CHECK_H_
#define PARAMD_RUNTIME_LOADING_BATCHING_CHECK_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/graph/graph_program.h"
#include "runtime/tensor/shape.h"

namespace paramd {

// FailedPrecondition, saying which output differs and by how much, if rows
// influence each other; other errors if the model does not run at all.
// `one_row` are the shapes of a single row.
absl::Status CheckRowsAreIndependent(const GraphProgram& model, absl::Span<const Shape> one_row,
                                     uint32_t seed);

// The same shapes with another first dimension.
std::vector<Shape> WithRows(absl::Span<const Shape> shapes, int64_t rows);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_BATCHING_CHECK_H_
