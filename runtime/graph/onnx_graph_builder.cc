#include "runtime/graph/onnx_graph_builder.h"

#include <cmath>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/onnx_functions.h"
#include "runtime/graph/onnx_schema.h"
#include "runtime/graph/onnx_tensor.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

absl::Status AboutNode(const Node& node, const absl::Status& status) {
  return absl::Status(status.code(), ToAbsl(StrCat("node '", node.name, "' (", node.op,
                                                   "): ", FromAbsl(status.message()))));
}

// A value that a file's number decides and that is no number breaks what
// follows in ways that are hard to see; only Constant may hold any value.
absl::Status CheckNumbers(const std::string& key, const Attribute& attribute) {
  bool good = true;
  if (const auto* one = std::get_if<float>(&attribute)) good = !std::isnan(*one);
  if (const auto* many = std::get_if<std::vector<float>>(&attribute)) {
    for (float value : *many) good &= !std::isnan(value);
  }
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(StrCat("attribute '", key, "' is not a number"));
}

}  // namespace

OnnxGraphBuilder::OnnxGraphBuilder(const Checkpoint& checkpoint, const OnnxImportOptions& options,
                                   const OpsetByDomain& opsets, OnnxGraphBuilder* outer)
    : checkpoint_(checkpoint),
      options_(options),
      opsets_(opsets),
      outer_(outer),
      depth_(outer == nullptr ? 0 : outer->depth_ + 1) {}

absl::StatusOr<std::unique_ptr<Graph>> OnnxGraphBuilder::Build(const onnx::GraphProto& proto) {
  if (depth_ > kSubgraphDepthMax) {
    return absl::InvalidArgumentError(StrCat("graphs are nested deeper than ", kSubgraphDepthMax));
  }
  PARAMD_RETURN_IF_ERROR(CheckName("graph", proto.name()));
  graph_->name = proto.name();
  if (proto.sparse_initializer_size() > 0) {
    return absl::UnimplementedError(
        StrCat("graph '", proto.name(), "' has sparse initializers, which are not supported"));
  }
  PARAMD_RETURN_IF_ERROR(AddInitializers(proto));
  PARAMD_RETURN_IF_ERROR(AddInputs(proto));
  PARAMD_RETURN_IF_ERROR(DeclareOutputs(proto));
  for (int i = 0; i < proto.node_size(); ++i) PARAMD_RETURN_IF_ERROR(AddNode(proto.node(i), i));
  PARAMD_RETURN_IF_ERROR(AddOutputs(proto));
  return std::move(graph_);
}

absl::Status OnnxGraphBuilder::Declare(const std::string& name, ValueId id) {
  if (values_.emplace(name, id).second) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("graph '", graph_->name, "' has two values named '",
                                           name, "'; every value must be made once"));
}

absl::Status OnnxGraphBuilder::AddInitializers(const onnx::GraphProto& proto) {
  for (const onnx::TensorProto& tensor : proto.initializer()) {
    if (tensor.name().empty()) return absl::InvalidArgumentError("an initializer has no name");
    PARAMD_ASSIGN_OR_RETURN(Constant constant, ConstantFromProto(tensor, checkpoint_, options_));
    PARAMD_RETURN_IF_ERROR(Declare(tensor.name(), graph_->AddConstantValue(std::move(constant))));
  }
  return absl::OkStatus();
}

