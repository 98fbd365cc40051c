// NodeCase: one folder of ONNX's node tests: a model, and what it should answer.
//
// Life: a value. Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_CASE_H_
#define PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_CASE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/graph/runtime_value.h"

namespace paramd {

struct NodeCase {
  std::string name;        // "test_abs"
  std::string model_path;  // .../test_abs/model.onnx
  std::vector<std::string>
      operators;  // "ai.onnx.ml.Normalizer", "Abs": of the graph and those in it.
  int nodes = 0;  // Of the main graph.
  // One per test_data_set_N.
  struct Data {
    std::vector<RuntimeValue> inputs, outputs;
  };
  std::vector<Data> data;
};

// The cases' names in `folder`, sorted.
absl::StatusOr<std::vector<std::string>> ListNodeCases(const std::string& folder);

// Unimplemented, saying why, where the data is of a kind that we have no value for.
absl::StatusOr<NodeCase> ReadNodeCase(const std::string& folder, const std::string& name);

struct NodeTolerance {
  double relative, absolute;
};
// ONNX's own (1e-3 of the value, 1e-7) unless the case needs another.
NodeTolerance ToleranceOf(const std::string& name);

// Why the case's own data contradicts ONNX's definition; empty for nearly all.
std::string_view DisputedBecause(const std::string& name);

// Empty if `got` is what the case wants, as numpy's assert_allclose says; else
// the first difference.
std::string Difference(const RuntimeValue& got, const RuntimeValue& want,
                       const NodeTolerance& tolerance);

}  // namespace paramd

#endif  // PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_CASE_H_
