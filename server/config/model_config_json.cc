// Configurations that came as JSON (model_config.h).
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <string>

#include "absl/strings/escaping.h"
#include "proto/inference/model_config.pb.h"
#include "runtime/base/strings.h"
#include "server/config/model_config.h"

namespace paramd {

absl::StatusOr<std::string> ModelConfigFromJson(std::string_view json) {
  if (json.size() > static_cast<size_t>(kModelConfigBytesMax)) {
    return absl::InvalidArgumentError(StrCat("the configuration has ", json.size(),
                                             " bytes, allowed are ", kModelConfigBytesMax));
  }
  inference::ModelConfig message;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message);
  if (!parsed.ok()) {
    constexpr size_t kShownMax = 400;  // It quotes the text, which may hold anything.
    const std::string why = std::string(parsed.message()).substr(0, kShownMax);
    return absl::InvalidArgumentError(
        StrCat("the configuration is not JSON of a ModelConfig: ", absl::CHexEscape(why)));
  }
  std::string text;
  if (!google::protobuf::TextFormat::PrintToString(message, &text)) {
    return absl::InternalError("a configuration cannot be printed");
  }
  return text;
}

}  // namespace paramd
