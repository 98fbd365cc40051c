// The words that a worker and its keeper exchange, and their bytes.
//
// A frame on the wire, numbers little-endian:
//
//   u32 length      of what follows
//   u8  type        FrameType
//   u16 descriptors that came with the frame's first byte (SCM_RIGHTS)
//   u32 request     the asker's number; answers carry it back
//   ... body
//
// Every request is answered by any number of kReplyPart and one kReply. An
// answer's body starts with a status; the rest is there only when it is OK.
//
// The keeper outlives the binaries that talk to it: a new worker under an old
// keeper is what an upgrade is. So a change of any body is a new
// kKeeperProtocolVersion, and a hello of another version is refused in words.
//
// The keeper trusts nobody: its worker may just be the thing that crashed.
// Decoders check every count and length and that nothing is left over.
//
// Life: values. Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_KEEPER_KEEPER_PROTOCOL_H_
#define PARAMD_SERVER_KEEPER_KEEPER_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/segment_table.h"
#include "server/state/state_store.h"

namespace paramd {

inline constexpr uint32_t kKeeperProtocolMagic = 0x4b4d5250;  // "PRMK".
inline constexpr uint32_t kKeeperProtocolVersion = 1;

enum class FrameType : uint8_t {
  kHello = 1,
  kClaim = 2,
  kPut = 3,
  kAbandon = 4,
  kRelease = 5,
  kHold = 6,
  kUnhold = 7,
  kHoldings = 8,
  kList = 9,
  kUsage = 10,
  kGeneration = 11,
  kReadState = 12,
  kSetState = 13,
  kReady = 14,
  kHealthy = 15,
  kUpgrade = 16,
  kUpgradeStatus = 17,
  kReply = 128,      // The answer, or its last part.
  kReplyPart = 129,  // More follows.
};

struct Frame {
  FrameType type = FrameType::kReply;
  uint32_t request = 0;
  std::string body;
  std::vector<UniqueFd> fds;
  // The kernel could not give us the descriptors (this process has too many):
  // `fds` is empty although some were sent.
  bool fds_lost = false;
};

// Above what any message needs; the largest is a state of kStateBytesMax.
inline constexpr uint32_t kFrameBytesMax = (17u << 20);
inline constexpr size_t kFrameHeaderBytes = 11;  // With the length.
// The kernel's SCM_MAX_FD is 253.
inline constexpr size_t kFrameDescriptorsMax = 128;
// Long answers are cut into parts of about this size.
inline constexpr size_t kReplyPartBytes = 1u << 20;
inline constexpr uint32_t kClaimEntriesMax = 100'000;
inline constexpr uint32_t kHoldingKeysMax = 400'000;
inline constexpr uint32_t kHoldingNameBytesMax = 512;
inline constexpr uint32_t kHoldingNoteBytesMax = 1u << 20;
inline constexpr uint32_t kTextBytesMax = 4096;  // Builds, reasons, messages.

// What a worker says of itself when it connects.
struct WorkerHello {
  int64_t pid = 0;
  std::string build;  // VersionText().
  // Of manifests and packed layouts (oneDNN's version, instruction set): holdings
  // of another format are not restored from, but loaded anew.
  std::string format;
};

// What the keeper answers.
struct KeeperWelcome {
  // Inherited sockets, listening. grpc is always there.
  UniqueFd grpc_listener;
  UniqueFd admin_listener;  // May be invalid: no admin socket.
  // Events, see KeeperEvent; one byte each, from the keeper only.
  UniqueFd events;
  // Shared page for breadcrumbs (breadcrumb.h); writable by the worker.
  UniqueFd breadcrumb;
  // Another worker serves still: come up, call ReportReady, and accept no
  // connection and bind no port before kServe.
  bool successor = false;
  // How often workers have died since the keeper started, for a metric.
  uint64_t crashes = 0;
  struct Quarantined {
    std::string version;  // "digits/3".
    std::string reason;   // "the worker crashed 3 times while running it".
  };
  // Not to be loaded until their files change or somebody asks.
  std::vector<Quarantined> quarantined;
};

enum class KeeperEvent : uint8_t {
  kServe = 'S',    // Accept connections from now on.
  kRetire = 'R',   // Accept none; serve what is connected until it has gone, then exit.
  kStop = 'T',     // As SIGTERM: readiness off, grace, drain, exit.
  kChanged = 'C',  // A build ended: who waits in Claim looks again.
  kRescan = 'H',   // The keeper got SIGHUP.
  kStateSet = 'D',  // Another worker has changed the desired state.
};

struct UpgradeStatus {
  enum class Phase : uint8_t { kNone, kStarting, kDraining, kDone, kFailed };
  Phase phase = Phase::kNone;
  int64_t serving_pid = 0;
  std::string message;
};

// Requests.
struct ClaimRequest {
  std::vector<EntryRequest> entries;
  EntryKind kind = EntryKind::kTensor;
};
struct PutRequest {  // With one descriptor.
  uint64_t ticket = 0;
  std::vector<EntryPlace> places;
};
struct SetStateRequest {
  uint64_t expected = 0;
  std::string bytes;
};

std::string EncodeHello(const WorkerHello& hello);
// FailedPrecondition: another version of the protocol.
absl::StatusOr<WorkerHello> DecodeHello(std::string_view body);
std::string EncodeClaim(absl::Span<const EntryRequest> entries, EntryKind kind);
absl::StatusOr<ClaimRequest> DecodeClaim(std::string_view body);
std::string EncodePut(uint64_t ticket, absl::Span<const EntryPlace> places);
absl::StatusOr<PutRequest> DecodePut(std::string_view body);
// Abandon (a ticket), Release (a segment).
std::string EncodeNumber(uint64_t number);
absl::StatusOr<uint64_t> DecodeNumber(std::string_view body);
// Unhold, Healthy.
std::string EncodeName(std::string_view name);
absl::StatusOr<std::string> DecodeName(std::string_view body);
// InvalidArgument: above a limit.
absl::Status CheckHolding(const SegmentTable::Holding& holding);
std::string EncodeHold(const SegmentTable::Holding& holding);
absl::StatusOr<SegmentTable::Holding> DecodeHold(std::string_view body);
std::string EncodeSetState(uint64_t expected, std::string_view bytes);
absl::StatusOr<SetStateRequest> DecodeSetState(std::string_view body);
// Requests without a body.
absl::Status DecodeNothing(std::string_view body);

// Answers. A failed one is the same for every request.
Frame ErrorReply(uint32_t request, const absl::Status& status);
Frame EmptyReply(uint32_t request);
Frame NumberReply(uint32_t request, uint64_t number);
Frame WelcomeReply(uint32_t request, KeeperWelcome welcome);
Frame UsageReply(uint32_t request, const SegmentTable::Usage& usage);
Frame StateReply(uint32_t request, const StoredState& state);
Frame UpgradeReply(uint32_t request, const UpgradeStatus& status);
// In as many frames as it takes; descriptors move into them.
void ClaimReply(uint32_t request, SegmentTable::ClaimResult result, std::vector<Frame>* frames);
void HoldingsReply(uint32_t request, absl::Span<const SegmentTable::Holding> holdings,
                   std::vector<Frame>* frames);
void ListReply(uint32_t request, absl::Span<const SegmentTable::SegmentInfo> segments,
               std::vector<Frame>* frames);

// A whole answer as its parts came. The status that the keeper sent, or
// DataLoss if it cannot be read.
absl::Status DecodeStatus(const Frame& frame, std::string_view* payload);
absl::Status DecodeEmptyReply(const Frame& frame);
absl::StatusOr<uint64_t> DecodeNumberReply(const Frame& frame);
absl::StatusOr<KeeperWelcome> DecodeWelcome(Frame frame);
absl::StatusOr<SegmentTable::Usage> DecodeUsage(const Frame& frame);
absl::StatusOr<StoredState> DecodeState(const Frame& frame);
absl::StatusOr<UpgradeStatus> DecodeUpgradeStatus(const Frame& frame);
// `entries` is how many were asked for.
absl::StatusOr<SegmentTable::ClaimResult> DecodeClaimReply(std::vector<Frame> parts,
                                                           size_t entries);
absl::StatusOr<std::vector<SegmentTable::Holding>> DecodeHoldings(absl::Span<const Frame> parts);
absl::StatusOr<std::vector<SegmentTable::SegmentInfo>> DecodeList(absl::Span<const Frame> parts);

// Shared with the keeper's own snapshot.
void WritePlaces(absl::Span<const EntryPlace> places, class ByteWriter* out);
absl::StatusOr<std::vector<EntryPlace>> ReadPlaces(ByteReader* reader);
void WriteHolding(const SegmentTable::Holding& holding, class ByteWriter* out);
absl::StatusOr<SegmentTable::Holding> ReadHolding(ByteReader* reader);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_KEEPER_PROTOCOL_H_
