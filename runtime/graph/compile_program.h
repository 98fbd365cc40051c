// CompileProgram: a graph and concrete input shapes become a CompiledProgram.
//
// In one walk over the nodes: shapes are inferred, nodes whose results follow
// from the shapes alone vanish, each other node is lowered, planned and given
// its operands: reordered where the layout or type differs, aliased where an op
// only renames elements, in place where an input dies. Then the arena is laid out.
//
// Thread-safety: a pure function of its arguments; `forms` is changed only
// while it is not frozen.
#ifndef PARAMD_RUNTIME_GRAPH_COMPILE_PROGRAM_H_
#define PARAMD_RUNTIME_GRAPH_COMPILE_PROGRAM_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/graph/compiled_program.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/parameter_forms.h"
#include "runtime/tensor/shape.h"

namespace paramd {

struct CompileOptions {
  // Best first, the reference last.
  absl::Span<const Backend* const> backends;
  // Matrix products and convolutions, and what is next to them, run in bf16 on
  // backends that do; everything else stays f32.
  bool bf16 = false;
  int threads = 1;
};

// Unimplemented if the graph cannot be compiled: an operator that nobody has, a
// shape that only a run knows (the interpreter may still do), a parameter form
// that was not planned. InvalidArgument if the graph refuses these shapes.
absl::StatusOr<std::unique_ptr<const CompiledProgram>> CompileProgram(
    const Graph& graph, absl::Span<const Shape> input_shapes, const CompileOptions& options,
    ParameterForms* forms);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_COMPILE_PROGRAM_H_
