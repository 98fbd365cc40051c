#include "runtime/params/segment_table.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/log/check.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"
#include "runtime/params/segment_registry.h"

namespace paramd {

std::string_view EntryKindName(EntryKind kind) {
  switch (kind) {
    case EntryKind::kTensor:
      return "tensor";
    case EntryKind::kPacked:
      return "packed";
    case EntryKind::kManifest:
      return "manifest";
  }
  return "unknown";
}

absl::StatusOr<SegmentLayout> LayOutSegment(absl::Span<const EntryRequest> requests) {
  if (requests.empty()) return absl::InvalidArgumentError("a segment without entries");
  SegmentLayout layout;
  layout.places.reserve(requests.size());
  absl::flat_hash_set<ContentId> keys;
  for (const EntryRequest& request : requests) {
    if (request.bytes == 0) {
      return absl::InvalidArgumentError(
          StrCat("entry ", request.key.ShortHex(), " has 0 bytes; empty tensors are not stored"));
    }
    if (!keys.insert(request.key).second) {
      return absl::InvalidArgumentError(StrCat("entry ", request.key.ShortHex(), " comes twice"));
    }
    const std::optional<uint64_t> offset = CheckedRoundUp(layout.bytes, kEntryAlignmentBytes);
    const std::optional<uint64_t> end =
        offset.has_value() ? CheckedAdd(*offset, request.bytes) : std::nullopt;
    if (!end.has_value() || *end > kSealedBytesMax) {
      return absl::InvalidArgumentError(
          StrCat("entry ", request.key.ShortHex(), " of ", request.bytes,
                 " bytes takes its segment above the limit of ", kSealedBytesMax));
    }
    layout.places.push_back({.key = request.key, .offset = *offset, .bytes = request.bytes});
    layout.bytes = *end;
  }
  return layout;
}

namespace {

// The process itself is the only owner.
constexpr SegmentRegistry::Owner kOwner = 0;

}  // namespace

InProcessSegmentTable::InProcessSegmentTable(const InProcessSegmentTableOptions& options)
    : registry_(std::make_unique<SegmentRegistry>(
          SegmentRegistry::Options{.capacity_bytes = options.capacity_bytes,
                                   .generation_start = options.generation_start})) {}

InProcessSegmentTable::~InProcessSegmentTable() {
  std::vector<SegmentRegistry::Closed> closed;
  MutexLock lock(&mutex_);
  for (const Holding& holding : registry_->Holdings()) registry_->Unhold(holding.name, &closed);
  const Usage usage = registry_->usage();
  CHECK_EQ(usage.segments, 0u) << "segments are still leased";
  CHECK_EQ(usage.builders, 0u) << "segments are still being built";
}

absl::StatusOr<SegmentTable::ClaimResult> InProcessSegmentTable::Claim(
    absl::Span<const EntryRequest> requests, EntryKind kind) {
  MutexLock lock(&mutex_);
  while (true) {
    PARAMD_ASSIGN_OR_RETURN(ClaimResult result, registry_->Claim(kOwner, requests, kind));
    if (!result.resident.empty() || result.ticket != 0) return result;
    changed_.Wait(&mutex_);
  }
}

absl::StatusOr<uint64_t> InProcessSegmentTable::Put(uint64_t ticket, UniqueFd fd,
                                                    std::vector<EntryPlace> places) {
  MutexLock lock(&mutex_);
  absl::StatusOr<uint64_t> id = registry_->Put(kOwner, ticket, std::move(fd), std::move(places));
  CHECK_OK(id.status());  // Only our own code puts here.
  changed_.SignalAll();
  return id;
}

void InProcessSegmentTable::Abandon(uint64_t ticket) {
  MutexLock lock(&mutex_);
  CHECK_OK(registry_->Abandon(kOwner, ticket));
  changed_.SignalAll();
}

void InProcessSegmentTable::Release(uint64_t segment_id) {
  std::vector<SegmentRegistry::Closed> closed;  // Freed after the lock.
  MutexLock lock(&mutex_);
  CHECK_OK(registry_->Release(kOwner, segment_id, &closed));
}

absl::Status InProcessSegmentTable::Hold(Holding holding) {
  std::vector<SegmentRegistry::Closed> closed;
  MutexLock lock(&mutex_);
  return registry_->Hold(std::move(holding), &closed);
}

void InProcessSegmentTable::Unhold(std::string_view name) {
  std::vector<SegmentRegistry::Closed> closed;
  MutexLock lock(&mutex_);
  registry_->Unhold(name, &closed);
}

std::vector<SegmentTable::Holding> InProcessSegmentTable::Holdings() const {
  MutexLock lock(&mutex_);
  return registry_->Holdings();
}

std::vector<SegmentTable::SegmentInfo> InProcessSegmentTable::List() const {
  MutexLock lock(&mutex_);
  return registry_->List();
}

SegmentTable::Usage InProcessSegmentTable::usage() const {
  MutexLock lock(&mutex_);
  return registry_->usage();
}

uint64_t InProcessSegmentTable::NextGeneration() {
  MutexLock lock(&mutex_);
  return registry_->NextGeneration();
}

}  // namespace paramd
