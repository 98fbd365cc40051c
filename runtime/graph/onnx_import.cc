#include "runtime/graph/onnx_import.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/dynamic_ops.h"
#include "runtime/graph/functions/class_names.h"
#include "runtime/graph/onnx_functions.h"
#include "runtime/graph/onnx_graph_builder.h"
#include "runtime/graph/onnx_schema.h"
#include "runtime/graph/onnx_tensor.h"
#include "runtime/graph/op_expansion.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/role_analysis.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

constexpr int64_t kIrVersionMin = 3;
// Operators that one refusal names; more would only fill the log.
constexpr size_t kMissingShown = 16;
// Metadata of the file that model info shows, and how much of each.
constexpr int kMetadataMax = 32;
constexpr size_t kMetadataBytesMax = 256;

// Many exporters name no nodes; what one makes has a name.
std::string NodeInWords(const onnx::NodeProto& node) {
  if (!node.name().empty() || node.output_size() == 0) {
    return StrCat("node '", node.name().substr(0, 200), "'");
  }
  return StrCat("the node that makes '", node.output(0).substr(0, 200), "'");
}

// A model of an opset before the first is one of the first, where none of its
// operators changed between the two.
absl::Status CheckOldOpset(const onnx::GraphProto& graph, int64_t opset, int depth) {
  if (depth > kSubgraphDepthMax) {
    return absl::InvalidArgumentError(StrCat("graphs are nested deeper than ", kSubgraphDepthMax));
  }
  for (const onnx::NodeProto& node : graph.node()) {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) {
        PARAMD_RETURN_IF_ERROR(CheckOldOpset(attribute.g(), opset, depth + 1));
      }
    }
    if (!CanonicalDomain(node.domain()).empty()) continue;
    PARAMD_RETURN_IF_ERROR(CheckName("operator", node.op_type()));
    PARAMD_RETURN_IF_ERROR(CheckName("node", node.name()));
    if (SameMeaning(node.op_type(), "", opset, kOpsetMin)) continue;
    return absl::UnimplementedError(
        StrCat("the model uses opset ", opset, " of ai.onnx, this build reads ", kOpsetMin, " to ",
               kOpsetMax, ", and ", node.op_type().substr(0, 100), " (first at ", NodeInWords(node),
               ") changed in between"));
  }
  return absl::OkStatus();
}

absl::StatusOr<OpsetByDomain> Opsets(const onnx::ModelProto& model) {
  OpsetByDomain opsets;
  for (const auto& import : model.opset_import()) {
    PARAMD_RETURN_IF_ERROR(CheckName("operator domain", import.domain()));
    const std::string domain = CanonicalDomain(import.domain());
    if (!opsets.emplace(domain, import.version()).second) {
      return absl::InvalidArgumentError(
          StrCat("the model imports the operator domain '", import.domain(), "' twice"));
    }
  }
  // A model of other domains alone need not name ai.onnx.
  const auto it = opsets.find("");
  if (it == opsets.end()) return opsets;
  if (it->second > kOpsetMax || it->second < 1) {
    return absl::UnimplementedError(StrCat("the model uses opset ", it->second,
                                           " of ai.onnx; this build reads ", kOpsetMin, " to ",
                                           kOpsetMax));
  }
  if (it->second < kOpsetMin) {
    PARAMD_RETURN_IF_ERROR(CheckOldOpset(model.graph(), it->second, 0));
    it->second = kOpsetMin;
  }
  return opsets;
}

// --- What this build has no row for -----------------------------------------

struct Missing {
  std::set<std::string> named;  // Operators already in `text`.
  std::string text;
};

