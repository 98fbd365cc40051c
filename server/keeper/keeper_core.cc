#include "server/keeper/keeper_core.h"

#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"

namespace paramd {

KeeperCore::KeeperCore(const KeeperCoreOptions& options, MemoryStateStore* state,
                       KeeperEvents* events)
    : state_(state),
      events_(events),
      registry_({.capacity_bytes = options.capacity_bytes,
                 .generation_start = options.generation_start}) {}

KeeperCore::~KeeperCore() = default;

std::string KeeperCore::SegmentName(uint64_t segment_id) { return StrCat("segment-", segment_id); }

WorkerId KeeperCore::Connect() {
  ++changes_;
  const WorkerId id = next_worker_++;
  workers_.emplace(id, Worker());
  return id;
}

void KeeperCore::Disconnect(WorkerId worker) {
  if (workers_.erase(worker) == 0) return;
  ++changes_;
  std::vector<SegmentRegistry::Closed> closed;
  const size_t builds = registry_.EndOwner(worker, &closed);
  Close(std::move(closed));
  if (builds > 0) TellWaiting();
}

std::vector<WorkerId> KeeperCore::workers() const {
  std::vector<WorkerId> ids;
  for (const auto& [id, worker] : workers_) ids.push_back(id);
  return ids;
}

void KeeperCore::Close(std::vector<SegmentRegistry::Closed> closed) {
  for (const SegmentRegistry::Closed& segment : closed) {
    events_->SegmentRemoved(SegmentName(segment.segment_id));
  }
}

void KeeperCore::TellWaiting() {
  for (auto& [id, worker] : workers_) {
    if (!std::exchange(worker.waiting, false)) continue;
    events_->Send(id, KeeperEvent::kChanged);
  }
}

absl::Status KeeperCore::Handle(WorkerId id, Frame frame, std::vector<Frame>* replies) {
  const auto found = workers_.find(id);
  CHECK(found != workers_.end()) << StrCat("worker ", id, " is not connected");
  if (frame.type != FrameType::kPut && (!frame.fds.empty() || frame.fds_lost)) {
    return absl::InvalidArgumentError("a worker sent descriptors that nobody asked for");
  }
  const bool hello = frame.type == FrameType::kHello;
  if (found->second.greeted == hello) {
    return absl::InvalidArgumentError(hello ? "a worker said hello twice"
                                            : "a worker did not say hello first");
  }
  if (hello) return Hello(id, &found->second, frame, replies);
  return Dispatch(id, &found->second, std::move(frame), replies);
}

absl::Status KeeperCore::Hello(WorkerId id, Worker* worker, const Frame& frame,
                               std::vector<Frame>* replies) {
  const absl::StatusOr<WorkerHello> hello = DecodeHello(frame.body);
  absl::Status status = hello.status();
  if (status.ok()) {
    absl::StatusOr<KeeperWelcome> welcome = events_->Welcome(id, *hello);
    if (welcome.ok()) {
      worker->greeted = true;
      ++changes_;
      replies->push_back(WelcomeReply(frame.request, *std::move(welcome)));
      return absl::OkStatus();
    }
    status = welcome.status();
  }
  replies->push_back(ErrorReply(frame.request, status));
  return status;
}

absl::Status KeeperCore::Dispatch(WorkerId id, Worker* worker, Frame frame,
                                  std::vector<Frame>* replies) {
  switch (frame.type) {
    case FrameType::kClaim:
      return Claim(id, worker, frame, replies);
    case FrameType::kPut:
      return Put(id, std::move(frame), replies);
    case FrameType::kAbandon:
    case FrameType::kRelease:
      return GiveBack(id, frame, replies);
    case FrameType::kHold:
    case FrameType::kUnhold:
    case FrameType::kHealthy:
      return Named(id, frame, replies);
    case FrameType::kSetState: {
      PARAMD_ASSIGN_OR_RETURN(SetStateRequest set, DecodeSetState(frame.body));
      const absl::StatusOr<uint64_t> revision =
          state_->CompareAndSet(set.expected, std::move(set.bytes));
      if (revision.ok()) {
        ++changes_;
        for (const auto& [other, unused] : workers_) {
          if (other != id) events_->Send(other, KeeperEvent::kStateSet);
        }
      }
      replies->push_back(revision.ok() ? NumberReply(frame.request, *revision)
                                       : ErrorReply(frame.request, revision.status()));
      return absl::OkStatus();
    }
    default:
      return Ask(id, frame, replies);
  }
}

// Requests without a body.
absl::Status KeeperCore::Ask(WorkerId id, const Frame& frame, std::vector<Frame>* replies) {
  PARAMD_RETURN_IF_ERROR(DecodeNothing(frame.body));
  switch (frame.type) {
    case FrameType::kHoldings:
      HoldingsReply(frame.request, registry_.Holdings(), replies);
      return absl::OkStatus();
    case FrameType::kList:
      ListReply(frame.request, registry_.List(), replies);
      return absl::OkStatus();
    case FrameType::kUsage:
      replies->push_back(UsageReply(frame.request, registry_.usage()));
      return absl::OkStatus();
    case FrameType::kGeneration:
      ++changes_;
      replies->push_back(NumberReply(frame.request, registry_.NextGeneration()));
      return absl::OkStatus();
    case FrameType::kReadState: {
      PARAMD_ASSIGN_OR_RETURN(const StoredState state, state_->Read());
      replies->push_back(StateReply(frame.request, state));
      return absl::OkStatus();
    }
    case FrameType::kReady:
      events_->Ready(id);
      replies->push_back(EmptyReply(frame.request));
      return absl::OkStatus();
    case FrameType::kUpgrade:
      replies->push_back(ErrorReply(frame.request, events_->RequestUpgrade(id)));
      return absl::OkStatus();
    case FrameType::kUpgradeStatus:
      replies->push_back(UpgradeReply(frame.request, events_->upgrade_status()));
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          StrCat("a worker sent a frame of type ", static_cast<int>(frame.type)));
  }
}

