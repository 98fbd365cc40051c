#include "server/rpc/kserve/infer_codec.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/log/check.h"
#include "absl/strings/numbers.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/rpc/kserve/infer_fields.h"
#include "server/rpc/kserve/infer_parameters.h"
#include "server/rpc/kserve/infer_types.h"
#include "server/rpc/wire_fields.h"

namespace paramd {
namespace {

struct ContentsField {
  TypedField field;
  std::string_view name;
};
// By the number in InferTensorContents.
constexpr std::array<ContentsField, 9> kContentsFields = {
    {{TypedField::kNone, ""},
     {TypedField::kBools, "bool_contents"},
     {TypedField::kI32, "int_contents"},
     {TypedField::kI64, "int64_contents"},
     {TypedField::kU32, "uint_contents"},
     {TypedField::kU64, "uint64_contents"},
     {TypedField::kF32, "fp32_contents"},
     {TypedField::kF64, "fp64_contents"},
     {TypedField::kStrings, "bytes_contents"}}};

// Where elements of the type may be; nothing: they travel raw only.
std::string_view ContentsNameOf(DType dtype) {
  if (dtype == DType::kF16 || dtype == DType::kBF16) return "";
  for (const ContentsField& contents : kContentsFields) {
    if (contents.field == TypedFieldOf(dtype)) return contents.name;
  }
  return "";
}

std::string Quoted(std::string_view name) { return StrCat("'", name, "'"); }

absl::Status Within(std::string_view where, std::string_view name, const absl::Status& status) {
  return absl::InvalidArgumentError(
      StrCat(where, " ", Quoted(name), ": ", FromAbsl(status.message())));
}

// Of inputs and outputs alike. False: it is none of these.
absl::StatusOr<bool> TakeRegionParameter(const InferParameter& parameter, RegionRange* place) {
  if (parameter.name == "shared_memory_region") {
    PARAMD_ASSIGN_OR_RETURN(place->region, AsText(parameter));
    if (place->region.empty()) {
      return absl::InvalidArgumentError("parameter 'shared_memory_region' is empty");
    }
  } else if (parameter.name == "shared_memory_byte_size") {
    PARAMD_ASSIGN_OR_RETURN(place->bytes, AsCount(parameter));
  } else if (parameter.name == "shared_memory_offset") {
    PARAMD_ASSIGN_OR_RETURN(place->offset, AsCount(parameter));
  } else {
    return false;
  }
  return true;
}

absl::Status ReadContents(WireReader contents, WireTensor* tensor) {
  tensor->message = contents;
  tensor->signed_form = SignedForm::kPlain;
  while (!contents.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, contents.ReadTag());
    if (tag.field >= kContentsFields.size()) {
      PARAMD_RETURN_IF_ERROR(contents.Skip(tag.type));
      continue;
    }
    const ContentsField& known = kContentsFields[tag.field];
    PARAMD_RETURN_IF_ERROR(AddTyped(known.field, known.name, tag, &contents, tensor));
  }
  return absl::OkStatus();
}

absl::Status ReadInputField(WireTag tag, const CodecLimits& limits, WireReader* reader,
                            WireTensor* tensor, RegionRange* place) {
  switch (tag.field) {
    case InferInputField::kName: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "name"));
      PARAMD_ASSIGN_OR_RETURN(tensor->name, reader->ReadString(limits.name_bytes_max));
      return absl::OkStatus();
    }
    case InferInputField::kDatatype: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "datatype"));
      PARAMD_ASSIGN_OR_RETURN(const std::string name, reader->ReadString(limits.name_bytes_max));
      const std::optional<DType> dtype = DTypeFromInferName(name);
      if (!dtype.has_value()) {
        return absl::InvalidArgumentError(
            StrCat("datatype ", Quoted(std::string_view(name).substr(0, 64)),
                   " is not one of the protocol's, such as FP32, INT64 or BYTES"));
      }
      tensor->dtype = *dtype;
      return absl::OkStatus();
    }
    case InferInputField::kShape:
      return ReadShape(tag, reader, &tensor->shape);
    case InferInputField::kParameters: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "parameters"));
      PARAMD_ASSIGN_OR_RETURN(const WireReader entry, reader->ReadBytes());
      PARAMD_ASSIGN_OR_RETURN(const InferParameter parameter,
                              ReadInferParameter(entry, limits.name_bytes_max));
      return TakeRegionParameter(parameter, place).status();
    }
    case InferInputField::kContents: {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "contents"));
      if (tensor->typed != TypedField::kNone) {
        return absl::InvalidArgumentError("the contents field comes twice");
      }
      PARAMD_ASSIGN_OR_RETURN(const WireReader contents, reader->ReadBytes());
      return ReadContents(contents, tensor);
    }
    default:
      return reader->Skip(tag.type);
  }
}

