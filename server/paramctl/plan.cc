// paramctl plan: what serving a repository takes, against what there is.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/plan_folder.h"
#include "server/paramctl/plan_text.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

absl::StatusOr<v1::PlanResponse> AskDaemon(const GlobalOptions& options, const std::string& model) {
  v1::PlanRequest request;
  request.set_model(model);
  return AdminClient(options).Call(&v1::ModelAdmin::Stub::Plan, request, /*timeout_s=*/0);
}

absl::Status Plan(const GlobalOptions& options, const PlanFolderOptions& plan) {
  PARAMD_ASSIGN_OR_RETURN(const v1::PlanResponse response,
                          plan.folder.empty() ? AskDaemon(options, plan.model) : PlanFolder(plan));
  if (options.json) {
    PARAMD_RETURN_IF_ERROR(PrintJson(response));
  } else {
    std::fputs(PlanTable(response.plans()).c_str(), stdout);
  }
  return PlanVerdict(response.plans());
}

}  // namespace

void AddPlanCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto plan = std::make_shared<PlanFolderOptions>();
  CLI::App* command = app->add_subcommand(
      "plan", "Show what serving a repository would take; fails if it does not fit");
  command->add_option("folder", plan->folder,
                      "A repository, planned here and without a daemon; left out: that of the "
                      "running paramd, as it is now and beside what is loaded");
  command->add_option("--model", plan->model, "Only this model");
  command
      ->add_option("--capacity-bytes", plan->capacity_bytes,
                   "Of a folder: paramd's --parameter-capacity-bytes; 0: as paramd takes it here")
      ->needs("folder");
  command
      ->add_option("--streams", plan->streams,
                   "Of a folder: paramd's --streams; 0: one for each core")
      ->needs("folder")
      ->check(CLI::Range(0, 4096));
  command->footer(
      "The files are read: only their bytes tell what is in memory already.\n"
      "\n"
      "  paramctl plan                            the running paramd's repository\n"
      "  paramctl plan --model digits --json\n"
      "  paramctl plan /srv/models --capacity-bytes 8000000000");
  command->callback([=] { *work = [=] { return Plan(*options, *plan); }; });
}

}  // namespace paramd
