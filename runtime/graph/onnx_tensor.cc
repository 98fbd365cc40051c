#include "runtime/graph/onnx_tensor.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_reader.h"

namespace paramd {
namespace {

constexpr size_t kNameBytesMax = 4096;

// Tensors that stay in the skeleton (strings, small attributes) are small; one
// that claims more data than this is refused before memory is taken.
constexpr uint64_t kSkeletonTensorBytesMax = uint64_t{64} << 20;

std::vector<int64_t> Dims(const onnx::TensorProto& proto) {
  return {proto.dims().begin(), proto.dims().end()};
}

absl::StatusOr<DType> DTypeOf(const onnx::TensorProto& proto) {
  const std::optional<DType> dtype = DTypeFromOnnx(proto.data_type());
  if (!dtype.has_value() || *dtype == DType::kUndefined) {
    return absl::InvalidArgumentError(
        StrCat("tensor '", proto.name(), "' has the type number ", proto.data_type()));
  }
  return *dtype;
}

// Typed fields hold one element (or for complex numbers two, for 4-bit types
// two elements a value) per entry, possibly wider than the element: cut it.
template <typename Element, typename Field>
absl::Status CopyField(const onnx::TensorProto& proto, const Field& field, Tensor& tensor) {
  const uint64_t entries = tensor.view().bytes() / sizeof(Element);
  if (static_cast<uint64_t>(field.size()) != entries) {
    return absl::InvalidArgumentError(StrCat("tensor '", proto.name(), "' ",
                                             DTypeName(tensor.dtype()), tensor.shape().ToString(),
                                             " needs ", entries, " values and has ", field.size()));
  }
  auto* to = static_cast<std::byte*>(tensor.view().data);
  for (const auto value : field) {
    const auto element = static_cast<Element>(value);
    std::memcpy(to, &element, sizeof element);
    to += sizeof element;
  }
  return absl::OkStatus();
}

absl::Status CopyTyped(const onnx::TensorProto& proto, Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kF32:
    case DType::kC64:
      return CopyField<float>(proto, proto.float_data(), tensor);
    case DType::kF64:
    case DType::kC128:
      return CopyField<double>(proto, proto.double_data(), tensor);
    case DType::kI64:
      return CopyField<int64_t>(proto, proto.int64_data(), tensor);
    case DType::kU64:
      return CopyField<uint64_t>(proto, proto.uint64_data(), tensor);
    case DType::kU32:
      return CopyField<uint32_t>(proto, proto.uint64_data(), tensor);
    case DType::kI32:
      return CopyField<int32_t>(proto, proto.int32_data(), tensor);
    case DType::kI16:
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16:
      return CopyField<uint16_t>(proto, proto.int32_data(), tensor);
    default:
      return CopyField<uint8_t>(proto, proto.int32_data(), tensor);
  }
}

const onnx::StringStringEntryProto* IndexEntry(const onnx::TensorProto& proto) {
  for (const auto& entry : proto.metadata_props()) {
    if (entry.key() == kOnnxTensorIndexKey) return &entry;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckName(std::string_view what, std::string_view text) {
  if (text.size() > kNameBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("a ", what, " has a name of ", text.size(), " bytes, above ", kNameBytesMax));
  }
  // Shortest forms only, no surrogates: RFC 3629.
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    bool good = length > 0 && length <= text.size() - i;
    uint32_t point = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; good && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      good = (next & 0xc0) == 0x80;
      point = (point << 6) | (next & 0x3f);
    }
    if (length == 3) good = good && point >= 0x800 && (point < 0xd800 || point > 0xdfff);
    if (length == 4) good = good && point >= 0x10000 && point <= 0x10ffff;
    if (!good) return absl::InvalidArgumentError(StrCat("the name of a ", what, " is not UTF-8"));
    i += length;
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> TensorFromProto(const onnx::TensorProto& proto, uint64_t bytes_max) {
  PARAMD_ASSIGN_OR_RETURN(const DType dtype, DTypeOf(proto));
  const std::vector<int64_t> dims = Dims(proto);
  const auto about = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(
        StrCat("tensor '", proto.name(), "': ", FromAbsl(status.message())));
  };
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    return absl::InvalidArgumentError(
        StrCat("tensor '", proto.name(), "' has its data elsewhere, where none may be"));
  }
  if (proto.has_segment()) {
    return absl::UnimplementedError(StrCat("tensor '", proto.name(), "' is stored in segments"));
  }
  if (dtype == DType::kString) {
    const auto elements = CheckedElements(dims);
    if (!elements.ok()) return about(elements.status());
    if (*elements != proto.string_data_size()) {
      return absl::InvalidArgumentError(StrCat("tensor '", proto.name(), "' has ",
                                               proto.string_data_size(), " strings for ",
                                               Shape(dims).ToString()));
    }
    Tensor tensor(dtype, Shape(dims));
    const auto to = tensor.view().as<std::string>();
    for (int i = 0; i < proto.string_data_size(); ++i)
      to[static_cast<size_t>(i)] = proto.string_data(i);
    return tensor;
  }
  const auto bytes = CheckedBytes(dtype, dims);
  if (!bytes.ok()) return about(bytes.status());
  if (*bytes > bytes_max) {
    return absl::InvalidArgumentError(
        StrCat("tensor '", proto.name(), "' has ", *bytes, " bytes, above ", bytes_max));
  }
  if (proto.has_raw_data()) {
    if (proto.raw_data().size() != *bytes) {
      return absl::InvalidArgumentError(StrCat("tensor '", proto.name(), "' needs ", *bytes,
                                               " bytes and has ", proto.raw_data().size()));
    }
    Tensor tensor(dtype, Shape(dims));
    if (*bytes > 0) std::memcpy(tensor.view().data, proto.raw_data().data(), *bytes);
    return tensor;
  }
  // Every entry takes at least a byte of the file, so data that is there bounds
  // what may be allocated.
  const auto entries = static_cast<uint64_t>(proto.float_data_size()) + proto.double_data_size() +
                       proto.int32_data_size() + proto.int64_data_size() + proto.uint64_data_size();
  if (*bytes > entries * 16) {
    return absl::InvalidArgumentError(StrCat("tensor '", proto.name(), "' ", DTypeName(dtype),
                                             Shape(dims).ToString(), " has ", entries, " values"));
  }
  Tensor tensor(dtype, Shape(dims));
  PARAMD_RETURN_IF_ERROR(CopyTyped(proto, tensor));
  return tensor;
}

