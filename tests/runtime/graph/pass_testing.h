// What tests of passes share: running one pass over a model, with its text
// afterwards and its results before and after.
//
// Thread-safety: belongs to one thread.
#ifndef PARAMD_TESTS_RUNTIME_GRAPH_PASS_TESTING_H_
#define PARAMD_TESTS_RUNTIME_GRAPH_PASS_TESTING_H_

#include <string>
#include <string_view>
#include <vector>

#include "runtime/graph/graph.h"
#include "runtime/graph/passes/pass_list.h"

namespace paramd {

// With the reference evaluator.
PassOptions TestPassOptions();

// The graph's nodes alone, one a line, without the lines of inputs and outputs.
std::string NodesText(const Graph& graph);

struct PassOutcome {
  int changes = 0;
  std::string text;
};

// Runs the passes over the model, one by one. Its results before and after, on
// the same random f32 inputs, must agree within 1e-5 of the largest number, for
// each of the lists of shapes.
PassOutcome RunPassesOn(const std::string& onnx_bytes, const std::vector<std::string_view>& passes,
                        const std::vector<std::vector<Shape>>& input_shapes);
inline PassOutcome RunOne(const std::string& onnx_bytes, std::string_view pass,
                          const std::vector<Shape>& input_shapes) {
  return RunPassesOn(onnx_bytes, {pass}, {input_shapes});
}

}  // namespace paramd

#endif  // PARAMD_TESTS_RUNTIME_GRAPH_PASS_TESTING_H_
