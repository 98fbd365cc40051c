#include "server/gate/npz_reader.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/npy.h"

namespace paramd {
namespace {

// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7,
// 4.3.12 and 4.3.16.
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kCommentBytesMax = 65'535;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
// More than this is no deflated data (1,032 to one is its limit).
constexpr uint64_t kRatioMax = 1'040;

struct Entry {
  std::string name;
  uint16_t method = kStored;
  uint32_t crc = 0;
  uint64_t packed_bytes = 0;
  uint64_t bytes = 0;
  uint64_t local_offset = 0;
};

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("not an .npz file: ", what));
}

// What follows the last end-of-directory record that the file may end with.
std::optional<uint64_t> FindEnd(absl::Span<const std::byte> file) {
  if (file.size() < kEndBytes) return std::nullopt;
  const uint64_t last = file.size() - kEndBytes;
  const uint64_t first = last - std::min(last, kCommentBytesMax);
  for (uint64_t at = last + 1; at-- > first;) {
    ByteReader in(file.subspan(at));
    const auto signature = in.ReadU32();
    if (!signature.ok() || *signature != kEndSignature) continue;
    if (!in.Skip(16).ok()) continue;
    const auto comment = in.ReadU16();
    if (comment.ok() && *comment == in.remaining()) return at;
  }
  return std::nullopt;
}

absl::StatusOr<Entry> ReadCentral(ByteReader* in) {
  Entry entry;
  PARAMD_ASSIGN_OR_RETURN(const uint32_t signature, in->ReadU32());
  if (signature != kCentralSignature) return Wrong("its directory is damaged");
  PARAMD_RETURN_IF_ERROR(in->Skip(4));  // Versions.
  PARAMD_ASSIGN_OR_RETURN(const uint16_t flags, in->ReadU16());
  PARAMD_ASSIGN_OR_RETURN(entry.method, in->ReadU16());
  PARAMD_RETURN_IF_ERROR(in->Skip(4));  // Time and date.
  PARAMD_ASSIGN_OR_RETURN(entry.crc, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t packed, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t bytes, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t name_bytes, in->ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t extra_bytes, in->ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t comment_bytes, in->ReadU16());
  PARAMD_RETURN_IF_ERROR(in->Skip(8));  // Disk, attributes.
  PARAMD_ASSIGN_OR_RETURN(const uint32_t offset, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(entry.name, in->ReadText(name_bytes));
  PARAMD_RETURN_IF_ERROR(in->Skip(uint64_t{extra_bytes} + comment_bytes));
  entry.packed_bytes = packed;
  entry.bytes = bytes;
  entry.local_offset = offset;
  constexpr uint32_t kZip64 = std::numeric_limits<uint32_t>::max();
  if (packed == kZip64 || bytes == kZip64 || offset == kZip64) {
    return absl::UnimplementedError(StrCat("'", absl::CHexEscape(entry.name), "' is in zip64"));
  }
  if ((flags & kEncrypted) != 0 || (entry.method != kStored && entry.method != kDeflated)) {
    return absl::UnimplementedError(StrCat("'", absl::CHexEscape(entry.name),
                                           "' is encrypted or packed in another way (method ",
                                           entry.method, ")"));
  }
  if (entry.method == kStored ? entry.packed_bytes != entry.bytes
                              : entry.bytes / kRatioMax > entry.packed_bytes) {
    return Wrong(StrCat("'", absl::CHexEscape(entry.name), "' has ", entry.packed_bytes,
                        " bytes for ", entry.bytes));
  }
  return entry;
}

// The bytes of an entry as they are in the file.
absl::StatusOr<absl::Span<const std::byte>> PackedBytes(absl::Span<const std::byte> file,
                                                        const Entry& entry) {
  if (entry.local_offset > file.size()) return Wrong("an entry begins after its end");
  ByteReader in(file.subspan(entry.local_offset));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t signature, in.ReadU32());
  if (signature != kLocalSignature) return Wrong("an entry is not where the directory says");
  // Sizes here may be zip64's or absent: the directory's count.
  PARAMD_RETURN_IF_ERROR(in.Skip(22));
  PARAMD_ASSIGN_OR_RETURN(const uint16_t name_bytes, in.ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t extra_bytes, in.ReadU16());
  PARAMD_RETURN_IF_ERROR(in.Skip(uint64_t{name_bytes} + extra_bytes));
  return in.ReadBytes(entry.packed_bytes);
}

