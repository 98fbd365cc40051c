// SegmentBuilder: writable memory for entries that the caller has claimed and
// nobody else is building meanwhile.
//
// Life: from ParameterStore::Claim to ParameterStore::Seal, which consumes it,
// so "written after publishing" cannot be expressed. Dropped instead, its
// memory and reservation go back and whoever waits for its keys takes over.
// It must not outlive the store.
//
// Thread-safety: owned by one thread; different entries may be filled by
// different threads.
#ifndef PARAMD_RUNTIME_PARAMS_SEGMENT_BUILDER_H_
#define PARAMD_RUNTIME_PARAMS_SEGMENT_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "runtime/params/content_id.h"
#include "runtime/params/sealed_memory.h"
#include "runtime/params/segment_table.h"

namespace paramd {

class SegmentBuilder {
 public:
  ~SegmentBuilder();
  SegmentBuilder(const SegmentBuilder&) = delete;
  SegmentBuilder& operator=(const SegmentBuilder&) = delete;

  // One unless it came from ClaimBundle; in the order of the requests.
  size_t size() const { return places_.size(); }
  const ContentId& key(size_t index) const { return places_[index].key; }
  // Zeroed, aligned to kEntryAlignmentBytes, exactly as long as claimed.
  absl::Span<std::byte> bytes(size_t index = 0) {
    return memory_->bytes().subspan(places_[index].offset, places_[index].bytes);
  }
  // Which of them is `key`; nothing if it is not here.
  std::optional<size_t> Find(const ContentId& key) const;

  // For a caller that hashed the bytes while it wrote them: Seal then does not
  // hash this entry again.
  void SetDigest(size_t index, const Digest& digest) { places_[index].digest = digest; }

 private:
  friend class ParameterStore;
  SegmentBuilder(SegmentTable* table, uint64_t ticket, EntryKind kind, WritableMemory memory,
                 SegmentLayout layout)
      : table_(table),
        ticket_(ticket),
        kind_(kind),
        memory_(std::move(memory)),
        places_(std::move(layout.places)) {}

  SegmentTable* const table_;
  uint64_t ticket_;  // 0 once put.
  const EntryKind kind_;
  std::optional<WritableMemory> memory_;
  std::vector<EntryPlace> places_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_SEGMENT_BUILDER_H_
