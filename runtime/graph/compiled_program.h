// CompiledProgram: a graph for one set of input shapes, ready to be bound to
// addresses: steps in order, where each of their operands lies, and how much
// arena they need together.
//
// Life: made by CompileProgram, immutable from then on; sessions bind it.
// Thread-safety: a const program may be used from any thread.
#ifndef PARAMD_RUNTIME_GRAPH_COMPILED_PROGRAM_H_
#define PARAMD_RUNTIME_GRAPH_COMPILED_PROGRAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backends/op_planner.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/op_profile.h"
#include "runtime/model.h"

namespace paramd {

// A form of a parameter that a program reads: an index into ParameterForms.
using FormId = int32_t;

// Where an operand lies.
struct Place {
  enum class Kind : uint8_t {
    kNone,       // An absent operand.
    kArena,      // `offset` from the arena's base.
    kParameter,  // Parameter form `index`.
    kConstant,   // constants()[index] of the program: follows from the input shapes.
  };
  Kind kind = Kind::kNone;
  int32_t index = kNone;
  uint64_t offset = 0;
};

struct ProgramStep {
  NodeId node = kNone;  // kNone: a reorder between two layouts or types.
  OpSpec spec;
  PlannedOp planned;
  std::vector<Place> inputs, outputs;  // As in the spec.
  uint64_t scratch_offset = 0;
};

// A graph input or output.
struct ProgramTensor {
  DType dtype = DType::kUndefined;
  Shape shape;
  Place place;
};

struct CompiledProgram {
  std::vector<ProgramTensor> inputs, outputs;
  std::vector<ProgramStep> steps;
  std::vector<std::shared_ptr<const Tensor>> constants;
  uint64_t arena_bytes = 0;
};

// What model info shows: one line a node that still runs, reorders included in
// the count of steps only.
std::vector<OpReport> ReportOps(const Graph& graph, const CompiledProgram& program);

// What a profile says of a step before it was timed.
OpProfile::Line ProfileLine(const Graph& graph, const ProgramStep& step);

// One line a step, for `-v` and paramctl inspect.
std::string ToText(const Graph& graph, const CompiledProgram& program);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_COMPILED_PROGRAM_H_
