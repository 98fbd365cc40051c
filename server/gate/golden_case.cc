#include "server/gate/golden_case.h"

#include <cmath>
#include <memory>
#include <utility>

#include "nlohmann/json.hpp"
#include "runtime/base/read_file.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/tensor_values.h"
#include "runtime/tensor/half.h"
#include "server/gate/npz_reader.h"

namespace paramd {
namespace {

using Json = nlohmann::json;

// The outer object, the tensors, one tensor, its data.
constexpr int kDepthMax = 4 + kRankMax;
constexpr std::string_view kInputPrefix = "input.";
constexpr std::string_view kOutputPrefix = "output.";

absl::Status Wrong(std::string_view file, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(file, ": ", what));
}

// Before a tree is built: each bracket costs memory there.
bool IsNestedDeeperThan(std::string_view text, int depth_max) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > depth_max) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// The leaves of lists in lists, in order. Depth was limited before.
void Flatten(const Json& value, std::vector<const Json*>* leaves) {
  if (!value.is_array()) {
    leaves->push_back(&value);
    return;
  }
  for (const Json& element : value) Flatten(element, leaves);
}

template <typename T>
bool FillIntegers(const std::vector<const Json*>& leaves, const MutableTensorView& to) {
  const absl::Span<T> elements = to.as<T>();
  for (size_t i = 0; i < elements.size(); ++i) {
    const Json& leaf = *leaves[i];
    if (!leaf.is_number_integer()) return false;
    if (leaf.is_number_unsigned()) {
      const auto value = leaf.get<uint64_t>();
      if (!std::in_range<T>(value)) return false;
      elements[i] = static_cast<T>(value);
    } else {
      const auto value = leaf.get<int64_t>();
      if (!std::in_range<T>(value)) return false;
      elements[i] = static_cast<T>(value);
    }
  }
  return true;
}

template <typename T, typename Convert>
bool FillFloats(const std::vector<const Json*>& leaves, const MutableTensorView& to,
                Convert convert) {
  const absl::Span<T> elements = to.as<T>();
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!leaves[i]->is_number()) return false;
    elements[i] = convert(leaves[i]->get<double>());
  }
  return true;
}

// False: an element is not of the type. Unimplemented types: nothing.
std::optional<bool> Fill(const std::vector<const Json*>& leaves, const MutableTensorView& to) {
  switch (to.dtype) {
    case DType::kF32:
      return FillFloats<float>(leaves, to, [](double v) { return static_cast<float>(v); });
    case DType::kF64:
      return FillFloats<double>(leaves, to, [](double v) { return v; });
    case DType::kF16:
      return FillFloats<uint16_t>(leaves, to,
                                  [](double v) { return FloatToF16(static_cast<float>(v)); });
    case DType::kBF16:
      return FillFloats<uint16_t>(leaves, to,
                                  [](double v) { return FloatToBF16(static_cast<float>(v)); });
    case DType::kI8:
      return FillIntegers<int8_t>(leaves, to);
    case DType::kI16:
      return FillIntegers<int16_t>(leaves, to);
    case DType::kI32:
      return FillIntegers<int32_t>(leaves, to);
    case DType::kI64:
      return FillIntegers<int64_t>(leaves, to);
    case DType::kU8:
      return FillIntegers<uint8_t>(leaves, to);
    case DType::kU16:
      return FillIntegers<uint16_t>(leaves, to);
    case DType::kU32:
      return FillIntegers<uint32_t>(leaves, to);
    case DType::kU64:
      return FillIntegers<uint64_t>(leaves, to);
    case DType::kBool: {
      for (size_t i = 0; i < leaves.size(); ++i) {
        if (!leaves[i]->is_boolean()) return false;
        to.as<uint8_t>()[i] = leaves[i]->get<bool>() ? 1 : 0;
      }
      return true;
    }
    case DType::kString: {
      for (size_t i = 0; i < leaves.size(); ++i) {
        if (!leaves[i]->is_string()) return false;
        to.as<std::string>()[i] = leaves[i]->get<std::string>();
      }
      return true;
    }
    default:
      return std::nullopt;
  }
}

absl::StatusOr<Tensor> ReadTensor(std::string_view file, const std::string& name,
                                  const Json& json) {
  const auto wrong = [&](std::string_view what) {
    return Wrong(file, StrCat("tensor '", name, "' ", what));
  };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data") || json.size() != 3) {
    return wrong("is not an object of dtype, shape and data");
  }
  if (!json["dtype"].is_string()) return wrong("has a dtype that is no text");
  const std::optional<DType> dtype = DTypeFromName(json["dtype"].get_ref<const std::string&>());
  if (!dtype.has_value()) {
    return wrong(StrCat("has the dtype '", json["dtype"].get_ref<const std::string&>(),
                        "', expected f32, i64, bool, string or the like"));
  }
  const Json& dims = json["shape"];
  if (!dims.is_array() || dims.size() > static_cast<size_t>(kRankMax)) {
    return wrong(StrCat("has a shape that is no list of at most ", kRankMax, " numbers"));
  }
  Shape shape;
  for (const Json& dim : dims) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > (uint64_t{1} << 40)) {
      return wrong("has a dimension that is no size");
    }
    shape.push_back(static_cast<int64_t>(dim.get<uint64_t>()));
  }
  const absl::StatusOr<int64_t> elements = CheckedElements(shape.dims());
  std::vector<const Json*> leaves;
  Flatten(json["data"], &leaves);
  if (!elements.ok() || static_cast<uint64_t>(*elements) != leaves.size()) {
    return wrong(StrCat("of shape ", shape.ToString(), " has ", leaves.size(), " elements"));
  }
  Tensor tensor(*dtype, shape);
  const std::optional<bool> filled = Fill(leaves, tensor.view());
  if (!filled.has_value()) {
    return wrong(StrCat("cannot be of ", DTypeName(*dtype), " in JSON; use an .npz file"));
  }
  if (!*filled) return wrong(StrCat("has an element that is no ", DTypeName(*dtype)));
  return tensor;
}

