// SegmentTable: who holds which sealed segment, and who is building one. The
// single place that counts capacity.
//
// A segment is one sealed memfd with one entry {key, bytes}, or, for small
// tensors, with many (a bundle). Life of an entry:
//
//   Claim: absent   -> the caller builds it (a ticket; capacity reserved)
//          building -> the caller waits until it is resident or given up
//          resident -> the caller gets a descriptor and a lease
//   Put(ticket, fd) -> resident, with a lease for the builder
//   Abandon(ticket) -> absent again; whoever waits may build it
//   Release         -> one lease less; at none the descriptor is closed at once
//   Hold(name, ...) -> one lease more, the table's own, until Unhold(name): how
//                      a loaded version outlives the process that loaded it
//
// The books are SegmentRegistry's. InProcessSegmentTable is one with a lock,
// inside the worker (tests, --no-keeper). KeeperClient (server/keeper) asks the
// keeper's over a Unix socket, so a restarted worker finds everything resident;
// nothing else changes with it.
//
// Thread-safety: thread-safe. Claim may block; nothing else does.
#ifndef PARAMD_RUNTIME_PARAMS_SEGMENT_TABLE_H_
#define PARAMD_RUNTIME_PARAMS_SEGMENT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/content_id.h"

namespace paramd {

// What a segment is for; for accounting only.
enum class EntryKind : uint8_t {
  kTensor = 0,    // Parameters as in the checkpoint.
  kPacked = 1,    // Reordered, folded or quantized for a kernel.
  kManifest = 2,  // Graph, names, keys.
};
inline constexpr int kEntryKinds = 3;
std::string_view EntryKindName(EntryKind kind);  // "tensor", "packed", "manifest".

// Entries start at multiples of this inside a segment: AVX-512 loads and cache
// lines; CUDA copies want no more.
inline constexpr uint64_t kEntryAlignmentBytes = 64;

struct EntryRequest {
  ContentId key;
  uint64_t bytes = 0;
};

struct EntryPlace {
  ContentId key;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  Digest digest;  // Of exactly these bytes; checked by ParameterRef::Verify.
};

// Where each request goes in a segment of its own, in order, and the segment's
// bytes (not rounded to pages).
struct SegmentLayout {
  std::vector<EntryPlace> places;
  uint64_t bytes = 0;
};
// InvalidArgument: no entries, an entry of 0 bytes, a key twice, or a sum that
// is above the limit.
absl::StatusOr<SegmentLayout> LayOutSegment(absl::Span<const EntryRequest> requests);

// A segment as a holder gets it: one lease, to be ended with Release.
struct LentSegment {
  uint64_t segment_id = 0;
  UniqueFd fd;
  uint64_t bytes = 0;
  EntryKind kind = EntryKind::kTensor;
  std::vector<EntryPlace> places;  // All of the segment, not just what was asked.
};

class SegmentTable {
 public:
  struct ClaimResult {
    std::vector<LentSegment> resident;  // Each segment once.
    std::vector<size_t> to_build;       // Indexes of requests that are now the caller's...
    uint64_t ticket = 0;                // ...under this ticket; 0 if there are none.
    std::vector<size_t> waiting;        // Indexes that others are building now.
  };
  struct SegmentInfo {
    uint64_t segment_id = 0;
    uint64_t bytes = 0;  // Whole pages.
    EntryKind kind = EntryKind::kTensor;
    uint32_t leases = 0;
    std::vector<EntryPlace> places;
  };
  struct Usage {
    uint64_t capacity_bytes = 0;
    uint64_t sealed_bytes = 0;    // Whole pages of resident segments.
    uint64_t reserved_bytes = 0;  // Whole pages that builders may fill.
    uint32_t segments = 0;
    uint32_t builders = 0;
  };

  virtual ~SegmentTable() = default;

  // Blocks only while every request is being built by others, so who holds a
  // ticket and claims more cannot end up in a circle of waiters as long as it
  // puts or abandons before it claims again.
  // InvalidArgument as in LayOutSegment, or if a resident entry has other bytes
  // than asked for; ResourceExhausted, with both numbers, if what is to be
  // built does not fit (then nothing was claimed).
  virtual absl::StatusOr<ClaimResult> Claim(absl::Span<const EntryRequest> requests,
                                            EntryKind kind) = 0;
  // Gives the sealed segment in exchange for the ticket. The digests in
  // `places` are filled; the rest is as LayOutSegment laid it out.
  virtual absl::StatusOr<uint64_t> Put(uint64_t ticket, UniqueFd fd,
                                       std::vector<EntryPlace> places) = 0;
  virtual void Abandon(uint64_t ticket) = 0;
  virtual void Release(uint64_t segment_id) = 0;

  // A named set of entries that the table itself keeps, and what its maker
  // wants to find again with it; opaque here.
  struct Holding {
    std::string name;  // "digits/3": one loaded version.
    std::vector<ContentId> keys;
    std::string note;
  };
  // Replaces a holding of the same name, in one step. NotFound if a key is not
  // resident: then nothing changed.
  virtual absl::Status Hold(Holding holding) = 0;
  // No holding of that name: nothing happens.
  virtual void Unhold(std::string_view name) = 0;
  // By name.
  virtual std::vector<Holding> Holdings() const = 0;

  virtual std::vector<SegmentInfo> List() const = 0;
  virtual Usage usage() const = 0;

  // Never the same twice, always larger than before, across restarts too.
  virtual uint64_t NextGeneration() = 0;
};

struct InProcessSegmentTableOptions {
  // Upper bound on sealed and reserved bytes. Required: a store without a limit
  // fails in the OOM killer and not in a Status.
  uint64_t capacity_bytes = 0;
  // The first generation: microseconds of the wall clock at process start, so
  // that a restarted process goes on above where the last one stopped.
  uint64_t generation_start = 1;
};

class SegmentRegistry;

class InProcessSegmentTable final : public SegmentTable {
 public:
  explicit InProcessSegmentTable(const InProcessSegmentTableOptions& options);
  ~InProcessSegmentTable() override;

  absl::StatusOr<ClaimResult> Claim(absl::Span<const EntryRequest> requests,
                                    EntryKind kind) override;
  absl::StatusOr<uint64_t> Put(uint64_t ticket, UniqueFd fd,
                               std::vector<EntryPlace> places) override;
  void Abandon(uint64_t ticket) override;
  void Release(uint64_t segment_id) override;
  absl::Status Hold(Holding holding) override;
  void Unhold(std::string_view name) override;
  std::vector<Holding> Holdings() const override;
  std::vector<SegmentInfo> List() const override;
  Usage usage() const override;
  uint64_t NextGeneration() override;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  // Behind a pointer: segment_registry.h speaks in the types of this header.
  const std::unique_ptr<SegmentRegistry> registry_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_SEGMENT_TABLE_H_