absl::Status Survey(const onnx::GraphProto& graph, const OpsetByDomain& opsets,
                    const OnnxImportOptions& options, int depth, int64_t& nodes, Missing& missing) {
  if (depth > kSubgraphDepthMax) {
    return absl::InvalidArgumentError(StrCat("graphs are nested deeper than ", kSubgraphDepthMax));
  }
  nodes += graph.node_size();
  if (nodes > options.nodes_max) {
    return absl::InvalidArgumentError(
        StrCat("the model has more than ", options.nodes_max, " nodes"));
  }
  for (const onnx::NodeProto& node : graph.node()) {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) {
        PARAMD_RETURN_IF_ERROR(Survey(attribute.g(), opsets, options, depth + 1, nodes, missing));
      }
      for (const onnx::GraphProto& inner : attribute.graphs()) {
        PARAMD_RETURN_IF_ERROR(Survey(inner, opsets, options, depth + 1, nodes, missing));
      }
    }
    const std::string domain = CanonicalDomain(node.domain());
    const int64_t opset = OpsetOfNode(node, opsets);
    const bool known = (domain != kInternalDomain || IsOurs(node)) &&
                       (IsExpanded(domain, node.op_type()) || IsDynamicOp(domain, node.op_type()) ||
                        FindOp(domain, node.op_type(), opset) != nullptr);
    if (known) continue;
    PARAMD_RETURN_IF_ERROR(CheckName("operator", node.op_type()));
    PARAMD_RETURN_IF_ERROR(CheckName("domain", domain));
    PARAMD_RETURN_IF_ERROR(CheckName("node", node.name()));
    if (node.output_size() > 0) PARAMD_RETURN_IF_ERROR(CheckName("value", node.output(0)));
    if (!missing.named.insert(StrCat(domain, ":", node.op_type())).second) continue;
    if (missing.named.size() > kMissingShown) continue;
    StrAppend(&missing.text, missing.text.empty() ? "" : "; ", node.op_type().substr(0, 100),
              " (domain ", domain.empty() ? "ai.onnx" : domain.substr(0, 100), ", ",
              opset == 0 ? std::string("no opset imported") : StrCat("opset ", opset),
              ", first at ", NodeInWords(node), ")");
  }
  return absl::OkStatus();
}

absl::Status CheckRunnable(const onnx::ModelProto& model, const OpsetByDomain& opsets,
                           const OnnxImportOptions& options) {
  int64_t nodes = 0;
  Missing missing;
  PARAMD_RETURN_IF_ERROR(Survey(model.graph(), opsets, options, 0, nodes, missing));
  if (!options.require_runnable) return absl::OkStatus();
  if (missing.named.empty()) return absl::OkStatus();
  const size_t more =
      missing.named.size() > kMissingShown ? missing.named.size() - kMissingShown : 0;
  return absl::UnimplementedError(StrCat("no implementation of ", missing.text,
                                         more == 0 ? "" : StrCat("; and ", more, " more")));
}

// --- Constants that nodes make ------------------------------------------------

// Replaces the node by a constant under the name of its output.
void BecomeConstant(Graph& graph, NodeId id, Constant constant) {
  const ValueId output = graph.node(id).outputs[0];
  Value& value = graph.value(output);
  constant.name = value.name;
  value.type = {ValueType::Kind::kTensor, constant.dtype, ToSymbolic(constant.shape)};
  value.producer = kNone;
  value.constant = graph.AddConstant(std::move(constant));
  graph.node(id).dead = true;
}

// Constant, and ConstantOfShape of a known shape: what they make is counted and
// packed like an initializer. A large fill is only described ("fill/1").
absl::Status FoldConstantNode(Graph& graph, NodeId id, const Checkpoint& checkpoint) {
  const Node& node = graph.node(id);
  if (node.outputs.size() != 1 || node.outputs[0] == kNone) return absl::OkStatus();
  if (const int64_t index = node.GetInt("paramd.checkpoint", kNone);
      index != kNone && node.op == "Constant") {
    const CheckpointTensor& held = checkpoint.tensors()[static_cast<size_t>(index)];
    Constant constant;
    constant.dtype = held.dtype;
    constant.shape = held.shape;
    constant.source = static_cast<int32_t>(index);
    BecomeConstant(graph, id, std::move(constant));
    return absl::OkStatus();
  }
  InferContext context;
  context.node = &node;
  for (ValueId input : node.inputs) {
    const Tensor* known = graph.InlineConstant(input);
    if (known == nullptr) return absl::OkStatus();
    context.inputs.push_back(graph.value(input).type);
    context.known.push_back(known);
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<ValueType> types, InferNode(context));
  if (!types[0].shape.has_value()) return absl::OkStatus();
  const std::optional<Shape> shape = ToConcrete(*types[0].shape);
  if (!shape.has_value()) return absl::OkStatus();
  Constant constant;
  constant.dtype = types[0].dtype;
  constant.shape = *shape;
  constexpr int64_t kHeldElementsMax = 1024;
  if (node.op == "ConstantOfShape" && shape->elements() > kHeldElementsMax &&
      IsFloat(constant.dtype)) {
    double fill = 0;
    if (const auto it = node.attributes.find("value"); it != node.attributes.end()) {
      const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&it->second);
      const auto values = held == nullptr ? std::nullopt : FloatValues((*held)->view());
      if (!values.has_value() || values->size() != 1) return absl::OkStatus();
      fill = (*values)[0];
    }
    constant.source = Derivation{"fill/1", {}, {fill}};
    BecomeConstant(graph, id, std::move(constant));
    return absl::OkStatus();
  }
  if (node.op == "ConstantOfShape" && shape->elements() > kHeldElementsMax) {
    return absl::OkStatus();  // Shape inference folds it, within its own limits.
  }
  PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, FoldNode(context, types));
  if (tensors.size() != 1) return absl::OkStatus();
  constant.source = std::make_shared<const Tensor>(std::move(tensors[0]));
  BecomeConstant(graph, id, std::move(constant));
  return absl::OkStatus();
}

