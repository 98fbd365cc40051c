#include "runtime/loading/loaded_parameters.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/derivations.h"
#include "runtime/loading/scratch_buffer.h"

namespace paramd {
namespace {

void AddRoles(const Checkpoint& checkpoint,
              const absl::flat_hash_map<std::string_view, size_t>& by_name, const Graph& graph,
              CheckpointRoles* roles) {
  for (const Constant& constant : graph.constants()) {
    if (const auto* index = std::get_if<int32_t>(&constant.source)) {
      if (*index >= 0 && static_cast<size_t>(*index) < roles->tensors.size()) {
        roles->tensors[static_cast<size_t>(*index)] = constant.role;
      }
      continue;
    }
    const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&constant.source);
    if (held == nullptr || *held == nullptr) continue;
    // Small tensors of the checkpoint are held by the graph under their name.
    const auto found = by_name.find(constant.name);
    if (found != by_name.end() && checkpoint.tensors()[found->second].shape == constant.shape) {
      roles->tensors[found->second] = constant.role;
    } else if (constant.role != ParameterRole::kNone && constant.dtype != DType::kString) {
      roles->in_nodes.push_back({constant.name, constant.role, *held});
    }
  }
  for (const Node& node : graph.nodes()) {
    for (const auto& [key, attribute] : node.attributes) {
      if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        AddRoles(checkpoint, by_name, **subgraph, roles);
      }
    }
  }
}

// The id of a tensor that a node of the file computes from nothing (a fill).
absl::StatusOr<ContentId> IdOfComputed(const Constant& constant, const Derivation& derivation) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes,
                          CheckedBytes(constant.dtype, constant.shape.dims()));
  PARAMD_ASSIGN_OR_RETURN(const ScratchBuffer scratch, ScratchBuffer::Allocate(bytes));
  PARAMD_RETURN_IF_ERROR(Derive(derivation.transform, {}, derivation.args,
                                {constant.dtype, constant.shape, scratch.bytes().data()}));
  return TensorContentId(constant.dtype, constant.shape.dims(), DigestOf(scratch.bytes()));
}

}  // namespace

CheckpointRoles FindRoles(const Checkpoint& checkpoint, const Graph& graph) {
  CheckpointRoles roles;
  roles.tensors.assign(checkpoint.tensors().size(), ParameterRole::kNone);
  absl::flat_hash_map<std::string_view, size_t> by_name;
  for (size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    by_name.emplace(checkpoint.tensors()[i].name, i);
  }
  AddRoles(checkpoint, by_name, graph, &roles);
  return roles;
}

absl::StatusOr<std::vector<Parameter>> DescribeParameters(
    const Checkpoint& checkpoint, const CheckpointRoles& roles, const Graph& graph,
    const std::vector<ContentId>& source_ids) {
  std::vector<Parameter> parameters;
  absl::flat_hash_set<std::string> names;
  const auto add = [&](Parameter parameter) {
    // A name that a node took as well gets a number, so that none is lost.
    std::string name = parameter.name;
    for (int n = 2; !names.insert(name).second; ++n) name = StrCat(parameter.name, "#", n);
    parameter.name = std::move(name);
    parameters.push_back(std::move(parameter));
  };
  for (size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    const CheckpointTensor& tensor = checkpoint.tensors()[i];
    add({tensor.name, roles.tensors[i], tensor.dtype, tensor.shape, source_ids[i], tensor.bytes});
  }
  for (const CheckpointRoles::InNode& in_node : roles.in_nodes) {
    const TensorView view = in_node.tensor->view();
    add({in_node.name, in_node.role, view.dtype, view.shape,
         TensorContentId(view.dtype, view.shape.dims(), DigestOf(view.byte_span())), view.bytes()});
  }
  for (const Constant& constant : graph.constants()) {
    const auto* derivation = std::get_if<Derivation>(&constant.source);
    if (derivation == nullptr || !derivation->parents.empty() ||
        constant.role == ParameterRole::kNone) {
      continue;
    }
    PARAMD_ASSIGN_OR_RETURN(const ContentId id, IdOfComputed(constant, *derivation));
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes,
                            CheckedBytes(constant.dtype, constant.shape.dims()));
    add({constant.name, constant.role, constant.dtype, constant.shape, id, bytes});
  }
  return parameters;
}

Manifest DescribeForms(const GraphPlan& graph_plan, const FormPlan& plan, const LoadedForms& forms,
                       std::vector<Parameter> parameters) {
  Manifest manifest;
  manifest.parameters = std::move(parameters);
  absl::flat_hash_set<ContentId> described;
  for (size_t i = 0; i < forms.refs.size(); ++i) {
    const ParameterRef& ref = forms.refs[i];
    if (!ref.valid() || !described.insert(ref.key()).second) continue;
    const ParameterForm& form = graph_plan.forms().form(static_cast<FormId>(i));
    const Constant& constant = form.graph->constant(form.constant);
    const uint64_t bytes = ref.bytes().size();
    if (!form.layout.plain()) {
      manifest.packed.push_back(
          {ref.key(), bytes, form.dtype, OriginOfPacked(plan, form, forms.source_ids)});
    } else if (std::holds_alternative<Derivation>(constant.source)) {
      manifest.packed.push_back(
          {ref.key(), bytes, constant.dtype,
           OriginOfDerived(plan, *form.graph, form.constant, forms.source_ids)});
    } else {
      manifest.kept.push_back({ref.key(), bytes, constant.dtype});
    }
  }
  return manifest;
}

}  // namespace paramd
