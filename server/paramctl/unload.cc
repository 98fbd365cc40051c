// paramctl unload: a version, or a whole model, goes.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

struct UnloadOptions {
  std::string model;
  std::string version;
  bool force = false;
};

absl::Status Unload(const GlobalOptions& options, const UnloadOptions& unload) {
  v1::UnloadRequest request;
  request.set_model(unload.model);
  request.set_force(unload.force);
  PARAMD_ASSIGN_OR_RETURN(const int64_t version, ParseVersionArgument(unload.version));
  request.set_version(version);
  PARAMD_ASSIGN_OR_RETURN(const v1::UnloadResponse response,
                          AdminClient(options).Call(&v1::ModelAdmin::Stub::Unload, request));
  if (options.json) return PrintJson(response);
  if (version == 0) {
    std::printf("%s is not desired any more\n", unload.model.c_str());
  } else {
    std::printf("%s version %s is not desired any more\n", unload.model.c_str(),
                unload.version.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddUnloadCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto unload = std::make_shared<UnloadOptions>();
  CLI::App* command = app->add_subcommand(
      "unload", "Unload a version; requests that it has are answered before its memory goes");
  command->add_option("model", unload->model, "Name of the model")->required();
  command->add_option("version", unload->version, "Its number; left out: all of the model");
  command->add_flag("--force", unload->force,
                    "Also when a name points at it, such as 'default'; the name then points "
                    "nowhere");
  command->footer(
      "  paramctl unload digits 2\n"
      "  paramctl unload digits --force    the whole model");
  command->callback([=] { *work = [=] { return Unload(*options, *unload); }; });
}

}  // namespace paramd
