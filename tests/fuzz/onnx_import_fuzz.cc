// Any bytes as an ONNX model: refused with a reason, or a graph that keeps its
// rules through every pass, has a text, and infers the same shapes again.
#include <cstdlib>

#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/batch_safety.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/graph/passes/pass_list.h"
#include "tests/fuzz/fuzz_file.h"

namespace paramd {
namespace {

void Require(const absl::Status& status) {
  // Only our own rules: what a model asks for in vain is the model's fault.
  if (status.code() == absl::StatusCode::kInternal) {
    std::fputs(std::string(status.message()).c_str(), stderr);
    std::abort();
  }
}

void Import(const uint8_t* data, size_t size, bool require_runnable) {
  auto file = ReadOnnx(FuzzFile(data, size), nullptr);
  if (!file.ok()) return;
  OnnxImportOptions options;
  options.evaluate = ReferenceEvaluator();
  options.require_runnable = require_runnable;
  auto model = ImportOnnx(file->skeleton, *file->checkpoint, options);
  Require(model.status());
  if (!model.ok()) return;
  Graph& graph = *model->graph;
  Require(Verify(graph));
  (void)ToText(graph);
  if (!require_runnable) return;
  (void)ProveBatchSafety(graph);
  PassOptions passes;
  passes.evaluate = options.evaluate;
  passes.fold_elements_max = 1 << 16;
  const auto reports = RunPasses(graph, passes);
  Require(reports.status());
  if (!reports.ok()) std::abort();  // Passes change what was imported, and refuse nothing.
  (void)ToText(graph);
  (void)ProveBatchSafety(graph);
  const auto inferred = InferShapes(graph, InferOptions{options.evaluate});
  if (!inferred.ok()) std::abort();
}

}  // namespace
}  // namespace paramd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  paramd::Import(data, size, /*require_runnable=*/true);
  paramd::Import(data, size, /*require_runnable=*/false);
  return 0;
}
