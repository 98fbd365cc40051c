// ModelRecord: what is noted about a loaded version beside its segments, so
// that another process serves it again without opening a file and without
// deciding anything twice: which manifest, which generation, how it batches,
// how long its batches take.
//
// It is the note of a SegmentTable::Holding (segment_table.h). Whoever reads it
// did not write it: the parser trusts nothing.
//
// Life: values. Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_LOADING_MODEL_RECORD_H_
#define PARAMD_RUNTIME_LOADING_MODEL_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/params/content_id.h"

namespace paramd {

// How long a batch of so many rows took.
struct MeasuredBatch {
  int64_t rows = 0;
  absl::Duration took;  // Zero: not measured.
};

struct ModelRecord {
  // LoadFormat() of the build that loaded it; another one loads anew.
  std::string format;
  // Of the files and the configuration it was made of; the caller's.
  std::string revision;
  // Which choices of the options shaped it (LoadChoices).
  std::string choices;

  uint64_t generation = 0;
  ContentId weights_id;
  ContentId manifest;
  uint64_t manifest_bytes = 0;

  // The largest of GraphPlanOptions::rows, by place, that asked for a form of
  // its own: planning up to it finds every form again.
  uint32_t plan_sizes = 1;
  // As decided when it was loaded: ModelDescription's.
  int64_t batch_rows_max = 0;
  std::string batching_reason;
  uint64_t arena_bytes = 0;
  // The sizes that were warm when it began to serve, ascending.
  std::vector<MeasuredBatch> warm;
};

// Limits of the parser: more is damage.
inline constexpr size_t kModelRecordBytesMax = 64 << 10;
inline constexpr size_t kModelRecordWarmMax = 256;

// InvalidArgument if the record is beyond the limits.
absl::StatusOr<std::string> SerializeModelRecord(const ModelRecord& record);
// DataLoss for damage, Unimplemented for a record of another layout.
absl::StatusOr<ModelRecord> ParseModelRecord(std::string_view bytes);

// What must be equal between two builds and machines for one to serve what the
// other one packed: layouts of record and manifest, the list of passes, and
// every backend's fingerprint (library version, instruction set).
std::string LoadFormat(absl::Span<const Backend* const> backends);
// Of all backends of this build.
std::string LoadFormat();

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_MODEL_RECORD_H_
