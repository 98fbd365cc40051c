#include "server/paramctl/paramctl.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "server/observability/version.h"
#include "server/paramctl/command.h"

namespace paramd {
namespace {

void InitializeLogOnce() {
  static const bool once = [] {
    absl::SetStderrThreshold(absl::LogSeverityAtLeast::kError);
    absl::InitializeLog();
    return true;
  }();
  (void)once;
}

}  // namespace

int RunParamctl(int argc, const char* const* argv) {
  InitializeLogOnce();
  GlobalOptions options;
  Work work;
  CLI::App app("Asks a running paramd, and checks models without one.", "paramctl");
  app.set_version_flag("--version", VersionText());
  const CLI::Option* address =
      app.add_option("--address", options.address, "gRPC address of paramd")->capture_default_str();
  app.add_option("--admin-socket", options.admin_socket,
                 "Unix socket of paramd; admin commands look at /run/paramd/admin.sock (root) or "
                 "$XDG_RUNTIME_DIR/paramd/admin.sock by themselves");
  app.add_flag("--json", options.json, "Print JSON instead of tables");
  const CLI::Option* timeout =
      app.add_option("--timeout", options.timeout_s, "Seconds to wait for an answer")
          ->check(CLI::PositiveNumber)
          ->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();  // --json may follow the subcommand too.
  AddModelsCommand(&app, &options, &work);
  AddInfoCommand(&app, &options, &work);
  AddParamsCommand(&app, &options, &work);
  AddPredictCommand(&app, &options, &work);
  AddCheckCommand(&app, &options, &work);
  AddInspectCommand(&app, &options, &work);
  AddProfileCommand(&app, &options, &work);
  AddBenchCommand(&app, &options, &work);
  AddTopCommand(&app, &options, &work);
  AddStateCommand(&app, &options, &work);
  AddLoadCommand(&app, &options, &work);
  AddUnloadCommand(&app, &options, &work);
  AddPromoteCommand(&app, &options, &work);
  AddRollbackCommand(&app, &options, &work);
  AddLabelCommand(&app, &options, &work);
  AddPlanCommand(&app, &options, &work);
  AddVerifyCommand(&app, &options, &work);
  AddUpgradeCommand(&app, &options, &work);
  CLI11_PARSE(app, argc, argv);
  options.address_given = address->count() > 0;
  options.timeout_given = timeout->count() > 0;
  const absl::Status status = work();
  if (status.ok()) return EXIT_SUCCESS;
  std::fflush(stdout);
  std::fprintf(stderr, "paramctl: %s: %s\n",
               std::string(absl::StatusCodeToString(status.code())).c_str(),
               std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

}  // namespace paramd
