#include "server/rpc/tensor_codec.h"

#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/rpc/wire_fields.h"
#include "server/rpc/wire_writer.h"

namespace paramd {
namespace {

// Fields of paramd.v1.Tensor and PredictRequest (proto/paramd/v1/predict.proto).
enum TensorField : uint32_t { kName = 1, kDtype = 2, kShape = 3, kRaw = 4 };
enum RequestField : uint32_t {
  kModel = 1,
  kVersion = 2,
  kLabel = 3,
  kRequestId = 4,
  kOutputs = 5,
  kPriority = 6,
  kTimeoutUs = 7,
  kTypedOutputs = 8,
  kInputs = 15,
};
// Of PredictResponse.
enum ResponseField : uint32_t {
  kAnswerModel = 1,
  kAnswerVersion = 2,
  kAnswerGeneration = 3,
  kAnswerWeightsId = 4,
  kAnswerRequestId = 5,
  kAnswerOutputs = 15,
};

absl::Status ReadDtype(WireReader* reader, DType* dtype) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t number, reader->ReadVarint());
  if (number == 0) {
    *dtype = DType::kUndefined;
    return absl::OkStatus();
  }
  const auto known = number <= 255 ? DTypeFromOnnx(static_cast<int32_t>(number)) : std::nullopt;
  if (!known.has_value()) {
    return absl::InvalidArgumentError(StrCat("dtype ", number, " is not a known data type"));
  }
  *dtype = *known;
  return absl::OkStatus();
}

absl::Status ReadTensorField(WireTag tag, const CodecLimits& limits, WireReader* reader,
                             WireTensor* tensor) {
  switch (tag.field) {
    case kName: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "name"));
      PARAMD_ASSIGN_OR_RETURN(tensor->name, reader->ReadString(limits.name_bytes_max));
      return absl::OkStatus();
    }
    case kDtype:
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kVarint, "dtype"));
      return ReadDtype(reader, &tensor->dtype);
    case kShape:
      return ReadShape(tag, reader, &tensor->shape);
    case kRaw: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "raw"));
      PARAMD_ASSIGN_OR_RETURN(const WireReader content, reader->ReadBytes());
      tensor->raw = content.Fragments();
      tensor->raw_bytes = content.left();
      return absl::OkStatus();
    }
    default:
      break;
  }
  if (tag.field >= static_cast<uint32_t>(TypedField::kF32) &&
      tag.field <= static_cast<uint32_t>(TypedField::kStrings)) {
    const auto field = static_cast<TypedField>(tag.field);
    return AddTyped(field, TypedFieldName(field), tag, reader, tensor);
  }
  return reader->Skip(tag.type);
}

absl::StatusOr<WireTensor> DecodeTensor(WireReader message, const CodecLimits& limits) {
  WireTensor tensor{.message = message};
  WireReader reader = message;
  while (!reader.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, reader.ReadTag());
    const absl::Status read = ReadTensorField(tag, limits, &reader, &tensor);
    if (!read.ok()) {
      return absl::InvalidArgumentError(
          StrCat("input '", tensor.name, "': ", FromAbsl(read.message())));
    }
  }
  if (tensor.raw_bytes > 0 && tensor.typed != TypedField::kNone) {
    return absl::InvalidArgumentError(StrCat("input '", tensor.name,
                                             "' has values in both 'raw' and '",
                                             TypedFieldName(tensor.typed), "': use one of them"));
  }
  return tensor;
}