absl::Status FoldConstantNodes(Graph& graph, const Checkpoint& checkpoint) {
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto id = static_cast<NodeId>(n);
    const Node& node = graph.node(id);
    if (node.dead || !node.domain.empty()) continue;
    if (node.op == "Constant" || node.op == "ConstantOfShape") {
      PARAMD_RETURN_IF_ERROR(FoldConstantNode(graph, id, checkpoint));
    }
    // An output may have become a constant, and outputs have producers.
  }
  return absl::OkStatus();
}

// Outputs that became constants get a node that makes them.
void CopyConstantOutputs(Graph& graph, int64_t opset) {
  for (ValueId& output : graph.outputs) {
    if (graph.value(output).constant == kNone) continue;
    Value copy;
    copy.name = graph.value(output).name;
    copy.type = graph.value(output).type;
    Node node;
    node.name = StrCat("output:", copy.name);
    node.op = "Identity";
    node.opset = opset;
    node.inputs = {output};
    node.outputs = {graph.AddValue(std::move(copy))};
    output = node.outputs[0];
    graph.AddNode(std::move(node));
  }
}

// Optional outputs (a dropout's mask, batch-norm's running mean) that nobody
// reads are not made.
void DropUnreadOutputs(Graph& graph) {
  const std::vector<std::vector<NodeId>> readers = graph.AllConsumers();
  std::vector<bool> is_output(graph.values().size(), false);
  for (ValueId id : graph.outputs) is_output[static_cast<size_t>(id)] = true;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(static_cast<NodeId>(n));
    if (node.dead) continue;
    for (size_t i = 1; i < node.outputs.size(); ++i) {
      const ValueId id = node.outputs[i];
      if (id == kNone || is_output[static_cast<size_t>(id)] ||
          !readers[static_cast<size_t>(id)].empty()) {
        continue;
      }
      graph.value(id).producer = kNone;
      node.outputs[i] = kNone;
    }
    while (node.outputs.size() > 1 && node.outputs.back() == kNone) node.outputs.pop_back();
  }
}

// What every graph goes through before its types are inferred; the innermost first.
absl::Status Simplify(Graph& graph, const Checkpoint& checkpoint, int64_t opset) {
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    for (auto& [key, attribute] : graph.node(static_cast<NodeId>(n)).attributes) {
      if (auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        PARAMD_RETURN_IF_ERROR(Simplify(**subgraph, checkpoint, opset));
      }
    }
  }
  PARAMD_RETURN_IF_ERROR(FoldConstantNodes(graph, checkpoint));
  CopyConstantOutputs(graph, opset);
  PARAMD_RETURN_IF_ERROR(ExpandOperators(graph));
  PARAMD_RETURN_IF_ERROR(graph.Compact());
  DropUnreadOutputs(graph);
  return absl::OkStatus();
}

// Where only a run tells the type of an output, what the file declares stands.
void TakeDeclaredTypes(const onnx::GraphProto& proto, Graph& graph) {
  for (int i = 0; i < proto.output_size(); ++i) {
    ValueType& type = graph.value(graph.outputs[static_cast<size_t>(i)]).type;
    if (type.dtype != DType::kUndefined) continue;
    if (auto declared = TypeFromProto(proto.output(i).type(), proto.output(i).name());
        declared.ok()) {
      type = *std::move(declared);
    }
  }
}

// --- What model info shows ---------------------------------------------------------

