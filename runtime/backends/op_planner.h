// OpPlanner: asks the backends in order and takes the first that accepts,
// keeping every refusal with its reason.
//
//   plan conv f32[1,3,224,224]... onednn brgconv:avx512_core: accepted
//   plan gather i64[...]... reference plain loops: accepted (onednn: no gather)
//
// Thread-safety: stateless.
#ifndef PARAMD_RUNTIME_BACKENDS_OP_PLANNER_H_
#define PARAMD_RUNTIME_BACKENDS_OP_PLANNER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"

namespace paramd {

struct PlannedOp {
  const Backend* backend = nullptr;
  std::unique_ptr<const CompiledOp> op;
  // Backends that were asked first and refused: {name, reason}.
  std::vector<std::pair<std::string, std::string>> refusals;
};

// Unimplemented, with every reason, if all refuse.
absl::StatusOr<PlannedOp> PlanOp(absl::Span<const Backend* const> backends, const OpSpec& spec);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_OP_PLANNER_H_
