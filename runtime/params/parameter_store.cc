#include "runtime/params/parameter_store.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

// One lease on one segment, mapped here.
class ParameterRef::Segment {
 public:
  Segment(ParameterStore* store, uint64_t segment_id, EntryKind kind, SealedMemory memory,
          std::vector<EntryPlace> places)
      : store_(store),
        segment_id_(segment_id),
        kind_(kind),
        memory_(std::move(memory)),
        places_(std::move(places)) {}

  ~Segment() {
    store_->Forget(this);
    memory_ = SealedMemory();  // Unmapped before the last descriptor is closed.
    store_->table_->Release(segment_id_);
  }

  uint64_t segment_id() const { return segment_id_; }
  EntryKind kind() const { return kind_; }
  const std::vector<EntryPlace>& places() const { return places_; }
  uint64_t page_bytes() const { return PageRoundedBytes(memory_.bytes().size()); }
  absl::Span<const std::byte> bytes(const EntryPlace& place) const {
    return memory_.bytes().subspan(place.offset, place.bytes);
  }
  absl::Status Collapse() const { return memory_.Collapse(); }

 private:
  ParameterStore* const store_;
  const uint64_t segment_id_;
  const EntryKind kind_;
  SealedMemory memory_;
  const std::vector<EntryPlace> places_;
};

absl::Span<const std::byte> ParameterRef::bytes() const { return segment_->bytes(*place_); }
uint64_t ParameterRef::segment_id() const { return segment_->segment_id(); }
EntryKind ParameterRef::kind() const { return segment_->kind(); }

absl::Status ParameterRef::Verify() const {
  const Digest now = DigestOf(bytes());
  if (now == digest()) return absl::OkStatus();
  return absl::DataLossError(StrCat("entry ", key().ShortHex(), " of ", bytes().size(),
                                    " bytes hashes to ", now.ShortHex(), ", but ",
                                    digest().ShortHex(), " was sealed"));
}

absl::StatusOr<std::unique_ptr<ParameterStore>> ParameterStore::Create(
    const ParameterStoreOptions& options) {
  std::unique_ptr<SegmentTable> owned;
  SegmentTable* table = options.table;
  if (table == nullptr) {
    if (options.capacity_bytes == 0) {
      return absl::InvalidArgumentError("a parameter store needs a capacity above 0 bytes");
    }
    owned = std::make_unique<InProcessSegmentTable>(InProcessSegmentTableOptions{
        .capacity_bytes = options.capacity_bytes, .generation_start = options.generation_start});
    table = owned.get();
  }
  // Tried once here, so that a machine without sealable memory says so at start
  // and not when the first model arrives.
  absl::StatusOr<WritableMemory> probe = WritableMemory::Create("paramd-probe", 1);
  absl::Status sealed = probe.status();
  if (probe.ok()) sealed = std::move(*probe).Seal().status();
  if (!sealed.ok()) {
    return absl::UnavailableError(
        StrCat("this machine has no sealable memory: ", FromAbsl(sealed.message())));
  }
  return std::unique_ptr<ParameterStore>(new ParameterStore(std::move(owned), table));
}

ParameterStore::~ParameterStore() {
  MutexLock lock(&mutex_);
  CHECK_EQ(sets_.size(), 0u) << "parameter sets outlive their store";
  CHECK_EQ(mapped_segments_, 0) << "segments are still referenced while their store goes";
}

ParameterRef ParameterStore::FindLocked(const ContentId& key) const {
  const auto found = keys_.find(key);
  if (found == keys_.end()) return ParameterRef();
  std::shared_ptr<const Segment> segment = live_.at(found->second.segment_id).handle.lock();
  if (segment == nullptr) return ParameterRef();  // Its destructor waits for the mutex.
  const EntryPlace* place = &segment->places()[found->second.index];
  return ParameterRef(std::move(segment), place);
}

absl::StatusOr<ParameterRef> ParameterStore::Find(const ContentId& key) const {
  ParameterRef ref;
  {
    MutexLock lock(&mutex_);
    ref = FindLocked(key);
  }
  if (!ref.valid()) return absl::NotFoundError(StrCat("entry ", key.ShortHex(), " is not here"));
  return ref;
}

