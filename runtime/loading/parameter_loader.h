// ParameterLoader: brings every form of a FormPlan into the store. Each tensor
// of the checkpoint is read once and hashed on the way; a form that is resident
// already is shared; the others are packed straight from the scratch that the
// tensor was read into.
//
// Life: one Load; on an error everything claimed is given back.
// Thread-safety: one caller; works on the threads it makes.
#ifndef PARAMD_RUNTIME_LOADING_PARAMETER_LOADER_H_
#define PARAMD_RUNTIME_LOADING_PARAMETER_LOADER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph_plan.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/rate_limit.h"
#include "runtime/loading/scratch_buffer.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

struct LoadedForms {
  std::vector<ParameterRef> refs;     // By FormId; invalid for forms of 0 bytes.
  std::vector<ContentId> source_ids;  // By FormPlan source.
};

// Called on the threads that read, several at once. All may be empty.
struct ParameterLoaderHooks {
  // The bytes read so far.
  std::function<void(uint64_t)> progress;
  // Of each tensor of the checkpoint that was read; an error ends the load.
  std::function<absl::Status(const CheckpointTensor&, int32_t index, const TensorView&)> check;
  RateLimit* rate = nullptr;
};

class ParameterLoader {
 public:
  // Borrows all.
  ParameterLoader(const Checkpoint& checkpoint, const GraphPlan& graph_plan, const FormPlan& plan,
                  ParameterStore* store, ParameterLoaderHooks hooks)
      : checkpoint_(checkpoint),
        graph_plan_(graph_plan),
        plan_(plan),
        store_(store),
        hooks_(std::move(hooks)) {}

  absl::StatusOr<LoadedForms> Load(int threads);

  // Content ids of all sources, keeping nothing: what an admission needs to know
  // before it refuses, since what is resident costs nothing again.
  absl::StatusOr<std::vector<ContentId>> HashOnly();

 private:
  // A source that is in memory now.
  struct Source {
    ScratchBuffer scratch;
    TensorView view;
  };

  void Count(uint64_t bytes);
  absl::Status ReadSource(int32_t source, Source* into);
  absl::Status ReadSmall();
  absl::Status LoadGroup(const SourceGroup& group);
  absl::Status LoadForm(FormId id, const SourceGroup& group, bool last);
  absl::Status LoadBundle();
  // Writes a form of which all sources are in memory. `release` (may be empty)
  // is called when they are no longer needed.
  absl::Status MakeForm(FormId id, absl::Span<std::byte> bytes);
  // The constant's plain bytes: a source's own, or derived into `scratch`.
  absl::StatusOr<TensorView> PlainBytes(const Graph& graph, ConstantId id, ScratchBuffer* scratch);
  absl::Status DeriveInto(const Graph& graph, ConstantId id, const MutableTensorView& result);
  absl::Status Pack(const ParameterForm& form, const TensorView& plain,
                    absl::Span<std::byte> packed);
  void SetForm(FormId id, ParameterRef ref);

  const Checkpoint& checkpoint_;
  const GraphPlan& graph_plan_;
  const FormPlan& plan_;
  ParameterStore* const store_;
  const ParameterLoaderHooks hooks_;
  std::atomic<uint64_t> bytes_done_{0};
  // By source. Different groups have different large ones; small ones are
  // written before any group starts and only read afterwards.
  std::vector<Source> sources_;
  LoadedForms result_;  // Elements are written by one thread each.
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_PARAMETER_LOADER_H_
