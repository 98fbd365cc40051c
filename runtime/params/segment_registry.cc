#include "runtime/params/segment_registry.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"

namespace paramd {
namespace {

// So that their number never wraps, whoever claims the same again and again.
constexpr uint32_t kLeasesMax = 1u << 30;

std::vector<EntryRequest> RequestsOf(absl::Span<const EntryPlace> places) {
  std::vector<EntryRequest> requests;
  requests.reserve(places.size());
  for (const EntryPlace& place : places) requests.push_back({place.key, place.bytes});
  return requests;
}

bool SamePlaces(absl::Span<const EntryPlace> a, absl::Span<const EntryPlace> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const EntryPlace& x, const EntryPlace& y) {
                      return x.key == y.key && x.offset == y.offset && x.bytes == y.bytes;
                    });
}

void SortAndKeepOne(std::vector<uint64_t>* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
}

}  // namespace

SegmentRegistry::SegmentRegistry(const Options& options)
    : options_(options), next_generation_(std::max<uint64_t>(1, options.generation_start)) {
  CHECK_GT(options.capacity_bytes, 0u);
}

absl::Status SegmentRegistry::CheckSizes(absl::Span<const EntryRequest> requests) const {
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

absl::StatusOr<LentSegment> SegmentRegistry::Lend(uint64_t segment_id) const {
  const Segment& segment = segments_.at(segment_id);
  if (segment.info.leases >= kLeasesMax) {
    return absl::ResourceExhaustedError(
        StrCat("segment ", segment_id, " has ", kLeasesMax, " leases"));
  }
  UniqueFd fd(::fcntl(segment.fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "cannot duplicate a segment's descriptor");
  return LentSegment{.segment_id = segment_id,
                     .fd = std::move(fd),
                     .bytes = segment.bytes,
                     .kind = segment.info.kind,
                     .places = segment.info.places};
}

void SegmentRegistry::AddLease(Owner owner, uint64_t segment_id) {
  ++segments_.at(segment_id).info.leases;
  ++owners_[owner].leases[segment_id];
}

absl::StatusOr<SegmentTable::ClaimResult> SegmentRegistry::Claim(
    Owner owner, absl::Span<const EntryRequest> requests, EntryKind kind) {
  PARAMD_RETURN_IF_ERROR(LayOutSegment(requests).status());
  PARAMD_RETURN_IF_ERROR(CheckSizes(requests));
  ClaimResult result;
  std::vector<uint64_t> resident;
  std::vector<EntryRequest> to_build;
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

  Build build{.owner = owner, .kind = kind};
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
  SortAndKeepOne(&resident);
  for (uint64_t segment_id : resident) {
    PARAMD_ASSIGN_OR_RETURN(LentSegment lent, Lend(segment_id));
    result.resident.push_back(std::move(lent));
  }
  // Nothing fails from here on.
  for (uint64_t segment_id : resident) AddLease(owner, segment_id);
  if (!to_build.empty()) {
    result.ticket = next_id_++;
    reserved_bytes_ += build.page_bytes;
    for (const EntryRequest& request : to_build) {
      keys_[request.key] = {.segment_id = 0, .bytes = request.bytes};
    }
    owners_[owner].tickets.insert(result.ticket);
    builds_.emplace(result.ticket, std::move(build));
  }
  return result;
}

const SegmentLayout* SegmentRegistry::layout(Owner owner, uint64_t ticket) const {
  const auto found = builds_.find(ticket);
  if (found == builds_.end() || found->second.owner != owner) return nullptr;
  return &found->second.layout;
}

void SegmentRegistry::EndBuild(uint64_t ticket) {
  const auto found = builds_.find(ticket);
  CHECK(found != builds_.end());
  reserved_bytes_ -= found->second.page_bytes;
  for (const EntryPlace& place : found->second.layout.places) keys_.erase(place.key);
  owners_.at(found->second.owner).tickets.erase(ticket);
  builds_.erase(found);
}

void SegmentRegistry::ForgetIfIdle(Owner owner) {
  const auto found = owners_.find(owner);
  if (found != owners_.end() && found->second.leases.empty() && found->second.tickets.empty()) {
    owners_.erase(found);
  }
}

absl::StatusOr<uint64_t> SegmentRegistry::Put(Owner owner, uint64_t ticket, UniqueFd fd,
                                              std::vector<EntryPlace> places) {
  const SegmentLayout* const expected = layout(owner, ticket);
  if (expected == nullptr) {
    return absl::InvalidArgumentError(StrCat("ticket ", ticket, " is not open"));
  }
  if (!SamePlaces(places, expected->places)) {
    return absl::InvalidArgumentError(
        StrCat("ticket ", ticket, " is for other entries than the ", places.size(), " that came"));
  }
  const Build build = builds_.at(ticket);
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
                                                 .leases = 0,
                                                 .places = std::move(places)},
                                        .bytes = build.layout.bytes});
  AddLease(owner, segment_id);
  return segment_id;
}

