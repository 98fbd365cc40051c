#include "runtime/params/segment_table.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/log/check.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"

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

InProcessSegmentTable::InProcessSegmentTable(const InProcessSegmentTableOptions& options)
    : options_(options), next_generation_(std::max<uint64_t>(1, options.generation_start)) {
  CHECK_GT(options.capacity_bytes, 0u);
}

InProcessSegmentTable::~InProcessSegmentTable() {
  MutexLock lock(&mutex_);
  for (const auto& [name, held] : holdings_) {
    for (uint64_t segment_id : held.segment_ids) ReleaseLocked(segment_id);
  }
  CHECK(segments_.empty()) << segments_.size() << " segments are still leased";
  CHECK(builds_.empty()) << builds_.size() << " segments are still being built";
}

absl::Status InProcessSegmentTable::CheckSizes(absl::Span<const EntryRequest> requests) const {
  for (const EntryRequest& request : requests) {
    const auto found = keys_.find(request.key);
    if (found != keys_.end() && found->second.bytes != request.bytes) {
      return absl::InvalidArgumentError(StrCat("entry ", request.key.ShortHex(), " has ",
                                               found->second.bytes, " bytes, but ", request.bytes,
                                               " were asked for"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LentSegment> InProcessSegmentTable::Lend(uint64_t segment_id) {
  Segment& segment = segments_.at(segment_id);
  UniqueFd fd(::fcntl(segment.fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "cannot duplicate a segment's descriptor");
  ++segment.info.leases;
  return LentSegment{.segment_id = segment_id,
                     .fd = std::move(fd),
                     .bytes = segment.bytes,
                     .kind = segment.info.kind,
                     .places = segment.info.places};
}

absl::StatusOr<SegmentTable::ClaimResult> InProcessSegmentTable::Claim(
    absl::Span<const EntryRequest> requests, EntryKind kind) {
  PARAMD_RETURN_IF_ERROR(LayOutSegment(requests).status());
  MutexLock lock(&mutex_);
  ClaimResult result;
  std::vector<uint64_t> resident;
  std::vector<EntryRequest> to_build;
  while (true) {
    result = ClaimResult();
    resident.clear();
    to_build.clear();
    PARAMD_RETURN_IF_ERROR(CheckSizes(requests));
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto found = keys_.find(requests[i].key);
      if (found == keys_.end()) {
        result.to_build.push_back(i);
        to_build.push_back(requests[i]);
      } else if (found->second.segment_id != 0) {
        resident.push_back(found->second.segment_id);
      } else {
        result.waiting.push_back(i);
      }
    }
    if (!resident.empty() || !to_build.empty()) break;
    changed_.Wait(&mutex_);
  }

  Build build{.kind = kind};
  if (!to_build.empty()) {
    PARAMD_ASSIGN_OR_RETURN(build.layout, LayOutSegment(to_build));
    build.page_bytes = PageRoundedBytes(build.layout.bytes);
    const uint64_t used = sealed_bytes_ + reserved_bytes_;
    const uint64_t left = options_.capacity_bytes > used ? options_.capacity_bytes - used : 0;
    if (build.page_bytes > left) {
      return absl::ResourceExhaustedError(
          StrCat("parameters need ", build.page_bytes, " bytes, but only ", left,
                 " are left of a capacity of ", options_.capacity_bytes, " bytes"));
    }
  }
  std::sort(resident.begin(), resident.end());
  resident.erase(std::unique(resident.begin(), resident.end()), resident.end());
  for (uint64_t segment_id : resident) {
    absl::StatusOr<LentSegment> lent = Lend(segment_id);
    if (!lent.ok()) {
      // Nobody else can have seen these leases: they are taken back in place.
      for (const LentSegment& taken : result.resident) {
        --segments_.at(taken.segment_id).info.leases;
      }
      return lent.status();
    }
    result.resident.push_back(*std::move(lent));
  }
  if (!to_build.empty()) {
    result.ticket = next_id_++;
    reserved_bytes_ += build.page_bytes;
    for (const EntryRequest& request : to_build) {
      keys_[request.key] = {.segment_id = 0, .bytes = request.bytes};
    }
    builds_.emplace(result.ticket, std::move(build));
  }
  return result;
}

void InProcessSegmentTable::EndBuild(uint64_t ticket) {
  const auto found = builds_.find(ticket);
  CHECK(found != builds_.end()) << "ticket " << ticket << " is not open";
  reserved_bytes_ -= found->second.page_bytes;
  for (const EntryPlace& place : found->second.layout.places) keys_.erase(place.key);
  builds_.erase(found);
  changed_.SignalAll();
}

absl::StatusOr<uint64_t> InProcessSegmentTable::Put(uint64_t ticket, UniqueFd fd,
                                                    std::vector<EntryPlace> places) {
  MutexLock lock(&mutex_);
  const auto found = builds_.find(ticket);
  CHECK(found != builds_.end()) << "ticket " << ticket << " is not open";
  const Build build = found->second;
  CHECK_EQ(places.size(), build.layout.places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    CHECK(places[i].key == build.layout.places[i].key);
    CHECK_EQ(places[i].offset, build.layout.places[i].offset);
  }
  EndBuild(ticket);
  const uint64_t segment_id = next_id_++;
  sealed_bytes_ += build.page_bytes;
  for (const EntryPlace& place : places) {
    keys_[place.key] = {.segment_id = segment_id, .bytes = place.bytes};
  }
  segments_.emplace(segment_id, Segment{.fd = std::move(fd),
                                        .info = {.segment_id = segment_id,
                                                 .bytes = build.page_bytes,
                                                 .kind = build.kind,
                                                 .leases = 1,
                                                 .places = std::move(places)},
                                        .bytes = build.layout.bytes});
  return segment_id;
}

void InProcessSegmentTable::Abandon(uint64_t ticket) {
  MutexLock lock(&mutex_);
  EndBuild(ticket);
}

UniqueFd InProcessSegmentTable::ReleaseLocked(uint64_t segment_id) {
  const auto found = segments_.find(segment_id);
  CHECK(found != segments_.end()) << "segment " << segment_id << " is not leased";
  if (--found->second.info.leases > 0) return UniqueFd();
  for (const EntryPlace& place : found->second.info.places) keys_.erase(place.key);
  sealed_bytes_ -= found->second.info.bytes;
  UniqueFd last = std::move(found->second.fd);
  segments_.erase(found);
  changed_.SignalAll();
  return last;
}

void InProcessSegmentTable::Release(uint64_t segment_id) {
  UniqueFd closed;  // After the lock: freeing gigabytes takes a while.
  MutexLock lock(&mutex_);
  closed = ReleaseLocked(segment_id);
}

absl::Status InProcessSegmentTable::Hold(Holding holding) {
  std::vector<UniqueFd> closed;
  MutexLock lock(&mutex_);
  Held held;
  for (const ContentId& key : holding.keys) {
    const auto found = keys_.find(key);
    if (found == keys_.end() || found->second.segment_id == 0) {
      return absl::NotFoundError(
          StrCat("'", holding.name, "' cannot hold ", key.ShortHex(), ": it is not resident"));
    }
    held.segment_ids.push_back(found->second.segment_id);
  }
  std::sort(held.segment_ids.begin(), held.segment_ids.end());
  held.segment_ids.erase(std::unique(held.segment_ids.begin(), held.segment_ids.end()),
                         held.segment_ids.end());
  for (uint64_t segment_id : held.segment_ids) ++segments_.at(segment_id).info.leases;
  held.holding = std::move(holding);
  Held& place = holdings_[held.holding.name];
  // The old one goes after the new one stands: what both hold never drops to none.
  for (uint64_t segment_id : place.segment_ids) closed.push_back(ReleaseLocked(segment_id));
  place = std::move(held);
  return absl::OkStatus();
}

void InProcessSegmentTable::Unhold(std::string_view name) {
  std::vector<UniqueFd> closed;
  MutexLock lock(&mutex_);
  const auto found = holdings_.find(name);
  if (found == holdings_.end()) return;
  for (uint64_t segment_id : found->second.segment_ids) {
    closed.push_back(ReleaseLocked(segment_id));
  }
  holdings_.erase(found);
}

std::vector<SegmentTable::Holding> InProcessSegmentTable::Holdings() const {
  MutexLock lock(&mutex_);
  std::vector<Holding> list;
  list.reserve(holdings_.size());
  for (const auto& [name, held] : holdings_) list.push_back(held.holding);
  return list;
}

std::vector<SegmentTable::SegmentInfo> InProcessSegmentTable::List() const {
  MutexLock lock(&mutex_);
  std::vector<SegmentInfo> list;
  list.reserve(segments_.size());
  for (const auto& [id, segment] : segments_) list.push_back(segment.info);
  std::sort(list.begin(), list.end(),
            [](const SegmentInfo& a, const SegmentInfo& b) { return a.segment_id < b.segment_id; });
  return list;
}

SegmentTable::Usage InProcessSegmentTable::usage() const {
  MutexLock lock(&mutex_);
  return {.capacity_bytes = options_.capacity_bytes,
          .sealed_bytes = sealed_bytes_,
          .reserved_bytes = reserved_bytes_,
          .segments = static_cast<uint32_t>(segments_.size()),
          .builders = static_cast<uint32_t>(builds_.size())};
}

uint64_t InProcessSegmentTable::NextGeneration() {
  MutexLock lock(&mutex_);
  return next_generation_++;
}

}  // namespace paramd