std::shared_ptr<ParameterRef::Segment> ParameterStore::Adopt(uint64_t segment_id, EntryKind kind,
                                                             SealedMemory memory,
                                                             std::vector<EntryPlace> places) {
  auto segment =
      std::make_shared<Segment>(this, segment_id, kind, std::move(memory), std::move(places));
  std::shared_ptr<Segment> first;
  {
    MutexLock lock(&mutex_);
    ++mapped_segments_;
    Live& live = live_[segment_id];
    first = live.handle.lock();
    if (first == nullptr) {
      live = Live{.segment = segment.get(),
                  .handle = segment,
                  .entry_sets = std::vector<uint32_t>(segment->places().size(), 0)};
      for (size_t i = 0; i < segment->places().size(); ++i) {
        keys_[segment->places()[i].key] = {.segment_id = segment_id, .index = i};
      }
      first = segment;
    }
  }
  return first;  // If another was first, `segment` ends its lease here.
}

absl::StatusOr<std::shared_ptr<ParameterRef::Segment>> ParameterStore::AdoptLent(LentSegment lent) {
  absl::StatusOr<SealedMemory> memory = SealedMemory::FromFd(std::move(lent.fd), lent.bytes);
  if (!memory.ok()) {
    table_->Release(lent.segment_id);
    return memory.status();
  }
  memory->TakeFd();  // The table's own keeps the memory alive, this one only costs a descriptor.
  return Adopt(lent.segment_id, lent.kind, *std::move(memory), std::move(lent.places));
}

void ParameterStore::Forget(Segment* segment) {
  MutexLock lock(&mutex_);
  --mapped_segments_;
  const auto live = live_.find(segment->segment_id());
  // Another map of the same segment may have taken this one's place already.
  if (live == live_.end() || live->second.segment != segment) return;
  for (const EntryPlace& place : segment->places()) {
    const auto key = keys_.find(place.key);
    if (key != keys_.end() && key->second.segment_id == segment->segment_id()) keys_.erase(key);
  }
  live_.erase(live);
}

absl::StatusOr<ParameterStore::Claimed> ParameterStore::Claim(const ContentId& key, uint64_t bytes,
                                                              EntryKind kind) {
  const EntryRequest request{.key = key, .bytes = bytes};
  PARAMD_ASSIGN_OR_RETURN(BundleClaim claim, ClaimBundle({&request, 1}, kind));
  CHECK(claim.waiting.empty());  // One entry is there, or ours, or waited for.
  if (claim.builder != nullptr) return Claimed(std::move(claim.builder));
  CHECK_EQ(claim.resident.size(), 1u);
  return Claimed(std::move(claim.resident[0]));
}

absl::StatusOr<ParameterStore::BundleClaim> ParameterStore::ClaimBundle(
    absl::Span<const EntryRequest> requests, EntryKind kind) {
  PARAMD_RETURN_IF_ERROR(LayOutSegment(requests).status());
  BundleClaim claim;
  std::vector<EntryRequest> unknown;
  const EntryRequest* mismatch = nullptr;
  {
    MutexLock lock(&mutex_);
    for (const EntryRequest& request : requests) {
      ParameterRef ref = FindLocked(request.key);
      if (!ref.valid()) {
        unknown.push_back(request);
        continue;
      }
      if (ref.bytes().size() != request.bytes) mismatch = &request;
      claim.resident.push_back(std::move(ref));  // Never dropped under the lock.
    }
  }
  if (mismatch != nullptr) {
    return absl::InvalidArgumentError(StrCat("entry ", mismatch->key.ShortHex(),
                                             " is resident with another size than the ",
                                             mismatch->bytes, " bytes asked for"));
  }
  if (!unknown.empty()) {
    PARAMD_ASSIGN_OR_RETURN(SegmentTable::ClaimResult result, table_->Claim(unknown, kind));
    PARAMD_RETURN_IF_ERROR(TakeClaim(std::move(result), unknown, kind, &claim));
  }
  uint64_t shared_bytes = 0;
  for (const ParameterRef& ref : claim.resident) shared_bytes += ref.bytes().size();
  MutexLock lock(&mutex_);
  shared_claims_ += claim.resident.size();
  shared_claim_bytes_ += shared_bytes;
  return claim;
}

