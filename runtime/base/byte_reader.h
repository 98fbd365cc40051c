// ByteReader: the only way paramd looks into bytes that it did not make itself:
// file headers, manifests, messages. Every read is checked against what is
// left, and no sum that could wrap is ever formed.
//
// A failed read leaves the position where it was and returns OutOfRange with
// both numbers; callers turn it into the error of their format.
//
// Life: borrows the bytes. Thread-safety: a value; not synchronised.
#ifndef PARAMD_RUNTIME_BASE_BYTE_READER_H_
#define PARAMD_RUNTIME_BASE_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace paramd {

// True when [offset, offset + length) lies inside [0, total).
inline bool RangeIsInside(uint64_t offset, uint64_t length, uint64_t total) {
  return offset <= total && length <= total - offset;
}

// Nothing when the result does not fit 64 bits.
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}
inline std::optional<uint64_t> CheckedMultiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}
// `value` rounded up to a multiple of `step` (a power of two).
inline std::optional<uint64_t> CheckedRoundUp(uint64_t value, uint64_t step) {
  const std::optional<uint64_t> sum = CheckedAdd(value, step - 1);
  if (!sum.has_value()) return std::nullopt;
  return *sum & ~(step - 1);
}

inline absl::Span<const std::byte> AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(absl::Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ByteReader {
 public:
  explicit ByteReader(absl::Span<const std::byte> bytes) : bytes_(bytes) {}
  explicit ByteReader(std::string_view bytes) : bytes_(AsBytes(bytes)) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  bool done() const { return remaining() == 0; }

  // Little-endian numbers.
  absl::StatusOr<uint8_t> ReadU8();
  absl::StatusOr<uint16_t> ReadU16();
  absl::StatusOr<uint32_t> ReadU32();
  absl::StatusOr<uint64_t> ReadU64();
  absl::StatusOr<int64_t> ReadI64();

  // Views into the borrowed bytes.
  absl::StatusOr<absl::Span<const std::byte>> ReadBytes(uint64_t count);
  absl::StatusOr<std::string_view> ReadText(uint64_t count);
  // A length in 32 (64) bits, then that many bytes.
  absl::StatusOr<std::string_view> ReadText32();
  absl::StatusOr<std::string_view> ReadText64();
  // A count in 32 bits of things that take at least `each_bytes_min` bytes: a
  // count that cannot be true is refused before anybody reserves memory for it.
  absl::StatusOr<uint32_t> ReadCount32(uint64_t each_bytes_min);

  absl::Status Skip(uint64_t count);

 private:
  template <typename T>
  absl::StatusOr<T> ReadNumber();

  absl::Span<const std::byte> bytes_;
  uint64_t position_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_BYTE_READER_H_
