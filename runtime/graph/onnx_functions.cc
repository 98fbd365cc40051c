#include "runtime/graph/onnx_functions.h"

#include <onnx/defs/schema.h>
#include <onnx/shape_inference/implementation.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/dynamic_ops.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/onnx_schema.h"
#include "runtime/graph/onnx_tensor.h"
#include "runtime/graph/op_expansion.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

// Functions within functions beyond this are refused.
constexpr int kFunctionDepthMax = 32;

using Names = std::map<std::string, std::string>;
using Types = absl::flat_hash_map<std::string, onnx::TypeProto>;

bool HasOwnMeaning(const std::string& domain, const std::string& op, int64_t opset) {
  return domain == kInternalDomain || IsExpanded(domain, op) || IsDynamicOp(domain, op) ||
         FindOp(domain, op, opset) != nullptr;
}

void SetOpset(onnx::NodeProto& node, int64_t opset) {
  onnx::StringStringEntryProto* entry = node.add_metadata_props();
  entry->set_key(std::string(kOnnxNodeOpsetKey));
  entry->set_value(StrCat(opset));
}

// A file may carry our key; only we may write it.
void StripOpsets(onnx::GraphProto& graph, int depth) {
  if (depth > kSubgraphDepthMax) return;  // Refused later.
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    auto* props = node.mutable_metadata_props();
    props->erase(std::remove_if(props->begin(), props->end(),
                                [](const auto& prop) { return prop.key() == kOnnxNodeOpsetKey; }),
                 props->end());
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) StripOpsets(*attribute.mutable_g(), depth + 1);
    }
  }
}

class Expander {
 public:
  Expander(onnx::ModelProto& model, const OpsetByDomain& opsets, int64_t nodes_max,
           std::function<absl::StatusOr<Tensor>(const onnx::TensorProto&)> read)
      : model_(model), opsets_(opsets), nodes_max_(nodes_max) {
    surroundings_.type_of = [this](const std::string& name) { return TypeOf(name); };
    surroundings_.read = std::move(read);
    for (const onnx::FunctionProto& function : model.functions()) {
      functions_[{CanonicalDomain(function.domain()), function.name()}] = &function;
    }
  }

  // Level by level: what a function came from may have been made by another,
  // and its types are known only once that one is expanded.
  absl::Status Run() {
    for (int round = 0; round < kFunctionDepthMax; ++round) {
      nodes_left_ = nodes_max_;
      changed_ = false;
      types_.reset();
      before_ = model_;
      PARAMD_RETURN_IF_ERROR(ExpandGraph(*model_.mutable_graph(), 0));
      if (!changed_) return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        StrCat("functions call each other deeper than ", kFunctionDepthMax));
  }

 private:
  absl::Status ExpandGraph(onnx::GraphProto& graph, int depth) {
    if (depth > kSubgraphDepthMax) {
      return absl::InvalidArgumentError(
          StrCat("graphs are nested deeper than ", kSubgraphDepthMax));
    }
    google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
    nodes.Swap(graph.mutable_node());
    for (onnx::NodeProto& node : nodes) {
      PARAMD_RETURN_IF_ERROR(Place(std::move(node), graph.mutable_node(), depth));
    }
    return absl::OkStatus();
  }

