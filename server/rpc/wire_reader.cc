#include "server/rpc/wire_reader.h"

#include <algorithm>
#include <cstring>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

absl::Status Truncated() {
  return absl::InvalidArgumentError("the message ends in the middle of a field");
}

}  // namespace

WireReader::WireReader(absl::Span<const Fragment> fragments) : fragments_(fragments) {
  for (Fragment fragment : fragments) left_ += fragment.size();
  Advance(0);
}

// Moves on, past empty fragments too, so that the next byte (if any) is at
// fragments_[0][offset_].
void WireReader::Advance(uint64_t bytes) {
  left_ -= bytes;
  uint64_t position = offset_ + bytes;
  while (!fragments_.empty() && position >= fragments_[0].size()) {
    position -= fragments_[0].size();
    fragments_.remove_prefix(1);
  }
  offset_ = static_cast<size_t>(position);
}

absl::Status WireReader::ReadExactly(void* target, uint64_t bytes) {
  if (bytes > left_) return Truncated();
  auto* out = static_cast<std::byte*>(target);
  while (bytes > 0) {
    const uint64_t here = std::min<uint64_t>(bytes, fragments_[0].size() - offset_);
    std::memcpy(out, fragments_[0].data() + offset_, here);
    out += here;
    bytes -= here;
    Advance(here);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> WireReader::ReadVarint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (left_ == 0) return Truncated();
    const auto byte = static_cast<uint64_t>(fragments_[0][offset_]);
    Advance(1);
    // The tenth byte has room for one bit.
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return absl::InvalidArgumentError("a number in the message is longer than 64 bits");
}

absl::StatusOr<WireTag> WireReader::ReadTag() {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t tag, ReadVarint());
  const uint64_t field = tag >> 3;
  const uint64_t type = tag & 7;
  if (field == 0 || field >= (uint64_t{1} << 29) || type > 5) {
    return absl::InvalidArgumentError(
        StrCat("the message has an invalid field tag ", tag, "; is it a Protobuf message?"));
  }
  return WireTag{static_cast<uint32_t>(field), static_cast<WireType>(type)};
}

absl::StatusOr<uint32_t> WireReader::ReadFixed32() {
  uint32_t value = 0;
  PARAMD_RETURN_IF_ERROR(ReadExactly(&value, sizeof(value)));
  return value;
}

absl::StatusOr<uint64_t> WireReader::ReadFixed64() {
  uint64_t value = 0;
  PARAMD_RETURN_IF_ERROR(ReadExactly(&value, sizeof(value)));
  return value;
}

absl::StatusOr<WireReader> WireReader::ReadBytes() {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t length, ReadVarint());
  if (length > left_) {
    return absl::InvalidArgumentError(
        StrCat("a field of the message claims ", length, " bytes where ", left_, " are left"));
  }
  WireReader content;
  content.fragments_ = fragments_;
  content.offset_ = offset_;
  content.left_ = length;
  Advance(length);
  return content;
}

absl::StatusOr<std::string> WireReader::ReadString(uint64_t bytes_max) {
  PARAMD_ASSIGN_OR_RETURN(const WireReader content, ReadBytes());
  if (content.left() > bytes_max) {
    return absl::InvalidArgumentError(StrCat("a text in the message has ", content.left(),
                                             " bytes, at most ", bytes_max, " are allowed"));
  }
  std::string text(content.left(), '\0');
  content.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size()));
  return text;
}

absl::Status WireReader::Skip(WireType type) {
  switch (type) {
    case WireType::kVarint:
      return ReadVarint().status();
    case WireType::kFixed64:
      return ReadFixed64().status();
    case WireType::kFixed32:
      return ReadFixed32().status();
    case WireType::kBytes:
      return ReadBytes().status();
    case WireType::kGroupStart:
    case WireType::kGroupEnd:
      break;
  }
  return absl::InvalidArgumentError(
      "the message has a Protobuf group, which proto3 does not allow");
}

std::vector<Fragment> WireReader::Fragments() const {
  std::vector<Fragment> pieces;
  uint64_t left = left_;
  size_t offset = offset_;
  for (Fragment fragment : fragments_) {
    if (left == 0) break;
    const uint64_t here = std::min<uint64_t>(left, fragment.size() - offset);
    if (here > 0) pieces.push_back(fragment.subspan(offset, here));
    left -= here;
    offset = 0;
  }
  return pieces;
}

void WireReader::CopyTo(absl::Span<std::byte> target) const {
  CHECK_EQ(target.size(), left_);
  std::byte* out = target.data();
  for (Fragment piece : Fragments()) {
    std::memcpy(out, piece.data(), piece.size());
    out += piece.size();
  }
}

}  // namespace paramd
