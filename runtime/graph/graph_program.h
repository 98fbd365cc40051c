// GraphProgram: a Model over a graph: a bounded cache of compiled programs by
// input shapes over one set of sealed parameters; or, for graphs that no
// program can express, the interpreter over the same parameters.
//
// Life: GraphPlan -> loader brings the forms -> Create -> the loader warms it
// up and fills the description -> const for good.
// Thread-safety: Model's; the setters are for the loader, before it is shared.
#ifndef PARAMD_RUNTIME_GRAPH_GRAPH_PROGRAM_H_
#define PARAMD_RUNTIME_GRAPH_GRAPH_PROGRAM_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/mutex.h"
#include "runtime/graph/graph_plan.h"
#include "runtime/graph/program_cache.h"
#include "runtime/model.h"

namespace paramd {

struct GraphProgramOptions {
  // Programs kept beside those of the warm-up, least recently used first out.
  size_t programs_max = 32;
};

class GraphProgram final : public Model {
 public:
  // `forms[i]` are the bytes of form i of the plan; `parameters` keeps them
  // mapped. `description` comes with what the file says; names, types and ops
  // are filled in here. REQUIRES: forms.size() == plan->forms().forms().size().
  static absl::StatusOr<std::unique_ptr<GraphProgram>> Create(
      std::unique_ptr<GraphPlan> plan, std::vector<const void*> forms,
      std::unique_ptr<ParameterSet> parameters, ModelDescription description,
      const GraphProgramOptions& options);

  const ModelDescription& description() const override { return description_; }
  const ParameterSet& parameters() const override { return *parameters_; }
  absl::Status CheckCall(CallInputs inputs) const override;
  std::string BatchKey(CallInputs inputs) const override;
  int64_t BatchCost(CallInputs inputs) const override;
  absl::Status Compile(absl::Span<const Shape> input_shapes) const override;
  bool IsCompiled(absl::Span<const Shape> input_shapes) const override;
  std::unique_ptr<Session> NewSession(Arena* arena) const override;

  // For the loader.
  ModelDescription& description_to_fill() { return description_; }
  // Compiles for good: what batches fall back on is never dropped.
  absl::Status CompileAndKeep(absl::Span<const Shape> input_shapes) const;
  // These shapes are kept for good as soon as somebody compiles them.
  void KeepWhenCompiled(std::vector<Shape> input_shapes) {
    kept_shapes_.push_back(std::move(input_shapes));
  }
  const Graph& graph() const { return plan_->graph(); }
  bool interpreted() const { return plan_->interpreted(); }
  // The steps of the program for these shapes; empty if there is none.
  std::string ProgramText(absl::Span<const Shape> input_shapes) const;

  // For sessions.
  const ProgramCache& cache() const { return cache_; }
  const CompileOptions& compile_options() const { return plan_->compile_options(); }
  const void* form(FormId id) const { return forms_[static_cast<size_t>(id)]; }
  // The bytes of a constant that the interpreter needs.
  absl::StatusOr<TensorView> ConstantBytes(const Graph& graph, ConstantId id) const;

 private:
  GraphProgram(std::unique_ptr<GraphPlan> plan, std::vector<const void*> forms,
               std::unique_ptr<ParameterSet> parameters, ModelDescription description,
               const GraphProgramOptions& options);
  absl::Status CompileNew(absl::Span<const Shape> input_shapes, bool keep) const;

  // Destroyed last to first: programs before the plan whose forms they read.
  const std::unique_ptr<GraphPlan> plan_;
  const std::vector<const void*> forms_;
  const std::unique_ptr<ParameterSet> parameters_;
  ModelDescription description_;
  mutable ProgramCache cache_;
  std::vector<std::vector<Shape>> kept_shapes_;
  // One compilation at a time: two threads that miss the same shape compile it once.
  mutable Mutex compile_mutex_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_GRAPH_PROGRAM_H_
