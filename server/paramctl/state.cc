// paramctl state: desired beside actual.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/state_text.h"

namespace paramd {
namespace {

absl::Status State(const GlobalOptions& options, const std::string& model) {
  v1::GetStateRequest request;
  request.set_model(model);
  PARAMD_ASSIGN_OR_RETURN(const v1::GetStateResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::GetState, request));
  if (options.json) return PrintJson(response);
  std::fputs(AdminStateText(response).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddStateCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto model = std::make_shared<std::string>();
  CLI::App* command =
      app->add_subcommand("state", "Show what is desired beside what is: versions, names, and why");
  command->add_option("model", *model, "Name of the model; left out: all");
  command->footer(
      "  paramctl state\n"
      "  paramctl state digits --json");
  command->callback([=] { *work = [=] { return State(*options, *model); }; });
}

}  // namespace paramd
