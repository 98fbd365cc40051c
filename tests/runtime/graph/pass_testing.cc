#include "tests/runtime/graph/pass_testing.h"

#include "absl/strings/match.h"
#include "runtime/graph/evaluate_op.h"
#include "tests/support/graph_testing.h"
#include "tests/support/status_testing.h"

namespace paramd {

PassOptions TestPassOptions() {
  PassOptions options;
  options.evaluate = ReferenceEvaluator();
  return options;
}

std::string NodesText(const Graph& graph) {
  const std::string text = ToText(graph);
  std::string nodes;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    if (absl::StrContains(line, " = ")) nodes += line + "\n";
    at = end + 1;
  }
  return nodes;
}

PassOutcome RunPassesOn(const std::string& onnx_bytes, const std::vector<std::string_view>& passes,
                        const std::vector<std::vector<Shape>>& input_shapes) {
  PassOutcome outcome;
  auto model = ImportBytes(onnx_bytes);
  EXPECT_OK(model.status());
  if (!model.ok()) return outcome;
  std::vector<std::vector<Tensor>> inputs, before;
  for (const std::vector<Shape>& shapes : input_shapes) {
    inputs.emplace_back();
    for (size_t i = 0; i < shapes.size(); ++i) {
      inputs.back().push_back(RandomTensor(shapes[i], static_cast<uint32_t>(100 + i)));
    }
    auto results = RunGraph(model->graph(), *model->checkpoint, inputs.back());
    EXPECT_OK(results.status());
    if (!results.ok()) return outcome;
    before.push_back(*std::move(results));
  }
  for (const std::string_view pass : passes) {
    const absl::StatusOr<int> changes = RunPass(model->graph(), pass, TestPassOptions());
    EXPECT_OK(changes.status());
    if (!changes.ok()) return outcome;
    outcome.changes += *changes;
  }
  outcome.text = NodesText(model->graph());
  for (size_t run = 0; run < inputs.size(); ++run) {
    const auto after = RunGraph(model->graph(), *model->checkpoint, inputs[run]);
    EXPECT_OK(after.status()) << outcome.text;
    if (!after.ok()) return outcome;
    for (size_t i = 0; i < before[run].size(); ++i) {
      EXPECT_LE(RelativeError((*after)[i].view(), before[run][i].view()), 1e-5)
          << "output " << i << " of run " << run << " of\n"
          << outcome.text;
    }
  }
  return outcome;
}

}  // namespace paramd
