// paramctl verify: hashes the parameters in paramd's memory again.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

absl::Status Verify(const GlobalOptions& options, const std::string& model) {
  v1::VerifyRequest request;
  request.set_model(model);
  PARAMD_ASSIGN_OR_RETURN(
      const v1::VerifyResponse response,
      AdminClient(options).Call(&v1::ModelAdmin::Stub::Verify, request, /*timeout_s=*/0));
  if (options.json) {
    PARAMD_RETURN_IF_ERROR(PrintJson(response));
  } else {
    TextTable table({"MODEL", "VERSION>", "ENTRIES>", "BYTES>", "TOOK>", ""});
    for (const v1::VerifyReport& report : response.reports()) {
      table.Add({report.model(), StrCat(report.version()), WithThousands(report.entries()),
                 WithThousands(report.bytes()), SecondsText(report.seconds()),
                 report.intact() ? "intact" : report.difference()});
    }
    std::fputs(table.ToString().c_str(), stdout);
  }
  const auto damaged =
      std::count_if(response.reports().begin(), response.reports().end(),
                    [](const v1::VerifyReport& report) { return !report.intact(); });
  if (damaged == 0) return absl::OkStatus();
  return absl::DataLossError(
      StrCat(damaged, " of ", response.reports_size(), " versions are not what was loaded"));
}

}  // namespace

void AddVerifyCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto model = std::make_shared<std::string>();
  CLI::App* command = app->add_subcommand(
      "verify", "Hash the parameters in memory again and compare; fails if one differs");
  command->add_option("model", *model, "Name of the model; left out: all");
  command->footer(
      "Reads every byte that the versions hold, about 2 GB a second on one core.\n"
      "\n"
      "  paramctl verify\n"
      "  paramctl verify digits --json");
  command->callback([=] { *work = [=] { return Verify(*options, *model); }; });
}

}  // namespace paramd
