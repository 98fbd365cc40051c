// paramctl: asks a running paramd, and checks files without one.
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

int Main(int argc, char** argv) {
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kError);
  absl::InitializeLog();
  GlobalOptions options;
  Work work;
  CLI::App app("Asks a running paramd, and checks models without one.", "paramctl");
  app.set_version_flag("--version", VersionText());
  app.add_option("--address", options.address, "gRPC address of paramd")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON instead of tables");
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
  AddBenchCommand(&app, &options, &work);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = work();
  if (status.ok()) return EXIT_SUCCESS;
  std::fflush(stdout);
  std::fprintf(stderr, "paramctl: %s: %s\n",
               std::string(absl::StatusCodeToString(status.code())).c_str(),
               std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