absl::Status CheckWhole(const GoldenCase& golden) {
  if (golden.inputs.empty()) return Wrong(golden.file, "it has no inputs");
  if (golden.tolerance.has_value() &&
      !(std::isfinite(*golden.tolerance) && *golden.tolerance >= 0)) {
    return Wrong(golden.file, StrCat("the tolerance is ", *golden.tolerance));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GoldenCase> ParseGoldenJson(std::string_view file, std::string_view text) {
  GoldenCase golden{.file = std::string(file)};
  if (text.size() > kGoldenJsonBytesMax) {
    return Wrong(file, StrCat("it has ", text.size(), " bytes, the limit is ", kGoldenJsonBytesMax,
                              "; use an .npz file"));
  }
  if (IsNestedDeeperThan(text, kDepthMax)) {
    return Wrong(file, StrCat("it is nested deeper than ", kDepthMax));
  }
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Wrong(file, "it is not a JSON object");
  for (const auto& [key, value] : json.items()) {
    if (key == "inputs" || key == "outputs") {
      if (!value.is_object()) return Wrong(file, StrCat("'", key, "' is not an object"));
      auto& tensors = key == "inputs" ? golden.inputs : golden.outputs;
      for (const auto& [name, tensor] : value.items()) {
        PARAMD_ASSIGN_OR_RETURN(tensors[name], ReadTensor(file, name, tensor));
      }
    } else if (key == "tolerance") {
      if (!value.is_number()) return Wrong(file, "the tolerance is no number");
      golden.tolerance = value.get<double>();
    } else {
      return Wrong(file, StrCat("there is no field '", key.substr(0, 64),
                                "', expected inputs, outputs or tolerance"));
    }
  }
  PARAMD_RETURN_IF_ERROR(CheckWhole(golden));
  return golden;
}

absl::StatusOr<GoldenCase> ParseGoldenNpz(std::string_view file,
                                          absl::Span<const std::byte> bytes) {
  GoldenCase golden{.file = std::string(file)};
  absl::StatusOr<std::map<std::string, Tensor>> tensors = ParseNpz(bytes);
  if (!tensors.ok()) return Wrong(file, FromAbsl(tensors.status().message()));
  for (auto& [name, tensor] : *tensors) {
    if (name.starts_with(kInputPrefix)) {
      golden.inputs[name.substr(kInputPrefix.size())] = std::move(tensor);
    } else if (name.starts_with(kOutputPrefix)) {
      golden.outputs[name.substr(kOutputPrefix.size())] = std::move(tensor);
    } else if (name == "tolerance") {
      const auto values = FloatValues(tensor.view());
      if (!values.has_value() || values->size() != 1) {
        return Wrong(file, "the tolerance is not one number");
      }
      golden.tolerance = values->front();
    } else {
      return Wrong(file, StrCat("there is no use for '", name.substr(0, 64),
                                "', expected input.NAME, output.NAME or tolerance"));
    }
  }
  PARAMD_RETURN_IF_ERROR(CheckWhole(golden));
  return golden;
}

absl::StatusOr<std::vector<GoldenCase>> ReadGoldenCases(const Directory& version) {
  const absl::StatusOr<std::unique_ptr<Directory>> folder = version.OpenDirectory("golden");
  if (absl::IsNotFound(folder.status())) return std::vector<GoldenCase>();
  PARAMD_RETURN_IF_ERROR(folder.status());
  PARAMD_ASSIGN_OR_RETURN(const std::vector<Directory::Entry> entries, (*folder)->List());
  std::vector<GoldenCase> cases;
  uint64_t held_bytes = 0;
  for (const Directory::Entry& entry : entries) {
    const bool json = entry.name.ends_with(".json");
    if (!entry.is_file || (!json && !entry.name.ends_with(".npz"))) continue;
    if (cases.size() == kGoldenCasesMax) {
      return absl::InvalidArgumentError(StrCat("golden: more than ", kGoldenCasesMax, " requests"));
    }
    const std::string name = StrCat("golden/", entry.name);
    PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<FileSource> file,
                            (*folder)->OpenFile(entry.name));
    const absl::StatusOr<std::vector<std::byte>> bytes =
        ReadFile(*file, json ? kGoldenJsonBytesMax : kGoldenNpzBytesMax);
    if (!bytes.ok()) {
      return absl::Status(bytes.status().code(),
                          ToAbsl(StrCat(name, ": ", FromAbsl(bytes.status().message()))));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    PARAMD_ASSIGN_OR_RETURN(GoldenCase golden,
                            json ? ParseGoldenJson(name, text) : ParseGoldenNpz(name, *bytes));
    for (const auto* tensors : {&golden.inputs, &golden.outputs}) {
      for (const auto& [tensor_name, tensor] : *tensors) held_bytes += tensor.view().bytes();
    }
    if (held_bytes > kGoldenBytesMax) {
      return absl::InvalidArgumentError(StrCat(name, ": with it the requests have ", held_bytes,
                                               " bytes, the limit is ", kGoldenBytesMax));
    }
    cases.push_back(std::move(golden));
  }
  return cases;
}

}  // namespace paramd
