// paramctl label: names of versions, and whether 'default' moves by itself.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/name_text.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

struct LabelOptions {
  std::string model;
  std::string name;
  std::string version;
  std::string on_or_off;
};

absl::Status Set(const GlobalOptions& options, const LabelOptions& label) {
  v1::PromoteRequest request;
  request.set_model(label.model);
  request.set_name(label.name);
  PARAMD_ASSIGN_OR_RETURN(const int64_t version, ParseVersionArgument(label.version));
  request.set_version(version);
  PARAMD_ASSIGN_OR_RETURN(const v1::PromoteResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::Promote, request));
  if (options.json) return PrintJson(response);
  PrintName(label.model, response.name());
  return absl::OkStatus();
}

absl::Status Remove(const GlobalOptions& options, const LabelOptions& label) {
  v1::RemoveNameRequest request;
  request.set_model(label.model);
  request.set_name(label.name);
  PARAMD_ASSIGN_OR_RETURN(const v1::RemoveNameResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::RemoveName, request));
  if (options.json) return PrintJson(response);
  std::printf("%s of %s is removed; it was version %s\n", label.name.c_str(), label.model.c_str(),
              StrCat(response.name().version()).c_str());
  return absl::OkStatus();
}

absl::Status AutoPromote(const GlobalOptions& options, const LabelOptions& label) {
  v1::SetAutoPromoteRequest request;
  request.set_model(label.model);
  request.set_on(label.on_or_off == "on");
  PARAMD_ASSIGN_OR_RETURN(
      const v1::SetAutoPromoteResponse response,
      AdminClient(options).Call(&v1::ModelAdmin::Stub::SetAutoPromote, request));
  if (options.json) return PrintJson(response);
  std::printf("default of %s %s by itself\n", label.model.c_str(),
              request.on() ? "moves to new versions" : "does not move");
  return absl::OkStatus();
}

}  // namespace

void AddLabelCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto label = std::make_shared<LabelOptions>();
  CLI::App* command =
      app->add_subcommand("label", "Name versions: stable, canary, any; requests may ask by name");
  command->require_subcommand(1);
  command->fallthrough();
  command->footer(
      "  paramctl label set digits canary 3\n"
      "  paramctl label remove digits canary\n"
      "  paramctl label auto-promote digits off   'default' stays until somebody promotes");

  CLI::App* set = command->add_subcommand("set", "Point a name at a version that serves");
  set->add_option("model", label->model, "Name of the model")->required();
  set->add_option("name", label->name, "The name")->required();
  set->add_option("version", label->version, "The version's number")->required();
  set->callback([=] { *work = [=] { return Set(*options, *label); }; });

  CLI::App* remove = command->add_subcommand("remove", "Remove a name; 'default' stays");
  remove->add_option("model", label->model, "Name of the model")->required();
  remove->add_option("name", label->name, "The name")->required();
  remove->callback([=] { *work = [=] { return Remove(*options, *label); }; });

  CLI::App* automatic = command->add_subcommand(
      "auto-promote", "Whether 'default' moves to a new version that has passed its gate");
  automatic->add_option("model", label->model, "Name of the model")->required();
  automatic->add_option("setting", label->on_or_off, "on or off")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  automatic->callback([=] { *work = [=] { return AutoPromote(*options, *label); }; });
}

}  // namespace paramd
