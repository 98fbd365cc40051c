// paramctl predict: tensors from JSON or .npy in, a table, JSON or .npy out.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/npy.h"
#include "server/paramctl/client.h"
#include "server/paramctl/inputs.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/tensor_json.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

constexpr size_t kValuesShown = 16;

struct PredictOptions {
  std::string model;
  std::string version;
  std::vector<std::string> inputs;
  std::string json_input;
  std::vector<std::string> outputs;
  std::string output_folder;
  uint32_t priority = 0;
};

absl::Status WriteNpy(const std::string& folder, const v1::Tensor& tensor) {
  PARAMD_ASSIGN_OR_RETURN(const Tensor held, ToTensor(tensor));
  PARAMD_ASSIGN_OR_RETURN(const std::string bytes, ToNpy(held.view()));
  const std::string path = StrCat(folder, "/", tensor.name(), ".npy");
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) return absl::UnavailableError(StrCat("cannot write ", path));
  return absl::OkStatus();
}

absl::Status PrintAsJson(const v1::PredictResponse& response) {
  nlohmann::ordered_json object;
  object["model"] = response.model();
  object["version"] = response.version();
  object["generation"] = response.generation();
  object["weights_id"] = response.weights_id();
  object["outputs"] = nlohmann::ordered_json::array();
  for (const v1::Tensor& tensor : response.outputs()) {
    PARAMD_ASSIGN_OR_RETURN(nlohmann::ordered_json output, TensorToJson(tensor));
    object["outputs"].push_back(std::move(output));
  }
  std::puts(object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return absl::OkStatus();
}

absl::Status PrintAsTable(const v1::PredictResponse& response) {
  std::printf("%s version %ld, generation %lu\n\n", response.model().c_str(),
              static_cast<long>(response.version()),
              static_cast<unsigned long>(response.generation()));
  TextTable table({"OUTPUT", "TYPE", "SHAPE", "VALUES"});
  for (const v1::Tensor& tensor : response.outputs()) {
    std::string shape;
    for (const int64_t dim : tensor.shape()) StrAppend(&shape, shape.empty() ? "" : ",", dim);
    PARAMD_ASSIGN_OR_RETURN(const nlohmann::ordered_json output, TensorToJson(tensor));
    const auto& data = output["data"];
    std::string values;
    for (size_t i = 0; i < data.size() && i < kValuesShown; ++i) {
      StrAppend(&values, i == 0 ? "" : " ", data[i].dump());
    }
    if (data.size() > kValuesShown) StrAppend(&values, " ... (", data.size(), ")");
    table.Add({tensor.name(), DataTypeText(tensor.dtype()), StrCat("[", shape, "]"), values});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return absl::OkStatus();
}

absl::Status Predict(const GlobalOptions& options, const PredictOptions& predict) {
  Client client(options);
  v1::PredictRequest request;
  request.set_model(predict.model);
  PARAMD_RETURN_IF_ERROR(SetChoice(predict.version, &request));
  request.set_priority(predict.priority);
  for (const std::string& output : predict.outputs) request.add_outputs(output);
  PARAMD_RETURN_IF_ERROR(
      AddInputs(&client, predict.version, predict.inputs, predict.json_input, &request));
  PARAMD_ASSIGN_OR_RETURN(const v1::PredictResponse response, client.Predict(request));
  if (!predict.output_folder.empty()) {
    for (const v1::Tensor& tensor : response.outputs()) {
      PARAMD_RETURN_IF_ERROR(WriteNpy(predict.output_folder, tensor));
    }
  }
  return options.json ? PrintAsJson(response) : PrintAsTable(response);
}

}  // namespace

void AddPredictCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto predict = std::make_shared<PredictOptions>();
  CLI::App* command = app->add_subcommand("predict", "Ask a model");
  command->add_option("model", predict->model, "Name of the model")->required();
  command->add_option("--model-version", predict->version, "A version number or a label");
  command->add_option("--input", predict->inputs, "NAME=FILE.npy, once for each input");
  command->add_option("--json-input", predict->json_input,
                      "File with {\"NAME\": nested lists, ...}, or - for standard input");
  command->add_option("--outputs", predict->outputs, "Only these outputs, in this order");
  command->add_option("--output-folder", predict->output_folder,
                      "Write each output there as NAME.npy");
  command->add_option("--priority", predict->priority, "1 is the highest; 0: the model's default");
  command->callback([=] { *work = [=] { return Predict(*options, *predict); }; });
}

}  // namespace paramd
