// paramctl params: every parameter tensor of a model.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/client.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

struct ParamsOptions {
  std::string model;
  std::string version;
};

absl::Status Params(const GlobalOptions& options, const ParamsOptions& params) {
  v1::GetModelInfoRequest request;
  request.set_model(params.model);
  request.set_include_parameters(true);
  PARAMD_RETURN_IF_ERROR(SetChoice(params.version, &request));
  PARAMD_ASSIGN_OR_RETURN(const v1::GetModelInfoResponse response,
                          Client(options).GetModelInfo(request));
  if (options.json) return PrintJson(response);
  TextTable table({"NAME", "ROLE", "TYPE", "SHAPE", "COUNT>", "BYTES>", "CONTENT"});
  for (const v1::ParameterInfo& parameter : response.parameters()) {
    std::string shape;
    for (const int64_t dim : parameter.shape()) StrAppend(&shape, shape.empty() ? "" : ",", dim);
    table.Add({parameter.name(), RoleText(parameter.role()), DataTypeText(parameter.dtype()),
               StrCat("[", shape, "]"), WithThousands(parameter.count()),
               WithThousands(parameter.bytes()), parameter.content_id().substr(0, 12)});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddParamsCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto params = std::make_shared<ParamsOptions>();
  CLI::App* command =
      app->add_subcommand("params", "List a model's parameters: name, role, type, shape, content");
  command->add_option("model", params->model, "Name of the model")->required();
  command->add_option("--model-version", params->version, "A version number or a label");
  command->callback([=] { *work = [=] { return Params(*options, *params); }; });
}

}  // namespace paramd
