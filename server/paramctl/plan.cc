// paramctl plan: what serving a repository takes, against what there is.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/plan_text.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

absl::Status Plan(const GlobalOptions& options, const std::string& model) {
  v1::PlanRequest request;
  request.set_model(model);
  PARAMD_ASSIGN_OR_RETURN(
      const v1::PlanResponse response,
      AdminClient(options).Call(&v1::ModelAdmin::Stub::Plan, request, /*timeout_s=*/0));
  if (options.json) {
    PARAMD_RETURN_IF_ERROR(PrintJson(response));
  } else {
    std::fputs(PlanTable(response.plans()).c_str(), stdout);
  }
  return PlanVerdict(response.plans());
}

}  // namespace

void AddPlanCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto model = std::make_shared<std::string>();
  CLI::App* command = app->add_subcommand(
      "plan", "Show what serving the repository as it is now would take; fails if it does not fit");
  command->add_option("model", *model, "Name of the model; left out: all");
  command->footer(
      "  paramctl plan\n"
      "  paramctl plan digits --json");
  command->callback([=] { *work = [=] { return Plan(*options, *model); }; });
}

}  // namespace paramd