// Raw deflate into exactly `to.size()` bytes.
bool Inflate(absl::Span<const std::byte> from, absl::Span<std::byte> to) {
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  // zlib reads through a pointer to non-const and writes nothing there.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(to.data());
  stream.avail_out = static_cast<uInt>(to.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
  inflateEnd(&stream);
  return whole;
}

absl::StatusOr<Tensor> ReadEntry(absl::Span<const std::byte> file, const Entry& entry) {
  absl::Span<const std::byte> bytes;
  PARAMD_ASSIGN_OR_RETURN(bytes, PackedBytes(file, entry));
  std::vector<std::byte> unpacked;
  if (entry.method == kDeflated) {
    unpacked.resize(entry.bytes);
    if (!Inflate(bytes, absl::MakeSpan(unpacked))) {
      return Wrong(StrCat("'", absl::CHexEscape(entry.name), "' does not unpack to ", entry.bytes,
                          " bytes"));
    }
    bytes = unpacked;
  }
  const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  if (crc != entry.crc) {
    return Wrong(StrCat("the checksum of '", absl::CHexEscape(entry.name), "' is another one"));
  }
  absl::StatusOr<Tensor> tensor = ParseNpy(bytes);
  if (tensor.ok()) return tensor;
  return Wrong(
      StrCat("'", absl::CHexEscape(entry.name), "': ", FromAbsl(tensor.status().message())));
}

absl::StatusOr<std::map<std::string, Tensor>> Parse(absl::Span<const std::byte> file,
                                                    const NpzLimits& limits) {
  const std::optional<uint64_t> end = FindEnd(file);
  if (!end.has_value()) return Wrong("no directory at its end");
  ByteReader in(file.subspan(*end));
  PARAMD_RETURN_IF_ERROR(in.Skip(4));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t disks, in.ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t entries_here, in.ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t entries, in.ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t directory_bytes, in.ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t directory_offset, in.ReadU32());
  if (disks != 0 || entries_here != entries) {
    return absl::UnimplementedError("an archive in several parts");
  }
  if (entries > limits.entries_max) {
    return Wrong(StrCat("it has ", entries, " entries, at most ", limits.entries_max, " are read"));
  }
  if (!RangeIsInside(directory_offset, directory_bytes, *end)) {
    return Wrong("its directory is not inside of it");
  }
  ByteReader directory(file.subspan(directory_offset, directory_bytes));
  uint64_t unpacked = 0;
  std::map<std::string, Tensor> tensors;
  for (uint16_t i = 0; i < entries; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const Entry entry, ReadCentral(&directory));
    unpacked += entry.bytes;  // Of 65,535 entries below 4 GiB: no sum that wraps.
    if (unpacked > limits.unpacked_bytes_max) {
      return Wrong(StrCat("it unpacks to more than ", limits.unpacked_bytes_max, " bytes"));
    }
    std::string_view name = entry.name;
    if (!name.ends_with(".npy")) {
      return Wrong(StrCat("'", absl::CHexEscape(entry.name), "' is no .npy file"));
    }
    name.remove_suffix(4);
    PARAMD_ASSIGN_OR_RETURN(Tensor tensor, ReadEntry(file, entry));
    if (!tensors.emplace(name, std::move(tensor)).second) {
      return Wrong(StrCat("'", absl::CHexEscape(entry.name), "' comes twice"));
    }
  }
  return tensors;
}

}  // namespace

absl::StatusOr<std::map<std::string, Tensor>> ParseNpz(absl::Span<const std::byte> file,
                                                       const NpzLimits& limits) {
  absl::StatusOr<std::map<std::string, Tensor>> parsed = Parse(file, limits);
  // A reader that ran over an end says so in its own way.
  if (absl::IsOutOfRange(parsed.status()) || absl::IsDataLoss(parsed.status())) {
    return Wrong("it ends early");
  }
  return parsed;
}

}  // namespace paramd