absl::Status SegmentRegistry::Abandon(Owner owner, uint64_t ticket) {
  if (layout(owner, ticket) == nullptr) {
    return absl::InvalidArgumentError(StrCat("ticket ", ticket, " is not open"));
  }
  EndBuild(ticket);
  ForgetIfIdle(owner);
  return absl::OkStatus();
}

void SegmentRegistry::DropLeases(uint64_t segment_id, uint32_t count, std::vector<Closed>* closed) {
  const auto found = segments_.find(segment_id);
  CHECK(found != segments_.end());
  CHECK_GE(found->second.info.leases, count);
  found->second.info.leases -= count;
  if (found->second.info.leases > 0) return;
  for (const EntryPlace& place : found->second.info.places) keys_.erase(place.key);
  sealed_bytes_ -= found->second.info.bytes;
  closed->push_back({.segment_id = segment_id, .fd = std::move(found->second.fd)});
  segments_.erase(found);
}

absl::Status SegmentRegistry::Release(Owner owner, uint64_t segment_id,
                                      std::vector<Closed>* closed) {
  const auto state = owners_.find(owner);
  if (state == owners_.end() || !state->second.leases.contains(segment_id)) {
    return absl::InvalidArgumentError(StrCat("segment ", segment_id, " is not leased"));
  }
  const auto lease = state->second.leases.find(segment_id);
  if (--lease->second == 0) state->second.leases.erase(lease);
  ForgetIfIdle(owner);
  DropLeases(segment_id, 1, closed);
  return absl::OkStatus();
}

size_t SegmentRegistry::EndOwner(Owner owner, std::vector<Closed>* closed) {
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return 0;
  const OwnerState state = found->second;
  for (uint64_t ticket : state.tickets) EndBuild(ticket);
  for (const auto& [segment_id, count] : state.leases) DropLeases(segment_id, count, closed);
  owners_.erase(owner);
  return state.tickets.size();
}

SegmentRegistry::OwnerUsage SegmentRegistry::UsageOf(Owner owner) const {
  OwnerUsage usage;
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return usage;
  for (const auto& [segment_id, count] : found->second.leases) usage.leases += count;
  usage.builds = found->second.tickets.size();
  return usage;
}

uint64_t SegmentRegistry::BytesOf(const Holding& holding) {
  return holding.name.size() + holding.note.size() + holding.keys.size() * ContentId::kBytes;
}

absl::Status SegmentRegistry::Hold(Holding holding, std::vector<Closed>* closed) {
  Held held;
  for (const ContentId& key : holding.keys) {
    const auto found = keys_.find(key);
    if (found == keys_.end() || found->second.segment_id == 0) {
      return absl::NotFoundError(
          StrCat("'", holding.name, "' cannot hold ", key.ShortHex(), ": it is not resident"));
    }
    held.segment_ids.push_back(found->second.segment_id);
  }
  SortAndKeepOne(&held.segment_ids);
  for (uint64_t segment_id : held.segment_ids) ++segments_.at(segment_id).info.leases;
  held.holding = std::move(holding);
  Held& place = holdings_[held.holding.name];
  holding_bytes_ += BytesOf(held.holding) - BytesOf(place.holding);
  // The old one goes after the new one stands: what both hold never drops to none.
  for (uint64_t segment_id : place.segment_ids) DropLeases(segment_id, 1, closed);
  place = std::move(held);
  return absl::OkStatus();
}

