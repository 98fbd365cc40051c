// Random interleavings of workers, held against a model that is simple enough
// to be seen to be right: who has what is written down, and counted.
//
// Every run has another seed, which it prints; --gtest_random_seed=N repeats it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/keeper/keeper_core.h"
#include "tests/server/keeper/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr int kKeys = 12;
constexpr uint64_t kCapacityPages = 14;

uint64_t BytesOf(int key) { return 100 + 1'500 * static_cast<uint64_t>(key); }

// What ought to be.
struct Model {
  struct Segment {
    std::set<int> keys;
    uint64_t pages = 0;
    std::map<WorkerId, int> leases;
  };
  struct Build {
    WorkerId worker = 0;
    std::vector<int> keys;
    uint64_t pages = 0;
  };
  std::set<WorkerId> workers;
  std::set<WorkerId> waiting;
  std::map<uint64_t, Segment> segments;
  std::map<uint64_t, Build> builds;
  std::map<std::string, std::set<int>> holdings;
  std::vector<WorkerId> told;  // In the last operation.

  uint64_t SegmentOf(int key) const {
    for (const auto& [id, segment] : segments) {
      if (segment.keys.contains(key)) return id;
    }
    return 0;
  }
  bool IsBuilt(int key) const {
    return std::any_of(builds.begin(), builds.end(), [&](const auto& build) {
      return std::count(build.second.keys.begin(), build.second.keys.end(), key) > 0;
    });
  }
  uint64_t SealedPages() const {
    uint64_t pages = 0;
    for (const auto& [id, segment] : segments) pages += segment.pages;
    return pages;
  }
  uint64_t ReservedPages() const {
    uint64_t pages = 0;
    for (const auto& [ticket, build] : builds) pages += build.pages;
    return pages;
  }
  void BuildEnded() {
    told.assign(waiting.begin(), waiting.end());
    waiting.clear();
  }
  // Nobody's lease and nobody's holding: gone.
  void Sweep() {
    std::erase_if(segments, [&](const auto& entry) {
      if (!entry.second.leases.empty()) return false;
      for (const auto& [name, keys] : holdings) {
        for (int key : keys) {
          if (entry.second.keys.contains(key)) return false;
        }
      }
      return true;
    });
  }
  void Disconnect(WorkerId worker) {
    workers.erase(worker);
    waiting.erase(worker);
    const size_t ended =
        std::erase_if(builds, [&](const auto& entry) { return entry.second.worker == worker; });
    for (auto& [id, segment] : segments) segment.leases.erase(worker);
    Sweep();
    if (ended > 0) BuildEnded();
  }
};

class KeeperRandomTest : public ::testing::Test {
 protected:
  explicit KeeperRandomTest()
      : seed_(::testing::UnitTest::GetInstance()->random_seed() != 0
                  ? static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed())
                  : std::random_device{}()) {
    std::cout << "seed " << seed_ << " (--gtest_random_seed)\n";
  }

  size_t Roll(size_t below) { return random_() % below; }
  template <typename Map>
  auto Any(Map& map) {
    return std::next(map.begin(), static_cast<std::ptrdiff_t>(Roll(map.size())));
  }

  std::vector<Frame> Ask(WorkerId worker, FrameType type, std::string body, UniqueFd fd = {}) {
    std::vector<Frame> replies;
    Frame frame{.type = type, .request = 3, .body = std::move(body)};
    if (fd.valid()) frame.fds.push_back(std::move(fd));
    EXPECT_OK(core_->Handle(worker, std::move(frame), &replies));
    return replies;
  }

  void Join() {
    if (model_.workers.size() >= 4) return;
    const WorkerId worker = core_->Connect();
    Ask(worker, FrameType::kHello, EncodeHello({.pid = 1}));
    model_.workers.insert(worker);
  }
  void Die() {
    const WorkerId worker = *Any(model_.workers);
    core_->Disconnect(worker);
    model_.Disconnect(worker);
  }

  void Claim() {
    const WorkerId worker = *Any(model_.workers);
    std::vector<int> keys;
    std::vector<EntryRequest> entries;
    for (int key = 0; key < kKeys; ++key) {
      if (Roll(6) == 0) keys.push_back(key);
    }
    if (keys.empty()) keys.push_back(static_cast<int>(Roll(kKeys)));
    std::shuffle(keys.begin(), keys.end(), random_);
    std::set<uint64_t> resident;
    std::vector<size_t> to_build;
    std::vector<size_t> waiting;
    std::vector<int> mine;
    std::vector<EntryRequest> mine_entries;
    for (size_t i = 0; i < keys.size(); ++i) {
      entries.push_back({TestKey(keys[i]), BytesOf(keys[i])});
      if (const uint64_t id = model_.SegmentOf(keys[i]); id != 0) {
        resident.insert(id);
      } else if (model_.IsBuilt(keys[i])) {
        waiting.push_back(i);
      } else {
        to_build.push_back(i);
        mine.push_back(keys[i]);
        mine_entries.push_back(entries.back());
      }
    }
    const uint64_t pages =
        mine.empty() ? 0 : PageRoundedBytes(LayOutSegment(mine_entries)->bytes) / kPageBytes;
    const bool fits =
        pages == 0 || model_.SealedPages() + model_.ReservedPages() + pages <= kCapacityPages;
    const auto claim = DecodeClaimReply(
        Ask(worker, FrameType::kClaim, EncodeClaim(entries, EntryKind::kTensor)), entries.size());
    if (!fits) {
      ASSERT_THAT(claim.status(), StatusIs(absl::StatusCode::kResourceExhausted));
      return;
    }
    ASSERT_OK(claim.status());
    ASSERT_EQ(claim->to_build, to_build);
    ASSERT_EQ(claim->waiting, waiting);
    std::set<uint64_t> lent;
    for (const LentSegment& segment : claim->resident) {
      ASSERT_TRUE(lent.insert(segment.segment_id).second);
      ASSERT_OK(CheckSealed(segment.fd.get(), segment.bytes));
      ++model_.segments.at(segment.segment_id).leases[worker];
    }
    ASSERT_EQ(lent, resident);
    ASSERT_EQ(claim->ticket != 0, !to_build.empty());
    if (claim->ticket != 0) {
      ASSERT_TRUE(numbers_.insert(claim->ticket).second) << "a number was given twice";
      model_.builds[claim->ticket] = {.worker = worker, .keys = mine, .pages = pages};
    }
    if (resident.empty() && to_build.empty()) model_.waiting.insert(worker);
  }

  void Put() {
    if (model_.builds.empty()) return;
    const auto build = Any(model_.builds);
    std::vector<EntryRequest> entries;
    for (int key : build->second.keys) entries.push_back({TestKey(key), BytesOf(key)});
    const SegmentLayout layout = *LayOutSegment(entries);
    const std::string body = EncodePut(build->first, layout.places);
    if (Roll(5) == 0) {  // Not sealed: refused, and the build goes on.
      UniqueFd open(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      ASSERT_FALSE(
          DecodeNumberReply(Ask(build->second.worker, FrameType::kPut, body, std::move(open)).at(0))
              .ok());
      return;
    }
    const auto id = DecodeNumberReply(
        Ask(build->second.worker, FrameType::kPut, body, SealedFd(layout.bytes)).at(0));
    ASSERT_OK(id.status());
    ASSERT_TRUE(numbers_.insert(*id).second) << "a number was given twice";
    model_.segments[*id] = {
        .keys = std::set<int>(build->second.keys.begin(), build->second.keys.end()),
        .pages = build->second.pages,
        .leases = {{build->second.worker, 1}}};
    model_.builds.erase(build);
    model_.BuildEnded();
  }
  void Abandon() {
    if (model_.builds.empty()) return;
    const auto build = Any(model_.builds);
    ASSERT_OK(DecodeEmptyReply(
        Ask(build->second.worker, FrameType::kAbandon, EncodeNumber(build->first)).at(0)));
    model_.builds.erase(build);
    model_.BuildEnded();
  }
  void Release() {
    if (model_.segments.empty()) return;
    const auto segment = Any(model_.segments);
    if (segment->second.leases.empty()) return;
    const auto lease = Any(segment->second.leases);
    ASSERT_OK(DecodeEmptyReply(
        Ask(lease->first, FrameType::kRelease, EncodeNumber(segment->first)).at(0)));
    if (--lease->second == 0) segment->second.leases.erase(lease);
    model_.Sweep();
  }

  void Hold() {
    SegmentTable::Holding holding{.name = "model/" + std::to_string(Roll(4))};
    std::set<int> keys;
    bool resident = true;
    for (size_t i = 0; i < 1 + Roll(3); ++i) {
      const int key = static_cast<int>(Roll(kKeys));
      if (!keys.insert(key).second) continue;
      holding.keys.push_back(TestKey(key));
      resident = resident && model_.SegmentOf(key) != 0;
    }
    const absl::Status status =
        DecodeEmptyReply(Ask(*Any(model_.workers), FrameType::kHold, EncodeHold(holding)).at(0));
    ASSERT_EQ(status.ok(), resident) << status;
    if (!resident) return;
    model_.holdings[holding.name] = keys;
    model_.Sweep();
  }
  void Unhold() {
    const std::string name = "model/" + std::to_string(Roll(4));
    Ask(*Any(model_.workers), FrameType::kUnhold, EncodeName(name));
    model_.holdings.erase(name);
    model_.Sweep();
  }
  void Generation() {
    const auto generation =
        DecodeNumberReply(Ask(*Any(model_.workers), FrameType::kGeneration, "").at(0));
    ASSERT_OK(generation.status());
    ASSERT_GT(*generation, last_generation_);
    last_generation_ = *generation;
  }
  // Bytes of no meaning cost their sender its connection, and nobody else anything.
  void Nonsense() {
    const WorkerId worker = *Any(model_.workers);
    std::string body(1 + Roll(30), '\0');
    for (char& c : body) c = static_cast<char>(Roll(256));
    Frame frame{.type = static_cast<FrameType>(Roll(20)), .body = body};
    if (Roll(3) == 0) frame.fds.push_back(UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    std::vector<Frame> replies;
    if (core_->Handle(worker, std::move(frame), &replies).ok()) return;  // By chance a request.
    core_->Disconnect(worker);
    model_.Disconnect(worker);
  }
  // Re-executed, or restarted by the service manager.
  void Restart(bool workers_live) {
    const KeeperCore::Saved saved = core_->Save();
    std::vector<KeeperCore::OwnedFd> fds;
    for (const KeeperCore::NamedFd& named : saved.fds) {
      fds.push_back({named.name, UniqueFd(::fcntl(named.fd, F_DUPFD_CLOEXEC, 0))});
    }
    std::shuffle(fds.begin(), fds.end(), random_);
    core_.reset();
    auto restored =
        KeeperCore::Restore(options_, state_.get(), &events_, saved.bytes, std::move(fds));
    ASSERT_OK(restored.status());
    ASSERT_TRUE(restored->notes.empty()) << restored->notes[0];
    ASSERT_TRUE(restored->unused_fds.empty());
    core_ = std::move(restored->core);
    // Told once too often is harmless, and better than once too little.
    model_.waiting = model_.workers;
    if (workers_live) return;
    for (const WorkerId worker : core_->workers()) {
      core_->Disconnect(worker);
      model_.Disconnect(worker);
    }
    events_.changed.clear();
    model_.told.clear();
  }

  void Check() {
    const SegmentTable::Usage usage = core_->usage();
    ASSERT_EQ(usage.segments, model_.segments.size());
    ASSERT_EQ(usage.builders, model_.builds.size());
    ASSERT_EQ(usage.sealed_bytes, model_.SealedPages() * kPageBytes);
    ASSERT_EQ(usage.reserved_bytes, model_.ReservedPages() * kPageBytes);
    ASSERT_LE(usage.sealed_bytes + usage.reserved_bytes, usage.capacity_bytes);
    for (const WorkerId worker : model_.workers) {
      uint64_t leases = 0;
      for (const auto& [id, segment] : model_.segments) {
        const auto lease = segment.leases.find(worker);
        if (lease != segment.leases.end()) leases += static_cast<uint64_t>(lease->second);
      }
      ASSERT_EQ(core_->UsageOf(worker).leases, leases);
      ASSERT_EQ(core_->UsageOf(worker).builds,
                static_cast<uint64_t>(
                    std::count_if(model_.builds.begin(), model_.builds.end(),
                                  [&](const auto& b) { return b.second.worker == worker; })));
    }
    const std::vector<SegmentTable::Holding> holdings = core_->Holdings();
    ASSERT_EQ(holdings.size(), model_.holdings.size());
    for (const SegmentTable::Holding& holding : holdings) {
      ASSERT_EQ(holding.keys.size(), model_.holdings.at(holding.name).size());
    }
    ASSERT_EQ(events_.changed, model_.told);
    // The service manager's view is the table's.
    ASSERT_EQ(events_.segments.size(), model_.segments.size());
    for (const auto& [id, segment] : model_.segments) {
      ASSERT_TRUE(events_.segments.contains("segment-" + std::to_string(id)));
    }
    ASSERT_EQ(OpenDescriptors(), descriptors_ + model_.segments.size());
  }

  void OneStep() {
    events_.changed.clear();
    model_.told.clear();
    if (model_.workers.empty()) return Join();
    const size_t roll = Roll(100);
    if (roll < 6) return Join();
    if (roll < 9) return Die();
    if (roll < 44) return Claim();
    if (roll < 62) return Put();
    if (roll < 66) return Abandon();
    if (roll < 80) return Release();
    if (roll < 88) return Hold();
    if (roll < 92) return Unhold();
    if (roll < 95) return Generation();
    if (roll < 97) return Nonsense();
    return Restart(roll < 99);
  }

  const uint32_t seed_;
  std::mt19937 random_{seed_};
  const KeeperCoreOptions options_{.capacity_bytes = kCapacityPages * kPageBytes};
  FakeKeeperEvents events_;
  std::unique_ptr<MemoryStateStore> state_ = *MemoryStateStore::Open("");
  const size_t descriptors_ = OpenDescriptors();
  std::unique_ptr<KeeperCore> core_ =
      std::make_unique<KeeperCore>(options_, state_.get(), &events_);
  Model model_;
  std::set<uint64_t> numbers_;  // Tickets and segments ever given.
  uint64_t last_generation_ = 0;
};

TEST_F(KeeperRandomTest, EveryInterleavingAgreesWithTheModel) {
  for (int step = 0; step < 4'000; ++step) {
    ASSERT_NO_FATAL_FAILURE(OneStep()) << "seed " << seed_ << ", step " << step;
    ASSERT_NO_FATAL_FAILURE(Check()) << "seed " << seed_ << ", step " << step;
  }
  while (!model_.workers.empty()) Die();
  for (int i = 0; i < 4; ++i) {
    const WorkerId last = core_->Connect();
    Ask(last, FrameType::kHello, EncodeHello({.pid = 1}));
    Ask(last, FrameType::kUnhold, EncodeName("model/" + std::to_string(i)));
    core_->Disconnect(last);
  }
  EXPECT_EQ(core_->usage().segments, 0u) << "seed " << seed_;
  EXPECT_EQ(OpenDescriptors(), descriptors_) << "seed " << seed_;
}

}  // namespace
}  // namespace paramd
