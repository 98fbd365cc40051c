#include "server/paramctl/tensor_json.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/half.h"
#include "runtime/tensor/small_float.h"
#include "server/rpc/tensor_codec.h"

namespace paramd {
namespace {

using nlohmann::json;

absl::Status Wrong(const std::string& name, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("input '", name, "': ", what));
}

// Walks nested lists; the first path down decides the shape.
absl::Status Flatten(const std::string& name, const json& value, int depth, Shape* shape,
                     std::vector<const json*>* leaves) {
  if (depth > kRankMax) return Wrong(name, StrCat("more than ", kRankMax, " dimensions"));
  if (!value.is_array()) {
    if (depth != shape->rank()) return Wrong(name, "lists and values stand side by side");
    leaves->push_back(&value);
    return absl::OkStatus();
  }
  const auto size = static_cast<int64_t>(value.size());
  if (depth == shape->rank()) {
    if (!leaves->empty()) return Wrong(name, "lists and values stand side by side");
    shape->push_back(size);
  } else if (shape->dim(depth) != size) {
    return Wrong(name, StrCat("lists of ", shape->dim(depth), " and of ", size,
                              " elements stand side by side"));
  }
  for (const json& element : value) {
    PARAMD_RETURN_IF_ERROR(Flatten(name, element, depth + 1, shape, leaves));
  }
  return absl::OkStatus();
}

absl::Status AddLeaf(const std::string& name, const json& leaf, TypedField field,
                     v1::Tensor* tensor) {
  if (field == TypedField::kStrings) {
    if (!leaf.is_string()) return Wrong(name, "expected strings");
    tensor->add_strings(leaf.get<std::string>());
    return absl::OkStatus();
  }
  if (field == TypedField::kBools) {
    if (!leaf.is_boolean()) return Wrong(name, "expected true or false");
    tensor->add_bools(leaf.get<bool>());
    return absl::OkStatus();
  }
  if (!leaf.is_number()) return Wrong(name, "expected numbers");
  const bool floating = field == TypedField::kF32 || field == TypedField::kF64;
  if (!floating && !leaf.is_number_integer()) return Wrong(name, "expected integers");
  const bool is_unsigned = field == TypedField::kU32 || field == TypedField::kU64;
  if (is_unsigned && !leaf.is_number_unsigned()) return Wrong(name, "expected no negative numbers");
  if (field == TypedField::kI32 && !std::in_range<int32_t>(leaf.get<int64_t>())) {
    return Wrong(name, StrCat(leaf.dump(), " does not fit in 32 bits"));
  }
  if (field == TypedField::kU32 && !std::in_range<uint32_t>(leaf.get<uint64_t>())) {
    return Wrong(name, StrCat(leaf.dump(), " does not fit in 32 bits"));
  }
  switch (field) {
    case TypedField::kF32:
      tensor->add_f32(leaf.get<float>());
      return absl::OkStatus();
    case TypedField::kF64:
      tensor->add_f64(leaf.get<double>());
      return absl::OkStatus();
    case TypedField::kI32:
      tensor->add_i32(leaf.get<int32_t>());
      return absl::OkStatus();
    case TypedField::kI64:
      tensor->add_i64(leaf.get<int64_t>());
      return absl::OkStatus();
    case TypedField::kU32:
      tensor->add_u32(leaf.get<uint32_t>());
      return absl::OkStatus();
    default:
      tensor->add_u64(leaf.get<uint64_t>());
      return absl::OkStatus();
  }
}

// JSON has no NaN and no infinity: they become strings.
nlohmann::ordered_json Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

// The shortest decimal that is this float again.
nlohmann::ordered_json ShortNumber(float value) {
  if (!std::isfinite(value)) return Number(value);
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), value);
  return std::strtod(std::string(text, written.ptr).c_str(), nullptr);
}

template <typename T>
void AppendIntegers(const TensorView& view, nlohmann::ordered_json* data) {
  for (const T value : view.as<T>()) data->push_back(value);
}

