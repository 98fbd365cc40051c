// The operators that only the interpreter has: control flow, sequences and
// optionals, and those whose result's shape depends on data. One row each.
//
// To add one: a function and a row in interpreter_builtins.cc (or, for control
// flow, interpreter_control_flow.cc).
//
// Thread-safety: pure functions of the interpreter's thread.
#ifndef PARAMD_RUNTIME_GRAPH_INTERPRETER_BUILTINS_H_
#define PARAMD_RUNTIME_GRAPH_INTERPRETER_BUILTINS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/runtime_value.h"

namespace paramd {

class Interpreter;
class InterpreterFrame;

struct BuiltinCall {
  Interpreter* interpreter = nullptr;
  const Node* node = nullptr;
  absl::Span<const RuntimeValue> inputs;
  InterpreterFrame* frame = nullptr;  // Null when the node runs on its own.

  bool Has(size_t i) const { return i < inputs.size() && !inputs[i].absent(); }
  // InvalidArgument if input i is absent or a sequence.
  absl::StatusOr<const RuntimeValue*> TensorInput(size_t i) const;
  absl::StatusOr<const RuntimeValue*> SequenceInput(size_t i) const;
  // The single integer or bool that input i holds.
  absl::StatusOr<int64_t> ScalarInput(size_t i) const;
  // The subgraph in attribute `name`, or InvalidArgument.
  absl::StatusOr<const Graph*> Subgraph(std::string_view name) const;
};

struct InterpreterBuiltin {
  std::string_view op;  // Of ai.onnx.
  absl::StatusOr<std::vector<RuntimeValue>> (*run)(const BuiltinCall& call);
};

// Null if there is none.
const InterpreterBuiltin* FindBuiltin(std::string_view domain, std::string_view op);

// interpreter_control_flow.cc
absl::StatusOr<std::vector<RuntimeValue>> RunIf(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunLoop(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunScan(const BuiltinCall& call);

// interpreter_dynamic.cc
absl::StatusOr<std::vector<RuntimeValue>> RunCompress(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunUnique(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunNonMaxSuppression(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunSplitToSequence(const BuiltinCall& call);

// interpreter_strings.cc
absl::StatusOr<std::vector<RuntimeValue>> RunStringConcat(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunStringSplit(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunStringNormalizer(const BuiltinCall& call);
absl::StatusOr<std::vector<RuntimeValue>> RunRegexFullMatch(const BuiltinCall& call);

// interpreter_tensors.cc: pieces of dense tensors.
// Slice `index` along `axis`, the axis dropped. REQUIRES: axis and index inside.
absl::StatusOr<RuntimeValue> SliceAlong(const Interpreter& interpreter, const RuntimeValue& value,
                                        int axis, int64_t index);
// Parts of equal type joined along `axis`; with `new_axis` they are stacked.
// InvalidArgument where types or shapes differ.
absl::StatusOr<RuntimeValue> JoinAlong(const Interpreter& interpreter,
                                       absl::Span<const RuntimeValue> parts, int axis,
                                       bool new_axis);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_INTERPRETER_BUILTINS_H_