absl::Status KeeperCore::Claim(WorkerId id, Worker* worker, const Frame& frame,
                               std::vector<Frame>* replies) {
  PARAMD_ASSIGN_OR_RETURN(const ClaimRequest claim, DecodeClaim(frame.body));
  absl::StatusOr<SegmentTable::ClaimResult> result = registry_.Claim(id, claim.entries, claim.kind);
  if (!result.ok()) {
    replies->push_back(ErrorReply(frame.request, result.status()));
    return absl::OkStatus();
  }
  if (result->resident.empty() && result->ticket == 0) {
    worker->waiting = true;
  } else {
    ++changes_;
  }
  ClaimReply(frame.request, *std::move(result), replies);
  return absl::OkStatus();
}

absl::Status KeeperCore::Put(WorkerId id, Frame frame, std::vector<Frame>* replies) {
  PARAMD_ASSIGN_OR_RETURN(PutRequest put, DecodePut(frame.body));
  const SegmentLayout* const layout = registry_.layout(id, put.ticket);
  if (layout == nullptr) {
    return absl::InvalidArgumentError(
        StrCat("a worker put under ticket ", put.ticket, ", which it does not have"));
  }
  if (frame.fds_lost) {
    replies->push_back(ErrorReply(
        frame.request,
        absl::ResourceExhaustedError("the keeper has too many open files (RLIMIT_NOFILE) to take "
                                     "another segment")));
    return absl::OkStatus();
  }
  if (frame.fds.size() != 1) {
    return absl::InvalidArgumentError(
        StrCat("a worker put ", frame.fds.size(), " descriptors, expected 1"));
  }
  if (const absl::Status sealed = CheckSealed(frame.fds[0].get(), layout->bytes); !sealed.ok()) {
    replies->push_back(ErrorReply(frame.request, sealed));
    return absl::OkStatus();
  }
  const int fd = frame.fds[0].get();  // Stays open in the registry.
  const absl::StatusOr<uint64_t> segment_id =
      registry_.Put(id, put.ticket, std::move(frame.fds[0]), std::move(put.places));
  if (!segment_id.ok()) {
    replies->push_back(ErrorReply(frame.request, segment_id.status()));
    return absl::OkStatus();
  }
  ++changes_;
  events_->SegmentAdded(SegmentName(*segment_id), fd);
  TellWaiting();
  replies->push_back(NumberReply(frame.request, *segment_id));
  return absl::OkStatus();
}

absl::Status KeeperCore::GiveBack(WorkerId id, const Frame& frame, std::vector<Frame>* replies) {
  PARAMD_ASSIGN_OR_RETURN(const uint64_t number, DecodeNumber(frame.body));
  ++changes_;
  if (frame.type == FrameType::kAbandon) {
    PARAMD_RETURN_IF_ERROR(registry_.Abandon(id, number));
    TellWaiting();
  } else {
    std::vector<SegmentRegistry::Closed> closed;
    PARAMD_RETURN_IF_ERROR(registry_.Release(id, number, &closed));
    Close(std::move(closed));
  }
  replies->push_back(EmptyReply(frame.request));
  return absl::OkStatus();
}

absl::Status KeeperCore::Named(WorkerId id, const Frame& frame, std::vector<Frame>* replies) {
  std::vector<SegmentRegistry::Closed> closed;
  absl::Status status = absl::OkStatus();
  if (frame.type == FrameType::kHold) {
    PARAMD_ASSIGN_OR_RETURN(SegmentTable::Holding holding, DecodeHold(frame.body));
    status = Hold(std::move(holding), &closed);
  } else {
    PARAMD_ASSIGN_OR_RETURN(const std::string name, DecodeName(frame.body));
    if (frame.type == FrameType::kUnhold) {
      registry_.Unhold(name, &closed);
    } else {
      events_->Healthy(id, name);
    }
  }
  ++changes_;
  Close(std::move(closed));
  replies->push_back(ErrorReply(frame.request, status));
  return absl::OkStatus();
}

absl::Status KeeperCore::Hold(SegmentTable::Holding holding,
                              std::vector<SegmentRegistry::Closed>* closed) {
  // What workers can leave here is limited: it outlives them.
  if (registry_.holdings() >= kHoldingsMax ||
      registry_.holding_bytes() + SegmentRegistry::BytesOf(holding) > kHoldingBytesMax) {
    return absl::ResourceExhaustedError(
        StrCat("the keeper has ", registry_.holdings(), " holdings of ", registry_.holding_bytes(),
               " bytes, at most ", kHoldingsMax, " of ", kHoldingBytesMax));
  }
  return registry_.Hold(std::move(holding), closed);
}

}  // namespace paramd
