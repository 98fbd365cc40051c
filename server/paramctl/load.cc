// paramctl load: brings a version into service, and shows how far it is.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/load_view.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/plan_text.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

struct LoadOptions {
  std::string model;
  std::string version;
  bool dry_run = false;
};

int TerminalColumns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void PrintOutcome(const std::string& model, const v1::LoadOutcome& outcome, double seconds) {
  if (outcome.plans().empty()) std::printf("%s serves what it should\n", model.c_str());
  for (const v1::LoadPlan& plan : outcome.plans()) {
    std::printf("%s version %s serves: %s, in %s\n", plan.model().c_str(),
                StrCat(plan.version()).c_str(), BytesText(plan.parameter_bytes()).c_str(),
                SecondsText(seconds).c_str());
  }
}

absl::Status Load(const GlobalOptions& options, const LoadOptions& load) {
  v1::LoadRequest request;
  request.set_model(load.model);
  request.set_dry_run(load.dry_run);
  PARAMD_ASSIGN_OR_RETURN(const int64_t version, ParseVersionArgument(load.version));
  request.set_version(version);
  const absl::Time start = absl::Now();
  LoadView view(
      {.model = load.model, .terminal = isatty(STDERR_FILENO) != 0, .columns = TerminalColumns()});
  const absl::StatusOr<v1::LoadOutcome> outcome =
      AdminClient(options).Load(request, [&](const v1::LoadProgress& progress) {
        if (!options.json) view.Show(progress);
      });
  view.End();
  if (!outcome.ok()) return outcome.status();
  if (options.json) {
    PARAMD_RETURN_IF_ERROR(PrintJson(*outcome));
  } else if (load.dry_run) {
    std::fputs(PlanTable(outcome->plans()).c_str(), stdout);
  } else {
    PrintOutcome(load.model, *outcome, absl::ToDoubleSeconds(absl::Now() - start));
  }
  return load.dry_run ? PlanVerdict(outcome->plans()) : absl::OkStatus();
}

}  // namespace

void AddLoadCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto load = std::make_shared<LoadOptions>();
  CLI::App* command = app->add_subcommand(
      "load", "Load a version beside what serves, and wait until it serves or has failed");
  command->add_option("model", load->model, "Name of the model")->required();
  command->add_option("version", load->version,
                      "Its number; left out: what the model's version_policy selects now");
  command->add_flag("--dry-run", load->dry_run,
                    "Only print what it would take; fails if it would not fit");
  command->footer(
      "A load that fails leaves what served before, and its error is this command's. Interrupting\n"
      "the command does not interrupt the load. Without --timeout it waits as long as it takes.\n"
      "\n"
      "  paramctl load digits              what the repository has now\n"
      "  paramctl load digits 3            version 3, also if the policy would not select it\n"
      "  paramctl load digits 3 --dry-run  does it fit?");
  command->callback([=] { *work = [=] { return Load(*options, *load); }; });
}

}  // namespace paramd