absl::Status CheckInput(const WireTensor& tensor, const RegionRange& place) {
  if (tensor.dtype == DType::kUndefined) {
    return absl::InvalidArgumentError("the datatype is missing");
  }
  if (!place.used()) {
    if (place.bytes != 0 || place.offset != 0) {
      return absl::InvalidArgumentError(
          "parameters of shared memory without 'shared_memory_region'");
    }
  } else if (tensor.typed != TypedField::kNone) {
    return absl::InvalidArgumentError(
        "the contents field must not be specified for an input in shared memory");
  }
  if (tensor.typed == TypedField::kNone) return absl::OkStatus();
  const std::string_view expected = ContentsNameOf(tensor.dtype);
  if (tensor.typed_name == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      "the values of datatype ", InferTypeName(tensor.dtype), " are in '", tensor.typed_name, "', ",
      expected.empty() ? std::string("expected in raw_input_contents: they have no typed field")
                       : StrCat("expected in '", expected, "'")));
}

absl::Status ReadInput(WireReader message, const CodecLimits& limits, InferRequest* request) {
  WireTensor tensor;
  RegionRange place;
  absl::Status status;
  while (status.ok() && !message.done()) {
    const absl::StatusOr<WireTag> tag = message.ReadTag();
    status = tag.ok() ? ReadInputField(*tag, limits, &message, &tensor, &place) : tag.status();
  }
  if (status.ok()) status = CheckInput(tensor, place);
  if (!status.ok()) return Within("input", tensor.name, status);
  request->call.inputs.push_back(std::move(tensor));
  request->input_places.push_back(std::move(place));
  return absl::OkStatus();
}

absl::Status TakeOutputParameter(const InferParameter& parameter, OutputWish* wish) {
  PARAMD_ASSIGN_OR_RETURN(const bool taken, TakeRegionParameter(parameter, &wish->place));
  if (taken || parameter.name != "classification") return absl::OkStatus();
  PARAMD_ASSIGN_OR_RETURN(const uint64_t count, AsCount(parameter));
  wish->top_values =
      static_cast<int64_t>(std::min<uint64_t>(count, std::numeric_limits<int32_t>::max()));
  return absl::OkStatus();
}

absl::Status ReadOutputField(WireTag tag, const CodecLimits& limits, WireReader* reader,
                             std::string* name, OutputWish* wish) {
  if (tag.field == InferRequestedOutputField::kName) {
    PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "name"));
    PARAMD_ASSIGN_OR_RETURN(*name, reader->ReadString(limits.name_bytes_max));
    return absl::OkStatus();
  }
  if (tag.field != InferRequestedOutputField::kParameters) return reader->Skip(tag.type);
  PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "parameters"));
  PARAMD_ASSIGN_OR_RETURN(const WireReader entry, reader->ReadBytes());
  PARAMD_ASSIGN_OR_RETURN(const InferParameter parameter,
                          ReadInferParameter(entry, limits.name_bytes_max));
  return TakeOutputParameter(parameter, wish);
}