absl::Status ReadRequestField(WireTag tag, const CodecLimits& limits, WireReader* reader,
                              WireRequest* request) {
  const auto text = [&](std::string_view what, uint64_t bytes_max,
                        std::string* target) -> absl::Status {
    PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, what));
    PARAMD_ASSIGN_OR_RETURN(*target, reader->ReadString(bytes_max));
    return absl::OkStatus();
  };
  const auto number = [&](std::string_view what) -> absl::StatusOr<uint64_t> {
    PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kVarint, what));
    return reader->ReadVarint();
  };
  switch (tag.field) {
    case kModel:
      return text("model", limits.name_bytes_max, &request->model);
    case kVersion: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, number("version"));
      request->version = static_cast<int64_t>(bits);
      request->label.clear();  // A oneof: the last one counts.
      return absl::OkStatus();
    }
    case kLabel:
      request->version.reset();
      return text("label", limits.name_bytes_max, &request->label);
    case kRequestId:
      return text("request_id", limits.request_id_bytes_max, &request->request_id);
    case kOutputs: {
      if (request->outputs.size() >= static_cast<size_t>(limits.outputs_max)) {
        return absl::InvalidArgumentError(
            StrCat("more than ", limits.outputs_max, " outputs are asked for"));
      }
      std::string name;
      PARAMD_RETURN_IF_ERROR(text("outputs", limits.name_bytes_max, &name));
      request->outputs.push_back(std::move(name));
      return absl::OkStatus();
    }
    case kPriority: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, number("priority"));
      request->priority = static_cast<uint32_t>(bits);
      return absl::OkStatus();
    }
    case kTimeoutUs: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, number("timeout_us"));
      request->timeout_us = static_cast<int64_t>(bits);
      if (request->timeout_us < 0) {
        return absl::InvalidArgumentError(
            StrCat("timeout_us is ", request->timeout_us, ", expected 0 (none) or more"));
      }
      return absl::OkStatus();
    }
    case kTypedOutputs: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, number("typed_outputs"));
      request->typed_outputs = bits != 0;
      return absl::OkStatus();
    }
    case kInputs: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "inputs"));
      if (request->inputs.size() >= static_cast<size_t>(limits.inputs_max)) {
        return absl::InvalidArgumentError(StrCat("more than ", limits.inputs_max, " inputs"));
      }
      PARAMD_ASSIGN_OR_RETURN(const WireReader content, reader->ReadBytes());
      PARAMD_ASSIGN_OR_RETURN(WireTensor tensor, DecodeTensor(content, limits));
      request->inputs.push_back(std::move(tensor));
      return absl::OkStatus();
    }
    default:
      return reader->Skip(tag.type);
  }
}

DType TypeOf(const WireTensor& tensor, DType declared) {
  if (tensor.dtype != DType::kUndefined) return tensor.dtype;
  return declared != DType::kUndefined ? declared : NaturalType(tensor.typed);
}

// Numbers on the wire for a tensor of `elements`.
uint64_t WireCount(DType dtype, int64_t elements) {
  const bool pairs = dtype == DType::kC64 || dtype == DType::kC128;
  return static_cast<uint64_t>(elements) * (pairs ? 2 : 1);
}

absl::Status CountError(const WireTensor& tensor, uint64_t count, uint64_t expected,
                        std::string_view what) {
  return absl::InvalidArgumentError(StrCat("input '", tensor.name, "' has ", count, " ", what,
                                           ", its shape ", tensor.shape.ToString(), " asks for ",
                                           expected));
}

// Strings in `raw`: each a 32-bit little-endian length and that many bytes.
absl::Status ReadRawStrings(const WireTensor& tensor, const MutableTensorView& target) {
  WireReader reader(tensor.raw);
  const auto elements = static_cast<uint64_t>(target.shape.elements());
  for (uint64_t i = 0; i < elements; ++i) {
    const absl::StatusOr<uint32_t> length = reader.ReadFixed32();
    if (!length.ok() || *length > reader.left()) {
      return absl::InvalidArgumentError(StrCat("input '", tensor.name, "': raw strings end in the ",
                                               "middle of element ", i, " of ", elements));
    }
    std::string& text = static_cast<std::string*>(target.data)[i];
    text.resize(*length);
    PARAMD_RETURN_IF_ERROR(
        reader.ReadInto(absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size())));
  }
  if (!reader.done()) {
    return absl::InvalidArgumentError(
        StrCat("input '", tensor.name, "' has ", reader.left(), " bytes after its last string"));
  }
  return absl::OkStatus();
}

