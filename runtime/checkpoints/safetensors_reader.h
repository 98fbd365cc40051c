// Safetensors: one file, or shards named by an index (model.safetensors.index.json).
//
//   header length u64 | JSON {"name": {"dtype", "shape", "data_offsets"}, ...} | data
//
// Only headers are read. A file is taken whole or refused: header within the
// limit, names once each, ranges that cover the data without overlap or gap,
// each as long as its type and shape say.
//
// Thread-safety: pure functions of the files.
#ifndef PARAMD_RUNTIME_CHECKPOINTS_SAFETENSORS_READER_H_
#define PARAMD_RUNTIME_CHECKPOINTS_SAFETENSORS_READER_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/directory.h"
#include "runtime/base/file_source.h"
#include "runtime/checkpoints/checkpoint.h"

namespace paramd {

struct SafetensorsLimits {
  uint64_t header_bytes_max = 100'000'000;  // The format's own limit.
  uint64_t index_bytes_max = 100'000'000;
  uint32_t tensors_max = 1'000'000;
  uint32_t shards_max = 4'096;
};

// InvalidArgument if the file is not what the format says; Unimplemented for an
// element type that this build does not know.
absl::StatusOr<std::unique_ptr<Checkpoint>> ReadSafetensors(std::unique_ptr<FileSource> file,
                                                            const SafetensorsLimits& limits = {});

// `index` is the index file's name in `folder`; shards are opened beneath the
// folder. The index decides which tensor is taken from which shard: what no
// entry of it names is left out, what it names must be there.
absl::StatusOr<std::unique_ptr<Checkpoint>> ReadShardedSafetensors(
    const Directory& folder, std::string_view index, const SafetensorsLimits& limits = {});

// model.safetensors, or else model.safetensors.index.json; NotFound if the
// folder has neither.
absl::StatusOr<std::unique_ptr<Checkpoint>> ReadSafetensorsFolder(
    const Directory& folder, const SafetensorsLimits& limits = {});

}  // namespace paramd

#endif  // PARAMD_RUNTIME_CHECKPOINTS_SAFETENSORS_READER_H_
