// paramctl promote: points a name at a version, between two requests.
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/name_text.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

struct PromoteOptions {
  std::string model;
  std::string version;
  std::string name = "default";
};

absl::Status Promote(const GlobalOptions& options, const PromoteOptions& promote) {
  v1::PromoteRequest request;
  request.set_model(promote.model);
  request.set_name(promote.name);
  PARAMD_ASSIGN_OR_RETURN(const int64_t version, ParseVersionArgument(promote.version));
  request.set_version(version);
  PARAMD_ASSIGN_OR_RETURN(const v1::PromoteResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::Promote, request));
  if (options.json) return PrintJson(response);
  PrintName(promote.model, response.name());
  return absl::OkStatus();
}

}  // namespace

void AddPromoteCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto promote = std::make_shared<PromoteOptions>();
  CLI::App* command =
      app->add_subcommand("promote", "Point 'default', or another name, at a version that serves");
  command->add_option("model", promote->model, "Name of the model")->required();
  command->add_option("version", promote->version, "Its number")->required();
  command->add_option("--name", promote->name, "The name to point")->capture_default_str();
  command->footer(
      "When it returns, each request that is sent is answered by that version. The version that\n"
      "the name left stays loaded for a while (--keep-previous of paramd): see rollback.\n"
      "\n"
      "  paramctl promote digits 3\n"
      "  paramctl promote digits 3 --name canary");
  command->callback([=] { *work = [=] { return Promote(*options, *promote); }; });
}

}  // namespace paramd
