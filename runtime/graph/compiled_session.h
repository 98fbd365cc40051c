// CompiledSession: runs the compiled programs of a GraphProgram on one stream.
// A program's ops are bound to the arena's addresses when it is first prepared
// here; from then on Prepare looks it up and Run runs the steps: no heap, no
// lock, one atomic load.
//
// Life: must go before its model and its arena. Thread-safety: belongs to its
// stream's thread.
#ifndef PARAMD_RUNTIME_GRAPH_COMPILED_SESSION_H_
#define PARAMD_RUNTIME_GRAPH_COMPILED_SESSION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/graph/arena.h"
#include "runtime/graph/program_cache.h"
#include "runtime/model.h"

namespace paramd {

class GraphProgram;

class CompiledSession final : public Session {
 public:
  // Borrows both.
  CompiledSession(const GraphProgram* model, Arena* arena) : model_(model), arena_(arena) {}

  absl::Status Prepare(absl::Span<const Shape> input_shapes) override;
  MutableTensorView input(int i) override;
  absl::Status Run() override;
  TensorView output(int i) const override;
  void set_profile(OpProfile* profile) override { profile_ = profile; }

  // Programs whose ops are bound here now.
  size_t bound_programs() const { return bound_.size(); }

 private:
  struct BoundProgram {
    ProgramRef program;
    std::vector<std::unique_ptr<BoundOp>> ops;  // By step.
    std::vector<MutableTensorView> inputs;
    std::vector<TensorView> outputs;
  };

  absl::StatusOr<std::unique_ptr<BoundProgram>> Bind(ProgramRef program) const;
  // Lets go of programs that the cache has dropped.
  void DropEvicted();
  absl::Status RunStep(size_t i);
  const void* AddressOf(const CompiledProgram& program, const Place& place) const;

  const GraphProgram* const model_;
  Arena* const arena_;
  uint64_t seen_version_ = 0;
  ProgramCache::SnapshotRef snapshot_;
  std::vector<std::unique_ptr<BoundProgram>> bound_;
  BoundProgram* current_ = nullptr;
  OpProfile* profile_ = nullptr;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_COMPILED_SESSION_H_