absl::Status AppendValues(const TensorView& view, nlohmann::ordered_json* data) {
  switch (view.dtype) {
    case DType::kF32:
      for (const float value : view.as<float>()) data->push_back(ShortNumber(value));
      return absl::OkStatus();
    case DType::kF64:
      for (const double value : view.as<double>()) data->push_back(Number(value));
      return absl::OkStatus();
    case DType::kF16:
      for (const uint16_t bits : view.as<uint16_t>())
        data->push_back(ShortNumber(F16ToFloat(bits)));
      return absl::OkStatus();
    case DType::kBF16:
      for (const uint16_t bits : view.as<uint16_t>()) {
        data->push_back(ShortNumber(BF16ToFloat(bits)));
      }
      return absl::OkStatus();
    case DType::kI64:
      AppendIntegers<int64_t>(view, data);
      return absl::OkStatus();
    case DType::kI32:
      AppendIntegers<int32_t>(view, data);
      return absl::OkStatus();
    case DType::kI16:
      AppendIntegers<int16_t>(view, data);
      return absl::OkStatus();
    case DType::kI8:
      for (const int8_t value : view.as<int8_t>()) data->push_back(static_cast<int>(value));
      return absl::OkStatus();
    case DType::kU64:
      AppendIntegers<uint64_t>(view, data);
      return absl::OkStatus();
    case DType::kU32:
      AppendIntegers<uint32_t>(view, data);
      return absl::OkStatus();
    case DType::kU16:
      AppendIntegers<uint16_t>(view, data);
      return absl::OkStatus();
    case DType::kU8:
      for (const uint8_t value : view.as<uint8_t>()) data->push_back(static_cast<int>(value));
      return absl::OkStatus();
    case DType::kBool:
      for (const uint8_t value : view.as<uint8_t>()) data->push_back(value != 0);
      return absl::OkStatus();
    case DType::kString:
      for (const std::string& value : view.as<std::string>()) data->push_back(value);
      return absl::OkStatus();
    default:
      return absl::UnimplementedError(StrCat("values of type ", DTypeName(view.dtype),
                                             " have no JSON form here; use --output"));
  }
}

}  // namespace

absl::Status TensorFromJson(const std::string& name, const json& values, DType dtype,
                            v1::Tensor* tensor) {
  Shape shape;
  std::vector<const json*> leaves;
  PARAMD_RETURN_IF_ERROR(Flatten(name, values, 0, &shape, &leaves));
  tensor->set_name(name);
  tensor->set_dtype(static_cast<v1::DataType>(dtype));
  for (const int64_t dim : shape.dims()) tensor->add_shape(dim);
  const TypedField field = TypedFieldOf(dtype);
  for (const json* leaf : leaves) PARAMD_RETURN_IF_ERROR(AddLeaf(name, *leaf, field, tensor));
  return absl::OkStatus();
}

void TensorFromView(const std::string& name, const TensorView& view, v1::Tensor* tensor) {
  tensor->set_name(name);
  tensor->set_dtype(static_cast<v1::DataType>(view.dtype));
  for (const int64_t dim : view.shape.dims()) tensor->add_shape(dim);
  tensor->set_raw(view.data, view.bytes());
}

absl::StatusOr<Tensor> ToTensor(const v1::Tensor& tensor) {
  // The codec of the daemon reads it, with the daemon's checks.
  v1::PredictRequest request;
  request.set_model("-");
  *request.add_inputs() = tensor;
  const std::string bytes = request.SerializeAsString();
  const Fragment whole(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
  CodecLimits limits;
  limits.typed_bytes_max = uint64_t{1} << 32;
  PARAMD_ASSIGN_OR_RETURN(const WireRequest wire, DecodePredictRequest({&whole, 1}, limits));
  PARAMD_ASSIGN_OR_RETURN(const bool raw, CheckRaw(wire.inputs[0], DType::kUndefined));
  if (!raw) return DecodeTyped(wire.inputs[0], DType::kUndefined, limits);
  return Tensor::CopyOf({wire.inputs[0].dtype, wire.inputs[0].shape, tensor.raw().data()});
}

absl::StatusOr<nlohmann::ordered_json> TensorToJson(const v1::Tensor& tensor) {
  PARAMD_ASSIGN_OR_RETURN(const Tensor held, ToTensor(tensor));
  nlohmann::ordered_json object;
  object["name"] = tensor.name();
  object["dtype"] = std::string(DTypeName(held.dtype()));
  object["shape"] = std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end());
  object["data"] = nlohmann::ordered_json::array();
  PARAMD_RETURN_IF_ERROR(AppendValues(held.view(), &object["data"]));
  return object;
}

}  // namespace paramd
