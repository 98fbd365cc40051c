#include "server/keeper/keeper_protocol.h"

#include <algorithm>
#include <utility>

#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Bytes of one on the wire.
constexpr uint64_t kEntryBytes = ContentId::kBytes + 8;
constexpr uint64_t kPlaceBytes = ContentId::kBytes + 8 + 8 + Digest::kBytes;

std::string_view Cut(std::string_view text) { return text.substr(0, kTextBytesMax); }

absl::Status Done(const ByteReader& reader) {
  if (reader.done()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(reader.remaining(), " bytes are left over at the end of a message"));
}

// A text with a limit of its own.
absl::StatusOr<std::string> ReadShort(ByteReader* reader, uint32_t bytes_max) {
  PARAMD_ASSIGN_OR_RETURN(const std::string_view text, reader->ReadText32());
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(
        StrCat("a text of ", text.size(), " bytes is above the limit of ", bytes_max));
  }
  return std::string(text);
}

absl::StatusOr<uint32_t> ReadCount(ByteReader* reader, uint64_t each_bytes, uint32_t count_max) {
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, reader->ReadCount32(each_bytes));
  if (count > count_max) {
    return absl::InvalidArgumentError(StrCat(count, " entries are above the limit of ", count_max));
  }
  return count;
}

absl::StatusOr<ContentId> ReadKey(ByteReader* reader) {
  PARAMD_ASSIGN_OR_RETURN(const auto bytes, reader->ReadBytes(ContentId::kBytes));
  return ContentId::FromBytes(bytes);
}

absl::StatusOr<EntryKind> ReadKind(ByteReader* reader) {
  PARAMD_ASSIGN_OR_RETURN(const uint8_t kind, reader->ReadU8());
  if (kind >= kEntryKinds) {
    return absl::InvalidArgumentError(StrCat("there is no kind of entry ", kind));
  }
  return static_cast<EntryKind>(kind);
}

absl::StatusOr<bool> ReadBool(ByteReader* reader) {
  PARAMD_ASSIGN_OR_RETURN(const uint8_t value, reader->ReadU8());
  if (value > 1) return absl::InvalidArgumentError(StrCat(value, " is neither yes nor no"));
  return value == 1;
}

void WriteIndexes(absl::Span<const size_t> indexes, ByteWriter* out) {
  out->U32(static_cast<uint32_t>(indexes.size()));
  for (const size_t index : indexes) out->U32(static_cast<uint32_t>(index));
}

// Ascending, below `entries`: each once.
absl::StatusOr<std::vector<size_t>> ReadIndexes(ByteReader* reader, size_t entries) {
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, ReadCount(reader, 4, kClaimEntriesMax));
  std::vector<size_t> indexes;
  indexes.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const uint32_t index, reader->ReadU32());
    if (index >= entries || (!indexes.empty() && index <= indexes.back())) {
      return absl::InvalidArgumentError(StrCat("index ", index, " of ", entries, " is wrong"));
    }
    indexes.push_back(index);
  }
  return indexes;
}

// The start of an answer that went well.
ByteWriter OkBody() {
  ByteWriter out;
  out.U8(static_cast<uint8_t>(absl::StatusCode::kOk));
  return out;
}

Frame Reply(uint32_t request, ByteWriter body) {
  return {.type = FrameType::kReply, .request = request, .body = std::move(body).Take()};
}

// Cuts a list into parts: every item is written whole.
class PartWriter {
 public:
  PartWriter(uint32_t request, std::vector<Frame>* frames) : request_(request), frames_(frames) {
    Start();
  }
  // Where the next item goes, which brings `fds` descriptors.
  ByteWriter* Item(size_t fds) {
    if (body_.bytes().size() >= kReplyPartBytes || fds_.size() + fds > kFrameDescriptorsMax) {
      Finish(FrameType::kReplyPart);
      Start();
    }
    body_.U8(1);
    return &body_;
  }
  void AddFd(UniqueFd fd) { fds_.push_back(std::move(fd)); }
  // After the last item; what else is said goes behind it.
  ByteWriter* End() {
    body_.U8(0);
    return &body_;
  }
  void Finish(FrameType type) {
    if (type == FrameType::kReplyPart) body_.U8(0);
    frames_->push_back({.type = type,
                        .request = request_,
                        .body = std::move(body_).Take(),
                        .fds = std::move(fds_)});
  }

