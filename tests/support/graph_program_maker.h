// MakeGraphProgram: a GraphProgram over a graph that a test made, with its
// constants in a store as the loader would bring them.
//
// Life: the store must outlive the program. Thread-safety: one thread.
#ifndef PARAMD_TESTS_SUPPORT_GRAPH_PROGRAM_MAKER_H_
#define PARAMD_TESTS_SUPPORT_GRAPH_PROGRAM_MAKER_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/backends/backend_list.h"
#include "runtime/base/status_macros.h"
#include "runtime/graph/graph_program.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/parameter_loader.h"
#include "runtime/params/parameter_set.h"

namespace paramd {

struct GraphProgramMakerOptions {
  absl::Span<const Backend* const> backends = AllBackends();
  bool bf16 = false;
  size_t programs_max = 32;
};

inline absl::StatusOr<std::unique_ptr<GraphProgram>> MakeGraphProgram(
    std::unique_ptr<Graph> graph, ParameterStore* store,
    const GraphProgramMakerOptions& options = {}) {
  GraphPlanOptions plan_options;
  plan_options.compile.backends = options.backends;
  plan_options.compile.bf16 = options.bf16;
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<GraphPlan> plan,
                          GraphPlan::Make(std::move(graph), plan_options));
  const Checkpoint empty;
  PARAMD_ASSIGN_OR_RETURN(const FormPlan form_plan, PlanForms(empty, *plan));
  ParameterLoader loader(empty, *plan, form_plan, store, {});
  PARAMD_ASSIGN_OR_RETURN(const LoadedForms forms, loader.Load(1));
  ParameterSetBuilder builder(store);
  std::vector<const void*> addresses;
  for (const ParameterRef& ref : forms.refs) {
    if (ref.valid()) builder.Hold(ref, DType::kF32);
    addresses.push_back(ref.valid() ? ref.bytes().data() : nullptr);
  }
  return GraphProgram::Create(std::move(plan), std::move(addresses),
                              std::move(builder).Build("test/1"), {},
                              {.programs_max = options.programs_max});
}

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_GRAPH_PROGRAM_MAKER_H_
