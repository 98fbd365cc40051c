// ParameterStore: every parameter byte this process serves, stored once.
//
// An entry is named by what it contains (ContentId), not by which model brought
// it: two versions that share an embedding table share one segment.
//
//   Claim -> resident: a ParameterRef       (share it)
//         -> a SegmentBuilder               (fill it, Seal it -> ParameterRef)
//   last ParameterRef dropped -> unmapped, descriptor closed, memory back with
//                                the system, at once
//
// Nobody can write a segment after Seal: the kernel refuses, so a stray store
// faults in this process instead of corrupting the answers of another.
//
// Life: every ParameterRef, SegmentBuilder and ParameterSet must be gone before
// the store (checked; crashes). Dropping the last ref unmaps in the dropping
// thread: let the control thread do that, not a request.
//
// Thread-safety: ParameterStore is thread-safe; ParameterRefs may be copied,
// read and dropped from any thread, one object by one thread at a time.
#ifndef PARAMD_RUNTIME_PARAMS_PARAMETER_STORE_H_
#define PARAMD_RUNTIME_PARAMS_PARAMETER_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/mutex.h"
#include "runtime/params/content_id.h"
#include "runtime/params/memory_ledger.h"
#include "runtime/params/sealed_memory.h"
#include "runtime/params/segment_builder.h"
#include "runtime/params/segment_table.h"

namespace paramd {

class ParameterStore;

// Keeps one entry (and the segment it lies in) mapped. Cheap to copy: one
// atomic increment.
class ParameterRef {
 public:
  ParameterRef() = default;  // Holds nothing; valid() is false.

  bool valid() const { return segment_ != nullptr; }
  // REQUIRES valid(), like all below.
  const ContentId& key() const { return place_->key; }
  const Digest& digest() const { return place_->digest; }
  // Read-only, aligned to kEntryAlignmentBytes, valid while any copy of this ref
  // lives. Writing through a const_cast raises SIGSEGV.
  absl::Span<const std::byte> bytes() const;

  uint64_t segment_id() const;
  EntryKind kind() const;

  // Hashes the bytes again. DataLoss if they are not what was sealed.
  absl::Status Verify() const;

 private:
  friend class ParameterStore;
  class Segment;
  ParameterRef(std::shared_ptr<const Segment> segment, const EntryPlace* place)
      : segment_(std::move(segment)), place_(place) {}

  std::shared_ptr<const Segment> segment_;
  const EntryPlace* place_ = nullptr;  // Inside *segment_.
};

struct ParameterStoreOptions {
  // Upper bound on sealed and reserved bytes, required when `table` is null.
  uint64_t capacity_bytes = 0;
  // See InProcessSegmentTableOptions; used when `table` is null.
  uint64_t generation_start = 1;
  // Borrowed, must outlive the store; null: the store makes one of its own.
  SegmentTable* table = nullptr;
};

class ParameterStore {
 public:
  // InvalidArgument if options are incomplete; Unavailable if the machine has
  // no sealable memory.
  static absl::StatusOr<std::unique_ptr<ParameterStore>> Create(
      const ParameterStoreOptions& options);
  ~ParameterStore();
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Either the entry, or the right and duty to build it.
  class Claimed {
   public:
    explicit Claimed(ParameterRef ref) : value_(std::move(ref)) {}
    explicit Claimed(std::unique_ptr<SegmentBuilder> builder) : value_(std::move(builder)) {}
    bool resident() const { return std::holds_alternative<ParameterRef>(value_); }
    ParameterRef& ref() { return std::get<ParameterRef>(value_); }
    std::unique_ptr<SegmentBuilder>& builder() {
      return std::get<std::unique_ptr<SegmentBuilder>>(value_);
    }

   private:
    std::variant<ParameterRef, std::unique_ptr<SegmentBuilder>> value_;
  };

  // Waits while another thread builds the same key, so never call it while
  // holding an unsealed builder of one's own: Seal first.
  // InvalidArgument for 0 bytes or a size other than the resident one;
  // ResourceExhausted, with both numbers, if it does not fit.
  absl::StatusOr<Claimed> Claim(const ContentId& key, uint64_t bytes,
                                EntryKind kind = EntryKind::kTensor);

  // The same for many small entries that may share a segment.
  struct BundleClaim {
    std::vector<ParameterRef> resident;
    std::unique_ptr<SegmentBuilder> builder;  // Null when there is nothing to build.
    // Being built by other threads: claim these again after sealing `builder`.
    std::vector<EntryRequest> waiting;
  };
  // Waits only while all that is not resident is being built by others.
  absl::StatusOr<BundleClaim> ClaimBundle(absl::Span<const EntryRequest> requests,
                                          EntryKind kind = EntryKind::kTensor);

