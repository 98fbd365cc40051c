// paramctl inspect: what is in a checkpoint or a model file, without a daemon:
// its tensors, and for ONNX its graph.
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/checkpoints/safetensors_reader.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/onnx_import.h"
#include "runtime/graph/passes/pass_list.h"
#include "server/paramctl/command.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

struct InspectOptions {
  std::string path;
  bool graph = false;
  bool passes = false;               // Run the loader's passes first.
  std::vector<std::string> without;  // All but these.
};

struct Inspected {
  std::string format;
  std::unique_ptr<Checkpoint> checkpoint;
  ImportedModel model;    // ONNX only.
  absl::Status runnable;  // ONNX only: why this build could not serve it.
  std::vector<PassReport> passes;
};

absl::StatusOr<Inspected> InspectOnnx(const std::string& path) {
  const std::filesystem::path file(path);
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> source, FileSource::Open(path));
  const std::string parent = file.parent_path().empty() ? "." : file.parent_path().string();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder, Directory::Open(parent));
  PARAMD_ASSIGN_OR_RETURN(OnnxFile onnx, ReadOnnx(std::move(source), folder.get()));
  Inspected inspected = {.format = "onnx"};
  inspected.checkpoint = std::move(onnx.checkpoint);
  OnnxImportOptions options = {.evaluate = ReferenceEvaluator()};
  absl::StatusOr<ImportedModel> imported =
      ImportOnnx(onnx.skeleton, *inspected.checkpoint, options);
  inspected.runnable = imported.status();
  if (!imported.ok()) {
    options.require_runnable = false;
    imported = ImportOnnx(onnx.skeleton, *inspected.checkpoint, options);
    if (!imported.ok()) return imported.status();
  }
  inspected.model = std::move(*imported);
  return inspected;
}

absl::StatusOr<Inspected> Inspect(const std::string& path) {
  Inspected inspected = {.format = "safetensors"};
  if (std::filesystem::is_directory(path)) {
    PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder, Directory::Open(path));
    PARAMD_ASSIGN_OR_RETURN(inspected.checkpoint, ReadSafetensorsFolder(*folder));
    return inspected;
  }
  if (path.ends_with(".onnx")) return InspectOnnx(path);
  if (path.ends_with(".safetensors")) {
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> source, FileSource::Open(path));
    PARAMD_ASSIGN_OR_RETURN(inspected.checkpoint, ReadSafetensors(std::move(source)));
    return inspected;
  }
  return absl::InvalidArgumentError(
      StrCat(path, " ends in neither .onnx nor .safetensors, and is no folder with safetensors"));
}

// By the checkpoint's names; ONNX only.
std::map<std::string, ParameterRole> Roles(const Inspected& inspected) {
  std::map<std::string, ParameterRole> roles;
  if (inspected.model.graph == nullptr) return roles;
  for (const Constant& constant : inspected.model.graph->constants()) {
    if (!constant.name.empty()) roles[constant.name] = constant.role;
  }
  return roles;
}

void PrintTable(const Inspected& inspected, const InspectOptions& options) {
  const auto roles = Roles(inspected);
  TextTable table({"NAME", "ROLE", "TYPE", "SHAPE", "COUNT>", "BYTES>"});
  uint64_t count = 0;
  for (const CheckpointTensor& tensor : inspected.checkpoint->tensors()) {
    const auto role = roles.find(tensor.name);
    const auto elements = static_cast<uint64_t>(tensor.shape.elements());
    count += elements;
    table.Add({tensor.name, role == roles.end() ? "" : std::string(ParameterRoleName(role->second)),
               std::string(DTypeName(tensor.dtype)), tensor.shape.ToString(),
               WithThousands(elements), WithThousands(tensor.bytes)});
  }
  std::fputs(table.ToString().c_str(), stdout);
  std::printf("\n%s, %zu tensors, %s numbers, %s\n", inspected.format.c_str(),
              inspected.checkpoint->tensors().size(), WithThousands(count).c_str(),
              BytesText(inspected.checkpoint->total_bytes()).c_str());
  for (const auto& [key, value] : inspected.checkpoint->metadata()) {
    std::printf("%s = %s\n", key.c_str(), value.c_str());
  }
  for (const auto& [key, value] : inspected.model.hyperparameters) {
    std::printf("%s = %s\n", key.c_str(), value.c_str());
  }
  if (!inspected.runnable.ok()) {
    std::printf("\nthis build cannot serve it: %s\n",
                std::string(inspected.runnable.message()).c_str());
  }
  if (!inspected.passes.empty()) {
    TextTable passes({"PASS", "CHANGES>"});
    for (const PassReport& report : inspected.passes) {
      passes.Add({std::string(report.name), StrCat(report.changes)});
    }
    std::printf("\n%s", passes.ToString().c_str());
  }
  if (options.graph && inspected.model.graph != nullptr) {
    std::printf("\n%s", ToText(*inspected.model.graph).c_str());
  }
}

