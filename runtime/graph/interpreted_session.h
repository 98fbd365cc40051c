// InterpretedSession: runs a GraphProgram that cannot be compiled. Inputs lie
// in the arena as for any session; strings and everything else are on the heap.
//
// Life: must go before its model and its arena. Thread-safety: belongs to its
// stream's thread.
#ifndef PARAMD_RUNTIME_GRAPH_INTERPRETED_SESSION_H_
#define PARAMD_RUNTIME_GRAPH_INTERPRETED_SESSION_H_

#include <vector>

#include "runtime/graph/arena.h"
#include "runtime/graph/interpreter.h"
#include "runtime/model.h"

namespace paramd {

class GraphProgram;

class InterpretedSession final : public Session {
 public:
  // Borrows both.
  InterpretedSession(const GraphProgram* model, Arena* arena);

  absl::Status Prepare(absl::Span<const Shape> input_shapes) override;
  MutableTensorView input(int i) override;
  absl::Status Run() override;
  // After Run; before it, a view without data.
  TensorView output(int i) const override;
  void set_profile(OpProfile* profile) override { interpreter_.set_profile(profile); }

 private:
  const GraphProgram* const model_;
  Arena* const arena_;
  Interpreter interpreter_;
  std::vector<MutableTensorView> inputs_;
  std::vector<Tensor> strings_;  // Inputs that no arena holds.
  std::vector<RuntimeValue> outputs_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_INTERPRETED_SESSION_H_
