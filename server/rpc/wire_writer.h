// The few pieces of Protobuf's wire format that answers are written with, into
// memory that the caller has sized before.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_WIRE_WRITER_H_
#define PARAMD_SERVER_RPC_WIRE_WRITER_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "server/rpc/wire_reader.h"

namespace paramd {

inline uint64_t VarintSize(uint64_t value) {
  return (static_cast<uint64_t>(std::bit_width(value | 1)) + 6) / 7;
}
inline std::byte* WriteVarint(uint64_t value, std::byte* out) {
  while (value >= 0x80) {
    *out++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<std::byte>(value);
  return out;
}

inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

inline std::byte* WriteTag(uint32_t field, WireType type, std::byte* out) {
  return WriteVarint((uint64_t{field} << 3) | static_cast<uint64_t>(type), out);
}

// Fields 1 to 15 only: their tag is one byte.
inline uint64_t BytesFieldSize(uint64_t content) { return 1 + VarintSize(content) + content; }
inline std::byte* WriteBytesHead(uint32_t field, uint64_t content, std::byte* out) {
  return WriteVarint(content, WriteTag(field, WireType::kBytes, out));
}
inline std::byte* WriteRaw(const void* data, uint64_t bytes, std::byte* out) {
  if (bytes > 0) std::memcpy(out, data, bytes);
  return out + bytes;
}
// Proto3 leaves empty strings out.
inline uint64_t StringFieldSize(std::string_view text) {
  return text.empty() ? 0 : BytesFieldSize(text.size());
}
inline std::byte* WriteStringField(uint32_t field, std::string_view text, std::byte* out) {
  if (text.empty()) return out;
  return WriteRaw(text.data(), text.size(), WriteBytesHead(field, text.size(), out));
}
inline uint64_t VarintFieldSize(uint64_t value) { return value == 0 ? 0 : 1 + VarintSize(value); }
inline std::byte* WriteVarintField(uint32_t field, uint64_t value, std::byte* out) {
  return value == 0 ? out : WriteVarint(value, WriteTag(field, WireType::kVarint, out));
}

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_WIRE_WRITER_H_