  // Appends the node, or what it expands to.
  absl::Status Place(onnx::NodeProto node, google::protobuf::RepeatedPtrField<onnx::NodeProto>* to,
                     int depth) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) {
        PARAMD_RETURN_IF_ERROR(ExpandGraph(*attribute.mutable_g(), depth + 1));
      }
    }
    std::vector<onnx::NodeProto> nodes;
    PARAMD_ASSIGN_OR_RETURN(const std::optional<onnx::FunctionProto> body, BodyOf(node));
    if (body.has_value()) {
      OpsetByDomain opsets;
      for (const auto& import : body->opset_import()) {
        opsets[CanonicalDomain(import.domain())] = import.version();
      }
      PARAMD_ASSIGN_OR_RETURN(nodes, Instantiate(node, *body, opsets));
      changed_ = true;
    } else {
      nodes.push_back(std::move(node));
    }
    nodes_left_ -= static_cast<int64_t>(nodes.size());
    if (nodes_left_ < 0) {
      return absl::InvalidArgumentError(
          StrCat("the model has more than ", nodes_max_, " nodes with its functions expanded"));
    }
    for (onnx::NodeProto& one : nodes) *to->Add() = std::move(one);
    return absl::OkStatus();
  }

  // Nothing where the node stays as it is.
  absl::StatusOr<std::optional<onnx::FunctionProto>> BodyOf(const onnx::NodeProto& node) {
    const std::string domain = CanonicalDomain(node.domain());
    if (const auto it = functions_.find({domain, node.op_type()}); it != functions_.end()) {
      return std::optional(*it->second);
    }
    const int64_t opset = OpsetOfNode(node, opsets_);
    if (HasOwnMeaning(domain, node.op_type(), opset) || opset > kOpsetMax) return NoBody();
    if (const OwnFunction* row = FindOwnFunction(domain, node.op_type(), opset); row != nullptr) {
      return Define(*row, node, opset);
    }
    return BodyOfSchema(node, domain, opset);
  }

  static std::optional<onnx::FunctionProto> NoBody() { return std::nullopt; }

  absl::StatusOr<std::optional<onnx::FunctionProto>> Define(const OwnFunction& row,
                                                            const onnx::NodeProto& node,
                                                            int64_t opset) {
    const auto about = [&](const absl::Status& status) {
      return absl::Status(
          status.code(), ToAbsl(StrCat("node '", node.name(), "' (domain ", row.domain, " ", row.op,
                                       "): ", FromAbsl(status.message()))));
    };
    if (const absl::Status status = CheckAttributes(node, std::string(row.domain), opset);
        !status.ok()) {
      return about(status);
    }
    FunctionBody body(node, surroundings_);
    for (int i = 0; i < row.inputs_min; ++i) {
      if (!body.Has(i)) {
        return about(absl::InvalidArgumentError(StrCat("input ", i, " is missing")));
      }
    }
    if (const absl::Status status = row.define(body); !status.ok()) return about(status);
    absl::StatusOr<onnx::FunctionProto> built = std::move(body).Build();
    if (!built.ok()) return about(built.status());
    return std::optional(*std::move(built));
  }

  std::optional<onnx::FunctionProto> BodyOfSchema(const onnx::NodeProto& node,
                                                  const std::string& domain, int64_t opset) {
    const onnx::OpSchema* schema =
        onnx::OpSchemaRegistry::Schema(node.op_type(), static_cast<int>(opset), domain);
    if (schema == nullptr) return std::nullopt;
    // libonnx throws where a node does not fit its schema: then it is no function here.
    try {
      // A body that was written for a later opset says so, and the operator is the
      // same: its schema is.
      if (schema->HasFunction()) {
        for (const int64_t wanted : {opset, kOpsetMax}) {
          if (const auto* body = schema->GetFunction(static_cast<int>(wanted)); body != nullptr) {
            return *body;
          }
        }
      }
      if (!schema->HasContextDependentFunction()) return std::nullopt;
      std::vector<onnx::TypeProto> types;
      for (const std::string& input : node.input()) types.push_back(TypeOf(input));
      const onnx::FunctionBodyBuildContextImpl context(node, types);
      for (const int64_t wanted : {opset, kOpsetMax}) {
        onnx::FunctionProto body;
        if (schema->BuildContextDependentFunction(context, body, static_cast<int>(wanted))) {
          return body;
        }
      }
      return std::nullopt;
    } catch (const std::exception&) {
      return std::nullopt;
    }
  }

  // The body's nodes with the caller's names for its inputs and outputs, names
  // that no other value has for those between, and attributes filled in.
  absl::StatusOr<std::vector<onnx::NodeProto>> Instantiate(const onnx::NodeProto& caller,
                                                           const onnx::FunctionProto& body,
                                                           const OpsetByDomain& opsets) {
    if (caller.input_size() > body.input_size() || caller.output_size() > body.output_size()) {
      return absl::InvalidArgumentError(StrCat("node '", caller.name(), "' (", caller.op_type(),
                                               "): has ", caller.input_size(), " inputs and ",
                                               caller.output_size(), " outputs, its function ",
                                               body.input_size(), " and ", body.output_size()));
    }
    const std::string prefix =
        StrCat(caller.name().empty() ? caller.op_type() : caller.name(), "@", ++instances_, "/");
    Names names;
    for (int i = 0; i < body.input_size(); ++i) {
      names[body.input(i)] = i < caller.input_size() ? caller.input(i) : std::string();
    }
    for (int i = 0; i < body.output_size(); ++i) {
      const bool wanted = i < caller.output_size() && !caller.output(i).empty();
      names[body.output(i)] = wanted ? caller.output(i) : StrCat(prefix, body.output(i));
    }
    std::map<std::string, const onnx::AttributeProto*> attributes;
    for (const auto& attribute : body.attribute_proto()) attributes[attribute.name()] = &attribute;
    for (const auto& attribute : caller.attribute()) attributes[attribute.name()] = &attribute;
    // Defaults of an operator's own attributes, which its function may refer to.
    const std::string domain = CanonicalDomain(caller.domain());
    if (const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(
            caller.op_type(), static_cast<int>(OpsetOfNode(caller, opsets_)), domain);
        schema != nullptr && !functions_.contains({domain, caller.op_type()})) {
      for (const auto& [name, attribute] : schema->attributes()) {
        if (attribute.default_value.type() != onnx::AttributeProto::UNDEFINED) {
          attributes.try_emplace(name, &attribute.default_value);
        }
      }
    }
    std::vector<onnx::NodeProto> nodes;
    for (onnx::NodeProto node : body.node()) {
      PARAMD_RETURN_IF_ERROR(Rename(node, prefix, names, attributes, opsets, 0));
      nodes.push_back(std::move(node));
    }
    // An output that the body hands on from its input has no node that makes it.
    for (int i = 0; i < std::min(caller.output_size(), body.output_size()); ++i) {
      if (std::find(body.input().begin(), body.input().end(), body.output(i)) ==
          body.input().end()) {
        continue;
      }
      const auto at = std::find(body.input().begin(), body.input().end(), body.output(i)) -
                      body.input().begin();
      if (at >= caller.input_size() || caller.output(i).empty()) continue;
      onnx::NodeProto copy;
      copy.set_op_type("Identity");
      copy.set_name(StrCat(prefix, body.output(i)));
      copy.add_input(caller.input(static_cast<int>(at)));
      copy.add_output(caller.output(i));
      nodes.push_back(std::move(copy));
    }
    return nodes;
  }

  absl::Status Rename(onnx::NodeProto& node, const std::string& prefix, Names& names,
                      const std::map<std::string, const onnx::AttributeProto*>& given,
                      const OpsetByDomain& opsets, int depth) {
    if (depth > kSubgraphDepthMax) {
      return absl::InvalidArgumentError(
          StrCat("graphs are nested deeper than ", kSubgraphDepthMax));
    }
    const auto rename = [&](std::string* name) {
      if (name->empty()) return;
      const auto [it, fresh] = names.try_emplace(*name, StrCat(prefix, *name));
      *name = it->second;
    };
    node.set_name(StrCat(prefix, node.name().empty() ? node.op_type() : node.name()));
    for (std::string& input : *node.mutable_input()) rename(&input);
    for (std::string& output : *node.mutable_output()) rename(&output);
    if (const auto it = opsets.find(CanonicalDomain(node.domain())); it != opsets.end()) {
      SetOpset(node, it->second);
    }
    google::protobuf::RepeatedPtrField<onnx::AttributeProto> attributes;
    attributes.Swap(node.mutable_attribute());
    for (onnx::AttributeProto& attribute : attributes) {
      if (!attribute.ref_attr_name().empty()) {
        const auto it = given.find(attribute.ref_attr_name());
        if (it == given.end()) continue;  // Left to its default.
        onnx::AttributeProto* filled = node.add_attribute();
        *filled = *it->second;
        filled->set_name(attribute.name());
        continue;
      }
      if (attribute.has_g()) {
        onnx::GraphProto& graph = *attribute.mutable_g();
        // Names inside shadow nothing: they get the prefix like all others.
        for (auto& input : *graph.mutable_input()) rename(input.mutable_name());
        for (auto& tensor : *graph.mutable_initializer()) rename(tensor.mutable_name());
        for (onnx::NodeProto& inner : *graph.mutable_node()) {
          PARAMD_RETURN_IF_ERROR(Rename(inner, prefix, names, given, opsets, depth + 1));
        }
        for (auto& output : *graph.mutable_output()) rename(output.mutable_name());
        graph.clear_value_info();
      }
      *node.add_attribute() = std::move(attribute);
    }
    return absl::OkStatus();
  }

  // The type of a value as libonnx infers it, once a round, when a function first asks.
  onnx::TypeProto TypeOf(const std::string& name) {
    if (!types_.has_value()) InferTypes();
    const auto it = types_->find(name);
    return it == types_->end() ? onnx::TypeProto() : it->second;
  }

  void InferTypes() {
    types_.emplace();
    onnx::ModelProto copy = before_;
    try {
      onnx::shape_inference::InferShapes(copy);
    } catch (const std::exception&) {
      copy = before_;  // What is declared is all that is known.
    }
    const auto add = [&](const auto& infos) {
      for (const onnx::ValueInfoProto& info : infos) (*types_)[info.name()] = info.type();
    };
    add(copy.graph().value_info());
    add(copy.graph().input());
    add(copy.graph().output());
    for (const onnx::TensorProto& tensor : copy.graph().initializer()) {
      onnx::TypeProto type;
      type.mutable_tensor_type()->set_elem_type(tensor.data_type());
      for (const int64_t dim : tensor.dims()) {
        type.mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(dim);
      }
      (*types_)[tensor.name()] = std::move(type);
    }
  }

  onnx::ModelProto& model_;
  onnx::ModelProto before_;  // This round began with.
  const OpsetByDomain& opsets_;
  const int64_t nodes_max_;
  int64_t nodes_left_ = 0;
  bool changed_ = false;
  int64_t instances_ = 0;
  std::map<std::pair<std::string, std::string>, const onnx::FunctionProto*> functions_;
  std::optional<Types> types_;
  FunctionSurroundings surroundings_;
};