absl::StatusOr<std::vector<ParameterRef>> ParameterStore::ClaimResident(
    absl::Span<const EntryRequest> requests) {
  // So many at a time: each may come with a descriptor, and a message of a
  // socket carries a limited number of those.
  constexpr size_t kClaimedAtOnce = 64;
  absl::flat_hash_map<ContentId, ParameterRef> found;
  std::vector<EntryRequest> wanted;
  {
    MutexLock lock(&mutex_);
    for (const EntryRequest& request : requests) {
      const auto [at, added] = found.try_emplace(request.key);
      if (!added) continue;
      at->second = FindLocked(request.key);
      if (!at->second.valid()) wanted.push_back(request);
    }
  }
  while (!wanted.empty()) {
    const size_t count = std::min(wanted.size(), kClaimedAtOnce);
    const std::vector<EntryRequest> some(wanted.end() - static_cast<ptrdiff_t>(count),
                                         wanted.end());
    wanted.resize(wanted.size() - count);
    std::optional<EntryRequest> missing;
    absl::StatusOr<SegmentTable::ClaimResult> result = table_->Claim(some, EntryKind::kTensor);
    // That something would not have fitted says as well that it is not there.
    if (absl::IsResourceExhausted(result.status())) {
      missing = some.front();
    } else if (!result.ok()) {
      return result.status();
    } else {
      if (const uint64_t ticket = std::exchange(result->ticket, 0); ticket != 0) {
        table_->Abandon(ticket);
        missing = some[result->to_build.front()];
      }
      BundleClaim claim;  // Of what was lent, so that each lease has an owner.
      PARAMD_RETURN_IF_ERROR(TakeClaim(*std::move(result), some, EntryKind::kTensor, &claim));
      for (ParameterRef& ref : claim.resident) found[ref.key()] = std::move(ref);
      wanted.insert(wanted.end(), claim.waiting.begin(), claim.waiting.end());
    }
    if (missing.has_value()) {
      return absl::NotFoundError(StrCat("entry ", missing->key.ShortHex(), " of ", missing->bytes,
                                        " bytes is not resident"));
    }
  }
  std::vector<ParameterRef> refs;
  refs.reserve(requests.size());
  for (const EntryRequest& request : requests) {
    const ParameterRef& ref = found.at(request.key);
    if (ref.bytes().size() != request.bytes) {
      return absl::InvalidArgumentError(StrCat("entry ", request.key.ShortHex(), " has ",
                                               ref.bytes().size(), " bytes, but ", request.bytes,
                                               " were asked for"));
    }
    refs.push_back(ref);
  }
  return refs;
}

absl::Status ParameterStore::TakeClaim(SegmentTable::ClaimResult result,
                                       absl::Span<const EntryRequest> requests, EntryKind kind,
                                       BundleClaim* claim) {
  // Everything that the table gave is owned by something here before anything
  // can fail: a lease by its Segment, the ticket by its builder.
  absl::Status status = absl::OkStatus();
  if (result.ticket != 0) {
    std::vector<EntryRequest> to_build;
    for (size_t index : result.to_build) to_build.push_back(requests[index]);
    absl::StatusOr<SegmentLayout> layout = LayOutSegment(to_build);
    CHECK_OK(layout.status());  // A part of what LayOutSegment has accepted.
    absl::StatusOr<WritableMemory> memory = WritableMemory::Create("paramd", layout->bytes);
    if (memory.ok()) {
      claim->builder.reset(
          new SegmentBuilder(table_, result.ticket, kind, *std::move(memory), *std::move(layout)));
    } else {
      table_->Abandon(result.ticket);
      status = memory.status();
    }
  }
  absl::flat_hash_set<ContentId> wanted;
  for (const EntryRequest& request : requests) wanted.insert(request.key);
  for (LentSegment& lent : result.resident) {
    absl::StatusOr<std::shared_ptr<Segment>> segment = AdoptLent(std::move(lent));
    if (!segment.ok()) {
      status.Update(segment.status());
      continue;
    }
    for (const EntryPlace& place : (*segment)->places()) {
      if (wanted.contains(place.key)) claim->resident.push_back(ParameterRef(*segment, &place));
    }
  }
  for (size_t index : result.waiting) claim->waiting.push_back(requests[index]);
  return status;
}

absl::StatusOr<ParameterRef> ParameterStore::Seal(std::unique_ptr<SegmentBuilder> builder) {
  CHECK_EQ(builder->size(), 1u);
  PARAMD_ASSIGN_OR_RETURN(std::vector<ParameterRef> refs, SealBundle(std::move(builder)));
  return std::move(refs[0]);
}

absl::StatusOr<std::vector<ParameterRef>> ParameterStore::SealBundle(
    std::unique_ptr<SegmentBuilder> builder) {
  CHECK(builder != nullptr && builder->table_ == table_);
  PARAMD_ASSIGN_OR_RETURN(SealedMemory memory, std::move(*builder->memory_).Seal());
  for (EntryPlace& place : builder->places_) {
    const absl::Span<const std::byte> bytes = memory.bytes().subspan(place.offset, place.bytes);
    if (place.digest.is_zero()) place.digest = DigestOf(bytes);
  }
  PARAMD_ASSIGN_OR_RETURN(const uint64_t segment_id,
                          table_->Put(builder->ticket_, memory.TakeFd(), builder->places_));
  builder->ticket_ = 0;
  const std::shared_ptr<Segment> segment =
      Adopt(segment_id, builder->kind_, std::move(memory), std::move(builder->places_));
  std::vector<ParameterRef> refs;
  refs.reserve(segment->places().size());
  for (const EntryPlace& place : segment->places()) {
    refs.push_back(ParameterRef(segment, &place));
#ifdef PARAMD_STRESS
    CHECK_OK(refs.back().Verify());
#endif
  }
  return refs;
}