void PrintAsJson(const Inspected& inspected, const InspectOptions& options) {
  const auto roles = Roles(inspected);
  nlohmann::ordered_json object = {{"format", inspected.format},
                                   {"bytes", inspected.checkpoint->total_bytes()},
                                   {"tensors", nlohmann::ordered_json::array()},
                                   {"metadata", nlohmann::ordered_json::object()}};
  for (const CheckpointTensor& tensor : inspected.checkpoint->tensors()) {
    const auto role = roles.find(tensor.name);
    nlohmann::ordered_json entry = {
        {"name", tensor.name},
        {"dtype", std::string(DTypeName(tensor.dtype))},
        {"shape", std::vector<int64_t>(tensor.shape.dims().begin(), tensor.shape.dims().end())},
        {"bytes", tensor.bytes}};
    if (role != roles.end()) entry["role"] = std::string(ParameterRoleName(role->second));
    object["tensors"].push_back(std::move(entry));
  }
  for (const auto& [key, value] : inspected.checkpoint->metadata()) {
    object["metadata"][key] = value;
  }
  for (const auto& [key, value] : inspected.model.hyperparameters) {
    object["metadata"][key] = value;
  }
  if (inspected.format == "onnx") {
    object["runnable"] = inspected.runnable.ok();
    if (!inspected.runnable.ok()) object["reason"] = std::string(inspected.runnable.message());
  }
  for (const PassReport& report : inspected.passes) {
    object["passes"][std::string(report.name)] = report.changes;
  }
  if (options.graph && inspected.model.graph != nullptr) {
    object["graph"] = ToText(*inspected.model.graph);
  }
  std::puts(object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

absl::Status Run(const GlobalOptions& options, const InspectOptions& inspect) {
  PARAMD_ASSIGN_OR_RETURN(Inspected inspected, Inspect(inspect.path));
  if (inspect.passes && inspected.model.graph != nullptr) {
    PARAMD_ASSIGN_OR_RETURN(inspected.passes,
                            RunPasses(*inspected.model.graph, {.evaluate = ReferenceEvaluator(),
                                                               .disabled = inspect.without}));
  }
  options.json ? PrintAsJson(inspected, inspect) : PrintTable(inspected, inspect);
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto inspect = std::make_shared<InspectOptions>();
  CLI::App* command = app->add_subcommand(
      "inspect", "Show what is in an ONNX or safetensors file (or a folder of shards)");
  command->add_option("path", inspect->path, "The file or folder")->required();
  command->add_flag("--graph", inspect->graph, "Also print the graph, one line a node");
  CLI::Option* passes = command->add_flag(
      "--passes", inspect->passes,
      "ONNX: run the passes that a load runs, say what each changed, and print the graph");
  command->add_option("--without-pass", inspect->without, "Leave this pass out; may be given again")
      ->needs(passes);
  command->callback([=] {
    inspect->graph |= inspect->passes;
    *work = [=] { return Run(*options, *inspect); };
  });
}

}  // namespace paramd
