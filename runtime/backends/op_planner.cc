#include "runtime/backends/op_planner.h"

#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

absl::StatusOr<PlannedOp> PlanOp(absl::Span<const Backend* const> backends, const OpSpec& spec) {
  PARAMD_RETURN_IF_ERROR(ValidateSpec(spec));
  PlannedOp planned;
  for (const Backend* backend : backends) {
    absl::StatusOr<std::unique_ptr<const CompiledOp>> op = backend->Compile(spec);
    if (op.ok()) {
      planned.backend = backend;
      planned.op = std::move(op).value();
      return planned;
    }
    // The spec is valid, so whatever a backend says against it, a fault of its
    // library included, is a reason to ask the next one.
    std::string reason(FromAbsl(op.status().message()));
    if (!absl::IsUnimplemented(op.status())) {
      reason = StrCat(absl::StatusCodeToString(op.status().code()), ": ", reason);
    }
    planned.refusals.emplace_back(std::string(backend->name()), std::move(reason));
  }
  std::string message = StrCat("no backend takes ", Describe(spec));
  const char* separator = " (";
  for (const auto& [name, reason] : planned.refusals) {
    StrAppend(&message, separator, name, ": ", reason);
    separator = "; ";
  }
  if (!planned.refusals.empty()) message += ")";
  return absl::UnimplementedError(message);
}

}  // namespace paramd
