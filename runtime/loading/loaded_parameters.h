// What a loaded checkpoint is called and counted as: its parameters with their
// roles, as their authors would count them, and the manifest that names every
// form which is kept.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_LOADING_LOADED_PARAMETERS_H_
#define PARAMD_RUNTIME_LOADING_LOADED_PARAMETERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/graph_plan.h"
#include "runtime/loading/form_plan.h"
#include "runtime/loading/parameter_loader.h"
#include "runtime/params/manifest.h"
#include "runtime/params/parameter.h"

namespace paramd {

// Roles as the importer found them, before any pass rewrote the graph.
struct CheckpointRoles {
  std::vector<ParameterRole> tensors;  // By tensor of the checkpoint.
  // Parameters that the file keeps in nodes, so that no checkpoint tensor is them.
  struct InNode {
    std::string name;
    ParameterRole role = ParameterRole::kNone;
    std::shared_ptr<const Tensor> tensor;
  };
  std::vector<InNode> in_nodes;
};
CheckpointRoles FindRoles(const Checkpoint& checkpoint, const Graph& graph);

// Every parameter of the checkpoint. `source_ids` as the loader found them;
// `graph` after the passes tells of parameters that nodes compute (fills).
absl::StatusOr<std::vector<Parameter>> DescribeParameters(const Checkpoint& checkpoint,
                                                          const CheckpointRoles& roles,
                                                          const Graph& graph,
                                                          const std::vector<ContentId>& source_ids);

// Everything but graph and configuration.
Manifest DescribeForms(const GraphPlan& graph_plan, const FormPlan& plan, const LoadedForms& forms,
                       std::vector<Parameter> parameters);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_LOADED_PARAMETERS_H_