void SegmentRegistry::Unhold(std::string_view name, std::vector<Closed>* closed) {
  const auto found = holdings_.find(name);
  if (found == holdings_.end()) return;
  for (uint64_t segment_id : found->second.segment_ids) DropLeases(segment_id, 1, closed);
  holding_bytes_ -= BytesOf(found->second.holding);
  holdings_.erase(found);
}

std::vector<SegmentTable::Holding> SegmentRegistry::Holdings() const {
  std::vector<Holding> list;
  list.reserve(holdings_.size());
  for (const auto& [name, held] : holdings_) list.push_back(held.holding);
  return list;
}

std::vector<SegmentTable::SegmentInfo> SegmentRegistry::List() const {
  std::vector<SegmentTable::SegmentInfo> list;
  list.reserve(segments_.size());
  for (const auto& [id, segment] : segments_) list.push_back(segment.info);
  std::sort(list.begin(), list.end(),
            [](const auto& a, const auto& b) { return a.segment_id < b.segment_id; });
  return list;
}

SegmentTable::Usage SegmentRegistry::usage() const {
  return {.capacity_bytes = options_.capacity_bytes,
          .sealed_bytes = sealed_bytes_,
          .reserved_bytes = reserved_bytes_,
          .segments = static_cast<uint32_t>(segments_.size()),
          .builders = static_cast<uint32_t>(builds_.size())};
}

SegmentRegistry::Contents SegmentRegistry::Export() const {
  Contents contents{.next_id = next_id_, .next_generation = next_generation_};
  for (const auto& [id, segment] : segments_) {
    contents.segments.push_back({.segment_id = id,
                                 .kind = segment.info.kind,
                                 .places = segment.info.places,
                                 .fd = segment.fd.get()});
  }
  for (const auto& [owner, state] : owners_) {
    for (const auto& [segment_id, count] : state.leases) {
      contents.leases.push_back({owner, segment_id, count});
    }
  }
  for (const auto& [ticket, build] : builds_) {
    contents.builds.push_back({.owner = build.owner,
                               .ticket = ticket,
                               .kind = build.kind,
                               .requests = RequestsOf(build.layout.places)});
  }
  contents.holdings = Holdings();
  return contents;
}

absl::Status SegmentRegistry::ImportSegment(SegmentRecord record, UniqueFd fd) {
  absl::StatusOr<SegmentLayout> layout = LayOutSegment(RequestsOf(record.places));
  if (!layout.ok() || !SamePlaces(layout->places, record.places)) {
    return absl::DataLossError(StrCat("segment ", record.segment_id, " is laid out wrongly"));
  }
  for (const EntryPlace& place : record.places) {
    const Where where{.segment_id = record.segment_id, .bytes = place.bytes};
    if (!keys_.emplace(place.key, where).second) {
      return absl::DataLossError(StrCat("entry ", place.key.ShortHex(), " is in two segments"));
    }
  }
  const uint64_t page_bytes = PageRoundedBytes(layout->bytes);
  const std::optional<uint64_t> sum = CheckedAdd(sealed_bytes_, page_bytes);
  if (!sum.has_value()) return absl::DataLossError("more segments than there is memory");
  sealed_bytes_ = *sum;
  segments_.emplace(record.segment_id, Segment{.fd = std::move(fd),
                                               .info = {.segment_id = record.segment_id,
                                                        .bytes = page_bytes,
                                                        .kind = record.kind,
                                                        .leases = 0,
                                                        .places = std::move(record.places)},
                                               .bytes = layout->bytes});
  return absl::OkStatus();
}

