// WireReader: Protobuf's wire format read in place over the slices in which
// gRPC received a message, so that a tensor of many megabytes is found without
// being copied or parsed. https://protobuf.dev/programming-guides/encoding
//
// Every byte is hostile: each read is checked against what is left, and a
// reader never looks beyond its own range.
//
// Life: a reader and the ranges it hands out point into the fragments, which
// must outlive them. Thread-safety: a value, for one thread.
#ifndef PARAMD_SERVER_RPC_WIRE_READER_H_
#define PARAMD_SERVER_RPC_WIRE_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace paramd {

using Fragment = absl::Span<const std::byte>;

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroupStart = 3,
  kGroupEnd = 4,
  kFixed32 = 5,
};

struct WireTag {
  uint32_t field = 0;
  WireType type = WireType::kVarint;
};

class WireReader {
 public:
  WireReader() = default;  // Nothing to read.
  explicit WireReader(absl::Span<const Fragment> fragments);

  uint64_t left() const { return left_; }
  bool done() const { return left_ == 0; }

  // InvalidArgument for a field number of 0, an unknown wire type, or the end of the range.
  absl::StatusOr<WireTag> ReadTag();
  absl::StatusOr<uint64_t> ReadVarint();
  absl::StatusOr<uint32_t> ReadFixed32();
  absl::StatusOr<uint64_t> ReadFixed64();
  // Reads target.size() bytes.
  absl::Status ReadInto(absl::Span<std::byte> target) {
    return ReadExactly(target.data(), target.size());
  }
  // A length-delimited field's content as a reader of its own.
  absl::StatusOr<WireReader> ReadBytes();
  // InvalidArgument beyond `bytes_max` bytes.
  absl::StatusOr<std::string> ReadString(uint64_t bytes_max);
  // Groups are refused: proto3 has none.
  absl::Status Skip(WireType type);

  // What is left, as pieces that are contiguous in memory.
  std::vector<Fragment> Fragments() const;
  // Copies what is left to `target`. REQUIRES: target.size() == left().
  void CopyTo(absl::Span<std::byte> target) const;

 private:
  absl::Status ReadExactly(void* target, uint64_t bytes);
  void Advance(uint64_t bytes);

  absl::Span<const Fragment> fragments_;  // fragments_[0] holds the next byte ...
  size_t offset_ = 0;                     // ... at this offset.
  uint64_t left_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_WIRE_READER_H_
