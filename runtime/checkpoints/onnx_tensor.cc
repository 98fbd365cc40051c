#include "runtime/checkpoints/onnx_tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

using Field = OnnxTensorField;

// Which typed field ONNX stores a type in; raw_data takes all of them.
bool FieldHoldsType(int field, DType dtype) {
  switch (field) {
    case Field::kRawData:
      return true;
    case Field::kFloatData:
      return dtype == DType::kF32 || dtype == DType::kC64;
    case Field::kDoubleData:
      return dtype == DType::kF64 || dtype == DType::kC128;
    case Field::kInt64Data:
      return dtype == DType::kI64;
    case Field::kUint64Data:
      return dtype == DType::kU64 || dtype == DType::kU32;
    case Field::kInt32Data:
      return dtype == DType::kI32 || (DTypeBits(dtype) > 0 && DTypeBits(dtype) <= 16);
    default:
      return false;
  }
}

std::string Describe(const OnnxTensor& tensor) { return StrCat("tensor '", tensor.name, "'"); }

// Elements that came one by one, cut to their width.
std::string DenseOfVarints(const std::vector<uint64_t>& values, uint64_t width) {
  std::string dense(values.size() * width, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    std::memcpy(dense.data() + i * width, &values[i], width);
  }
  return dense;
}

absl::Status CheckLength(const OnnxTensor& tensor, uint64_t got, uint64_t wanted) {
  if (got == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(Describe(tensor), " has ", got,
                                           " bytes of data, but its type and shape take ", wanted));
}

}  // namespace

bool IsVarintField(int data_field) {
  return data_field == Field::kInt32Data || data_field == Field::kInt64Data ||
         data_field == Field::kUint64Data;
}

absl::StatusOr<uint64_t> ParseExternalNumber(const std::string& text, std::string_view what) {
  uint64_t value = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(text, &value)) {
    return absl::InvalidArgumentError(
        StrCat("external data's ", what, " is no whole number of bytes"));
  }
  return value;
}

absl::StatusOr<CheckpointTensor> ResolveOnnxTensor(const OnnxTensor& tensor, uint32_t model_file) {
  if (tensor.data_type == 0) {
    return absl::InvalidArgumentError(StrCat(Describe(tensor), " has no element type"));
  }
  const std::optional<DType> dtype = DTypeFromOnnx(tensor.data_type);
  if (!dtype.has_value()) {
    return absl::UnimplementedError(StrCat(Describe(tensor), " has element type ", tensor.data_type,
                                           ", which this build does not know"));
  }
  const absl::StatusOr<uint64_t> bytes = CheckedBytes(*dtype, tensor.dims);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(
        StrCat(Describe(tensor), ": ", FromAbsl(bytes.status().message())));
  }
  CheckpointTensor resolved{.name = tensor.name,
                            .dtype = *dtype,
                            .shape = Shape(tensor.dims),
                            .bytes = *bytes,
                            .encoding = CheckpointTensor::Encoding::kDense,
                            .file = model_file,
                            .offset = tensor.offset,
                            .file_bytes = *bytes};
  if (tensor.external) {
    if (tensor.data_field != 0) {
      return absl::InvalidArgumentError(
          StrCat(Describe(tensor), " has data of its own and external data"));
    }
    return resolved;
  }
  if (tensor.data_field == 0) {
    if (*bytes != 0) {
      return absl::InvalidArgumentError(StrCat(Describe(tensor), " of ", DTypeName(*dtype),
                                               resolved.shape.ToString(), " has no data"));
    }
    resolved.encoding = CheckpointTensor::Encoding::kInline;
    return resolved;
  }
  if (!FieldHoldsType(tensor.data_field, *dtype)) {
    return absl::InvalidArgumentError(StrCat(Describe(tensor), " of ", DTypeName(*dtype),
                                             " has its data in field ", tensor.data_field,
                                             " of TensorProto, which is for other types"));
  }
  if (!IsVarintField(tensor.data_field)) {
    if (tensor.has_range) {
      PARAMD_RETURN_IF_ERROR(CheckLength(tensor, tensor.file_bytes, *bytes));
      return resolved;
    }
    PARAMD_RETURN_IF_ERROR(CheckLength(tensor, tensor.loose_bytes.size(), *bytes));
    resolved.encoding = CheckpointTensor::Encoding::kInline;
    resolved.inline_bytes = tensor.loose_bytes;
    return resolved;
  }
  // 4-bit types come two to a number, so the unit is at least a byte.
  const auto width = static_cast<uint64_t>(std::max(1, DTypeBits(*dtype) / 8));
  if (!tensor.has_range) {
    resolved.inline_bytes = DenseOfVarints(tensor.loose_varints, width);
    PARAMD_RETURN_IF_ERROR(CheckLength(tensor, resolved.inline_bytes.size(), *bytes));
    resolved.encoding = CheckpointTensor::Encoding::kInline;
    return resolved;
  }
  // Exactly how many varints there are shows when they are read; a count that
  // cannot be true is refused now, before anybody reserves memory for it.
  const uint64_t units = *bytes / width;
  if (units > tensor.file_bytes || tensor.file_bytes / 10 > units) {
    return absl::InvalidArgumentError(StrCat(Describe(tensor), " has ", tensor.file_bytes,
                                             " bytes of data for ", units, " numbers"));
  }
  resolved.encoding = CheckpointTensor::Encoding::kVarint;
  resolved.file_bytes = tensor.file_bytes;
  return resolved;
}

}  // namespace paramd