absl::Status ReadOutput(WireReader message, const CodecLimits& limits, InferRequest* request) {
  std::string name;
  OutputWish wish;
  absl::Status status;
  while (status.ok() && !message.done()) {
    const absl::StatusOr<WireTag> tag = message.ReadTag();
    status = tag.ok() ? ReadOutputField(*tag, limits, &message, &name, &wish) : tag.status();
  }
  if (status.ok() && !wish.place.used() && (wish.place.bytes != 0 || wish.place.offset != 0)) {
    status =
        absl::InvalidArgumentError("parameters of shared memory without 'shared_memory_region'");
  }
  if (status.ok() && wish.place.used() && wish.top_values > 0) {
    status = absl::InvalidArgumentError("'classification' cannot be put into shared memory");
  }
  if (!status.ok()) return Within("output", name, status);
  request->call.outputs.push_back(std::move(name));
  request->output_wishes.push_back(std::move(wish));
  return absl::OkStatus();
}

absl::Status TakeParameter(const InferParameter& parameter, InferRequest* request) {
  if (parameter.name == "priority") {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t priority, AsCount(parameter));
    // Beyond any level there is, the least urgent is meant.
    request->call.priority =
        static_cast<uint32_t>(std::min<uint64_t>(priority, std::numeric_limits<uint32_t>::max()));
  } else if (parameter.name == "timeout") {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t timeout_us, AsCount(parameter));
    request->call.timeout_us =
        static_cast<int64_t>(std::min<uint64_t>(timeout_us, std::numeric_limits<int64_t>::max()));
  } else if (parameter.name == "label") {
    PARAMD_ASSIGN_OR_RETURN(request->call.label, AsText(parameter));
  } else if (parameter.name == "sequence_id") {
    // A number or a text; 0 and "" mean none.
    if (std::holds_alternative<std::string>(parameter.value)) {
      PARAMD_ASSIGN_OR_RETURN(request->sequence.id, AsText(parameter));
    } else {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t id, AsCount(parameter));
      request->sequence.id = id == 0 ? "" : StrCat(id);
    }
  } else if (parameter.name == "sequence_start") {
    PARAMD_ASSIGN_OR_RETURN(request->sequence.start, AsBool(parameter));
  } else if (parameter.name == "sequence_end") {
    PARAMD_ASSIGN_OR_RETURN(request->sequence.end, AsBool(parameter));
  }
  return absl::OkStatus();
}

absl::Status ReadVersion(const std::string& text, WireRequest* call) {
  call->version.reset();
  if (text.empty()) return absl::OkStatus();
  int64_t number = 0;
  if (text.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(text, &number) || number < 1) {
    return absl::InvalidArgumentError(StrCat("model_version ",
                                             Quoted(std::string_view(text).substr(0, 64)),
                                             " is no version: expected a whole number from 1"));
  }
  call->version = number;
  return absl::OkStatus();
}

