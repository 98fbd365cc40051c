#include "runtime/base/byte_reader.h"

#include <bit>
#include <cstring>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

static_assert(std::endian::native == std::endian::little,
              "paramd's formats are read by copying little-endian numbers");

namespace {

absl::Status TooShort(uint64_t wanted, uint64_t position, uint64_t left) {
  return absl::OutOfRangeError(
      StrCat("needed ", wanted, " bytes at offset ", position, ", but only ", left, " are left"));
}

}  // namespace

template <typename T>
absl::StatusOr<T> ByteReader::ReadNumber() {
  if (remaining() < sizeof(T)) return TooShort(sizeof(T), position_, remaining());
  T value;
  std::memcpy(&value, bytes_.data() + position_, sizeof(T));
  position_ += sizeof(T);
  return value;
}

absl::StatusOr<uint8_t> ByteReader::ReadU8() { return ReadNumber<uint8_t>(); }
absl::StatusOr<uint16_t> ByteReader::ReadU16() { return ReadNumber<uint16_t>(); }
absl::StatusOr<uint32_t> ByteReader::ReadU32() { return ReadNumber<uint32_t>(); }
absl::StatusOr<uint64_t> ByteReader::ReadU64() { return ReadNumber<uint64_t>(); }
absl::StatusOr<int64_t> ByteReader::ReadI64() { return ReadNumber<int64_t>(); }

absl::StatusOr<absl::Span<const std::byte>> ByteReader::ReadBytes(uint64_t count) {
  if (count > remaining()) return TooShort(count, position_, remaining());
  const absl::Span<const std::byte> piece = bytes_.subspan(position_, count);
  position_ += count;
  return piece;
}

absl::StatusOr<std::string_view> ByteReader::ReadText(uint64_t count) {
  PARAMD_ASSIGN_OR_RETURN(const absl::Span<const std::byte> piece, ReadBytes(count));
  return AsText(piece);
}

absl::StatusOr<std::string_view> ByteReader::ReadText32() {
  const uint64_t start = position_;
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, ReadU32());
  absl::StatusOr<std::string_view> text = ReadText(count);
  if (!text.ok()) position_ = start;
  return text;
}

absl::StatusOr<std::string_view> ByteReader::ReadText64() {
  const uint64_t start = position_;
  PARAMD_ASSIGN_OR_RETURN(const uint64_t count, ReadU64());
  absl::StatusOr<std::string_view> text = ReadText(count);
  if (!text.ok()) position_ = start;
  return text;
}

absl::StatusOr<uint32_t> ByteReader::ReadCount32(uint64_t each_bytes_min) {
  const uint64_t start = position_;
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, ReadU32());
  if (each_bytes_min > 0 && count > remaining() / each_bytes_min) {
    const absl::Status status = absl::OutOfRangeError(
        StrCat("a count of ", count, " at offset ", start, " needs at least ", each_bytes_min,
               " bytes each, but only ", remaining(), " are left"));
    position_ = start;
    return status;
  }
  return count;
}

absl::Status ByteReader::Skip(uint64_t count) {
  if (count > remaining()) return TooShort(count, position_, remaining());
  position_ += count;
  return absl::OkStatus();
}

}  // namespace paramd
