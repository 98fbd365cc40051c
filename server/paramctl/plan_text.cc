#include "server/paramctl/plan_text.h"

#include <algorithm>

#include "runtime/base/strings.h"
#include "server/paramctl/text_table.h"

namespace paramd {

std::string PlanTable(const LoadPlans& plans) {
  if (plans.empty()) return "nothing to load\n";
  TextTable table({"MODEL", "VERSION>", "PARAMETERS>", "RESIDENT>", "SCRATCH>", "ARENA>", "FREED>",
                   "NEEDED>", "LEFT>", "CAPACITY>", ""});
  for (const v1::LoadPlan& plan : plans) {
    table.Add({plan.model(), StrCat(plan.version()), BytesText(plan.parameter_bytes()),
               BytesText(plan.resident_bytes()), BytesText(plan.scratch_bytes()),
               BytesText(plan.arena_bytes()), BytesText(plan.freed_bytes()),
               BytesText(plan.needed_bytes()), BytesText(plan.left_bytes()),
               BytesText(plan.capacity_bytes()), plan.fits() ? "fits" : "does not fit"});
  }
  std::string text = table.ToString();
  for (const v1::LoadPlan& plan : plans) {
    if (plan.fits()) continue;
    StrAppend(&text, "\n", plan.model(), " version ", plan.version(), ": ", plan.refusal(), "\n");
  }
  return text;
}

absl::Status PlanVerdict(const LoadPlans& plans) {
  const auto refused = std::count_if(plans.begin(), plans.end(),
                                     [](const v1::LoadPlan& plan) { return !plan.fits(); });
  if (refused == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat(
      refused, " of ", plans.size(), plans.size() == 1 ? " load does" : " loads do", " not fit"));
}

}  // namespace paramd
