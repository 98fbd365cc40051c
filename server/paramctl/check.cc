// paramctl check: whether a repository can be served, without serving it.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/onnx_import.h"
#include "server/paramctl/command.h"
#include "server/repository/repository_check.h"

namespace paramd {
namespace {

struct CheckCommandOptions {
  std::string root;
  bool all_versions = false;
  bool shallow = false;
};

std::vector<DeclaredTensor> Declared(const Graph& graph, const std::vector<ValueId>& values) {
  std::vector<DeclaredTensor> declared;
  for (const ValueId id : values) {
    const Value& value = graph.value(id);
    DeclaredTensor& tensor = declared.emplace_back();
    tensor.name = value.name;
    tensor.dtype = value.type.dtype;
    if (!value.type.shape.has_value()) continue;
    for (const Dim& dim : *value.type.shape) tensor.dims.push_back(dim.known() ? dim.size : -1);
  }
  return declared;
}

// Everything that loading would refuse before it reads a parameter.
absl::Status CheckVersion(const ModelRepository& repository, const RepositoryModel& model,
                          const RepositoryVersion& version) {
  const Directory& root = repository.directory();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                          root.OpenDirectory(version.folder));
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> file, root.OpenFile(version.model_file));
  PARAMD_ASSIGN_OR_RETURN(const OnnxFile onnx, ReadOnnx(std::move(file), folder.get()));
  PARAMD_ASSIGN_OR_RETURN(
      const ImportedModel imported,
      ImportOnnx(onnx.skeleton, *onnx.checkpoint, {.evaluate = ReferenceEvaluator()}));
  return CheckDeclarations(model.config, Declared(*imported.graph, imported.graph->inputs),
                           Declared(*imported.graph, imported.graph->outputs));
}

nlohmann::ordered_json ToJson(const CheckReport& report) {
  nlohmann::ordered_json object = {{"models", report.models},
                                   {"versions", report.versions},
                                   {"errors", report.errors()},
                                   {"warnings", report.warnings()},
                                   {"findings", nlohmann::ordered_json::array()}};
  for (const Finding& finding : report.findings) {
    const bool error = finding.severity == Finding::Severity::kError;
    object["findings"].push_back({{"severity", error ? "error" : "warning"},
                                  {"model", finding.model},
                                  {"version", finding.version},
                                  {"message", finding.message}});
  }
  return object;
}

absl::Status Check(const GlobalOptions& options, const CheckCommandOptions& check) {
  PARAMD_ASSIGN_OR_RETURN(
      const CheckReport report,
      CheckRepository(check.root, {.deep = check.shallow ? DeepCheck() : DeepCheck(CheckVersion),
                                   .all_versions = check.all_versions}));
  if (options.json) {
    std::puts(ToJson(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::fputs(CheckReportText(report).c_str(), stdout);
  }
  if (report.errors() == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(report.errors(), " errors in ", check.root));
}

}  // namespace

void AddCheckCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto check = std::make_shared<CheckCommandOptions>();
  CLI::App* command = app->add_subcommand(
      "check", "Validate a model repository without serving it; fails if there are errors");
  command->add_option("folder", check->root, "The repository")->required();
  command->add_flag("--all-versions", check->all_versions,
                    "Also the versions that the version policies leave out");
  command->add_flag("--shallow", check->shallow, "Look at folders and configurations only");
  command->callback([=] { *work = [=] { return Check(*options, *check); }; });
}

}  // namespace paramd
