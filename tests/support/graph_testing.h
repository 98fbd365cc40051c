// What tests of graphs share: importing a model from bytes, and running a graph
// with the reference backend, derived constants and all.
//
// Thread-safety: belongs to one thread.
#ifndef PARAMD_TESTS_SUPPORT_GRAPH_TESTING_H_
#define PARAMD_TESTS_SUPPORT_GRAPH_TESTING_H_

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

struct TestModel {
  ImportedModel model;
  std::unique_ptr<Checkpoint> checkpoint;
  Graph& graph() { return *model.graph; }
};

// Through the checkpoint reader and the importer, with the reference evaluator.
absl::StatusOr<TestModel> ImportBytes(std::string_view onnx_bytes, bool require_runnable = true);

// One tensor per output, computed node by node by the reference.
absl::StatusOr<std::vector<Tensor>> RunGraph(const Graph& graph, const Checkpoint& checkpoint,
                                             absl::Span<const Tensor> inputs);

// f32 in [-1, 1], the same for the same seed.
Tensor RandomTensor(const Shape& shape, uint32_t seed);

// max|a - b| / max|b| over f32 tensors; infinity where types or shapes differ.
double RelativeError(const TensorView& a, const TensorView& b);

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_GRAPH_TESTING_H_
