// FragmentedMessage: serialised bytes as a request's message arrives from gRPC: in
// fragments, here of `piece` bytes each (the last may be shorter).
//
// The bytes lie on the heap and end where the message ends, so that a sanitizer
// sees a reader that goes on. Life: the fragments point into it.
// Thread-safety: const once made.
#ifndef PARAMD_TESTS_SUPPORT_FRAGMENTED_MESSAGE_H_
#define PARAMD_TESTS_SUPPORT_FRAGMENTED_MESSAGE_H_

#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "server/rpc/wire_reader.h"

namespace paramd {

class FragmentedMessage {
 public:
  explicit FragmentedMessage(std::string_view bytes, size_t piece = 1 << 20)
      : bytes_(bytes.size()) {
    if (!bytes.empty()) std::memcpy(bytes_.data(), bytes.data(), bytes.size());
    for (size_t at = 0; at < bytes_.size(); at += piece) {
      fragments_.push_back(Fragment(bytes_).subspan(at, piece));
    }
  }
  absl::Span<const Fragment> fragments() const { return fragments_; }
  const std::byte* begin() const { return bytes_.data(); }
  const std::byte* end() const { return bytes_.data() + bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
  std::vector<Fragment> fragments_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FRAGMENTED_MESSAGE_H_