  // The entries, in the order asked for, of which each must be resident here or
  // in the table: nothing is built. NotFound names the first that is not (then
  // nothing was taken); InvalidArgument as Claim. Waits for entries that others
  // are building. A key may come twice.
  absl::StatusOr<std::vector<ParameterRef>> ClaimResident(absl::Span<const EntryRequest> requests);

  // Publishes a builder of one entry (checked), or of any number: refs in the
  // builder's order. Takes ownership: on error the reservation is released.
  absl::StatusOr<ParameterRef> Seal(std::unique_ptr<SegmentBuilder> builder);
  absl::StatusOr<std::vector<ParameterRef>> SealBundle(std::unique_ptr<SegmentBuilder> builder);

  // An entry that this process holds, or NotFound. Never blocks.
  absl::StatusOr<ParameterRef> Find(const ContentId& key) const;

  // How many ParameterSets hold this entry; 0 if it is not here.
  uint32_t SetsHolding(const ContentId& key) const;

  uint64_t NextGeneration() { return table_->NextGeneration(); }
  // Borrowed, or the store's own.
  SegmentTable& table() { return *table_; }

  // Tries to turn every segment that was not tried yet into huge pages. Slow:
  // for a background thread. Returns how many the kernel refused.
  size_t CollapseSegments();

  struct Usage {
    SegmentTable::Usage table;
    uint64_t shared_claims = 0;       // Claims that were answered by a resident entry...
    uint64_t shared_claim_bytes = 0;  // ...and the bytes that were not stored again.
    uint64_t collapse_failures = 0;   // Segments that stay in small pages.
  };
  Usage usage() const;
  MemoryLedger Ledger() const;

  // For ParameterSet: counts a set as holder of these entries until the set is
  // unregistered. REQUIRES: the set keeps the refs meanwhile.
  uint64_t RegisterSet(std::string_view label, absl::Span<const ParameterRef> refs);
  void UnregisterSet(uint64_t set_id, absl::Span<const ParameterRef> refs);
  SetBytes BytesOfSet(uint64_t set_id) const;

 private:
  using Segment = ParameterRef::Segment;
  friend class ParameterRef::Segment;

  // A mapped segment and who uses it.
  struct Live {
    Segment* segment = nullptr;
    std::weak_ptr<Segment> handle;
    std::vector<uint32_t> entry_sets;  // Sets that hold each entry.
    uint32_t sets = 0;                 // Sets that hold any.
    bool collapse_tried = false;
  };
  struct SetRecord {
    std::string label;
    std::vector<uint64_t> segment_ids;  // Each once.
  };

  ParameterStore(std::unique_ptr<SegmentTable> owned, SegmentTable* table)
      : owned_table_(std::move(owned)), table_(table) {}

  // Turns what the table answered for `requests` into refs and a builder.
  absl::Status TakeClaim(SegmentTable::ClaimResult result, absl::Span<const EntryRequest> requests,
                         EntryKind kind, BundleClaim* claim);
  // Makes the segment known; if another thread mapped the same one first, that
  // one is returned and the second lease ended.
  std::shared_ptr<Segment> Adopt(uint64_t segment_id, EntryKind kind, SealedMemory memory,
                                 std::vector<EntryPlace> places);
  absl::StatusOr<std::shared_ptr<Segment>> AdoptLent(LentSegment lent);
  // Called by ~Segment.
  void Forget(Segment* segment);
  ParameterRef FindLocked(const ContentId& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  SetBytes BytesOfSetLocked(const SetRecord& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::unique_ptr<SegmentTable> owned_table_;
  SegmentTable* const table_;

  // Never held while a shared_ptr<Segment> might be the last one: ~Segment
  // takes it.
  mutable Mutex mutex_;
  absl::flat_hash_map<uint64_t, Live> live_ ABSL_GUARDED_BY(mutex_);  // By segment id.
  struct Where {
    uint64_t segment_id = 0;
    size_t index = 0;
  };
  absl::flat_hash_map<ContentId, Where> keys_ ABSL_GUARDED_BY(mutex_);
  absl::btree_map<uint64_t, SetRecord> sets_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_set_id_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t mapped_segments_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t shared_claims_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t shared_claim_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t collapse_failures_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_PARAMETER_STORE_H_
