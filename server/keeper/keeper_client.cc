#include "server/keeper/keeper_client.h"

#include <unistd.h>

#include <utility>

#include "absl/log/log.h"
#include "runtime/base/mutex.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/keeper/frame_socket.h"

namespace paramd {
namespace {

void ExitWithoutKeeper(const absl::Status& status) {
  LOG(ERROR) << "the keeper is gone, and this worker goes with it: " << status;
  // Not exit(): destructors would give back, one by one, to nobody.
  ::_exit(kKeeperLostExit);
}

absl::Status NoKeeper() { return absl::UnavailableError("the keeper is gone"); }

// Counts the moments at which a claim that was told to wait may look again.
class ChangeCount {
 public:
  uint64_t now() {
    MutexLock lock(&mutex_);
    return count_;
  }
  void Add() {
    MutexLock lock(&mutex_);
    ++count_;
    changed_.SignalAll();
  }
  // Nothing will ever change again.
  void End() {
    MutexLock lock(&mutex_);
    ended_ = true;
    changed_.SignalAll();
  }
  // False: it has ended.
  bool WaitBeyond(uint64_t seen) {
    MutexLock lock(&mutex_);
    while (count_ == seen && !ended_) changed_.Wait(&mutex_);
    return !ended_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

class KeeperClient::Impl {
 public:
  Impl(UniqueFd socket, OnLost on_lost)
      : on_lost_(on_lost ? std::move(on_lost) : OnLost(ExitWithoutKeeper)),
        socket_(std::move(socket)) {}

  // One request and its whole answer. Unavailable: the keeper is gone, and
  // Lost() was called.
  absl::StatusOr<std::vector<Frame>> Call(FrameType type, std::string body, UniqueFd fd = {}) {
    absl::StatusOr<std::vector<Frame>> answer = Exchange(type, std::move(body), std::move(fd));
    if (!answer.ok()) Lost(answer.status());
    return answer;
  }
  // The same for an answer in one part.
  absl::StatusOr<Frame> CallOne(FrameType type, std::string body, UniqueFd fd = {}) {
    PARAMD_ASSIGN_OR_RETURN(std::vector<Frame> parts, Call(type, std::move(body), std::move(fd)));
    if (parts.size() == 1) return std::move(parts[0]);
    return Checked(absl::DataLossError("the keeper's answer has several parts"));
  }
  // An answer that cannot be read is as bad as none.
  absl::Status Checked(absl::Status status) {
    if (absl::IsDataLoss(status)) Lost(status);
    return status;
  }
  absl::Status CallEmpty(FrameType type, std::string body) {
    PARAMD_ASSIGN_OR_RETURN(const Frame answer, CallOne(type, std::move(body)));
    return Checked(DecodeEmptyReply(answer));
  }

  void Lost(const absl::Status& status) {
    {
      MutexLock lock(&mutex_);
      if (std::exchange(lost_, true)) return;
    }
    changes.End();
    on_lost_(status);
  }

  ChangeCount changes;
  KeeperWelcome welcome;

 private:
  absl::StatusOr<std::vector<Frame>> Exchange(FrameType type, std::string body, UniqueFd fd) {
    // Held while the keeper answers: microseconds, and answers come in order.
    MutexLock lock(&mutex_);
    if (lost_) return NoKeeper();
    Frame frame{.type = type, .request = ++last_request_, .body = std::move(body)};
    if (fd.valid()) frame.fds.push_back(std::move(fd));
    PARAMD_RETURN_IF_ERROR(socket_.Send(frame));
    std::vector<Frame> parts;
    while (true) {
      PARAMD_ASSIGN_OR_RETURN(Frame part, socket_.Receive());
      const bool last = part.type == FrameType::kReply;
      if (part.request != frame.request || (!last && part.type != FrameType::kReplyPart)) {
        return absl::DataLossError("the keeper answered what was not asked");
      }
      parts.push_back(std::move(part));
      if (last) return parts;
    }
  }

  const OnLost on_lost_;
  Mutex mutex_;
  FrameSocket socket_ ABSL_GUARDED_BY(mutex_);
  uint32_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::StatusOr<std::unique_ptr<KeeperClient>> KeeperClient::Connect(UniqueFd socket,
                                                                    const WorkerHello& hello,
                                                                    OnLost on_lost) {
  auto impl = std::make_unique<Impl>(std::move(socket), std::move(on_lost));
  PARAMD_ASSIGN_OR_RETURN(Frame answer, impl->CallOne(FrameType::kHello, EncodeHello(hello)));
  if (answer.fds_lost) {
    return absl::ResourceExhaustedError(
        "this worker has too many open files to take the keeper's sockets");
  }
  absl::StatusOr<KeeperWelcome> welcome = DecodeWelcome(std::move(answer));
  if (!welcome.ok()) return impl->Checked(welcome.status());
  impl->welcome = *std::move(welcome);
  return std::unique_ptr<KeeperClient>(new KeeperClient(std::move(impl)));
}

KeeperClient::KeeperClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeeperClient::~KeeperClient() = default;

KeeperWelcome KeeperClient::TakeWelcome() { return std::move(impl_->welcome); }

void KeeperClient::ReportReady() { impl_->CallEmpty(FrameType::kReady, "").IgnoreError(); }

void KeeperClient::ReportHealthy(std::string_view version) {
  if (version.size() > kHoldingNameBytesMax) return;
  impl_->CallEmpty(FrameType::kHealthy, EncodeName(version)).IgnoreError();
}

absl::Status KeeperClient::RequestUpgrade() { return impl_->CallEmpty(FrameType::kUpgrade, ""); }

UpgradeStatus KeeperClient::upgrade_status() const {
  const absl::StatusOr<Frame> answer = impl_->CallOne(FrameType::kUpgradeStatus, "");
  if (!answer.ok()) return UpgradeStatus();
  absl::StatusOr<UpgradeStatus> status = DecodeUpgradeStatus(*answer);
  impl_->Checked(status.status()).IgnoreError();
  return status.value_or(UpgradeStatus());
}

void KeeperClient::NoticeChanged() { impl_->changes.Add(); }

void KeeperClient::NoticeClosed() { impl_->Lost(NoKeeper()); }

absl::StatusOr<SegmentTable::ClaimResult> KeeperClient::Claim(
    absl::Span<const EntryRequest> requests, EntryKind kind) {
  if (requests.size() > kClaimEntriesMax) {
    return absl::InvalidArgumentError(
        StrCat(requests.size(), " entries in one claim are above the limit of ", kClaimEntriesMax));
  }
  const std::string body = EncodeClaim(requests, kind);
  while (true) {
    // Counted before asking: what changes after the answer counts beyond it.
    const uint64_t seen = impl_->changes.now();
    PARAMD_ASSIGN_OR_RETURN(std::vector<Frame> parts, impl_->Call(FrameType::kClaim, body));
    absl::StatusOr<ClaimResult> result = DecodeClaimReply(std::move(parts), requests.size());
    if (!result.ok()) return impl_->Checked(result.status());
    bool lost_fds = false;
    for (const LentSegment& segment : result->resident) lost_fds |= !segment.fd.valid();
    if (lost_fds) {
      for (const LentSegment& segment : result->resident) Release(segment.segment_id);
      if (result->ticket != 0) Abandon(result->ticket);
      return absl::ResourceExhaustedError(
          "this worker has too many open files (RLIMIT_NOFILE) to take its segments");
    }
    if (!result->resident.empty() || result->ticket != 0) return result;
    if (!impl_->changes.WaitBeyond(seen)) return NoKeeper();
  }
}

absl::StatusOr<uint64_t> KeeperClient::Put(uint64_t ticket, UniqueFd fd,
                                           std::vector<EntryPlace> places) {
  PARAMD_ASSIGN_OR_RETURN(
      const Frame answer,
      impl_->CallOne(FrameType::kPut, EncodePut(ticket, places), std::move(fd)));
  absl::StatusOr<uint64_t> segment_id = DecodeNumberReply(answer);
  if (!segment_id.ok()) return impl_->Checked(segment_id.status());
  // Another thread of this process may wait for it: no need for the detour
  // through the events.
  NoticeChanged();
  return segment_id;
}

void KeeperClient::Abandon(uint64_t ticket) {
  impl_->CallEmpty(FrameType::kAbandon, EncodeNumber(ticket)).IgnoreError();
  NoticeChanged();
}

void KeeperClient::Release(uint64_t segment_id) {
  impl_->CallEmpty(FrameType::kRelease, EncodeNumber(segment_id)).IgnoreError();
}

absl::Status KeeperClient::Hold(Holding holding) {
  PARAMD_RETURN_IF_ERROR(CheckHolding(holding));
  return impl_->CallEmpty(FrameType::kHold, EncodeHold(holding));
}

void KeeperClient::Unhold(std::string_view name) {
  if (name.size() > kHoldingNameBytesMax) return;  // Never held.
  impl_->CallEmpty(FrameType::kUnhold, EncodeName(name)).IgnoreError();
}

std::vector<SegmentTable::Holding> KeeperClient::Holdings() const {
  const absl::StatusOr<std::vector<Frame>> parts = impl_->Call(FrameType::kHoldings, "");
  if (!parts.ok()) return {};
  absl::StatusOr<std::vector<Holding>> holdings = DecodeHoldings(*parts);
  impl_->Checked(holdings.status()).IgnoreError();
  if (!holdings.ok()) return {};
  return *std::move(holdings);
}

std::vector<SegmentTable::SegmentInfo> KeeperClient::List() const {
  const absl::StatusOr<std::vector<Frame>> parts = impl_->Call(FrameType::kList, "");
  if (!parts.ok()) return {};
  absl::StatusOr<std::vector<SegmentInfo>> segments = DecodeList(*parts);
  impl_->Checked(segments.status()).IgnoreError();
  if (!segments.ok()) return {};
  return *std::move(segments);
}

SegmentTable::Usage KeeperClient::usage() const {
  const absl::StatusOr<Frame> answer = impl_->CallOne(FrameType::kUsage, "");
  if (!answer.ok()) return Usage();
  const absl::StatusOr<Usage> usage = DecodeUsage(*answer);
  impl_->Checked(usage.status()).IgnoreError();
  return usage.value_or(Usage());
}

uint64_t KeeperClient::NextGeneration() {
  const absl::StatusOr<Frame> answer = impl_->CallOne(FrameType::kGeneration, "");
  if (!answer.ok()) return 0;
  const absl::StatusOr<uint64_t> generation = DecodeNumberReply(*answer);
  impl_->Checked(generation.status()).IgnoreError();
  return generation.value_or(0);
}

absl::StatusOr<StoredState> KeeperClient::Read() const {
  PARAMD_ASSIGN_OR_RETURN(const Frame answer, impl_->CallOne(FrameType::kReadState, ""));
  absl::StatusOr<StoredState> state = DecodeState(answer);
  impl_->Checked(state.status()).IgnoreError();
  return state;
}

absl::StatusOr<uint64_t> KeeperClient::CompareAndSet(uint64_t expected, std::string bytes) {
  if (bytes.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("a state of ", bytes.size(), " bytes is above the limit of ", kStateBytesMax));
  }
  PARAMD_ASSIGN_OR_RETURN(const Frame answer,
                          impl_->CallOne(FrameType::kSetState, EncodeSetState(expected, bytes)));
  const absl::StatusOr<uint64_t> revision = DecodeNumberReply(answer);
  impl_->Checked(revision.status()).IgnoreError();
  return revision;
}

}  // namespace paramd
