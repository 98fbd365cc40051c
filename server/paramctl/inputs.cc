#include "server/paramctl/inputs.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/half.h"
#include "runtime/tensor/npy.h"
#include "server/paramctl/tensor_json.h"

namespace paramd {
namespace {

using nlohmann::json;

absl::StatusOr<std::string> ReadText(const std::string& path) {
  if (path == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(StrCat("cannot open ", path));
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

absl::Status AddNpy(const std::string& argument, v1::PredictRequest* request) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(StrCat("--input takes NAME=FILE.npy, not '", argument, "'"));
  }
  PARAMD_ASSIGN_OR_RETURN(const Tensor tensor, ReadNpyFile(argument.substr(equals + 1)));
  TensorFromView(argument.substr(0, equals), tensor.view(), request->add_inputs());
  return absl::OkStatus();
}

absl::Status AddJson(Client* client, const std::string& version, const std::string& path,
                     v1::PredictRequest* request) {
  PARAMD_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return absl::InvalidArgumentError(
        StrCat(path, " is not a JSON object {\"NAME\": values, ...}"));
  }
  v1::GetModelInfoRequest info_request;
  info_request.set_model(request->model());
  PARAMD_RETURN_IF_ERROR(SetChoice(version, &info_request));
  PARAMD_ASSIGN_OR_RETURN(const v1::GetModelInfoResponse info, client->GetModelInfo(info_request));
  std::map<std::string, DType> types;
  for (const v1::TensorInfo& input : info.inputs()) {
    types[input.name()] = static_cast<DType>(input.dtype());
  }
  for (const auto& [name, values] : object.items()) {
    const auto type = types.find(name);
    // The daemon says what is wrong with a name it does not know.
    const DType dtype = type == types.end() ? DType::kF32 : type->second;
    PARAMD_RETURN_IF_ERROR(TensorFromJson(name, values, dtype, request->add_inputs()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FillRandom(std::mt19937_64* random, const MutableTensorView& view) {
  std::uniform_real_distribution<float> uniform(0, 1);
  const auto elements = static_cast<size_t>(view.shape.elements());
  for (size_t i = 0; i < elements; ++i) {
    const float value = uniform(*random);
    switch (view.dtype) {
      case DType::kF32:
        static_cast<float*>(view.data)[i] = value;
        break;
      case DType::kF64:
        static_cast<double*>(view.data)[i] = value;
        break;
      case DType::kF16:
        static_cast<uint16_t*>(view.data)[i] = FloatToF16(value);
        break;
      case DType::kBF16:
        static_cast<uint16_t*>(view.data)[i] = FloatToBF16(value);
        break;
      case DType::kI64:
      case DType::kU64:
        static_cast<int64_t*>(view.data)[i] = value > 0.5f;
        break;
      case DType::kI32:
      case DType::kU32:
        static_cast<int32_t*>(view.data)[i] = value > 0.5f;
        break;
      case DType::kI8:
      case DType::kU8:
      case DType::kBool:
        static_cast<uint8_t*>(view.data)[i] = value > 0.5f;
        break;
      default:
        return absl::UnimplementedError(
            StrCat("no random values of type ", DTypeName(view.dtype), "; use --input"));
    }
  }
  return absl::OkStatus();
}

absl::Status AddInputs(Client* client, const std::string& version,
                       const std::vector<std::string>& npy, const std::string& json_path,
                       v1::PredictRequest* request) {
  for (const std::string& argument : npy) PARAMD_RETURN_IF_ERROR(AddNpy(argument, request));
  if (json_path.empty()) return absl::OkStatus();
  return AddJson(client, version, json_path, request);
}

absl::Status AddRandomInputs(const v1::GetModelInfoResponse& info, int64_t rows, uint64_t seed,
                             v1::PredictRequest* request) {
  std::mt19937_64 random(seed);
  for (const v1::TensorInfo& input : info.inputs()) {
    Shape shape;
    for (const v1::Dim& dim : input.shape()) {
      shape.push_back(dim.has_size() ? dim.size() : shape.rank() == 0 ? rows : 1);
    }
    const auto dtype = static_cast<DType>(input.dtype());
    PARAMD_RETURN_IF_ERROR(CheckedBytes(dtype, shape.dims()).status());
    Tensor tensor(dtype, shape);
    PARAMD_RETURN_IF_ERROR(FillRandom(&random, tensor.view()));
    TensorFromView(input.name(), tensor.view(), request->add_inputs());
  }
  return absl::OkStatus();
}

}  // namespace paramd
