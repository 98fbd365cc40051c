// The answers of infer_codec.h.
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/log/check.h"
#include "runtime/base/strings.h"
#include "server/rpc/kserve/infer_codec.h"
#include "server/rpc/kserve/infer_fields.h"
#include "server/rpc/kserve/infer_types.h"
#include "server/rpc/wire_writer.h"

namespace paramd {
namespace {

// One entry of a map<string, InferParameter>, measured and then written. A member
// of a oneof is written whatever its value is.
class Parameter {
 public:
  static Parameter Bool(std::string_view name, bool value) {
    return Parameter(name, InferParameterField::kBool, value ? 1 : 0, {});
  }
  static Parameter Int64(std::string_view name, uint64_t value) {
    return Parameter(name, InferParameterField::kInt64, value, {});
  }
  static Parameter Text(std::string_view name, std::string_view text) {
    return Parameter(name, InferParameterField::kString, 0, text);
  }

  // With the tag and length of the entry.
  uint64_t size() const { return BytesFieldSize(entry_); }
  std::byte* Write(uint32_t field, std::byte* out) const {
    out = WriteBytesHead(field, entry_, out);
    out = WriteStringField(MapEntryField::kKey, name_, out);
    out = WriteBytesHead(MapEntryField::kValue, value_size_, out);
    if (choice_ != InferParameterField::kString)
      return WriteVarint(number_, WriteTag(choice_, WireType::kVarint, out));
    return WriteRaw(text_.data(), text_.size(), WriteBytesHead(choice_, text_.size(), out));
  }

 private:
  Parameter(std::string_view name, uint32_t choice, uint64_t number, std::string_view text)
      : name_(name),
        choice_(choice),
        number_(number),
        text_(text),
        value_size_(choice == InferParameterField::kString ? BytesFieldSize(text.size())
                                                           : 1 + VarintSize(number)),
        entry_(StringFieldSize(name) + BytesFieldSize(value_size_)) {}