absl::Status ReadRequestField(WireTag tag, const CodecLimits& limits, WireReader* reader,
                              InferRequest* request, std::vector<WireReader>* raw) {
  constexpr std::string_view kNames[] = {"",        "model_name",        "model_version",
                                         "id",      "parameters",        "inputs",
                                         "outputs", "raw_input_contents"};
  if (tag.field >= std::size(kNames)) return reader->Skip(tag.type);
  PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, kNames[tag.field]));
  switch (tag.field) {
    case InferRequestField::kModelName: {
      PARAMD_ASSIGN_OR_RETURN(request->call.model, reader->ReadString(limits.name_bytes_max));
      return absl::OkStatus();
    }
    case InferRequestField::kModelVersion: {
      PARAMD_ASSIGN_OR_RETURN(const std::string text, reader->ReadString(limits.name_bytes_max));
      return ReadVersion(text, &request->call);
    }
    case InferRequestField::kId: {
      PARAMD_ASSIGN_OR_RETURN(request->call.request_id, reader->ReadString(limits.name_bytes_max));
      return absl::OkStatus();
    }
    default:
      break;
  }
  PARAMD_ASSIGN_OR_RETURN(const WireReader content, reader->ReadBytes());
  const auto bounded = [](size_t count, int most, std::string_view what) {
    if (count < static_cast<size_t>(most)) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("more than ", most, " ", what));
  };
  switch (tag.field) {
    case InferRequestField::kParameters: {
      PARAMD_ASSIGN_OR_RETURN(const InferParameter parameter,
                              ReadInferParameter(content, limits.name_bytes_max));
      return TakeParameter(parameter, request);
    }
    case InferRequestField::kInputs:
      PARAMD_RETURN_IF_ERROR(bounded(request->call.inputs.size(), limits.inputs_max, "inputs"));
      return ReadInput(content, limits, request);
    case InferRequestField::kOutputs:
      PARAMD_RETURN_IF_ERROR(
          bounded(request->call.outputs.size(), limits.outputs_max, "outputs are asked for"));
      return ReadOutput(content, limits, request);
    default:
      PARAMD_RETURN_IF_ERROR(bounded(raw->size(), limits.inputs_max, "raw_input_contents"));
      raw->push_back(content);
      return absl::OkStatus();
  }
}

// The raw entries belong to the inputs that are not in shared memory, in their order.
absl::Status DealRaw(const std::vector<WireReader>& raw, InferRequest* request) {
  const std::string& model = request->call.model;
  size_t next = 0;
  for (size_t i = 0; i < request->call.inputs.size(); ++i) {
    WireTensor& input = request->call.inputs[i];
    if (request->input_places[i].used()) continue;
    if (raw.empty()) {
      // Nothing typed either: fine where the shape asks for nothing.
      const absl::StatusOr<int64_t> elements = CheckedElements(input.shape.dims());
      if (input.typed == TypedField::kNone && elements.value_or(1) != 0) {
        return absl::InvalidArgumentError(StrCat("unable to find data for input tensor ",
                                                 Quoted(input.name), " for model ", Quoted(model),
                                                 " in request."));
      }
      continue;
    }
    if (input.typed != TypedField::kNone) {
      return absl::InvalidArgumentError(
          StrCat("contents field must not be specified when using raw_input_contents for ",
                 Quoted(input.name), " for model ", Quoted(model)));
    }
    if (next == raw.size()) {
      return absl::InvalidArgumentError(StrCat("unable to find data for input tensor ",
                                               Quoted(input.name), " for model ", Quoted(model),
                                               " in request."));
    }
    input.raw = raw[next].Fragments();
    input.raw_bytes = raw[next].left();
    ++next;
  }
  if (next == raw.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("expected ", next, " raw_input_contents for model ",
                                           Quoted(model), ", one for each ",
                                           "input that is not in shared memory, got ", raw.size()));
}

}  // namespace

absl::StatusOr<InferRequest> DecodeInferRequest(absl::Span<const Fragment> message,
                                                const CodecLimits& limits) {
  InferRequest request;
  std::vector<WireReader> raw;
  WireReader reader(message);
  while (!reader.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, reader.ReadTag());
    PARAMD_RETURN_IF_ERROR(ReadRequestField(tag, limits, &reader, &request, &raw));
  }
  if (request.call.model.empty()) {
    return absl::InvalidArgumentError("the request names no model");
  }
  if (request.call.version.has_value() && !request.call.label.empty()) {
    return absl::InvalidArgumentError(StrCat("both model_version ", *request.call.version,
                                             " and the parameter 'label' ",
                                             Quoted(request.call.label), ": use one of them"));
  }
  PARAMD_RETURN_IF_ERROR(DealRaw(raw, &request));
  return request;
}

}  // namespace paramd
