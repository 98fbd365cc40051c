// FormPlan: from the forms that a graph wants to what a loader does: which
// tensors of the checkpoint each form needs, in which groups they are read, and
// what that costs.
//
//   source   one tensor of the checkpoint, or a constant that the graph holds
//   form     plain or packed bytes of a constant: a source, or derived from some
//   group    large sources that must be in memory together, with the forms that
//            they make; everything small is one bundle
//
// Life: made from shapes alone, const from then on. Thread-safety: a value.
#ifndef PARAMD_RUNTIME_LOADING_FORM_PLAN_H_
#define PARAMD_RUNTIME_LOADING_FORM_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph_plan.h"
#include "runtime/params/content_id.h"

namespace paramd {

// Tensors and forms below this are bundled into one segment.
inline constexpr uint64_t kSmallBytes = 64 << 10;

struct FormSource {
  int32_t tensor = kNone;        // Of the checkpoint; or
  const Tensor* held = nullptr;  // in the graph.
  uint64_t bytes = 0;
};

struct PlannedForm {
  FormId id = kNone;
  std::vector<int32_t> sources;  // All that it is made of; indexes into FormPlan::sources.
  uint64_t bytes = 0;            // Of the form.
  bool small = false;            // In the bundle: it and all its sources are small.
};

struct SourceGroup {
  std::vector<int32_t> sources;  // Large ones; small ones are always at hand.
  std::vector<FormId> forms;
  uint64_t source_bytes = 0;
  uint64_t peak_bytes = 0;  // Scratch while the group is worked on.
};

struct FormPlan {
  std::vector<FormSource> sources;                   // Checkpoint tensors first, in their order.
  std::vector<PlannedForm> forms;                    // By FormId.
  std::vector<SourceGroup> groups;                   // Largest first.
  std::vector<FormId> bundle;                        // The small forms.
  absl::flat_hash_map<const Tensor*, int32_t> held;  // Inline constants -> source.
  uint64_t final_bytes = 0;                          // Of all forms, whole pages.
  uint64_t read_bytes = 0;                           // From the checkpoint.
  uint64_t small_bytes = 0;                          // Small sources, held for the whole load.

  // Scratch of `threads` loader threads at the worst moment.
  uint64_t ScratchPeak(int threads) const;
};

// InvalidArgument if a derivation refers to nothing or to itself.
absl::StatusOr<FormPlan> PlanForms(const Checkpoint& checkpoint, const GraphPlan& plan);

// What a constant is called by its content, given the content ids of sources.
// Of a derived one: the key of its derivation.
ContentId KeyOfConstant(const FormPlan& plan, const Graph& graph, ConstantId constant,
                        const std::vector<ContentId>& source_ids);
// How a derived constant came to be; REQUIRES: it is derived.
FormOrigin OriginOfDerived(const FormPlan& plan, const Graph& graph, ConstantId constant,
                           const std::vector<ContentId>& source_ids);
// How a packed form came to be; REQUIRES: it is packed.
FormOrigin OriginOfPacked(const FormPlan& plan, const ParameterForm& form,
                          const std::vector<ContentId>& source_ids);
// The key under which the store has the form.
ContentId KeyOfForm(const FormPlan& plan, const ParameterForm& form,
                    const std::vector<ContentId>& source_ids);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_FORM_PLAN_H_
