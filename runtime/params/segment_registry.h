// SegmentRegistry: the books of a segment table: which key is where, who has
// which lease, who builds what, what is held, and how much of the capacity is
// taken. Never blocks, locks or looks at memory.
//
// Every lease and every build belongs to an owner. InProcessSegmentTable has
// one, the process itself; for the keeper each connected worker is one, so that
// EndOwner gives back whatever a killed worker had, wherever it stood.
//
// Life of an entry: see segment_table.h. What a call frees is handed to the
// caller (Closed), because closing a descriptor frees gigabytes and takes a
// while: do it without a lock.
//
// Thread-safety: not synchronised.
#ifndef PARAMD_RUNTIME_PARAMS_SEGMENT_REGISTRY_H_
#define PARAMD_RUNTIME_PARAMS_SEGMENT_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/content_id.h"
#include "runtime/params/segment_table.h"

namespace paramd {

class SegmentRegistry {
 public:
  using Owner = uint64_t;
  using ClaimResult = SegmentTable::ClaimResult;
  using Holding = SegmentTable::Holding;

  struct Options {
    uint64_t capacity_bytes = 0;  // Above 0 (checked).
    uint64_t generation_start = 1;
  };
  // A segment that is gone; its descriptor is closed with this.
  struct Closed {
    uint64_t segment_id = 0;
    UniqueFd fd;
  };
  struct OwnerUsage {
    uint64_t leases = 0;
    uint64_t builds = 0;
  };

  explicit SegmentRegistry(const Options& options);

  static uint64_t BytesOf(const Holding& holding);

  // As SegmentTable::Claim, but where that blocks, this returns a result with
  // nothing but `waiting`.
  absl::StatusOr<ClaimResult> Claim(Owner owner, absl::Span<const EntryRequest> requests,
                                    EntryKind kind);
  // InvalidArgument: not a ticket of this owner, or places that were not laid
  // out for it; the build goes on. `layout` of a ticket: null if it is not the
  // owner's.
  const SegmentLayout* layout(Owner owner, uint64_t ticket) const;
  absl::StatusOr<uint64_t> Put(Owner owner, uint64_t ticket, UniqueFd fd,
                               std::vector<EntryPlace> places);
  // InvalidArgument: not the owner's.
  absl::Status Abandon(Owner owner, uint64_t ticket);
  absl::Status Release(Owner owner, uint64_t segment_id, std::vector<Closed>* closed);
  // All of the owner's leases and builds. Returns how many builds ended.
  size_t EndOwner(Owner owner, std::vector<Closed>* closed);
  OwnerUsage UsageOf(Owner owner) const;

  // As in SegmentTable.
  absl::Status Hold(Holding holding, std::vector<Closed>* closed);
  void Unhold(std::string_view name, std::vector<Closed>* closed);
  std::vector<Holding> Holdings() const;
  size_t holdings() const { return holdings_.size(); }
  // Of their names, notes and keys.
  uint64_t holding_bytes() const { return holding_bytes_; }
  std::vector<SegmentTable::SegmentInfo> List() const;
  SegmentTable::Usage usage() const;
  uint64_t NextGeneration() { return next_generation_++; }

  // Everything, for another process to go on with.
  struct SegmentRecord {
    uint64_t segment_id = 0;
    EntryKind kind = EntryKind::kTensor;
    std::vector<EntryPlace> places;
    int fd = -1;  // Export: borrowed. Import: not used.
  };
  struct LeaseRecord {
    Owner owner = 0;
    uint64_t segment_id = 0;
    uint32_t count = 0;
  };
  struct BuildRecord {
    Owner owner = 0;
    uint64_t ticket = 0;
    EntryKind kind = EntryKind::kTensor;
    std::vector<EntryRequest> requests;
  };
  struct Contents {
    uint64_t next_id = 1;
    uint64_t next_generation = 1;
    std::vector<SegmentRecord> segments;
    std::vector<LeaseRecord> leases;
    std::vector<BuildRecord> builds;
    std::vector<Holding> holdings;
  };
  Contents Export() const;
  // Into an empty registry (checked), with the descriptors by segment. DataLoss
  // if the contents contradict themselves: then the registry is of no use.
  // Segments without a descriptor are left out, with the holdings that need
  // them; `notes` says which. What nobody has a lease on is closed.
  absl::Status Import(Contents contents, std::map<uint64_t, UniqueFd> fds,
                      std::vector<std::string>* notes);

 private:
  struct Segment {
    UniqueFd fd;
    SegmentTable::SegmentInfo info;
    uint64_t bytes = 0;  // Not rounded.
  };
  struct Build {
    Owner owner = 0;
    SegmentLayout layout;
    uint64_t page_bytes = 0;
    EntryKind kind = EntryKind::kTensor;
  };
  // Where a key is: in a segment, or in a build under a ticket.
  struct Where {
    uint64_t segment_id = 0;  // 0: being built.
    uint64_t bytes = 0;
  };
  struct Held {
    Holding holding;
    std::vector<uint64_t> segment_ids;  // Each once.
  };
  struct OwnerState {
    absl::flat_hash_map<uint64_t, uint32_t> leases;  // By segment.
    absl::flat_hash_set<uint64_t> tickets;
  };

  absl::Status CheckSizes(absl::Span<const EntryRequest> requests) const;
  absl::StatusOr<LentSegment> Lend(uint64_t segment_id) const;
  void AddLease(Owner owner, uint64_t segment_id);
  // `count` leases less; closed at none.
  void DropLeases(uint64_t segment_id, uint32_t count, std::vector<Closed>* closed);
  // The build's reservation and keys go.
  void EndBuild(uint64_t ticket);
  void ForgetIfIdle(Owner owner);
  absl::Status ImportSegment(SegmentRecord record, UniqueFd fd);
  absl::Status ImportBuild(BuildRecord record);

  const Options options_;
  absl::flat_hash_map<ContentId, Where> keys_;
  absl::flat_hash_map<uint64_t, Segment> segments_;
  absl::flat_hash_map<uint64_t, Build> builds_;
  std::map<Owner, OwnerState> owners_;
  std::map<std::string, Held, std::less<>> holdings_;
  uint64_t next_id_ = 1;  // Tickets and segments.
  uint64_t next_generation_;
  uint64_t sealed_bytes_ = 0;
  uint64_t reserved_bytes_ = 0;
  uint64_t holding_bytes_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_SEGMENT_REGISTRY_H_