size_t ParameterStore::CollapseSegments() {
  std::vector<std::shared_ptr<Segment>> todo;
  {
    MutexLock lock(&mutex_);
    for (auto& [id, live] : live_) {
      if (live.collapse_tried) continue;
      live.collapse_tried = true;
      if (std::shared_ptr<Segment> segment = live.handle.lock()) todo.push_back(std::move(segment));
    }
  }
  size_t failures = 0;
  for (std::shared_ptr<Segment>& segment : todo) {
    failures += segment->Collapse().ok() ? 0 : 1;
    segment.reset();  // Holds it no longer than needed: its last user may have gone.
  }
  MutexLock lock(&mutex_);
  collapse_failures_ += failures;
  return failures;
}

ParameterStore::Usage ParameterStore::usage() const {
  Usage usage{.table = table_->usage()};
  MutexLock lock(&mutex_);
  usage.shared_claims = shared_claims_;
  usage.shared_claim_bytes = shared_claim_bytes_;
  usage.collapse_failures = collapse_failures_;
  return usage;
}

uint64_t ParameterStore::RegisterSet(std::string_view label, absl::Span<const ParameterRef> refs) {
  MutexLock lock(&mutex_);
  SetRecord record{.label = std::string(label)};
  for (const ParameterRef& ref : refs) {
    record.segment_ids.push_back(ref.segment_id());
    Live& live = live_.at(ref.segment_id());
    ++live.entry_sets[static_cast<size_t>(ref.place_ - live.segment->places().data())];
  }
  std::sort(record.segment_ids.begin(), record.segment_ids.end());
  record.segment_ids.erase(std::unique(record.segment_ids.begin(), record.segment_ids.end()),
                           record.segment_ids.end());
  for (uint64_t segment_id : record.segment_ids) ++live_.at(segment_id).sets;
  const uint64_t set_id = next_set_id_++;
  sets_.emplace(set_id, std::move(record));
  return set_id;
}

void ParameterStore::UnregisterSet(uint64_t set_id, absl::Span<const ParameterRef> refs) {
  MutexLock lock(&mutex_);
  const auto found = sets_.find(set_id);
  CHECK(found != sets_.end());
  for (const ParameterRef& ref : refs) {
    Live& live = live_.at(ref.segment_id());
    --live.entry_sets[static_cast<size_t>(ref.place_ - live.segment->places().data())];
  }
  for (uint64_t segment_id : found->second.segment_ids) --live_.at(segment_id).sets;
  sets_.erase(found);
}

uint32_t ParameterStore::SetsHolding(const ContentId& key) const {
  MutexLock lock(&mutex_);
  const auto found = keys_.find(key);
  if (found == keys_.end()) return 0;
  return live_.at(found->second.segment_id).entry_sets[found->second.index];
}

SetBytes ParameterStore::BytesOfSetLocked(const SetRecord& record) const {
  SetBytes bytes;
  for (uint64_t segment_id : record.segment_ids) {
    const Live& live = live_.at(segment_id);
    KindBytes& side = live.sets == 1 ? bytes.unique : bytes.shared;
    side.Add(live.segment->kind(), live.segment->page_bytes());
  }
  return bytes;
}

SetBytes ParameterStore::BytesOfSet(uint64_t set_id) const {
  MutexLock lock(&mutex_);
  const auto found = sets_.find(set_id);
  return found == sets_.end() ? SetBytes() : BytesOfSetLocked(found->second);
}

MemoryLedger ParameterStore::Ledger() const {
  MemoryLedger ledger;
  ledger.table = table_->usage();
  MutexLock lock(&mutex_);
  for (const auto& [set_id, record] : sets_) {
    ledger.sets.push_back(
        {.set_id = set_id, .label = record.label, .bytes = BytesOfSetLocked(record)});
  }
  for (const auto& [segment_id, live] : live_) {
    const uint64_t bytes = live.segment->page_bytes();
    ledger.held_bytes += bytes;
    if (live.sets == 0) ledger.unowned_bytes += bytes;
    if (live.sets > 1) ledger.shared_once_bytes += bytes;
  }
  return ledger;
}

}  // namespace paramd