absl::Status ReadTypedOccurrences(const WireTensor& tensor, const MutableTensorView& target) {
  WireReader reader = tensor.message;
  uint64_t next = 0;
  while (!reader.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, reader.ReadTag());
    if (tag.field == tensor.typed_number) {
      PARAMD_RETURN_IF_ERROR(
          ReadTyped(tensor.typed, tensor.signed_form, tag.type, &reader, target, &next));
    } else {
      PARAMD_RETURN_IF_ERROR(reader.Skip(tag.type));
    }
  }
  CHECK_EQ(next, tensor.typed_count);  // The same bytes were counted before.
  return absl::OkStatus();
}

struct OutputSizes {
  uint64_t shape = 0;    // Content of the packed shape.
  uint64_t values = 0;   // The field with the elements, tag included.
  uint64_t message = 0;  // The whole tensor.
};

OutputSizes MeasureOutput(const NamedOutput& output, bool typed) {
  OutputSizes sizes;
  for (int64_t dim : output.tensor.shape.dims()) {
    sizes.shape += VarintSize(static_cast<uint64_t>(dim));
  }
  // Strings have no dense form in memory: they always travel typed.
  if (typed || output.tensor.dtype == DType::kString) {
    sizes.values = TypedSize(output.tensor);
  } else if (const uint64_t bytes = output.tensor.bytes(); bytes > 0) {
    sizes.values = BytesFieldSize(bytes);
  }
  sizes.message = StringFieldSize(output.name) +
                  VarintFieldSize(static_cast<uint64_t>(output.tensor.dtype)) +
                  (sizes.shape == 0 ? 0 : BytesFieldSize(sizes.shape)) + sizes.values;
  return sizes;
}

std::byte* WriteOutput(const NamedOutput& output, const OutputSizes& sizes, bool typed,
                       std::byte* out) {
  out = WriteBytesHead(kAnswerOutputs, sizes.message, out);
  out = WriteStringField(kName, output.name, out);
  out = WriteVarintField(kDtype, static_cast<uint64_t>(output.tensor.dtype), out);
  if (sizes.shape > 0) {
    out = WriteBytesHead(kShape, sizes.shape, out);
    for (int64_t dim : output.tensor.shape.dims()) {
      out = WriteVarint(static_cast<uint64_t>(dim), out);
    }
  }
  if (typed || output.tensor.dtype == DType::kString) return WriteTyped(output.tensor, out);
  const uint64_t bytes = output.tensor.bytes();
  if (bytes == 0) return out;
  return WriteRaw(output.tensor.data, bytes, WriteBytesHead(kRaw, bytes, out));
}

}  // namespace

absl::StatusOr<WireRequest> DecodePredictRequest(absl::Span<const Fragment> message,
                                                 const CodecLimits& limits) {
  WireRequest request;
  WireReader reader(message);
  while (!reader.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, reader.ReadTag());
    PARAMD_RETURN_IF_ERROR(ReadRequestField(tag, limits, &reader, &request));
  }
  if (request.model.empty()) {
    return absl::InvalidArgumentError("the request names no model");
  }
  return request;
}

absl::StatusOr<bool> CheckRaw(const WireTensor& tensor, DType declared) {
  const DType dtype = TypeOf(tensor, declared);
  if (tensor.typed != TypedField::kNone || dtype == DType::kString) return false;
  if (dtype == DType::kUndefined) {
    return absl::InvalidArgumentError(StrCat("input '", tensor.name, "' has no dtype"));
  }
  const absl::StatusOr<uint64_t> expected = CheckedBytes(dtype, tensor.shape.dims());
  if (!expected.ok()) {
    return absl::InvalidArgumentError(
        StrCat("input '", tensor.name, "': ", FromAbsl(expected.status().message())));
  }
  if (tensor.raw_bytes != *expected) {
    return CountError(tensor, tensor.raw_bytes, *expected,
                      StrCat("raw bytes of ", DTypeName(dtype)));
  }
  return true;
}

