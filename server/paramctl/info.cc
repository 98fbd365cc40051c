// paramctl info: one model: inputs, outputs, what it is made of, where its
// bytes are, how it was loaded.
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/client.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/proto_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

struct InfoOptions {
  std::string model;
  std::string version;
  bool ops = false;
};

void Line(const char* title, const std::string& text) {
  if (!text.empty()) std::printf("%-12s %s\n", title, text.c_str());
}

void PrintVersions(const v1::GetModelInfoResponse& info) {
  std::puts("");
  TextTable table({"VERSION>", "STATE", "GENERATION>", ""});
  for (const v1::VersionStatus& version : info.versions()) {
    table.Add({StrCat(version.version()), StateText(version.state()),
               version.generation() == 0 ? "" : StrCat(version.generation()), version.reason()});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

void PrintOps(const v1::GetModelInfoResponse& info) {
  std::puts("");
  TextTable table({"NODE", "OP", "BACKEND", "IMPLEMENTATION", "FUSED", "REFUSED BY"});
  for (const v1::OpInfo& op : info.ops()) {
    std::string fused;
    for (const std::string& name : op.fused()) StrAppend(&fused, fused.empty() ? "" : " ", name);
    std::string refused;
    for (const v1::OpRefusal& refusal : op.refused()) {
      StrAppend(&refused, refused.empty() ? "" : "; ", refusal.backend(), ": ", refusal.reason());
    }
    table.Add({op.name(), op.op(), op.backend(), op.implementation(), fused, refused});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

void PrintLoaded(const v1::GetModelInfoResponse& info) {
  Line("model",
       StrCat(info.model(), " version ", info.version(), ", generation ", info.generation()));
  Line("weights", info.weights_id());
  Line("made by", StrCat(info.format(), info.producer().empty() ? "" : ", ", info.producer()));
  for (const v1::TensorInfo& tensor : info.inputs()) Line("input", TensorText(tensor));
  for (const v1::TensorInfo& tensor : info.outputs()) Line("output", TensorText(tensor));
  const v1::ParameterCounts& counts = info.counts();
  Line("parameters",
       StrCat(WithThousands(counts.parameters()), ": ", WithThousands(counts.weights()),
              " weights and ", WithThousands(counts.biases()), " biases",
              counts.statistics() == 0
                  ? ""
                  : StrCat(", and ", WithThousands(counts.statistics()), " statistics"),
              " in ", counts.tensors(), " tensors"));
  for (const auto& [dtype, bytes] : info.checkpoint_bytes_by_dtype()) {
    Line("checkpoint", StrCat(BytesText(bytes), " of ", dtype));
  }
  const v1::MemoryInfo& memory = info.memory();
  Line("memory",
       StrCat(BytesText(memory.unique_bytes()), " of its own, ", BytesText(memory.shared_bytes()),
              " shared; ", BytesText(memory.packed_bytes()), " packed for kernels, ",
              BytesText(memory.original_bytes()), " as in the checkpoint; ",
              BytesText(memory.arena_bytes()), " of activations at most"));
  Line("precision", info.precision());
  Line("batching",
       StrCat("up to ", info.batching().max_batch_size(), " rows: ", info.batching().reason()));
  std::string stages;
  for (const v1::LoadStage& stage : info.load_stages()) {
    StrAppend(&stages, stages.empty() ? "" : ", ", stage.name(), " ", SecondsText(stage.seconds()));
  }
  Line("loaded in", StrCat(SecondsText(info.load_seconds()), stages.empty() ? "" : ": ", stages));
  for (const auto& [name, value] : info.hyperparameters()) {
    Line("", StrCat(name, " = ", value));
  }
}

absl::Status Info(const GlobalOptions& options, const InfoOptions& info) {
  v1::GetModelInfoRequest request;
  request.set_model(info.model);
  request.set_include_ops(info.ops);
  PARAMD_RETURN_IF_ERROR(SetChoice(info.version, &request));
  PARAMD_ASSIGN_OR_RETURN(const v1::GetModelInfoResponse response,
                          Client(options).GetModelInfo(request));
  if (options.json) return PrintJson(response);
  if (response.generation() != 0) {
    PrintLoaded(response);
  } else {
    Line("model", StrCat(response.model(), ": nothing of it serves"));
  }
  PrintVersions(response);
  if (info.ops) PrintOps(response);
  return absl::OkStatus();
}

}  // namespace

void AddInfoCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto info = std::make_shared<InfoOptions>();
  CLI::App* command =
      app->add_subcommand("info", "Show a model: inputs, outputs, parameters, memory, versions");
  command->add_option("model", info->model, "Name of the model")->required();
  command->add_option("--model-version", info->version, "A version number or a label");
  command->add_flag("--ops", info->ops, "Show which backend took each operator, and why");
  command->callback([=] { *work = [=] { return Info(*options, *info); }; });
}

}  // namespace paramd