 private:
  void Start() {
    body_ = OkBody();
    fds_.clear();
  }

  const uint32_t request_;
  std::vector<Frame>* const frames_;
  ByteWriter body_;
  std::vector<UniqueFd> fds_;
};

absl::Status Unreadable(const absl::Status& status) {
  return absl::DataLossError(
      StrCat("the keeper's answer cannot be read: ", FromAbsl(status.message())));
}

// DataLoss for whatever is wrong with an answer; the keeper's own errors pass.
template <typename T, typename Parse>
absl::StatusOr<T> DecodeOne(const Frame& frame, Parse parse) {
  std::string_view payload;
  PARAMD_RETURN_IF_ERROR(DecodeStatus(frame, &payload));
  ByteReader reader(payload);
  absl::StatusOr<T> value = parse(&reader);
  absl::Status status = value.status();
  if (status.ok()) status = Done(reader);
  if (!status.ok()) return Unreadable(status);
  return value;
}

// The items of one part; what End wrote behind them is left to `reader`.
template <typename ReadItem>
absl::Status ReadItems(ByteReader* reader, ReadItem read_item) {
  while (true) {
    PARAMD_ASSIGN_OR_RETURN(const bool more, ReadBool(reader));
    if (!more) return absl::OkStatus();
    PARAMD_RETURN_IF_ERROR(read_item());
  }
}

}  // namespace

void WritePlaces(absl::Span<const EntryPlace> places, ByteWriter* out) {
  out->U32(static_cast<uint32_t>(places.size()));
  for (const EntryPlace& place : places) {
    out->Bytes(place.key.bytes());
    out->U64(place.offset);
    out->U64(place.bytes);
    out->Bytes(place.digest.bytes());
  }
}

absl::StatusOr<std::vector<EntryPlace>> ReadPlaces(ByteReader* reader) {
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, ReadCount(reader, kPlaceBytes, kClaimEntriesMax));
  std::vector<EntryPlace> places(count);
  for (EntryPlace& place : places) {
    PARAMD_ASSIGN_OR_RETURN(place.key, ReadKey(reader));
    PARAMD_ASSIGN_OR_RETURN(place.offset, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(place.bytes, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const auto digest, reader->ReadBytes(Digest::kBytes));
    place.digest = Digest::FromBytes(digest);
  }
  return places;
}

void WriteHolding(const SegmentTable::Holding& holding, ByteWriter* out) {
  out->Text32(holding.name);
  out->Text32(holding.note);
  out->U32(static_cast<uint32_t>(holding.keys.size()));
  for (const ContentId& key : holding.keys) out->Bytes(key.bytes());
}

absl::StatusOr<SegmentTable::Holding> ReadHolding(ByteReader* reader) {
  SegmentTable::Holding holding;
  PARAMD_ASSIGN_OR_RETURN(holding.name, ReadShort(reader, kHoldingNameBytesMax));
  PARAMD_ASSIGN_OR_RETURN(holding.note, ReadShort(reader, kHoldingNoteBytesMax));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count,
                          ReadCount(reader, ContentId::kBytes, kHoldingKeysMax));
  holding.keys.resize(count);
  for (ContentId& key : holding.keys) {
    PARAMD_ASSIGN_OR_RETURN(key, ReadKey(reader));
  }
  return holding;
}

std::string EncodeHello(const WorkerHello& hello) {
  ByteWriter out;
  out.U32(kKeeperProtocolMagic);
  out.U32(kKeeperProtocolVersion);
  out.I64(hello.pid);
  out.Text32(Cut(hello.build));
  out.Text32(Cut(hello.format));
  return std::move(out).Take();
}

absl::StatusOr<WorkerHello> DecodeHello(std::string_view body) {
  ByteReader reader(body);
  PARAMD_ASSIGN_OR_RETURN(const uint32_t magic, reader.ReadU32());
  if (magic != kKeeperProtocolMagic) return absl::InvalidArgumentError("not a worker of paramd");
  PARAMD_ASSIGN_OR_RETURN(const uint32_t version, reader.ReadU32());
  if (version != kKeeperProtocolVersion) {
    return absl::FailedPreconditionError(StrCat("the worker speaks version ", version,
                                                " of the keeper's protocol, the keeper speaks ",
                                                kKeeperProtocolVersion, ": restart paramd"));
  }
  WorkerHello hello;
  PARAMD_ASSIGN_OR_RETURN(hello.pid, reader.ReadI64());
  PARAMD_ASSIGN_OR_RETURN(hello.build, ReadShort(&reader, kTextBytesMax));
  PARAMD_ASSIGN_OR_RETURN(hello.format, ReadShort(&reader, kTextBytesMax));
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return hello;
}