absl::StatusOr<Constant> ConstantFromProto(const onnx::TensorProto& proto,
                                           const Checkpoint& checkpoint,
                                           const OnnxImportOptions& options) {
  PARAMD_RETURN_IF_ERROR(CheckName("tensor", proto.name()));
  Constant constant;
  constant.name = proto.name();
  PARAMD_ASSIGN_OR_RETURN(constant.dtype, DTypeOf(proto));
  const onnx::StringStringEntryProto* entry = IndexEntry(proto);
  if (entry == nullptr) {
    PARAMD_ASSIGN_OR_RETURN(Tensor tensor, TensorFromProto(proto, kSkeletonTensorBytesMax));
    constant.shape = tensor.shape();
    constant.source = std::make_shared<const Tensor>(std::move(tensor));
    return constant;
  }
  // Written by our reader; checked all the same, for a file may carry the key.
  int32_t index = -1;
  const std::string& text = entry->value();
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != text.npos ||
      (index = std::stoi(text)) < 0 || static_cast<size_t>(index) >= checkpoint.tensors().size()) {
    return absl::InvalidArgumentError(
        StrCat("tensor '", proto.name(), "' claims to be tensor ", text, " of the checkpoint"));
  }
  const CheckpointTensor& held = checkpoint.tensors()[static_cast<size_t>(index)];
  if (held.dtype != constant.dtype || !(held.shape == Shape(Dims(proto)))) {
    return absl::InvalidArgumentError(StrCat("tensor '", proto.name(), "' is not like tensor '",
                                             held.name,
                                             "' of the checkpoint that it claims to be"));
  }
  constant.shape = held.shape;
  constant.source = index;
  const bool in_skeleton = proto.data_location() != onnx::TensorProto::EXTERNAL;
  const bool integer = IsInteger(held.dtype) || held.dtype == DType::kBool;
  if (in_skeleton || (integer && held.bytes <= options.integer_bytes_max)) {
    Tensor tensor(held.dtype, held.shape);
    const absl::Span<std::byte> bytes(static_cast<std::byte*>(tensor.view().data), held.bytes);
    PARAMD_RETURN_IF_ERROR(checkpoint.ReadTensor(held, bytes, nullptr));
    if (options.on_value != nullptr) options.on_value(index, bytes);
    constant.source = std::make_shared<const Tensor>(std::move(tensor));
  }
  return constant;
}

absl::StatusOr<Tensor> WholeTensorFromProto(const onnx::TensorProto& proto,
                                            const Checkpoint& checkpoint,
                                            const OnnxImportOptions& options) {
  PARAMD_ASSIGN_OR_RETURN(const Constant constant, ConstantFromProto(proto, checkpoint, options));
  if (const Tensor* tensor = constant.inline_tensor(); tensor != nullptr) {
    return Tensor::CopyOf(tensor->view());
  }
  const auto index = std::get<int32_t>(constant.source);
  const CheckpointTensor& held = checkpoint.tensors()[static_cast<size_t>(index)];
  if (held.bytes > kSkeletonTensorBytesMax) {
    return absl::UnimplementedError(StrCat("the attribute tensor '", proto.name(), "' has ",
                                           held.bytes, " bytes, above ", kSkeletonTensorBytesMax));
  }
  Tensor tensor(held.dtype, held.shape);
  const absl::Span<std::byte> bytes(static_cast<std::byte*>(tensor.view().data), held.bytes);
  PARAMD_RETURN_IF_ERROR(checkpoint.ReadTensor(held, bytes, nullptr));
  if (options.on_value != nullptr) options.on_value(index, bytes);
  return tensor;
}

