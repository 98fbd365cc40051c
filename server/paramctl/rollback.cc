// paramctl rollback: points a name back to where it pointed before.
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/name_text.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

struct RollbackOptions {
  std::string model;
  std::string name = "default";
};

absl::Status Rollback(const GlobalOptions& options, const RollbackOptions& rollback) {
  v1::RollbackRequest request;
  request.set_model(rollback.model);
  request.set_name(rollback.name);
  PARAMD_ASSIGN_OR_RETURN(const v1::RollbackResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::Rollback, request));
  if (options.json) return PrintJson(response);
  PrintName(rollback.model, response.name());
  return absl::OkStatus();
}

}  // namespace

void AddRollbackCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto rollback = std::make_shared<RollbackOptions>();
  CLI::App* command = app->add_subcommand(
      "rollback", "Point 'default', or another name, back to the version before");
  command->add_option("model", rollback->model, "Name of the model")->required();
  command->add_option("--name", rollback->name, "The name to point back")->capture_default_str();
  command->footer(
      "The version before is still loaded (--keep-previous of paramd), so this is instant. Twice\n"
      "is forward again.\n"
      "\n"
      "  paramctl rollback digits\n"
      "  paramctl rollback digits --name canary");
  command->callback([=] { *work = [=] { return Rollback(*options, *rollback); }; });
}

}  // namespace paramd
