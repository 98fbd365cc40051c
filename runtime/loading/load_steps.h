// LoadSteps: what loading from a file and restoring from memory do alike: stages
// with their times, the graph from its bytes, the plan, the model from its forms.
//
// Life: one load; base of the two. Thread-safety: one thread.
#ifndef PARAMD_RUNTIME_LOADING_LOAD_STEPS_H_
#define PARAMD_RUNTIME_LOADING_LOAD_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/clock.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/batch_safety.h"
#include "runtime/graph/graph_plan.h"
#include "runtime/graph/graph_program.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/loaded_parameters.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/manifest.h"
#include "runtime/params/parameter_set.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

// InvalidArgument for options out of their ranges.
absl::Status CheckOptions(const ModelLoadOptions& options);

class LoadSteps {
 public:
  LoadSteps(ParameterStore* store, const Clock* clock, const ModelLoadOptions& options);
  LoadSteps(const LoadSteps&) = delete;
  LoadSteps& operator=(const LoadSteps&) = delete;

 protected:
  // Runs one stage and notes how long it took.
  absl::Status Stage(std::string_view name, absl::FunctionRef<absl::Status()> step);
  void Report(uint64_t bytes_done, uint64_t bytes_total);

  using ImportHook = absl::FunctionRef<void(const Graph&)>;
  // `before_passes` sees the graph as the file has it.
  absl::Status ImportGraph(std::string_view skeleton, const Checkpoint& checkpoint,
                           OnnxImportOptions import_options, ImportHook before_passes);
  // For the first `sizes` of the batch sizes that are planned for.
  absl::Status PlanGraph(const Checkpoint& checkpoint, size_t sizes);
  static size_t plan_sizes_all();

  // The model over its forms: `refs` by FormId (invalid for forms of 0 bytes).
  absl::Status MakeModel(const std::vector<ParameterRef>& refs, const ParameterRef& manifest,
                         absl::Span<const Parameter> parameters);
  // 1, 2, 4 .. rows_max.
  static std::vector<int64_t> WarmRows(int64_t rows_max);

  ParameterStore* const store_;
  const Clock* const clock_;
  ModelLoadOptions options_;

  std::string_view stage_;
  std::vector<std::pair<std::string, absl::Duration>> stages_;
  ModelDescription description_;
  std::unique_ptr<Graph> graph_;
  // Forms and programs refer to the plan's graph and ops: it goes last.
  std::unique_ptr<GraphPlan> graph_plan_;
  FormPlan form_plan_;
  std::vector<Shape> one_row_;
  std::unique_ptr<GraphProgram> model_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_LOAD_STEPS_H_
