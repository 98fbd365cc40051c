// paramctl models: what is served.
#include <cstdio>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/client.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

absl::Status Models(const GlobalOptions& options) {
  PARAMD_ASSIGN_OR_RETURN(const v1::ListModelsResponse response, Client(options).ListModels());
  if (options.json) return PrintJson(response);
  TextTable table({"MODEL", "VERSION>", "STATE", "GENERATION>", "WEIGHTS", ""});
  for (const v1::ModelSummary& model : response.models()) {
    if (model.versions().empty()) {
      table.Add({model.model(), "", "", "", "", model.error()});
    }
    for (const v1::VersionStatus& version : model.versions()) {
      const bool is_default = version.version() == model.default_version();
      table.Add({model.model(), StrCat(version.version()), StateText(version.state()),
                 version.generation() == 0 ? "" : StrCat(version.generation()),
                 version.weights_id().substr(0, 12),
                 StrCat(is_default ? "default" : "", version.reason().empty() ? "" : " ",
                        version.reason())});
    }
  }
  std::fputs(table.ToString().c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddModelsCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  app->add_subcommand("models", "List the models, their versions and states")->callback([=] {
    *work = [=] { return Models(*options); };
  });
}

}  // namespace paramd
