#include "server/rpc/status_mapping.h"

#include <string>

namespace paramd {
namespace {

// Status messages travel in a trailer; clients limit headers to 8 KiB by default.
constexpr size_t kMessageBytesMax = 4096;

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl::StatusCode and grpc::StatusCode are the same canonical numbers.
  const auto code = static_cast<grpc::StatusCode>(static_cast<int>(status.code()));
  if (status.code() == absl::StatusCode::kUnknown) {
    return {grpc::StatusCode::INTERNAL, "internal error; the server's log has the details"};
  }
  std::string message(status.message());
  if (message.size() > kMessageBytesMax) {
    message.resize(kMessageBytesMax - 3);
    message += "...";
  }
  return {code, message};
}

std::string WithoutRoot(std::string text, std::string_view root) {
  if (root.empty()) return text;
  for (size_t at = text.find(root); at != std::string::npos; at = text.find(root, at)) {
    size_t bytes = root.size();
    while (at + bytes < text.size() && text[at + bytes] == '/') ++bytes;
    text.erase(at, bytes);
  }
  return text;
}

}  // namespace paramd