absl::StatusOr<ValueType> TypeFromProto(const onnx::TypeProto& proto, std::string_view name) {
  const auto tensor_type = [&](const onnx::TypeProto_Tensor& tensor,
                               ValueType::Kind kind) -> absl::StatusOr<ValueType> {
    ValueType type;
    type.kind = kind;
    const std::optional<DType> dtype = DTypeFromOnnx(tensor.elem_type());
    if (!dtype.has_value() || *dtype == DType::kUndefined) {
      return absl::InvalidArgumentError(
          StrCat("'", name, "' has the type number ", tensor.elem_type()));
    }
    type.dtype = *dtype;
    if (!tensor.has_shape()) return type;
    if (tensor.shape().dim_size() > kRankMax) {
      return absl::InvalidArgumentError(StrCat("'", name, "' has rank ", tensor.shape().dim_size(),
                                               ", above the limit of ", kRankMax));
    }
    SymbolicShape shape;
    std::vector<int64_t> known;
    for (const auto& dim : tensor.shape().dim()) {
      // Some exporters write -1 for a dimension that is open, or name each of them "?".
      if (dim.has_dim_value() && dim.dim_value() >= 0) {
        shape.push_back(Dim::Of(dim.dim_value()));
        known.push_back(dim.dim_value());
      } else if (dim.has_dim_param() && !dim.dim_param().empty() && dim.dim_param() != "?") {
        PARAMD_RETURN_IF_ERROR(CheckName("dimension", dim.dim_param()));
        shape.push_back(Dim::Named(dim.dim_param()));
      } else {
        shape.push_back(Dim::Named(StrCat(name, ".", shape.size())));
      }
    }
    const auto elements = CheckedElements(known);
    if (!elements.ok()) {
      return absl::InvalidArgumentError(
          StrCat("'", name, "': ", FromAbsl(elements.status().message())));
    }
    type.shape = std::move(shape);
    return type;
  };
  switch (proto.value_case()) {
    case onnx::TypeProto::kTensorType:
      return tensor_type(proto.tensor_type(), ValueType::Kind::kTensor);
    case onnx::TypeProto::kSequenceType:
      if (proto.sequence_type().elem_type().has_tensor_type()) {
        return tensor_type(proto.sequence_type().elem_type().tensor_type(),
                           ValueType::Kind::kSequence);
      }
      break;
    case onnx::TypeProto::kOptionalType:
      if (proto.optional_type().elem_type().has_tensor_type()) {
        return tensor_type(proto.optional_type().elem_type().tensor_type(),
                           ValueType::Kind::kOptional);
      }
      if (const auto& element = proto.optional_type().elem_type();
          element.sequence_type().elem_type().has_tensor_type()) {
        return tensor_type(element.sequence_type().elem_type().tensor_type(),
                           ValueType::Kind::kOptional);
      }
      break;
    default:
      break;
  }
  return absl::UnimplementedError(
      StrCat("'", name, "' is not a tensor, nor a sequence or an optional of tensors"));
}

absl::StatusOr<Attribute> PlainAttributeFromProto(const onnx::AttributeProto& proto,
                                                  const OnnxImportOptions& options) {
  const auto too_long = [&](int size) { return size > options.attribute_elements_max; };
  if (too_long(proto.ints_size()) || too_long(proto.floats_size()) ||
      too_long(proto.strings_size())) {
    return absl::InvalidArgumentError(StrCat("attribute '", proto.name(), "' has more than ",
                                             options.attribute_elements_max, " elements"));
  }
  switch (proto.type()) {
    case onnx::AttributeProto::INT:
      return Attribute(int64_t{proto.i()});
    case onnx::AttributeProto::FLOAT:
      return Attribute(proto.f());
    case onnx::AttributeProto::STRING:
      return Attribute(proto.s());
    case onnx::AttributeProto::INTS:
      return Attribute(std::vector<int64_t>(proto.ints().begin(), proto.ints().end()));
    case onnx::AttributeProto::FLOATS:
      return Attribute(std::vector<float>(proto.floats().begin(), proto.floats().end()));
    case onnx::AttributeProto::STRINGS:
      return Attribute(std::vector<std::string>(proto.strings().begin(), proto.strings().end()));
    default:
      return absl::UnimplementedError(StrCat("attribute '", proto.name(), "' has the kind ",
                                             onnx::AttributeProto::AttributeType_Name(proto.type()),
                                             ", which is not supported"));
  }
}

}  // namespace paramd
