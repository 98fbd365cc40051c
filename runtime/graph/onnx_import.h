// ImportOnnx: an ONNX model, as the checkpoint reader skimmed it, becomes a Graph.
//
// Everything in the model is taken for hostile: sizes, depths and names are
// bounded, every reference is checked, a cycle or a value made twice is
// refused, and declared shapes are only hints: shape inference decides. What
// this build cannot run is refused with everything that is missing at once.
//
// Life: a pure function; the graph refers to the checkpoint's tensors by index.
// Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_GRAPH_ONNX_IMPORT_H_
#define PARAMD_RUNTIME_GRAPH_ONNX_IMPORT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/shape_inference.h"

namespace paramd {

struct OnnxImportOptions {
  EvaluateFn evaluate;          // For arithmetic on shapes; see shape_inference.h.
  int64_t nodes_max = 100'000;  // Of the main graph and all subgraphs together.
  int64_t values_max = 1'000'000;
  int64_t attribute_elements_max = 1'000'000;  // Of one list attribute.
  // Integer and bool tensors up to this are read at once: shape arithmetic.
  // Of other types only those that the reader left in the skeleton.
  uint64_t integer_bytes_max = 64 * 1024;
  // False: operators without a row, with subgraphs and all, are imported too and
  // shapes stay as declared. For looking at a model, not for running it.
  bool require_runnable = true;
  // Told of each tensor of the checkpoint that was read, by its index: these and
  // the skeleton are all that another import needs. May be empty.
  std::function<void(int32_t tensor, absl::Span<const std::byte> bytes)> on_value;
};

struct ImportedModel {
  std::unique_ptr<Graph> graph;
  // What the file says about its making: producer, opset, IR version, metadata.
  std::vector<std::pair<std::string, std::string>> hyperparameters;
};

// `skeleton` and `checkpoint` as ReadOnnx gives them.
// InvalidArgument for a model that contradicts itself or ONNX; Unimplemented,
// naming operators, opsets and nodes, for one that this build cannot run.
absl::StatusOr<ImportedModel> ImportOnnx(std::string_view skeleton, const Checkpoint& checkpoint,
                                         const OnnxImportOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ONNX_IMPORT_H_
