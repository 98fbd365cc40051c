// KeeperCore::Save and Restore: the whole core as bytes and named descriptors.
//
//   magic, version, SHA-256 of what follows;
//   next numbers; workers; segments; leases; builds; holdings; state
//
// Descriptors are named after their segment, so the order and the numbers that
// they have in the next process do not matter.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"
#include "server/keeper/keeper_core.h"

namespace paramd {
namespace {

constexpr std::string_view kSnapshotMagic = "PRMDKEEP";
constexpr uint32_t kVersion = 1;

struct WorkerRecord {
  WorkerId id = 0;
  bool greeted = false;
};

struct Record {
  WorkerId next_worker = 1;
  std::vector<WorkerRecord> workers;
  SegmentRegistry::Contents contents;
  StoredState state;
};

void WriteContents(const SegmentRegistry::Contents& contents, ByteWriter* out) {
  out->U64(contents.next_id);
  out->U64(contents.next_generation);
  out->U32(static_cast<uint32_t>(contents.segments.size()));
  for (const auto& segment : contents.segments) {
    out->U64(segment.segment_id);
    out->U8(static_cast<uint8_t>(segment.kind));
    WritePlaces(segment.places, out);
  }
  out->U32(static_cast<uint32_t>(contents.leases.size()));
  for (const auto& lease : contents.leases) {
    out->U64(lease.owner);
    out->U64(lease.segment_id);
    out->U32(lease.count);
  }
  out->U32(static_cast<uint32_t>(contents.builds.size()));
  for (const auto& build : contents.builds) {
    out->U64(build.owner);
    out->U64(build.ticket);
    // As a claim, which is what it was.
    out->Text32(EncodeClaim(build.requests, build.kind));
  }
  out->U32(static_cast<uint32_t>(contents.holdings.size()));
  for (const auto& holding : contents.holdings) WriteHolding(holding, out);
}

std::string Serialize(const Record& record) {
  ByteWriter body;
  body.U64(record.next_worker);
  body.U32(static_cast<uint32_t>(record.workers.size()));
  for (const WorkerRecord& worker : record.workers) {
    body.U64(worker.id);
    body.U8(worker.greeted ? 1 : 0);
  }
  WriteContents(record.contents, &body);
  body.U64(record.state.revision);
  body.Text64(record.state.bytes);

  ByteWriter out;
  out.Text(kSnapshotMagic);
  out.U32(kVersion);
  out.Bytes(DigestOf(AsBytes(body.bytes())).bytes());
  out.Text(body.bytes());
  return std::move(out).Take();
}

absl::Status ReadSegments(ByteReader* reader, SegmentRegistry::Contents* contents) {
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, reader->ReadCount32(13));
  for (uint32_t i = 0; i < count; ++i) {
    SegmentRegistry::SegmentRecord& segment = contents->segments.emplace_back();
    PARAMD_ASSIGN_OR_RETURN(segment.segment_id, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const uint8_t kind, reader->ReadU8());
    if (kind >= kEntryKinds) return absl::InvalidArgumentError("a segment has no such kind");
    segment.kind = static_cast<EntryKind>(kind);
    PARAMD_ASSIGN_OR_RETURN(segment.places, ReadPlaces(reader));
  }
  return absl::OkStatus();
}

absl::Status ReadContents(ByteReader* reader, SegmentRegistry::Contents* contents) {
  PARAMD_ASSIGN_OR_RETURN(contents->next_id, reader->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(contents->next_generation, reader->ReadU64());
  PARAMD_RETURN_IF_ERROR(ReadSegments(reader, contents));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t leases, reader->ReadCount32(20));
  for (uint32_t i = 0; i < leases; ++i) {
    SegmentRegistry::LeaseRecord& lease = contents->leases.emplace_back();
    PARAMD_ASSIGN_OR_RETURN(lease.owner, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(lease.segment_id, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(lease.count, reader->ReadU32());
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t builds, reader->ReadCount32(20));
  for (uint32_t i = 0; i < builds; ++i) {
    SegmentRegistry::BuildRecord& build = contents->builds.emplace_back();
    PARAMD_ASSIGN_OR_RETURN(build.owner, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(build.ticket, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const std::string_view text, reader->ReadText32());
    PARAMD_ASSIGN_OR_RETURN(ClaimRequest claim, DecodeClaim(text));
    build.kind = claim.kind;
    build.requests = std::move(claim.entries);
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t holdings, reader->ReadCount32(12));
  for (uint32_t i = 0; i < holdings; ++i) {
    PARAMD_ASSIGN_OR_RETURN(SegmentTable::Holding holding, ReadHolding(reader));
    contents->holdings.push_back(std::move(holding));
  }
  return absl::OkStatus();
}

absl::StatusOr<Record> ReadBody(std::string_view body) {
  ByteReader reader(body);
  Record record;
  PARAMD_ASSIGN_OR_RETURN(record.next_worker, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t workers, reader.ReadCount32(9));
  for (uint32_t i = 0; i < workers; ++i) {
    WorkerRecord& worker = record.workers.emplace_back();
    PARAMD_ASSIGN_OR_RETURN(worker.id, reader.ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const uint8_t greeted, reader.ReadU8());
    worker.greeted = greeted != 0;
  }
  PARAMD_RETURN_IF_ERROR(ReadContents(&reader, &record.contents));
  PARAMD_ASSIGN_OR_RETURN(record.state.revision, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view state, reader.ReadText64());
  record.state.bytes = std::string(state);
  if (!reader.done()) {
    return absl::DataLossError(StrCat(reader.remaining(), " bytes are left over"));
  }
  return record;
}

// What the parts say of each other.
absl::Status CheckOwners(const Record& record) {
  std::set<WorkerId> ids;
  for (const WorkerRecord& worker : record.workers) {
    if (worker.id == 0 || worker.id >= record.next_worker || !ids.insert(worker.id).second) {
      return absl::DataLossError(StrCat("worker number ", worker.id, " is not possible"));
    }
  }
  for (const auto& lease : record.contents.leases) {
    if (!ids.contains(lease.owner)) return absl::DataLossError("a lease of no worker");
  }
  for (const auto& build : record.contents.builds) {
    if (!ids.contains(build.owner)) return absl::DataLossError("a build of no worker");
  }
  return absl::OkStatus();
}

absl::StatusOr<Record> Parse(std::string_view bytes) {
  ByteReader reader(bytes);
  PARAMD_ASSIGN_OR_RETURN(const std::string_view magic, reader.ReadText(kSnapshotMagic.size()));
  if (magic != kSnapshotMagic) return absl::DataLossError("it does not start as a keeper's does");
  PARAMD_ASSIGN_OR_RETURN(const uint32_t version, reader.ReadU32());
  if (version != kVersion) {
    return absl::UnimplementedError(
        StrCat("it has format ", version, ", this paramd reads ", kVersion));
  }
  PARAMD_ASSIGN_OR_RETURN(const auto digest, reader.ReadBytes(Digest::kBytes));
  PARAMD_ASSIGN_OR_RETURN(const auto body, reader.ReadBytes(reader.remaining()));
  if (DigestOf(body) != Digest::FromBytes(digest)) {
    return absl::DataLossError("its bytes do not hash to what it says");
  }
  PARAMD_ASSIGN_OR_RETURN(Record record, ReadBody(AsText(body)));
  PARAMD_RETURN_IF_ERROR(CheckOwners(record));
  return record;
}

absl::Status Unusable(const absl::Status& status) {
  const std::string message =
      StrCat("the saved keeper cannot be used: ", FromAbsl(status.message()));
  if (absl::IsUnimplemented(status)) return absl::UnimplementedError(message);
  return absl::DataLossError(message);
}

}  // namespace

KeeperCore::Saved KeeperCore::Save() const {
  Record record{.next_worker = next_worker_, .contents = registry_.Export()};
  for (const auto& [id, worker] : workers_) record.workers.push_back({id, worker.greeted});
  // A store in memory does not fail to be read.
  if (absl::StatusOr<StoredState> state = state_->Read(); state.ok()) {
    record.state = *std::move(state);
  }
  Saved saved{.bytes = Serialize(record)};
  for (const auto& segment : record.contents.segments) {
    saved.fds.push_back({.name = SegmentName(segment.segment_id), .fd = segment.fd});
  }
  return saved;
}

absl::StatusOr<KeeperCore::Restored> KeeperCore::Restore(const KeeperCoreOptions& options,
                                                         MemoryStateStore* state,
                                                         KeeperEvents* events,
                                                         std::string_view bytes,
                                                         std::vector<OwnedFd> fds) {
  absl::StatusOr<Record> record = Parse(bytes);
  if (!record.ok()) return Unusable(record.status());

  Restored restored;
  restored.core = std::make_unique<KeeperCore>(options, state, events);
  KeeperCore& core = *restored.core;
  std::map<std::string, UniqueFd> by_name;
  std::set<std::string> unused;
  for (OwnedFd& given : fds) {
    unused.insert(given.name);
    by_name.emplace(std::move(given.name), std::move(given.fd));
  }
  std::map<uint64_t, UniqueFd> segment_fds;
  for (const auto& segment : record->contents.segments) {
    const auto found = by_name.find(SegmentName(segment.segment_id));
    if (found == by_name.end() || segment.places.empty()) continue;
    const std::optional<uint64_t> end =
        CheckedAdd(segment.places.back().offset, segment.places.back().bytes);
    const absl::Status sealed = end.has_value()
                                    ? CheckSealed(found->second.get(), *end)
                                    : absl::InvalidArgumentError("its size is not possible");
    if (!sealed.ok()) {
      restored.notes.push_back(StrCat(found->first, ": ", FromAbsl(sealed.message())));
      continue;
    }
    segment_fds.emplace(segment.segment_id, std::move(found->second));
    by_name.erase(found);
  }
  const absl::Status imported =
      core.registry_.Import(std::move(record->contents), std::move(segment_fds), &restored.notes);
  if (!imported.ok()) return Unusable(imported);
  for (const auto& segment : core.registry_.List()) unused.erase(SegmentName(segment.segment_id));
  restored.unused_fds.assign(unused.begin(), unused.end());

  core.next_worker_ = record->next_worker;
  // Who was told to wait may have missed the change.
  for (const WorkerRecord& worker : record->workers) {
    core.workers_.emplace(worker.id, Worker{.greeted = worker.greeted, .waiting = worker.greeted});
  }
  PARAMD_RETURN_IF_ERROR(state->AdoptIfNewer(std::move(record->state)));
  return restored;
}

}  // namespace paramd