void AddText(std::string key, std::string_view value, ImportedModel& model) {
  if (value.empty() || !CheckName("metadata", value).ok()) return;
  if (value.size() > kMetadataBytesMax) return;
  model.hyperparameters.emplace_back(std::move(key), std::string(value));
}

void AddHyperparameters(const onnx::ModelProto& proto, const OpsetByDomain& opsets,
                        ImportedModel& model) {
  AddText("producer", proto.producer_name(), model);
  AddText("producer_version", proto.producer_version(), model);
  AddText("graph", proto.graph().name(), model);
  AddText("ir_version", StrCat(proto.ir_version()), model);
  for (const auto& [domain, version] : opsets) {
    AddText(domain.empty() ? "opset" : StrCat("opset.", domain), StrCat(version), model);
  }
  int count = 0;
  for (const auto& entry : proto.metadata_props()) {
    if (++count > kMetadataMax) break;
    if (entry.key().empty() || entry.key().size() > kMetadataBytesMax ||
        !CheckName("metadata key", entry.key()).ok()) {
      continue;
    }
    AddText(StrCat("metadata.", entry.key()), entry.value(), model);
  }
}

// Inference decides on shapes; only a type that is declared otherwise shows
// that the file and we do not mean the same computation.
absl::Status CheckDeclaredOutputs(const onnx::GraphProto& proto, const Graph& graph) {
  for (int i = 0; i < proto.output_size(); ++i) {
    const onnx::ValueInfoProto& output = proto.output(i);
    if (!output.type().has_tensor_type()) continue;
    const std::optional<DType> declared = DTypeFromOnnx(output.type().tensor_type().elem_type());
    const DType inferred = graph.value(graph.outputs[static_cast<size_t>(i)]).type.dtype;
    if (!declared.has_value() || *declared == DType::kUndefined || *declared == inferred) continue;
    return absl::InvalidArgumentError(StrCat("graph output '", output.name(), "' is declared as ",
                                             DTypeName(*declared), " and computed as ",
                                             DTypeName(inferred)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImportedModel> ImportOnnx(std::string_view skeleton, const Checkpoint& checkpoint,
                                         const OnnxImportOptions& options) {
  onnx::ModelProto proto;
  if (skeleton.size() > size_t{1} << 30 ||
      !proto.ParseFromArray(skeleton.data(), static_cast<int>(skeleton.size()))) {
    return absl::InvalidArgumentError("the model is not a valid ONNX message");
  }
  if (!proto.has_graph()) return absl::InvalidArgumentError("the model has no graph");
  if (proto.ir_version() < kIrVersionMin) {
    return absl::UnimplementedError(StrCat("the model has IR version ", proto.ir_version(),
                                           "; this build reads from ", kIrVersionMin, " on"));
  }
  PARAMD_ASSIGN_OR_RETURN(const OpsetByDomain opsets, Opsets(proto));
  const std::vector<std::pair<std::string, std::string>> class_names = ClassNames(proto.graph());
  PARAMD_RETURN_IF_ERROR(
      ExpandFunctions(proto, opsets, options.nodes_max, [&](const onnx::TensorProto& tensor) {
        return WholeTensorFromProto(tensor, checkpoint, options);
      }));
  PARAMD_RETURN_IF_ERROR(CheckRunnable(proto, opsets, options));

  ImportedModel model;
  AddHyperparameters(proto, opsets, model);
  model.hyperparameters.insert(model.hyperparameters.end(), class_names.begin(), class_names.end());
  OnnxGraphBuilder builder(checkpoint, options, opsets, nullptr);
  PARAMD_ASSIGN_OR_RETURN(model.graph, builder.Build(proto.graph()));
  Graph& graph = *model.graph;
  PARAMD_RETURN_IF_ERROR(
      Simplify(graph, checkpoint, opsets.contains("") ? opsets.at("") : kOpsetMax));
  PARAMD_RETURN_IF_ERROR(Verify(graph));
  AssignRoles(graph);
  if (!options.require_runnable) return model;
  const InferOptions infer{options.evaluate};
  PARAMD_RETURN_IF_ERROR(InferAndRecord(graph, infer));
  TakeDeclaredTypes(proto.graph(), graph);
  PARAMD_RETURN_IF_ERROR(CheckDeclaredOutputs(proto.graph(), graph));
  return model;
}

}  // namespace paramd