std::string EncodeClaim(absl::Span<const EntryRequest> entries, EntryKind kind) {
  ByteWriter out;
  out.U8(static_cast<uint8_t>(kind));
  out.U32(static_cast<uint32_t>(entries.size()));
  for (const EntryRequest& entry : entries) {
    out.Bytes(entry.key.bytes());
    out.U64(entry.bytes);
  }
  return std::move(out).Take();
}

absl::StatusOr<ClaimRequest> DecodeClaim(std::string_view body) {
  ByteReader reader(body);
  ClaimRequest claim;
  PARAMD_ASSIGN_OR_RETURN(claim.kind, ReadKind(&reader));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t count, ReadCount(&reader, kEntryBytes, kClaimEntriesMax));
  claim.entries.resize(count);
  for (EntryRequest& entry : claim.entries) {
    PARAMD_ASSIGN_OR_RETURN(entry.key, ReadKey(&reader));
    PARAMD_ASSIGN_OR_RETURN(entry.bytes, reader.ReadU64());
  }
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return claim;
}

std::string EncodePut(uint64_t ticket, absl::Span<const EntryPlace> places) {
  ByteWriter out;
  out.U64(ticket);
  WritePlaces(places, &out);
  return std::move(out).Take();
}

absl::StatusOr<PutRequest> DecodePut(std::string_view body) {
  ByteReader reader(body);
  PutRequest put;
  PARAMD_ASSIGN_OR_RETURN(put.ticket, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(put.places, ReadPlaces(&reader));
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return put;
}

std::string EncodeNumber(uint64_t number) {
  ByteWriter out;
  out.U64(number);
  return std::move(out).Take();
}

absl::StatusOr<uint64_t> DecodeNumber(std::string_view body) {
  ByteReader reader(body);
  PARAMD_ASSIGN_OR_RETURN(const uint64_t number, reader.ReadU64());
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return number;
}

std::string EncodeName(std::string_view name) {
  ByteWriter out;
  out.Text32(name.substr(0, kHoldingNameBytesMax));
  return std::move(out).Take();
}

absl::StatusOr<std::string> DecodeName(std::string_view body) {
  ByteReader reader(body);
  PARAMD_ASSIGN_OR_RETURN(std::string name, ReadShort(&reader, kHoldingNameBytesMax));
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return name;
}

absl::Status CheckHolding(const SegmentTable::Holding& holding) {
  if (holding.name.size() > kHoldingNameBytesMax || holding.note.size() > kHoldingNoteBytesMax ||
      holding.keys.size() > kHoldingKeysMax) {
    return absl::InvalidArgumentError(StrCat(
        "a holding with a name of ", holding.name.size(), ", a note of ", holding.note.size(),
        " bytes and ", holding.keys.size(), " keys is above the limits of ", kHoldingNameBytesMax,
        ", ", kHoldingNoteBytesMax, " and ", kHoldingKeysMax));
  }
  return absl::OkStatus();
}

std::string EncodeHold(const SegmentTable::Holding& holding) {
  ByteWriter out;
  WriteHolding(holding, &out);
  return std::move(out).Take();
}

absl::StatusOr<SegmentTable::Holding> DecodeHold(std::string_view body) {
  ByteReader reader(body);
  PARAMD_ASSIGN_OR_RETURN(SegmentTable::Holding holding, ReadHolding(&reader));
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return holding;
}

std::string EncodeSetState(uint64_t expected, std::string_view bytes) {
  ByteWriter out;
  out.U64(expected);
  out.Text64(bytes);
  return std::move(out).Take();
}

absl::StatusOr<SetStateRequest> DecodeSetState(std::string_view body) {
  ByteReader reader(body);
  SetStateRequest set;
  PARAMD_ASSIGN_OR_RETURN(set.expected, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view bytes, reader.ReadText64());
  set.bytes = std::string(bytes);
  PARAMD_RETURN_IF_ERROR(Done(reader));
  return set;
}

absl::Status DecodeNothing(std::string_view body) { return Done(ByteReader(body)); }

Frame ErrorReply(uint32_t request, const absl::Status& status) {
  ByteWriter out;
  out.U8(static_cast<uint8_t>(status.code()));
  if (!status.ok()) out.Text32(Cut(FromAbsl(status.message())));
  return Reply(request, std::move(out));
}

Frame EmptyReply(uint32_t request) { return Reply(request, OkBody()); }

Frame NumberReply(uint32_t request, uint64_t number) {
  ByteWriter out = OkBody();
  out.U64(number);
  return Reply(request, std::move(out));
}

Frame WelcomeReply(uint32_t request, KeeperWelcome welcome) {
  ByteWriter out = OkBody();
  std::vector<UniqueFd> fds;
  // Which of the four came, in this order.
  for (UniqueFd* fd :
       {&welcome.grpc_listener, &welcome.admin_listener, &welcome.events, &welcome.breadcrumb}) {
    out.U8(fd->valid() ? 1 : 0);
    if (fd->valid()) fds.push_back(std::move(*fd));
  }
  out.U8(welcome.successor ? 1 : 0);
  out.U64(welcome.crashes);
  out.U32(static_cast<uint32_t>(welcome.quarantined.size()));
  for (const KeeperWelcome::Quarantined& version : welcome.quarantined) {
    out.Text32(Cut(version.version));
    out.Text32(Cut(version.reason));
  }
  Frame frame = Reply(request, std::move(out));
  frame.fds = std::move(fds);
  return frame;
}

Frame UsageReply(uint32_t request, const SegmentTable::Usage& usage) {
  ByteWriter out = OkBody();
  out.U64(usage.capacity_bytes);
  out.U64(usage.sealed_bytes);
  out.U64(usage.reserved_bytes);
  out.U32(usage.segments);
  out.U32(usage.builders);
  return Reply(request, std::move(out));
}

Frame StateReply(uint32_t request, const StoredState& state) {
  ByteWriter out = OkBody();
  out.U64(state.revision);
  out.Text64(state.bytes);
  return Reply(request, std::move(out));
}

Frame UpgradeReply(uint32_t request, const UpgradeStatus& status) {
  ByteWriter out = OkBody();
  out.U8(static_cast<uint8_t>(status.phase));
  out.I64(status.serving_pid);
  out.Text32(Cut(status.message));
  return Reply(request, std::move(out));
}

void ClaimReply(uint32_t request, SegmentTable::ClaimResult result, std::vector<Frame>* frames) {
  PartWriter parts(request, frames);
  for (LentSegment& segment : result.resident) {
    ByteWriter* const out = parts.Item(1);
    out->U64(segment.segment_id);
    out->U64(segment.bytes);
    out->U8(static_cast<uint8_t>(segment.kind));
    WritePlaces(segment.places, out);
    parts.AddFd(std::move(segment.fd));
  }
  ByteWriter* const out = parts.End();
  out->U64(result.ticket);
  WriteIndexes(result.to_build, out);
  WriteIndexes(result.waiting, out);
  parts.Finish(FrameType::kReply);
}

void HoldingsReply(uint32_t request, absl::Span<const SegmentTable::Holding> holdings,
                   std::vector<Frame>* frames) {
  PartWriter parts(request, frames);
  for (const SegmentTable::Holding& holding : holdings) WriteHolding(holding, parts.Item(0));
  parts.End();
  parts.Finish(FrameType::kReply);
}

void ListReply(uint32_t request, absl::Span<const SegmentTable::SegmentInfo> segments,
               std::vector<Frame>* frames) {
  PartWriter parts(request, frames);
  for (const SegmentTable::SegmentInfo& segment : segments) {
    ByteWriter* const out = parts.Item(0);
    out->U64(segment.segment_id);
    out->U64(segment.bytes);
    out->U8(static_cast<uint8_t>(segment.kind));
    out->U32(segment.leases);
    WritePlaces(segment.places, out);
  }
  parts.End();
  parts.Finish(FrameType::kReply);
}

absl::Status DecodeStatus(const Frame& frame, std::string_view* payload) {
  ByteReader reader(frame.body);
  const absl::StatusOr<uint8_t> code = reader.ReadU8();
  if (!code.ok()) return Unreadable(code.status());
  if (*code == 0) {
    *payload = std::string_view(frame.body).substr(reader.position());
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> message = ReadShort(&reader, kTextBytesMax);
  absl::Status status = message.status();
  if (status.ok()) status = Done(reader);
  if (!status.ok()) return Unreadable(status);
  return absl::Status(static_cast<absl::StatusCode>(*code), ToAbsl(*message));
}

absl::Status DecodeEmptyReply(const Frame& frame) {
  return DecodeOne<bool>(frame, [](ByteReader*) -> absl::StatusOr<bool> { return true; }).status();
}

absl::StatusOr<uint64_t> DecodeNumberReply(const Frame& frame) {
  return DecodeOne<uint64_t>(frame, [](ByteReader* reader) { return reader->ReadU64(); });
}

absl::StatusOr<KeeperWelcome> DecodeWelcome(Frame frame) {
  return DecodeOne<KeeperWelcome>(
      frame, [&frame](ByteReader* reader) -> absl::StatusOr<KeeperWelcome> {
        KeeperWelcome welcome;
        size_t used = 0;
        for (UniqueFd* fd : {&welcome.grpc_listener, &welcome.admin_listener, &welcome.events,
                             &welcome.breadcrumb}) {
          PARAMD_ASSIGN_OR_RETURN(const bool given, ReadBool(reader));
          if (!given) continue;
          if (used == frame.fds.size())
            return absl::InvalidArgumentError("a descriptor is missing");
          *fd = std::move(frame.fds[used++]);
        }
        if (used != frame.fds.size()) return absl::InvalidArgumentError("a descriptor too many");
        PARAMD_ASSIGN_OR_RETURN(welcome.successor, ReadBool(reader));
        PARAMD_ASSIGN_OR_RETURN(welcome.crashes, reader->ReadU64());
        PARAMD_ASSIGN_OR_RETURN(const uint32_t count, reader->ReadCount32(8));
        welcome.quarantined.resize(count);
        for (KeeperWelcome::Quarantined& version : welcome.quarantined) {
          PARAMD_ASSIGN_OR_RETURN(version.version, ReadShort(reader, kTextBytesMax));
          PARAMD_ASSIGN_OR_RETURN(version.reason, ReadShort(reader, kTextBytesMax));
        }
        return welcome;
      });
}

absl::StatusOr<SegmentTable::Usage> DecodeUsage(const Frame& frame) {
  return DecodeOne<SegmentTable::Usage>(
      frame, [](ByteReader* reader) -> absl::StatusOr<SegmentTable::Usage> {
        SegmentTable::Usage usage;
        PARAMD_ASSIGN_OR_RETURN(usage.capacity_bytes, reader->ReadU64());
        PARAMD_ASSIGN_OR_RETURN(usage.sealed_bytes, reader->ReadU64());
        PARAMD_ASSIGN_OR_RETURN(usage.reserved_bytes, reader->ReadU64());
        PARAMD_ASSIGN_OR_RETURN(usage.segments, reader->ReadU32());
        PARAMD_ASSIGN_OR_RETURN(usage.builders, reader->ReadU32());
        return usage;
      });
}

absl::StatusOr<StoredState> DecodeState(const Frame& frame) {
  return DecodeOne<StoredState>(frame, [](ByteReader* reader) -> absl::StatusOr<StoredState> {
    StoredState state;
    PARAMD_ASSIGN_OR_RETURN(state.revision, reader->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const std::string_view bytes, reader->ReadText64());
    state.bytes = std::string(bytes);
    return state;
  });
}

absl::StatusOr<UpgradeStatus> DecodeUpgradeStatus(const Frame& frame) {
  return DecodeOne<UpgradeStatus>(frame, [](ByteReader* reader) -> absl::StatusOr<UpgradeStatus> {
    UpgradeStatus status;
    PARAMD_ASSIGN_OR_RETURN(const uint8_t phase, reader->ReadU8());
    if (phase > static_cast<uint8_t>(UpgradeStatus::Phase::kFailed)) {
      return absl::InvalidArgumentError(StrCat("there is no phase ", phase));
    }
    status.phase = static_cast<UpgradeStatus::Phase>(phase);
    PARAMD_ASSIGN_OR_RETURN(status.serving_pid, reader->ReadI64());
    PARAMD_ASSIGN_OR_RETURN(status.message, ReadShort(reader, kTextBytesMax));
    return status;
  });
}

namespace {

absl::Status ReadLent(Frame* part, size_t* used, ByteReader* reader, LentSegment* segment) {
  PARAMD_ASSIGN_OR_RETURN(segment->segment_id, reader->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(segment->bytes, reader->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(segment->kind, ReadKind(reader));
  PARAMD_ASSIGN_OR_RETURN(segment->places, ReadPlaces(reader));
  if (part->fds_lost) return absl::OkStatus();  // The caller looks at fd.
  if (*used == part->fds.size()) return absl::InvalidArgumentError("a descriptor is missing");
  segment->fd = std::move(part->fds[(*used)++]);
  return absl::OkStatus();
}

absl::Status ReadClaimPart(Frame* part, bool last, size_t entries,
                           SegmentTable::ClaimResult* result) {
  ByteReader reader(std::string_view(part->body).substr(1));  // Behind the status.
  size_t used = 0;
  PARAMD_RETURN_IF_ERROR(ReadItems(
      &reader, [&] { return ReadLent(part, &used, &reader, &result->resident.emplace_back()); }));
  if (used != part->fds.size()) return absl::InvalidArgumentError("a descriptor too many");
  if (last) {
    PARAMD_ASSIGN_OR_RETURN(result->ticket, reader.ReadU64());
    PARAMD_ASSIGN_OR_RETURN(result->to_build, ReadIndexes(&reader, entries));
    PARAMD_ASSIGN_OR_RETURN(result->waiting, ReadIndexes(&reader, entries));
    if (result->to_build.empty() != (result->ticket == 0)) {
      return absl::InvalidArgumentError("a ticket for nothing, or nothing for a ticket");
    }
  }
  return Done(reader);
}

}  // namespace

absl::StatusOr<SegmentTable::ClaimResult> DecodeClaimReply(std::vector<Frame> parts,
                                                           size_t entries) {
  SegmentTable::ClaimResult result;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string_view payload;
    PARAMD_RETURN_IF_ERROR(DecodeStatus(parts[i], &payload));
    const absl::Status status = ReadClaimPart(&parts[i], i + 1 == parts.size(), entries, &result);
    if (!status.ok()) return Unreadable(status);
  }
  return result;
}

absl::StatusOr<std::vector<SegmentTable::Holding>> DecodeHoldings(absl::Span<const Frame> parts) {
  std::vector<SegmentTable::Holding> holdings;
  for (const Frame& part : parts) {
    PARAMD_RETURN_IF_ERROR(DecodeOne<bool>(part, [&](ByteReader* reader) -> absl::StatusOr<bool> {
                             PARAMD_RETURN_IF_ERROR(ReadItems(reader, [&]() -> absl::Status {
                               PARAMD_ASSIGN_OR_RETURN(SegmentTable::Holding holding,
                                                       ReadHolding(reader));
                               holdings.push_back(std::move(holding));
                               return absl::OkStatus();
                             }));
                             return true;
                           }).status());
  }
  return holdings;
}

absl::StatusOr<std::vector<SegmentTable::SegmentInfo>> DecodeList(absl::Span<const Frame> parts) {
  std::vector<SegmentTable::SegmentInfo> segments;
  for (const Frame& part : parts) {
    PARAMD_RETURN_IF_ERROR(DecodeOne<bool>(part, [&](ByteReader* reader) -> absl::StatusOr<bool> {
                             PARAMD_RETURN_IF_ERROR(ReadItems(reader, [&]() -> absl::Status {
                               SegmentTable::SegmentInfo& segment = segments.emplace_back();
                               PARAMD_ASSIGN_OR_RETURN(segment.segment_id, reader->ReadU64());
                               PARAMD_ASSIGN_OR_RETURN(segment.bytes, reader->ReadU64());
                               PARAMD_ASSIGN_OR_RETURN(segment.kind, ReadKind(reader));
                               PARAMD_ASSIGN_OR_RETURN(segment.leases, reader->ReadU32());
                               PARAMD_ASSIGN_OR_RETURN(segment.places, ReadPlaces(reader));
                               return absl::OkStatus();
                             }));
                             return true;
                           }).status());
  }
  return segments;
}

}  // namespace paramd
