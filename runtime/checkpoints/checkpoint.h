// Checkpoint: parameters on disk, whatever the format: for each tensor its
// name, type, shape, and where its bytes are. Readers fill it from headers
// alone; the bytes are read once, later, tensor by tensor, by ReadTensor.
//
// Life: owns the open files, so a file that is replaced by rename meanwhile
// changes nothing. Thread-safety: const members may be called from many loader
// threads at once.
#ifndef PARAMD_RUNTIME_CHECKPOINTS_CHECKPOINT_H_
#define PARAMD_RUNTIME_CHECKPOINTS_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/base/file_source.h"
#include "runtime/params/content_id.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"

namespace paramd {

struct CheckpointTensor {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
  uint64_t bytes = 0;  // Dense, in memory.

  enum class Encoding : uint8_t {
    kInline,  // In `inline_bytes`, dense.
    kDense,   // In the file as in memory.
    // One protobuf varint an element (ONNX's int32_data, int64_data and
    // uint64_data), cut to the element's width.
    kVarint,
    // Nowhere to be read: only name, type and shape are known (of a model whose
    // packed parameters are in memory already). ReadTensor refuses.
    kAbsent,
  };
  Encoding encoding = Encoding::kDense;
  uint32_t file = 0;        // Index into Checkpoint::files.
  uint64_t offset = 0;      // In that file.
  uint64_t file_bytes = 0;  // Taken there; equal to `bytes` when dense.
  std::string inline_bytes;
};

class Checkpoint {
 public:
  // Takes the file; returns its index.
  uint32_t AddFile(std::unique_ptr<FileSource> file);
  // InvalidArgument if the name is there already, or the range is not inside
  // its file.
  absl::Status AddTensor(CheckpointTensor tensor);
  void SetMetadata(std::string key, std::string value) { metadata_[std::move(key)] = value; }

  const std::vector<std::unique_ptr<FileSource>>& files() const { return files_; }
  // In the order of the file.
  const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  const CheckpointTensor* Find(std::string_view name) const;
  // What the file says about itself (safetensors' __metadata__).
  const absl::btree_map<std::string, std::string>& metadata() const { return metadata_; }
  // Dense bytes of all tensors together.
  uint64_t total_bytes() const { return total_bytes_; }
  // Delivered by all files so far.
  uint64_t bytes_read() const;

  // Fills `destination` (exactly tensor.bytes) in pieces, and gives each piece
  // to `hasher` (may be null) while it is in the cache.
  // DataLoss if the file was truncated or written since it was opened;
  // InvalidArgument if varints do not make exactly the elements;
  // FailedPrecondition if the tensor is kAbsent.
  // `before_piece` (may be empty) is told the bytes of each piece of the file
  // before it is read, and may make the reader wait.
  absl::Status ReadTensor(const CheckpointTensor& tensor, absl::Span<std::byte> destination,
                          ContentHasher* hasher,
                          const std::function<void(uint64_t)>& before_piece = nullptr) const;

  // DataLoss if any file changed since it was opened.
  absl::Status CheckUnchanged() const;

 private:
  std::vector<std::unique_ptr<FileSource>> files_;
  std::vector<CheckpointTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> index_;
  absl::btree_map<std::string, std::string> metadata_;
  uint64_t total_bytes_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_CHECKPOINTS_CHECKPOINT_H_
