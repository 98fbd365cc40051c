#include "runtime/checkpoints/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// A piece is hashed right after it was read: 1 MiB stays in the L2 cache.
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kVarintPieceBytes = uint64_t{64} << 10;

// Decodes varints as they come in pieces, each cut to `width` bytes.
class VarintDecoder {
 public:
  VarintDecoder(absl::Span<std::byte> destination, uint64_t width)
      : destination_(destination), width_(width) {}

  // False if there are more elements than fit, or one is longer than 10 bytes.
  bool Feed(absl::Span<const std::byte> piece) {
    for (const std::byte raw : piece) {
      const auto byte = static_cast<uint8_t>(raw);
      if (shift_ >= 70) return false;
      // The tenth byte carries one bit; protobuf drops the others, as this does.
      if (shift_ < 64) value_ |= static_cast<uint64_t>(byte & 0x7f) << shift_;
      shift_ += 7;
      if ((byte & 0x80) != 0) continue;
      if (destination_.size() - written_ < width_) return false;
      std::memcpy(destination_.data() + written_, &value_, width_);
      written_ += width_;
      value_ = 0;
      shift_ = 0;
    }
    return true;
  }
  bool complete() const { return written_ == destination_.size() && shift_ == 0; }

 private:
  const absl::Span<std::byte> destination_;
  const uint64_t width_;
  uint64_t written_ = 0;
  uint64_t value_ = 0;
  int shift_ = 0;
};

absl::Status WrongElements(const CheckpointTensor& tensor) {
  return absl::InvalidArgumentError(StrCat("tensor '", tensor.name, "' of ",
                                           DTypeName(tensor.dtype), tensor.shape.ToString(),
                                           " has more or fewer elements in its file"));
}

absl::Status ReadDense(const FileSource& file, uint64_t offset, absl::Span<std::byte> destination,
                       ContentHasher* hasher, const std::function<void(uint64_t)>& before_piece) {
  for (uint64_t done = 0; done < destination.size(); done += kPieceBytes) {
    const absl::Span<std::byte> piece = destination.subspan(done, kPieceBytes);
    if (before_piece != nullptr) before_piece(piece.size());
    PARAMD_RETURN_IF_ERROR(file.ReadAt(offset + done, piece));
    if (hasher != nullptr) hasher->Update(piece);
  }
  return absl::OkStatus();
}

absl::Status ReadVarints(const FileSource& file, const CheckpointTensor& tensor,
                         absl::Span<std::byte> destination,
                         const std::function<void(uint64_t)>& before_piece) {
  const auto width = static_cast<uint64_t>(std::max(1, DTypeBits(tensor.dtype) / 8));
  VarintDecoder decoder(destination, width);
  std::vector<std::byte> buffer(std::min(tensor.file_bytes, kVarintPieceBytes));
  for (uint64_t done = 0; done < tensor.file_bytes; done += buffer.size()) {
    const auto piece = absl::MakeSpan(buffer).subspan(
        0, std::min<uint64_t>(buffer.size(), tensor.file_bytes - done));
    if (before_piece != nullptr) before_piece(piece.size());
    PARAMD_RETURN_IF_ERROR(file.ReadAt(tensor.offset + done, piece));
    if (!decoder.Feed(piece)) return WrongElements(tensor);
  }
  return decoder.complete() ? absl::OkStatus() : WrongElements(tensor);
}

}  // namespace

uint32_t Checkpoint::AddFile(std::unique_ptr<FileSource> file) {
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size() - 1);
}

absl::Status Checkpoint::AddTensor(CheckpointTensor tensor) {
  if (tensor.encoding == CheckpointTensor::Encoding::kInline) {
    CHECK_EQ(tensor.inline_bytes.size(), tensor.bytes);
  } else if (tensor.encoding != CheckpointTensor::Encoding::kAbsent) {
    CHECK_LT(tensor.file, files_.size());
    const FileSource& file = *files_[tensor.file];
    if (!RangeIsInside(tensor.offset, tensor.file_bytes, file.size())) {
      return absl::InvalidArgumentError(
          StrCat("tensor '", tensor.name, "' has ", tensor.file_bytes, " bytes at offset ",
                 tensor.offset, " of '", file.name(), "', which has ", file.size(), " bytes"));
    }
  }
  if (!index_.emplace(tensor.name, tensors_.size()).second) {
    return absl::InvalidArgumentError(StrCat("tensor '", tensor.name, "' comes twice"));
  }
  // Cannot wrap in practice, and is only a number to show: each tensor is
  // checked against the capacity when it is claimed.
  total_bytes_ += tensor.bytes;
  tensors_.push_back(std::move(tensor));
  return absl::OkStatus();
}

const CheckpointTensor* Checkpoint::Find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

uint64_t Checkpoint::bytes_read() const {
  uint64_t sum = 0;
  for (const auto& file : files_) sum += file->bytes_read();
  return sum;
}

absl::Status Checkpoint::ReadTensor(const CheckpointTensor& tensor,
                                    absl::Span<std::byte> destination, ContentHasher* hasher,
                                    const std::function<void(uint64_t)>& before_piece) const {
  CHECK_EQ(destination.size(), tensor.bytes);
  if (tensor.encoding == CheckpointTensor::Encoding::kInline) {
    if (!destination.empty()) {
      std::memcpy(destination.data(), tensor.inline_bytes.data(), destination.size());
    }
    if (hasher != nullptr) hasher->Update(destination);
    return absl::OkStatus();
  }
  if (tensor.encoding == CheckpointTensor::Encoding::kAbsent) {
    return absl::FailedPreconditionError(
        StrCat("tensor '", tensor.name, "' is known by name only"));
  }
  const FileSource& file = *files_[tensor.file];
  if (tensor.encoding == CheckpointTensor::Encoding::kDense) {
    PARAMD_RETURN_IF_ERROR(ReadDense(file, tensor.offset, destination, hasher, before_piece));
  } else {
    PARAMD_RETURN_IF_ERROR(ReadVarints(file, tensor, destination, before_piece));
    if (hasher != nullptr) hasher->Update(destination);
  }
  // After the bytes: what was read may be half of one file and half of another.
  return file.CheckUnchanged();
}

absl::Status Checkpoint::CheckUnchanged() const {
  for (const auto& file : files_) PARAMD_RETURN_IF_ERROR(file->CheckUnchanged());
  return absl::OkStatus();
}

}  // namespace paramd
