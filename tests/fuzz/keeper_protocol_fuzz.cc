// The keeper against anything that its workers can do. The input is a list of
// operations on one core with up to four workers: well-formed ones, so that
// tables, tickets and leases are reached; frames of arbitrary bodies; streams of
// arbitrary bytes; saving and restoring, of itself and of arbitrary bytes.
//
// Whatever happens, the books must agree, and when everybody is gone nothing may
// be left but what is held.
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/params/sealed_memory.h"
#include "server/keeper/frame_socket.h"
#include "server/keeper/keeper_core.h"
#include "server/keeper/keeper_protocol.h"

namespace {

using paramd::Frame;
using paramd::FrameType;
using paramd::KeeperCore;
using paramd::KeeperEvent;
using paramd::SegmentTable;
using paramd::UniqueFd;
using paramd::WorkerId;

void Check(bool holds) {
  if (!holds) __builtin_trap();
}

// One page for whoever puts something: making memory anew each time would be
// all that this program does.
UniqueFd OnePage() {
  static const UniqueFd* const page = [] {
    auto memory = paramd::WritableMemory::Create("fuzz", 1);
    return new UniqueFd(std::move(*memory).Seal()->TakeFd());
  }();
  return UniqueFd(::fcntl(page->get(), F_DUPFD_CLOEXEC, 0));
}

paramd::ContentId Key(uint8_t i) {
  std::array<uint8_t, paramd::ContentId::kBytes> bytes{};
  bytes[0] = i;
  return paramd::ContentId(bytes);
}

class Events final : public paramd::KeeperEvents {
 public:
  absl::StatusOr<paramd::KeeperWelcome> Welcome(WorkerId, const paramd::WorkerHello&) override {
    return paramd::KeeperWelcome();
  }
  void Ready(WorkerId) override {}
  void Healthy(WorkerId, std::string_view) override {}
  absl::Status RequestUpgrade(WorkerId) override { return absl::OkStatus(); }
  paramd::UpgradeStatus upgrade_status() override { return {}; }
  void Send(WorkerId, KeeperEvent) override {}
  void SegmentAdded(const std::string& name, int) override { Check(names.insert(name).second); }
  void SegmentRemoved(const std::string& name) override { Check(names.erase(name) == 1); }

  std::set<std::string> names;
};

class Keeper {
 public:
  explicit Keeper(std::string_view input) : input_(input) {}

  void Run() {
    while (!input_.done()) {
      Operation(Byte());
      const SegmentTable::Usage usage = core_->usage();
      Check(usage.sealed_bytes + usage.reserved_bytes <= usage.capacity_bytes);
      Check(usage.segments == events_.names.size());
    }
    while (!workers_.empty()) Leave(workers_.begin()->first);
    Check(core_->usage().reserved_bytes == 0 && core_->usage().builders == 0);
    if (core_->Holdings().empty()) Check(core_->usage().segments == 0);
  }

 private:
  struct Worker {
    paramd::FrameReader reader;
    // What it was given to build.
    std::map<uint64_t, std::vector<paramd::EntryRequest>> builds;
  };

  uint8_t Byte() { return input_.ReadU8().value_or(0); }
  std::string_view Text() {
    const uint64_t length = std::min<uint64_t>(Byte(), input_.remaining());
    return *input_.ReadText(length);
  }
  WorkerId Any() {
    if (workers_.empty()) Join();
    return std::next(workers_.begin(), Byte() % workers_.size())->first;
  }

  // False: the connection ended.
  bool Send(WorkerId worker, Frame frame, std::vector<Frame>* replies) {
    if (core_->Handle(worker, std::move(frame), replies).ok()) return true;
    Leave(worker);
    return false;
  }
  bool Send(WorkerId worker, FrameType type, std::string body) {
    std::vector<Frame> replies;
    return Send(worker, Frame{.type = type, .body = std::move(body)}, &replies);
  }
  void Join() {
    if (workers_.size() == 4) return;
    const WorkerId worker = core_->Connect();
    workers_.emplace(worker, Worker());
    Send(worker, FrameType::kHello, paramd::EncodeHello({.pid = 1}));
  }
  void Leave(WorkerId worker) {
    core_->Disconnect(worker);
    workers_.erase(worker);
  }

  void Claim(WorkerId worker) {
    std::vector<paramd::EntryRequest> entries;
    for (const char c : Text()) {
      entries.push_back({Key(static_cast<uint8_t>(c) % 16), 1u + static_cast<uint8_t>(c) / 64});
    }
    std::vector<Frame> replies;
    Frame frame{.type = FrameType::kClaim,
                .body = paramd::EncodeClaim(entries, paramd::EntryKind::kTensor)};
    if (!Send(worker, std::move(frame), &replies)) return;
    const auto claim = paramd::DecodeClaimReply(std::move(replies), entries.size());
    if (!claim.ok() || claim->ticket == 0) return;
    std::vector<paramd::EntryRequest> mine;
    for (const size_t i : claim->to_build) mine.push_back(entries[i]);
    workers_.at(worker).builds[claim->ticket] = std::move(mine);
  }
  void Put(WorkerId worker) {
    auto& builds = workers_.at(worker).builds;
    if (builds.empty()) return;
    const auto build = std::next(builds.begin(), Byte() % builds.size());
    Frame frame{.type = FrameType::kPut};
    frame.body = paramd::EncodePut(build->first, paramd::LayOutSegment(build->second)->places);
    frame.fds.push_back(OnePage());
    std::vector<Frame> replies;
    builds.erase(build);
    Send(worker, std::move(frame), &replies);
  }
  void Hold(WorkerId worker) {
    SegmentTable::Holding holding{.name = std::string(1, static_cast<char>('a' + Byte() % 3))};
    for (const char c : Text()) holding.keys.push_back(Key(static_cast<uint8_t>(c) % 16));
    Send(worker, FrameType::kHold, paramd::EncodeHold(holding));
  }
  void Raw(WorkerId worker) {
    Frame frame{.type = static_cast<FrameType>(Byte())};
    const uint8_t flags = Byte();
    for (int i = 0; i < flags % 3; ++i) frame.fds.push_back(OnePage());
    frame.fds_lost = (flags & 0x80) != 0;
    frame.body = std::string(Text());
    std::vector<Frame> replies;
    Send(worker, std::move(frame), &replies);
  }
  void Stream(WorkerId worker) {
    const std::string_view bytes = Text();
    std::vector<UniqueFd> fds;
    const uint8_t flags = Byte();
    if ((flags & 1) != 0) fds.push_back(OnePage());
    paramd::FrameReader& reader = workers_.at(worker).reader;
    if (bytes.empty()) return;  // No receive brings descriptors alone.
    if (!reader.Append(paramd::AsBytes(bytes), std::move(fds), (flags & 2) != 0).ok()) {
      return Leave(worker);
    }
    while (true) {
      auto frame = reader.Next();
      if (!frame.ok()) return Leave(worker);
      if (!frame->has_value()) return;
      std::vector<Frame> replies;
      if (!Send(worker, **std::move(frame), &replies)) return;
    }
  }

