#include "runtime/graph/passes/pass_list.h"

#include <algorithm>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// 8-bit products before their weights are widened; constants next, for the others
// look at them; transposes out of the way before what they may stand between;
// operators that are written out before their parts go into others; a bias before
// the batch-norm that follows it and after the scale that it follows; activations
// once more after residuals, for a chain that only then has one reader.
constexpr Pass kPasses[] = {
    {"fuse-qdq", FuseQdq},
    {"fold-constants", FoldConstants},
    {"remove-identities", RemoveIdentities},
    {"name-dimensions", NameDimensions},
    {"unflatten-transposes", UnflattenTransposes},
    {"move-transposes", MoveTransposes},
    {"remove-identities-after-transposes", RemoveIdentities},
    {"fuse-gelu", FuseGelu},
    {"fuse-silu", FuseSilu},
    {"fuse-hard-swish", FuseHardSwish},
    {"fuse-layer-norm", FuseLayerNorm},
    {"fuse-attention", FuseAttention},
    {"fuse-pad-into-conv", FusePadIntoConv},
    {"fuse-transpose-into-matmul", FuseTransposeIntoMatMul},
    {"fuse-bias", FuseBias},
    {"fold-batch-norm", FoldBatchNorm},
    {"fuse-bias-after-batch-norm", FuseBias},
    {"fuse-activations", FuseActivations},
    {"fuse-residuals", FuseResiduals},
    {"fuse-activations-after-residuals", FuseActivations},
};

absl::StatusOr<int> Run(const Pass& pass, Graph& graph, const PassOptions& options) {
  const auto about = [&](const absl::Status& status) {
    return absl::Status(status.code(),
                        ToAbsl(StrCat("pass ", pass.name, ": ", FromAbsl(status.message()))));
  };
  const absl::StatusOr<int> changes = pass.run(graph, options);
  if (!changes.ok()) return about(changes.status());
  if (*changes == 0) return 0;
  // A pass never makes a cycle of a graph that has none: if it did, that is ours.
  if (const absl::Status status = graph.Compact(); !status.ok()) {
    return about(absl::InternalError(status.message()));
  }
  if (const absl::Status status = Verify(graph); !status.ok()) return about(status);
  return *changes;
}

}  // namespace

absl::Span<const Pass> AllPasses() { return kPasses; }

absl::StatusOr<std::vector<PassReport>> RunPasses(Graph& graph, const PassOptions& options) {
  for (const std::string& name : options.disabled) {
    const bool known = std::any_of(std::begin(kPasses), std::end(kPasses),
                                   [&](const Pass& pass) { return pass.name == name; });
    if (!known) return absl::InvalidArgumentError(StrCat("no pass is named '", name, "'"));
  }
  std::vector<PassReport> reports;
  for (const Pass& pass : kPasses) {
    if (std::find(options.disabled.begin(), options.disabled.end(), pass.name) !=
        options.disabled.end()) {
      continue;
    }
    PARAMD_ASSIGN_OR_RETURN(const int changes, Run(pass, graph, options));
    reports.push_back({pass.name, changes});
  }
  return reports;
}

absl::StatusOr<int> RunPass(Graph& graph, std::string_view name, const PassOptions& options) {
  for (const Pass& pass : kPasses) {
    if (pass.name == name) return Run(pass, graph, options);
  }
  return absl::InvalidArgumentError(StrCat("no pass is named '", name, "'"));
}

}  // namespace paramd