absl::Status SegmentRegistry::ImportBuild(BuildRecord record) {
  absl::StatusOr<SegmentLayout> layout = LayOutSegment(record.requests);
  if (!layout.ok()) return absl::DataLossError(StrCat("build ", record.ticket, " has no layout"));
  for (const EntryRequest& request : record.requests) {
    if (!keys_.emplace(request.key, Where{.segment_id = 0, .bytes = request.bytes}).second) {
      return absl::DataLossError(
          StrCat("entry ", request.key.ShortHex(), " is being built, and elsewhere as well"));
    }
  }
  const uint64_t page_bytes = PageRoundedBytes(layout->bytes);
  const std::optional<uint64_t> sum = CheckedAdd(reserved_bytes_, page_bytes);
  // Both sums together stay far from wrapping.
  if (!sum.has_value() || !CheckedAdd(*sum, sealed_bytes_).has_value()) {
    return absl::DataLossError("more builds than there is memory");
  }
  reserved_bytes_ = *sum;
  owners_[record.owner].tickets.insert(record.ticket);
  builds_.emplace(record.ticket, Build{.owner = record.owner,
                                       .layout = *std::move(layout),
                                       .page_bytes = page_bytes,
                                       .kind = record.kind});
  return absl::OkStatus();
}

absl::Status SegmentRegistry::Import(Contents contents, std::map<uint64_t, UniqueFd> fds,
                                     std::vector<std::string>* notes) {
  CHECK(segments_.empty() && builds_.empty() && holdings_.empty() && owners_.empty());
  next_id_ = contents.next_id;
  next_generation_ = std::max(next_generation_, contents.next_generation);

  absl::flat_hash_set<uint64_t> ids;
  const auto new_id = [&](uint64_t id) {
    return id != 0 && id < contents.next_id && ids.insert(id).second;
  };
  absl::flat_hash_set<uint64_t> missing;
  for (SegmentRecord& record : contents.segments) {
    if (!new_id(record.segment_id)) {
      return absl::DataLossError(StrCat("segment number ", record.segment_id, " is not possible"));
    }
    const auto fd = fds.find(record.segment_id);
    if (fd == fds.end() || !fd->second.valid()) {
      missing.insert(record.segment_id);
      notes->push_back(StrCat("segment ", record.segment_id, " is lost: no descriptor"));
      continue;
    }
    PARAMD_RETURN_IF_ERROR(ImportSegment(std::move(record), std::move(fd->second)));
  }
  for (BuildRecord& record : contents.builds) {
    if (!new_id(record.ticket)) {
      return absl::DataLossError(StrCat("ticket number ", record.ticket, " is not possible"));
    }
    PARAMD_RETURN_IF_ERROR(ImportBuild(std::move(record)));
  }
  for (const LeaseRecord& record : contents.leases) {
    if (missing.contains(record.segment_id)) continue;
    const auto segment = segments_.find(record.segment_id);
    const bool first = segment != segments_.end() && record.count != 0 &&
                       owners_[record.owner].leases.emplace(record.segment_id, record.count).second;
    if (!first || record.count > kLeasesMax - segment->second.info.leases) {
      return absl::DataLossError(
          StrCat("a lease on segment ", record.segment_id, " is not possible"));
    }
    segment->second.info.leases += record.count;
  }
  std::vector<Closed> closed;
  for (Holding& holding : contents.holdings) {
    if (holdings_.contains(holding.name)) {
      return absl::DataLossError(StrCat("'", holding.name, "' is held twice"));
    }
    if (const absl::Status held = Hold(std::move(holding), &closed); !held.ok()) {
      notes->push_back(std::string(held.message()));
    }
  }
  std::vector<uint64_t> idle;
  for (const auto& [id, segment] : segments_) {
    if (segment.info.leases == 0) idle.push_back(id);
  }
  for (uint64_t id : idle) DropLeases(id, 0, &closed);
  return absl::OkStatus();
}

}  // namespace paramd
