#include "server/paramctl/proto_json.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <string>

namespace paramd {

absl::Status PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return absl::InternalError("the answer cannot be written as JSON");
  }
  std::puts(json.c_str());
  return absl::OkStatus();
}

}  // namespace paramd