  void Reload() {
    const KeeperCore::Saved saved = core_->Save();
    std::vector<KeeperCore::OwnedFd> fds;
    for (const auto& named : saved.fds) {
      fds.push_back({named.name, UniqueFd(::fcntl(named.fd, F_DUPFD_CLOEXEC, 0))});
    }
    auto restored =
        KeeperCore::Restore(kOptions, state_.get(), &events_, saved.bytes, std::move(fds));
    Check(restored.ok() && restored->notes.empty() && restored->unused_fds.empty());
    core_ = std::move(restored->core);
    Check(core_->Save().bytes.size() == saved.bytes.size());
  }
  // Bytes that somebody else may have written, under a digest that is right.
  void RestoreAnything(std::string_view body) {
    paramd::ByteWriter out;
    out.Text("PRMDKEEP");
    out.U32(1);
    out.Bytes(paramd::DigestOf(paramd::AsBytes(body)).bytes());
    out.Text(body);
    std::vector<KeeperCore::OwnedFd> fds;
    for (int i = 0; i < 8; ++i) fds.push_back({"segment-" + std::to_string(i), OnePage()});
    Events events;
    const auto state = *paramd::MemoryStateStore::Open("");
    auto restored =
        KeeperCore::Restore(kOptions, state.get(), &events, out.bytes(), std::move(fds));
    if (!restored.ok()) return;
    for (const auto& segment : restored->core->Save().fds) events.names.insert(segment.name);
    for (const WorkerId worker : restored->core->workers()) restored->core->Disconnect(worker);
    Check(restored->core->usage().builders == 0 && restored->core->usage().reserved_bytes == 0);
  }
  // What a worker does with an answer.
  static void DecodeAnything(std::string_view bytes) {
    const auto frame = [&] {
      Frame made{.body = std::string(bytes)};
      made.fds.push_back(OnePage());
      return made;
    };
    std::vector<Frame> parts;
    parts.push_back(frame());
    paramd::DecodeEmptyReply(parts[0]).IgnoreError();
    paramd::DecodeNumberReply(parts[0]).IgnoreError();
    paramd::DecodeUsage(parts[0]).IgnoreError();
    paramd::DecodeState(parts[0]).IgnoreError();
    paramd::DecodeUpgradeStatus(parts[0]).IgnoreError();
    paramd::DecodeHoldings(parts).IgnoreError();
    paramd::DecodeList(parts).IgnoreError();
    paramd::DecodeClaimReply(std::move(parts), 8).IgnoreError();
    paramd::DecodeWelcome(frame()).IgnoreError();
  }

  void Operation(uint8_t what) {
    switch (what % 14) {
      case 0:
        return Join();
      case 1:
        return Leave(Any());
      case 2:
      case 3:
        return Claim(Any());
      case 4:
        return Put(Any());
      case 5: {
        const WorkerId worker = Any();
        const uint64_t ticket = Byte();
        workers_.at(worker).builds.erase(ticket);
        Send(worker, FrameType::kAbandon, paramd::EncodeNumber(ticket));
        return;
      }
      case 6: {
        const WorkerId worker = Any();
        Send(worker, FrameType::kRelease, paramd::EncodeNumber(Byte()));
        return;
      }
      case 7:
        return Hold(Any());
      case 8: {
        const WorkerId worker = Any();
        Send(worker, FrameType::kUnhold,
             paramd::EncodeName(std::string(1, static_cast<char>('a' + Byte() % 3))));
        return;
      }
      case 9:
        return Raw(Any());
      case 10:
        return Stream(Any());
      case 11:
        return Reload();
      case 12:
        return RestoreAnything(*input_.ReadText(input_.remaining()));
      default:
        return DecodeAnything(*input_.ReadText(input_.remaining()));
    }
  }

  static constexpr paramd::KeeperCoreOptions kOptions{.capacity_bytes = 6 * paramd::kPageBytes};
  paramd::ByteReader input_;
  Events events_;
  std::unique_ptr<paramd::MemoryStateStore> state_ = *paramd::MemoryStateStore::Open("");
  std::unique_ptr<KeeperCore> core_ =
      std::make_unique<KeeperCore>(kOptions, state_.get(), &events_);
  std::map<WorkerId, Worker> workers_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Keeper({reinterpret_cast<const char*>(data), size}).Run();
  return 0;
}
