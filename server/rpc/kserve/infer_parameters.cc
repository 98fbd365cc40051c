#include "server/rpc/kserve/infer_parameters.h"

#include <bit>
#include <string_view>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/rpc/kserve/infer_fields.h"
#include "server/rpc/wire_fields.h"

namespace paramd {
namespace {

absl::StatusOr<InferParameterValue> ReadValue(WireReader message, uint64_t text_bytes_max) {
  InferParameterValue value;
  while (!message.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, message.ReadTag());
    switch (tag.field) {
      case InferParameterField::kBool: {
        PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kVarint, "bool_param"));
        PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, message.ReadVarint());
        value = bits != 0;
        break;
      }
      case InferParameterField::kInt64: {
        PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kVarint, "int64_param"));
        PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, message.ReadVarint());
        value = static_cast<int64_t>(bits);
        break;
      }
      case InferParameterField::kString: {
        PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "string_param"));
        PARAMD_ASSIGN_OR_RETURN(WireReader text, message.ReadBytes());
        std::string kept;
        // What is too long for any parameter of ours is of no interest.
        if (text.left() <= text_bytes_max) {
          kept.resize(text.left());
          text.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(kept.data()), kept.size()));
          value = std::move(kept);
        } else {
          value = std::monostate();
        }
        break;
      }
      case InferParameterField::kDouble: {
        PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kFixed64, "double_param"));
        PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, message.ReadFixed64());
        value = std::bit_cast<double>(bits);
        break;
      }
      case InferParameterField::kUint64: {
        PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kVarint, "uint64_param"));
        PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, message.ReadVarint());
        value = bits;
        break;
      }
      default:
        PARAMD_RETURN_IF_ERROR(message.Skip(tag.type));
    }
  }
  return value;
}

std::string_view ChoiceName(const InferParameterValue& value) {
  constexpr std::string_view kNames[] = {"no value or one that is too long",
                                         "a bool_param",
                                         "an int64_param",
                                         "a string_param",
                                         "a double_param",
                                         "a uint64_param"};
  return kNames[value.index()];
}

absl::Status WrongChoice(const InferParameter& parameter, std::string_view expected) {
  return absl::InvalidArgumentError(StrCat("parameter '", parameter.name, "' has ",
                                           ChoiceName(parameter.value), ", expected ", expected));
}

}  // namespace

absl::StatusOr<InferParameter> ReadInferParameter(WireReader entry, uint64_t text_bytes_max) {
  InferParameter parameter;
  while (!entry.done()) {
    PARAMD_ASSIGN_OR_RETURN(const WireTag tag, entry.ReadTag());
    if (tag.field == MapEntryField::kKey) {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "key of a parameter"));
      PARAMD_ASSIGN_OR_RETURN(parameter.name, entry.ReadString(text_bytes_max));
    } else if (tag.field == MapEntryField::kValue) {
      PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "value of a parameter"));
      PARAMD_ASSIGN_OR_RETURN(const WireReader value, entry.ReadBytes());
      PARAMD_ASSIGN_OR_RETURN(parameter.value, ReadValue(value, text_bytes_max));
    } else {
      PARAMD_RETURN_IF_ERROR(entry.Skip(tag.type));
    }
  }
  return parameter;
}

absl::StatusOr<bool> AsBool(const InferParameter& parameter) {
  if (const bool* value = std::get_if<bool>(&parameter.value)) return *value;
  return WrongChoice(parameter, "a bool_param");
}

absl::StatusOr<std::string> AsText(const InferParameter& parameter) {
  if (const auto* value = std::get_if<std::string>(&parameter.value)) return *value;
  return WrongChoice(parameter, "a string_param");
}

absl::StatusOr<uint64_t> AsCount(const InferParameter& parameter) {
  if (const auto* value = std::get_if<uint64_t>(&parameter.value)) return *value;
  const auto* value = std::get_if<int64_t>(&parameter.value);
  if (value == nullptr) return WrongChoice(parameter, "an int64_param");
  if (*value < 0) {
    return absl::InvalidArgumentError(
        StrCat("parameter '", parameter.name, "' is ", *value, ", expected 0 or more"));
  }
  return static_cast<uint64_t>(*value);
}

}  // namespace paramd
