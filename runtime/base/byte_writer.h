// ByteWriter: appends what ByteReader reads: little-endian numbers and texts
// with their length in front.
//
// Life: owns the bytes until Take. Thread-safety: a value; not synchronised.
#ifndef PARAMD_RUNTIME_BASE_BYTE_WRITER_H_
#define PARAMD_RUNTIME_BASE_BYTE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "absl/types/span.h"

namespace paramd {

class ByteWriter {
 public:
  void U8(uint8_t value) { Number(value); }
  void U16(uint16_t value) { Number(value); }
  void U32(uint32_t value) { Number(value); }
  void U64(uint64_t value) { Number(value); }
  void I64(int64_t value) { Number(value); }
  void Bytes(absl::Span<const std::byte> bytes) {
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void Text(std::string_view text) { bytes_.append(text); }
  // REQUIRES: text.size() < 2^32.
  void Text32(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    Text(text);
  }
  void Text64(std::string_view text) {
    U64(text.size());
    Text(text);
  }

  const std::string& bytes() const { return bytes_; }
  std::string Take() && { return std::move(bytes_); }

 private:
  template <typename T>
  void Number(T value) {
    char buffer[sizeof(T)];
    std::memcpy(buffer, &value, sizeof(T));
    bytes_.append(buffer, sizeof(T));
  }

  std::string bytes_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_BYTE_WRITER_H_
