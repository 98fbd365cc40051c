// OnnxGraphBuilder: one GraphProto, with the graphs nested in it, as a Graph.
//
// Names are resolved as ONNX says: a node may read what its own graph makes,
// what its graph is given, and in a nested graph whatever the enclosing ones
// have (which becomes a capture on each level between). Nodes may stand in any
// order; Graph::Compact sorts them and finds cycles.
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Life: one import. Thread-safety: none.
#ifndef PARAMD_RUNTIME_GRAPH_ONNX_GRAPH_BUILDER_H_
#define PARAMD_RUNTIME_GRAPH_ONNX_GRAPH_BUILDER_H_

#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/onnx_import.h"

namespace paramd {

// The version of each operator domain that the model was written for.
using OpsetByDomain = std::map<std::string, int64_t>;

// ai.onnx has two spellings; "" is ours.
inline std::string CanonicalDomain(const std::string& domain) {
  return domain == "ai.onnx" ? std::string() : domain;
}

class OnnxGraphBuilder {
 public:
  // `outer` is the builder of the enclosing graph, or null.
  OnnxGraphBuilder(const Checkpoint& checkpoint, const OnnxImportOptions& options,
                   const OpsetByDomain& opsets, OnnxGraphBuilder* outer);

  absl::StatusOr<std::unique_ptr<Graph>> Build(const onnx::GraphProto& proto);

 private:
  absl::Status AddInitializers(const onnx::GraphProto& proto);
  absl::Status AddInputs(const onnx::GraphProto& proto);
  // First all nodes' outputs, so that readers may come before them.
  absl::Status DeclareOutputs(const onnx::GraphProto& proto);
  absl::Status AddNode(const onnx::NodeProto& proto, int index);
  absl::Status AddAttributes(const onnx::NodeProto& proto, Node& node);
  absl::Status AddOutputs(const onnx::GraphProto& proto);

  absl::Status Declare(const std::string& name, ValueId id);
  // The value here that `name` means, captured from outside if need be; kNone.
  ValueId Resolve(const std::string& name);
  std::string UniqueNodeName(const onnx::NodeProto& proto, int index);

  const Checkpoint& checkpoint_;
  const OnnxImportOptions& options_;
  const OpsetByDomain& opsets_;
  OnnxGraphBuilder* const outer_;
  const int depth_;
  std::unique_ptr<Graph> graph_ = std::make_unique<Graph>();
  absl::flat_hash_map<std::string, ValueId> values_;
  absl::flat_hash_map<std::string, int64_t> node_names_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ONNX_GRAPH_BUILDER_H_