absl::Status AddTyped(TypedField field, std::string_view name, WireTag tag, WireReader* reader,
                      WireTensor* tensor) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t count, CountTyped(field, tag.type, reader));
  if (count == 0) return absl::OkStatus();
  if (tensor->typed != TypedField::kNone && tensor->typed != field) {
    return absl::InvalidArgumentError(StrCat("values in both '", tensor->typed_name, "' and '",
                                             name, "': a tensor has one typed field"));
  }
  tensor->typed = field;
  tensor->typed_name = name;
  tensor->typed_number = tag.field;
  tensor->typed_count += count;
  return absl::OkStatus();
}

absl::StatusOr<Tensor> DecodeTyped(const WireTensor& tensor, DType declared,
                                   const CodecLimits& limits) {
  const DType dtype = TypeOf(tensor, declared);
  if (tensor.typed != TypedField::kNone && TypedFieldOf(dtype) != tensor.typed) {
    return absl::InvalidArgumentError(StrCat(
        "input '", tensor.name, "' of type ", DTypeName(dtype), " has its values in field '",
        TypedFieldName(tensor.typed), "', expected '", TypedFieldName(TypedFieldOf(dtype)), "'"));
  }
  const absl::StatusOr<int64_t> elements = CheckedElements(tensor.shape.dims());
  if (!elements.ok()) {
    return absl::InvalidArgumentError(
        StrCat("input '", tensor.name, "': ", FromAbsl(elements.status().message())));
  }
  const bool raw_strings = tensor.typed == TypedField::kNone;
  // Counted before anything is allocated: a shape alone must not cost memory.
  if (raw_strings) {
    if (static_cast<uint64_t>(*elements) > tensor.raw_bytes / 4) {
      return CountError(tensor, tensor.raw_bytes, static_cast<uint64_t>(*elements) * 4,
                        "raw bytes of strings");
    }
  } else if (tensor.typed_count != WireCount(dtype, *elements)) {
    return CountError(tensor, tensor.typed_count, WireCount(dtype, *elements), "values");
  }
  const uint64_t element_bytes = dtype == DType::kString
                                     ? sizeof(std::string)
                                     : (static_cast<uint64_t>(DTypeBits(dtype)) + 7) / 8;
  if (static_cast<uint64_t>(*elements) > limits.typed_bytes_max / element_bytes) {
    return absl::InvalidArgumentError(
        StrCat("input '", tensor.name, "' has ", *elements, " typed values, at most ",
               limits.typed_bytes_max / element_bytes, " are allowed: send it raw"));
  }
  Tensor decoded(dtype, tensor.shape);
  const absl::Status read = raw_strings ? ReadRawStrings(tensor, decoded.view())
                                        : ReadTypedOccurrences(tensor, decoded.view());
  if (!read.ok()) {
    return absl::InvalidArgumentError(
        StrCat("input '", tensor.name, "': ", FromAbsl(read.message())));
  }
  return decoded;
}

void EncodePredictResponse(const PredictResponseHead& head, absl::Span<const NamedOutput> outputs,
                           absl::FunctionRef<std::byte*(uint64_t bytes)> allocate) {
  absl::InlinedVector<OutputSizes, 8> sizes;
  uint64_t total = StringFieldSize(head.model) +
                   VarintFieldSize(static_cast<uint64_t>(head.version)) +
                   VarintFieldSize(head.generation) + StringFieldSize(head.weights_id) +
                   StringFieldSize(head.request_id);
  for (const NamedOutput& output : outputs) {
    sizes.push_back(MeasureOutput(output, head.typed_outputs));
    total += BytesFieldSize(sizes.back().message);
  }
  std::byte* const start = allocate(total);
  std::byte* out = WriteStringField(kAnswerModel, head.model, start);
  out = WriteVarintField(kAnswerVersion, static_cast<uint64_t>(head.version), out);
  out = WriteVarintField(kAnswerGeneration, head.generation, out);
  out = WriteStringField(kAnswerWeightsId, head.weights_id, out);
  out = WriteStringField(kAnswerRequestId, head.request_id, out);
  for (size_t i = 0; i < outputs.size(); ++i) {
    out = WriteOutput(outputs[i], sizes[i], head.typed_outputs, out);
  }
  CHECK_EQ(out - start, static_cast<ptrdiff_t>(total));
}

}  // namespace paramd
