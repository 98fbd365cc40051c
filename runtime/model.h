// Model: one loaded set of parameters that can answer. What GraphProgram and,
// later, the transformers both are, and all that the server knows of either.
//
//   Model        immutable, shared by all streams; holds its ParameterSet
//   Session      one per stream and model: compiled shapes bound to the stream's arena
//
// A call is a set of named tensors. The server groups calls whose BatchKey is
// equal into one batch; BatchCost says how much of a batch a call takes (rows;
// for transformers tokens).
//
// Thread-safety: Model is thread-safe. A Session belongs to its stream's thread.
#ifndef PARAMD_RUNTIME_MODEL_H_
#define PARAMD_RUNTIME_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/graph/symbolic_shape.h"
#include "runtime/params/parameter_set.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

class Arena;      // runtime/graph/arena.h
class OpProfile;  // runtime/graph/op_profile.h

struct TensorSpec {
  std::string name;
  DType dtype = DType::kUndefined;
  SymbolicShape shape;
};

struct OpReport {
  std::string node, op, backend, implementation;
  // Backends that were asked before, and why each declined: {"onednn", "no gather"}.
  std::vector<std::pair<std::string, std::string>> refusals;
  std::vector<std::string> fused;
};

// What model info shows of a model. Fixed at load.
struct ModelDescription {
  std::vector<TensorSpec> inputs, outputs;
  std::string format;    // What the checkpoint is: "onnx".
  std::string producer;  // Who wrote it, where it says.
  std::string precision = "f32";
  // Rows of one batch; 0: calls are never put together, and the reason why.
  int64_t batch_rows_max = 0;
  std::string batching_reason;
  std::vector<std::pair<std::string, std::string>> hyperparameters;
  std::vector<OpReport> ops;
  std::vector<std::pair<std::string, absl::Duration>> load_stages;
  uint64_t weights_bytes_packed = 0;  // Bytes of the forms that kernels read.
  uint64_t arena_bytes = 0;           // Of the largest batch that was compiled at warm-up.
};

// One call's inputs, in the order of ModelDescription::inputs.
using CallInputs = absl::Span<const TensorView>;

class Session {
 public:
  virtual ~Session() = default;

  // The batch to run next has these input shapes. Unavailable if no compiled
  // program for them exists yet (see Model::Compile). After OK: input(i) is
  // where the caller writes, and output(i) where results are after Run.
  virtual absl::Status Prepare(absl::Span<const Shape> input_shapes) = 0;
  virtual MutableTensorView input(int i) = 0;
  virtual absl::Status Run() = 0;
  // Valid until the next Prepare of any session on the same stream.
  virtual TensorView output(int i) const = 0;

  // From now on each Run adds its nodes' times there; null: no longer. Borrowed. A
  // session that has no nodes adds nothing.
  virtual void set_profile(OpProfile* profile) { (void)profile; }
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelDescription& description() const = 0;
  virtual const ParameterSet& parameters() const = 0;

  // InvalidArgument, naming tensor, expectation and what came, if this call does not fit:
  // number of inputs, types, ranks, fixed dimensions, equal symbols.
  virtual absl::Status CheckCall(CallInputs inputs) const = 0;
  // Calls may share a batch only if their keys are equal: a hash input made of
  // all that is not the batch dimension. REQUIRES: CheckCall was OK.
  virtual std::string BatchKey(CallInputs inputs) const = 0;
  // Rows of the call; 1 for a model that does not batch.
  virtual int64_t BatchCost(CallInputs inputs) const = 0;

  // Makes a program for these input shapes, so that sessions can run it. Slow
  // (milliseconds and more): compile thread and warm-up only. Bounded: the
  // least recently used shape beyond the limit is dropped.
  virtual absl::Status Compile(absl::Span<const Shape> input_shapes) const = 0;
  // Whether Prepare would succeed now; cheap, for batch policies.
  virtual bool IsCompiled(absl::Span<const Shape> input_shapes) const = 0;

  virtual std::unique_ptr<Session> NewSession(Arena* arena) const = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_MODEL_H_