// Whether any node is a function, so that most models are not copied.
bool AnyFunction(const onnx::GraphProto& graph, const OpsetByDomain& opsets, int depth) {
  if (depth > kSubgraphDepthMax) return false;
  for (const onnx::NodeProto& node : graph.node()) {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g() && AnyFunction(attribute.g(), opsets, depth + 1)) return true;
    }
    const std::string domain = CanonicalDomain(node.domain());
    const int64_t opset = OpsetOfNode(node, opsets);
    if (HasOwnMeaning(domain, node.op_type(), opset) || opset > kOpsetMax) continue;
    if (FindOwnFunction(domain, node.op_type(), opset) != nullptr) return true;
    const onnx::OpSchema* schema =
        onnx::OpSchemaRegistry::Schema(node.op_type(), static_cast<int>(opset), domain);
    if (schema != nullptr && (schema->HasFunction() || schema->HasContextDependentFunction())) {
      return true;
    }
  }
  return false;
}

}  // namespace

int64_t OpsetOfNode(const onnx::NodeProto& node, const OpsetByDomain& opsets) {
  for (const auto& prop : node.metadata_props()) {
    int64_t opset = 0;
    if (prop.key() == kOnnxNodeOpsetKey && absl::SimpleAtoi(prop.value(), &opset)) return opset;
  }
  const auto it = opsets.find(CanonicalDomain(node.domain()));
  return it == opsets.end() ? 0 : it->second;
}