  std::string_view name_;
  uint32_t choice_;
  uint64_t number_;
  std::string_view text_;
  uint64_t value_size_;
  uint64_t entry_;
};
using Parameters = absl::InlinedVector<Parameter, 3>;

uint64_t SizeOf(const Parameters& parameters) {
  uint64_t bytes = 0;
  for (const Parameter& parameter : parameters) bytes += parameter.size();
  return bytes;
}

Parameters ParametersOf(const InferOutput& output) {
  Parameters parameters;
  if (output.place == nullptr) return parameters;
  parameters.push_back(Parameter::Text("shared_memory_region", output.place->region));
  parameters.push_back(Parameter::Int64("shared_memory_byte_size", RawBytes(output.tensor)));
  if (output.place->offset != 0) {
    parameters.push_back(Parameter::Int64("shared_memory_offset", output.place->offset));
  }
  return parameters;
}

struct OutputSizes {
  uint64_t shape = 0;    // Content of the packed shape.
  uint64_t message = 0;  // The description of the tensor.
  uint64_t raw = 0;      // Content of its raw entry.
};

OutputSizes Measure(const InferOutput& output) {
  OutputSizes sizes;
  for (const int64_t dim : output.tensor.shape.dims()) {
    sizes.shape += VarintSize(static_cast<uint64_t>(dim));
  }
  sizes.message =
      StringFieldSize(output.name) + StringFieldSize(InferTypeName(output.tensor.dtype)) +
      (sizes.shape == 0 ? 0 : BytesFieldSize(sizes.shape)) + SizeOf(ParametersOf(output));
  sizes.raw = output.place == nullptr ? RawBytes(output.tensor) : 0;
  return sizes;
}

std::byte* Write(const InferOutput& output, const OutputSizes& sizes, std::byte* out) {
  out = WriteBytesHead(InferResponseField::kOutputs, sizes.message, out);
  out = WriteStringField(InferOutputField::kName, output.name, out);
  out = WriteStringField(InferOutputField::kDatatype, InferTypeName(output.tensor.dtype), out);
  if (sizes.shape > 0) {
    out = WriteBytesHead(InferOutputField::kShape, sizes.shape, out);
    for (const int64_t dim : output.tensor.shape.dims()) {
      out = WriteVarint(static_cast<uint64_t>(dim), out);
    }
  }
  for (const Parameter& parameter : ParametersOf(output)) {
    out = parameter.Write(InferOutputField::kParameters, out);
  }
  return out;
}

}  // namespace

uint64_t RawBytes(const TensorView& tensor) {
  if (tensor.dtype != DType::kString) return tensor.bytes();
  uint64_t bytes = 0;
  for (const std::string& text : tensor.as<std::string>()) bytes += 4 + text.size();
  return bytes;
}

std::byte* WriteRawTensor(const TensorView& tensor, std::byte* out) {
  if (tensor.dtype != DType::kString) return WriteRaw(tensor.data, tensor.bytes(), out);
  for (const std::string& text : tensor.as<std::string>()) {
    const auto length = static_cast<uint32_t>(text.size());
    out = WriteRaw(text.data(), text.size(), WriteRaw(&length, sizeof(length), out));
  }
  return out;
}

void EncodeInferResponse(const InferResponseHead& head, absl::Span<const InferOutput> outputs,
                         absl::FunctionRef<std::byte*(uint64_t bytes)> allocate) {
  const std::string version = StrCat(head.version);
  Parameters parameters = {Parameter::Int64("paramd_generation", head.generation),
                           Parameter::Text("paramd_weights_id", head.weights_id)};
  if (head.in_stream) parameters.push_back(Parameter::Bool("triton_final_response", true));
  absl::InlinedVector<OutputSizes, 8> sizes;
  uint64_t response = StringFieldSize(head.model) + StringFieldSize(version) +
                      StringFieldSize(head.request_id) + SizeOf(parameters);
  for (const InferOutput& output : outputs) {
    sizes.push_back(Measure(output));
    response += BytesFieldSize(sizes.back().message) + BytesFieldSize(sizes.back().raw);
  }
  const uint64_t total = head.in_stream ? BytesFieldSize(response) : response;
  std::byte* const start = allocate(total);
  std::byte* out = head.in_stream
                       ? WriteBytesHead(StreamInferResponseField::kInferResponse, response, start)
                       : start;
  out = WriteStringField(InferResponseField::kModelName, head.model, out);
  out = WriteStringField(InferResponseField::kModelVersion, version, out);
  out = WriteStringField(InferResponseField::kId, head.request_id, out);
  for (const Parameter& parameter : parameters)
    out = parameter.Write(InferResponseField::kParameters, out);
  for (size_t i = 0; i < outputs.size(); ++i) out = Write(outputs[i], sizes[i], out);
  for (size_t i = 0; i < outputs.size(); ++i) {
    out = WriteBytesHead(InferResponseField::kRawOutputs, sizes[i].raw, out);
    if (sizes[i].raw > 0) out = WriteRawTensor(outputs[i].tensor, out);
  }
  CHECK_EQ(out - start, static_cast<ptrdiff_t>(total));
}

void EncodeStreamError(std::string_view message, std::string_view model,
                       std::string_view request_id,
                       absl::FunctionRef<std::byte*(uint64_t bytes)> allocate) {
  const uint64_t response = StringFieldSize(model) + StringFieldSize(request_id);
  std::byte* out = allocate(StringFieldSize(message) + BytesFieldSize(response));
  out = WriteStringField(StreamInferResponseField::kErrorMessage, message, out);
  out = WriteBytesHead(StreamInferResponseField::kInferResponse, response, out);
  out = WriteStringField(InferResponseField::kModelName, model, out);
  WriteStringField(InferResponseField::kId, request_id, out);
}

}  // namespace paramd