absl::Status OnnxGraphBuilder::AddInputs(const onnx::GraphProto& proto) {
  absl::flat_hash_set<std::string> seen;
  for (const onnx::ValueInfoProto& input : proto.input()) {
    PARAMD_RETURN_IF_ERROR(CheckName("graph input", input.name()));
    if (input.name().empty()) return absl::InvalidArgumentError("a graph input has no name");
    if (!seen.insert(input.name()).second) {
      return absl::InvalidArgumentError(StrCat("two graph inputs are named '", input.name(), "'"));
    }
    // Models of IR version 3 list their initializers among the inputs, as
    // defaults that a caller might replace; parameters are frozen here.
    if (const auto it = values_.find(input.name()); it != values_.end()) continue;
    Value value;
    value.name = input.name();
    // Nested graphs may leave their inputs' types out.
    if (input.has_type() || depth_ == 0) {
      PARAMD_ASSIGN_OR_RETURN(value.type, TypeFromProto(input.type(), input.name()));
    }
    const ValueId id = graph_->AddValue(std::move(value));
    PARAMD_RETURN_IF_ERROR(Declare(input.name(), id));
    graph_->inputs.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status OnnxGraphBuilder::DeclareOutputs(const onnx::GraphProto& proto) {
  for (const onnx::NodeProto& node : proto.node()) {
    for (const std::string& name : node.output()) {
      if (name.empty()) continue;
      PARAMD_RETURN_IF_ERROR(CheckName("value", name));
      Value value;
      value.name = name;
      PARAMD_RETURN_IF_ERROR(Declare(name, graph_->AddValue(std::move(value))));
      if (static_cast<int64_t>(graph_->values().size()) > options_.values_max) {
        return absl::InvalidArgumentError(
            StrCat("the graph has more than ", options_.values_max, " values"));
      }
    }
  }
  return absl::OkStatus();
}

ValueId OnnxGraphBuilder::Resolve(const std::string& name) {
  if (const auto it = values_.find(name); it != values_.end()) return it->second;
  if (outer_ == nullptr) return kNone;
  const ValueId outer = outer_->Resolve(name);
  if (outer == kNone) return kNone;
  Value value;
  value.name = name;
  value.type = outer_->graph_->value(outer).type;
  const ValueId inner = graph_->AddValue(std::move(value));
  graph_->captures.emplace_back(outer, inner);
  values_.emplace(name, inner);
  return inner;
}

std::string OnnxGraphBuilder::UniqueNodeName(const onnx::NodeProto& proto, int index) {
  std::string name = proto.name().empty() ? StrCat(proto.op_type(), "_", index) : proto.name();
  while (true) {
    const int64_t before = node_names_[name]++;
    if (before == 0) return name;
    name = StrCat(name, "#", before);
  }
}

absl::Status OnnxGraphBuilder::AddNode(const onnx::NodeProto& proto, int index) {
  Node node;
  PARAMD_RETURN_IF_ERROR(CheckName("node", proto.name()));
  PARAMD_RETURN_IF_ERROR(CheckName("operator", proto.op_type()));
  PARAMD_RETURN_IF_ERROR(CheckName("domain", proto.domain()));
  node.name = UniqueNodeName(proto, index);
  node.domain = CanonicalDomain(proto.domain());
  node.op = proto.op_type();
  node.opset = OpsetOfNode(proto, opsets_);
  if (proto.input_size() + proto.output_size() > options_.values_max) {
    return AboutNode(node, absl::InvalidArgumentError("has too many inputs and outputs"));
  }
  for (const std::string& name : proto.input()) {
    if (name.empty()) {
      node.inputs.push_back(kNone);
      continue;
    }
    const ValueId id = Resolve(name);
    if (id == kNone) {
      return AboutNode(
          node, absl::InvalidArgumentError(StrCat("reads '", name, "', which nothing makes")));
    }
    node.inputs.push_back(id);
  }
  bool any = false;
  for (const std::string& name : proto.output()) {
    node.outputs.push_back(name.empty() ? kNone : values_.at(name));
    any |= !name.empty();
  }
  if (!any) return AboutNode(node, absl::InvalidArgumentError("has no outputs"));
  if (const absl::Status status = AddAttributes(proto, node); !status.ok()) {
    return AboutNode(node, status);
  }
  graph_->AddNode(std::move(node));
  return absl::OkStatus();
}

absl::Status OnnxGraphBuilder::AddAttributes(const onnx::NodeProto& proto, Node& node) {
  PARAMD_RETURN_IF_ERROR(CheckAttributes(proto, node.domain, node.opset));
  for (const onnx::AttributeProto& attribute : proto.attribute()) {
    PARAMD_RETURN_IF_ERROR(CheckName("attribute", attribute.name()));
    if (node.Has(attribute.name())) {
      return absl::InvalidArgumentError(StrCat("attribute '", attribute.name(), "' comes twice"));
    }
    if (!attribute.ref_attr_name().empty()) {
      return absl::InvalidArgumentError(
          StrCat("attribute '", attribute.name(), "' refers to a function's, outside of one"));
    }
    switch (attribute.type()) {
      case onnx::AttributeProto::GRAPH: {
        OnnxGraphBuilder inner(checkpoint_, options_, opsets_, this);
        PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<Graph> subgraph, inner.Build(attribute.g()));
        node.attributes[attribute.name()] = std::shared_ptr<Graph>(std::move(subgraph));
        break;
      }
      case onnx::AttributeProto::TYPE_PROTO:
        break;  // What an empty optional would hold; values say what they are.
      case onnx::AttributeProto::TENSOR: {
        PARAMD_ASSIGN_OR_RETURN(Constant constant,
                                ConstantFromProto(attribute.t(), checkpoint_, options_));
        if (const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&constant.source)) {
          node.attributes[attribute.name()] = *held;
        } else if (node.op == "Constant" && node.domain.empty()) {
          // Too large to hold: the node becomes a constant of the checkpoint.
          node.attributes["paramd.checkpoint"] = int64_t{std::get<int32_t>(constant.source)};
        } else {
          return absl::UnimplementedError(StrCat("attribute '", attribute.name(),
                                                 "' is a tensor of ", constant.shape.ToString(),
                                                 ", too large for an attribute"));
        }
        break;
      }
      default: {
        PARAMD_ASSIGN_OR_RETURN(Attribute plain, PlainAttributeFromProto(attribute, options_));
        if (node.op != "Constant") {
          PARAMD_RETURN_IF_ERROR(CheckNumbers(attribute.name(), plain));
        }
        node.attributes[attribute.name()] = std::move(plain);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status OnnxGraphBuilder::AddOutputs(const onnx::GraphProto& proto) {
  if (proto.output_size() == 0) {
    return absl::InvalidArgumentError(StrCat("graph '", proto.name(), "' has no outputs"));
  }
  absl::flat_hash_set<std::string> seen;
  for (const onnx::ValueInfoProto& output : proto.output()) {
    PARAMD_RETURN_IF_ERROR(CheckName("graph output", output.name()));
    if (!seen.insert(output.name()).second) {
      return absl::InvalidArgumentError(
          StrCat("two graph outputs are named '", output.name(), "'"));
    }
    const ValueId id = Resolve(output.name());
    if (id == kNone) {
      return absl::InvalidArgumentError(
          StrCat("graph output '", output.name(), "' is made by nothing"));
    }
    const Value& value = graph_->value(id);
    if (depth_ > 0 || value.producer != kNone) {
      // Kept as declared until inference replaces it; a nested graph keeps it.
      if (output.has_type() && graph_->value(id).type.dtype == DType::kUndefined) {
        if (auto type = TypeFromProto(output.type(), output.name()); type.ok()) {
          graph_->value(id).type = *std::move(type);
        }
      }
      graph_->outputs.push_back(id);
      continue;
    }
    // A graph that hands out an input or a constant: a node makes the copy, so
    // that every output of a program has a producer. It has the same name.
    Value copy;
    copy.name = value.name;
    copy.type = value.type;
    Node node;
    node.name = StrCat("output:", copy.name);
    node.op = "Identity";
    node.opset = opsets_.contains("") ? opsets_.at("") : kOpsetMax;
    node.inputs = {id};
    node.outputs = {graph_->AddValue(std::move(copy))};
    graph_->outputs.push_back(node.outputs[0]);
    graph_->AddNode(std::move(node));
  }
  return absl::OkStatus();
}

}  // namespace paramd