bool IsOurs(const onnx::NodeProto& node) {
  return std::any_of(node.metadata_props().begin(), node.metadata_props().end(),
                     [](const auto& prop) { return prop.key() == kOnnxNodeOpsetKey; });
}

absl::Status ExpandFunctions(onnx::ModelProto& model, const OpsetByDomain& opsets,
                             int64_t nodes_max,
                             std::function<absl::StatusOr<Tensor>(const onnx::TensorProto&)> read) {
  StripOpsets(*model.mutable_graph(), 0);
  for (onnx::FunctionProto& function : *model.mutable_functions()) {
    PARAMD_RETURN_IF_ERROR(CheckName("function", function.name()));
    for (const auto& import : function.opset_import()) {
      if (import.domain() != kInternalDomain) continue;
      return absl::InvalidArgumentError(StrCat("function '", function.name(), "' uses the domain ",
                                               kInternalDomain, ", which no file may"));
    }
    for (onnx::NodeProto& node : *function.mutable_node()) {
      node.clear_metadata_props();
      for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
        if (attribute.has_g()) StripOpsets(*attribute.mutable_g(), 1);
      }
    }
  }
  if (model.functions_size() == 0 && !AnyFunction(model.graph(), opsets, 0)) {
    return absl::OkStatus();
  }
  PARAMD_RETURN_IF_ERROR(Expander(model, opsets, nodes_max, std::move(read)).Run());
  model.clear_functions();
  return absl::OkStatus();
}

}  // namespace paramd
