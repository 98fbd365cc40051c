// HeldModels: the loaded versions that the segment table keeps by name, so that
// they outlive this process: "<model>/<number>" with its segments and a record
// (runtime/loading/model_record.h) of how it was loaded.
//
//   Hold       after a load and before it serves: from then on a worker that is
//              killed loses nothing of it
//   Find       at the next load of the same revision, here or in a successor
//   Release    when the version is unloaded, if what is held is still that one
//
// Life: borrows the table. Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_HELD_MODELS_H_
#define PARAMD_SERVER_HELD_MODELS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/base/mutex.h"
#include "runtime/loading/model_record.h"
#include "runtime/params/parameter_set.h"
#include "runtime/params/segment_table.h"

namespace paramd {

class HeldModels {
 public:
  explicit HeldModels(SegmentTable* table) : table_(table) {}
  HeldModels(const HeldModels&) = delete;
  HeldModels& operator=(const HeldModels&) = delete;

  struct Held {
    std::string label;  // "digits/3".
    ModelRecord record;
    std::vector<ContentId> keys;
  };
  // What is held under the label; nothing if there is none, or if its record
  // cannot be read (said in the log: it is as good as none).
  std::optional<Held> Find(std::string_view label) const;
  std::vector<Held> All() const;

  // Replaces what was held under the label. Errors are the table's.
  absl::Status Hold(std::string_view label, const ModelRecord& record, const ParameterSet& set);
  // Nothing happens if another generation is held by now.
  void Release(std::string_view label, uint64_t generation);
  // Releases everything but these (label, generation) pairs: what a worker that
  // died meanwhile held and nobody wants any more. Returns how many went.
  int ReleaseAllBut(const std::vector<std::pair<std::string, uint64_t>>& wanted);

 private:
  std::optional<Held> Read(SegmentTable::Holding holding) const;

  SegmentTable* const table_;
  // Held while looking at what is held and changing it, so that a version that is
  // being unloaded does not release its successor under the same label. The
  // table calls nobody back.
  mutable Mutex mutex_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_HELD_MODELS_H_
