#include "server/keeper/keeper_core.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/keeper/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

class KeeperCoreTest : public ::testing::Test {
 protected:
  // A worker that has said hello.
  WorkerId Greeted() {
    const WorkerId id = core_->Connect();
    EXPECT_OK(Handle(id, FrameType::kHello, EncodeHello({.pid = 1})));
    return id;
  }
  // The parts of the answer are in replies_.
  absl::Status Handle(WorkerId worker, FrameType type, std::string body, UniqueFd fd = {}) {
    replies_.clear();
    Frame frame{.type = type, .request = 1, .body = std::move(body)};
    if (fd.valid()) frame.fds.push_back(std::move(fd));
    return core_->Handle(worker, std::move(frame), &replies_);
  }
  SegmentTable::ClaimResult Claim(WorkerId worker, const std::vector<EntryRequest>& entries) {
    EXPECT_OK(Handle(worker, FrameType::kClaim, EncodeClaim(entries, EntryKind::kTensor)));
    absl::StatusOr<SegmentTable::ClaimResult> result =
        DecodeClaimReply(std::move(replies_), entries.size());
    EXPECT_OK(result.status());
    return result.ok() ? *std::move(result) : SegmentTable::ClaimResult();
  }
  // The answer to a well-formed put.
  absl::StatusOr<uint64_t> Put(WorkerId worker, uint64_t ticket,
                               const std::vector<EntryRequest>& entries, UniqueFd fd) {
    EXPECT_OK(Handle(worker, FrameType::kPut, EncodePut(ticket, LayOutSegment(entries)->places),
                     std::move(fd)));
    return DecodeNumberReply(replies_.at(0));
  }
  uint64_t Build(WorkerId worker, const std::vector<EntryRequest>& entries) {
    const uint64_t ticket = Claim(worker, entries).ticket;
    absl::StatusOr<uint64_t> id =
        Put(worker, ticket, entries, SealedFd(LayOutSegment(entries)->bytes));
    EXPECT_OK(id.status());
    return id.value_or(0);
  }
  absl::Status Answer() { return DecodeEmptyReply(replies_.at(0)); }
  // The core as the next process finds it; descriptors cross as duplicates.
  absl::Status Reload(KeeperCore::Saved saved, std::vector<std::string> without = {}) {
    std::vector<KeeperCore::OwnedFd> fds;
    for (const KeeperCore::NamedFd& named : saved.fds) {
      bool lost = false;
      for (const std::string& name : without) lost |= name == named.name;
      if (!lost) fds.push_back({named.name, UniqueFd(::dup(named.fd))});
    }
    fds.push_back({"listener", UniqueFd(::open("/dev/null", O_RDONLY))});
    absl::StatusOr<KeeperCore::Restored> restored =
        KeeperCore::Restore(options_, state_.get(), &events_, saved.bytes, std::move(fds));
    if (!restored.ok()) return restored.status();
    notes_ = restored->notes;
    unused_ = restored->unused_fds;
    core_ = std::move(restored->core);
    return absl::OkStatus();
  }

  const KeeperCoreOptions options_{.capacity_bytes = 10 * kPageBytes, .generation_start = 1'000};
  FakeKeeperEvents events_;
  std::unique_ptr<MemoryStateStore> state_ = *MemoryStateStore::Open("");
  std::unique_ptr<KeeperCore> core_ =
      std::make_unique<KeeperCore>(options_, state_.get(), &events_);
  std::vector<Frame> replies_;
  std::vector<std::string> notes_;
  std::vector<std::string> unused_;
};

const std::vector<EntryRequest> kOne = {{TestKey(1), 100}};
const std::vector<EntryRequest> kTwo = {{TestKey(2), 100}};

TEST_F(KeeperCoreTest, AWorkerSaysHelloFirstAndOnce) {
  const WorkerId rude = core_->Connect();
  EXPECT_FALSE(Handle(rude, FrameType::kUsage, "").ok());
  const WorkerId id = core_->Connect();
  ASSERT_OK(
      Handle(id, FrameType::kHello, EncodeHello({.pid = 42, .build = "paramd 1", .format = "f"})));
  ASSERT_EQ(events_.hellos.size(), 1u);
  EXPECT_EQ(events_.hellos[0].pid, 42);
  EXPECT_EQ(events_.hellos[0].build, "paramd 1");
  ASSERT_OK_AND_ASSIGN(const KeeperWelcome welcome, DecodeWelcome(std::move(replies_.at(0))));
  EXPECT_TRUE(welcome.grpc_listener.valid());
  EXPECT_EQ(welcome.crashes, 2u);
  EXPECT_FALSE(Handle(id, FrameType::kHello, EncodeHello({.pid = 42})).ok());
}

TEST_F(KeeperCoreTest, ARefusedHelloIsAnsweredBeforeTheConnectionEnds) {
  events_.refusal = absl::FailedPreconditionError("a worker serves already");
  const WorkerId id = core_->Connect();
  EXPECT_FALSE(Handle(id, FrameType::kHello, EncodeHello({.pid = 42})).ok());
  EXPECT_EQ(Answer(), events_.refusal);
  std::string other = EncodeHello({.pid = 1});
  other[4] = 99;
  EXPECT_FALSE(Handle(core_->Connect(), FrameType::kHello, other).ok());
  EXPECT_THAT(Answer(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(KeeperCoreTest, FramesThatNoWorkerSendsEndItsConnection) {
  const WorkerId id = Greeted();
  EXPECT_FALSE(Handle(id, static_cast<FrameType>(0), "").ok());
  EXPECT_FALSE(Handle(id, static_cast<FrameType>(77), "").ok());
  EXPECT_FALSE(Handle(id, FrameType::kReply, "").ok());
  EXPECT_FALSE(Handle(id, FrameType::kUsage, "more").ok());
  EXPECT_FALSE(Handle(id, FrameType::kClaim, "short").ok());
  EXPECT_FALSE(Handle(id, FrameType::kUsage, "", SealedFd(1)).ok());
  EXPECT_FALSE(Handle(id, FrameType::kAbandon, EncodeNumber(1)).ok());
  EXPECT_FALSE(Handle(id, FrameType::kRelease, EncodeNumber(1)).ok());
  EXPECT_FALSE(Handle(id, FrameType::kPut, EncodePut(1, {}), SealedFd(1)).ok());
}

TEST_F(KeeperCoreTest, TwoWorkersShareOneSegment) {
  const WorkerId anna = Greeted();
  const WorkerId bert = Greeted();
  const uint64_t id = Build(anna, kOne);
  EXPECT_EQ(events_.segments.count("segment-" + std::to_string(id)), 1u);
  const SegmentTable::ClaimResult shared = Claim(bert, kOne);
  ASSERT_EQ(shared.resident.size(), 1u);
  EXPECT_EQ(shared.resident[0].segment_id, id);
  EXPECT_EQ(core_->usage().sealed_bytes, kPageBytes);
  core_->Disconnect(anna);
  EXPECT_EQ(core_->usage().segments, 1u);
  ASSERT_OK(Handle(bert, FrameType::kRelease, EncodeNumber(id)));
  EXPECT_OK(Answer());
  EXPECT_EQ(core_->usage().segments, 0u);
  EXPECT_TRUE(events_.segments.empty());
}

TEST_F(KeeperCoreTest, OnlySealedMemoryOfTheRightSizeIsTakenAndTheBuildGoesOn) {
  const WorkerId id = Greeted();
  const uint64_t ticket = Claim(id, kOne).ticket;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd other_end(ends[1]);
  const auto memfd = [](int seals) {
    UniqueFd fd(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::ftruncate(fd.get(), kPageBytes), 0);
    if (seals != 0) {
      EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    }
    return fd;
  };
  std::vector<UniqueFd> hostile;
  hostile.push_back(UniqueFd(ends[0]));
  hostile.push_back(UniqueFd(::open("/dev/null", O_RDWR)));
  hostile.push_back(UniqueFd(::open("/proc/self/exe", O_RDONLY)));
  hostile.push_back(memfd(0));
  hostile.push_back(memfd(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));  // Writable.
  hostile.push_back(memfd(F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL));   // Shrinks.
  hostile.push_back(memfd(F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  hostile.push_back(memfd(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));  // May get more.
  hostile.push_back(SealedFd(2 * kPageBytes));  // Takes more than was counted.
  for (UniqueFd& fd : hostile) {
    EXPECT_THAT(Put(id, ticket, kOne, std::move(fd)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(core_->usage().builders, 1u);
  EXPECT_TRUE(events_.segments.empty());
  EXPECT_OK(Put(id, ticket, kOne, SealedFd(100)).status());
}

TEST_F(KeeperCoreTest, PlacesThatWereNotLaidOutAreRefused) {
  const WorkerId id = Greeted();
  const uint64_t ticket = Claim(id, kOne).ticket;
  EXPECT_THAT(Put(id, ticket, kTwo, SealedFd(100)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(core_->usage().builders, 1u);
}

TEST_F(KeeperCoreTest, APutWhoseDescriptorGotLostMayBeTriedAgain) {
  const WorkerId id = Greeted();
  const uint64_t ticket = Claim(id, kOne).ticket;
  Frame frame{.type = FrameType::kPut,
              .body = EncodePut(ticket, LayOutSegment(kOne)->places),
              .fds_lost = true};
  ASSERT_OK(core_->Handle(id, std::move(frame), &replies_));
  EXPECT_THAT(DecodeEmptyReply(replies_.back()), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(Put(id, ticket, kOne, SealedFd(100)).status());
}

TEST_F(KeeperCoreTest, NobodyEndsWhatIsAnothers) {
  const WorkerId anna = Greeted();
  const WorkerId bert = Greeted();
  const uint64_t id = Build(anna, kOne);
  const uint64_t ticket = Claim(anna, kTwo).ticket;
  EXPECT_FALSE(Handle(bert, FrameType::kRelease, EncodeNumber(id)).ok());
  EXPECT_FALSE(Handle(bert, FrameType::kAbandon, EncodeNumber(ticket)).ok());
  EXPECT_FALSE(
      Handle(bert, FrameType::kPut, EncodePut(ticket, LayOutSegment(kTwo)->places), SealedFd(100))
          .ok());
  EXPECT_EQ(core_->UsageOf(anna).leases, 1u);
  EXPECT_EQ(core_->UsageOf(anna).builds, 1u);
}

TEST_F(KeeperCoreTest, WhatWorkersLeaveBehindIsLimited) {
  const WorkerId id = Greeted();
  Build(id, kOne);
  SegmentTable::Holding holding{.keys = {TestKey(1)},
                                .note = std::string(kHoldingNoteBytesMax, 'n')};
  const auto hold = [&](int i) {
    holding.name = std::to_string(i);
    EXPECT_OK(Handle(id, FrameType::kHold, EncodeHold(holding)));
    return Answer();
  };
  int held = 0;
  absl::Status status;
  while ((status = hold(held)).ok()) ++held;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(held, 127);  // Of 1 MiB and a little each.
  ASSERT_OK(Handle(id, FrameType::kUnhold, EncodeName("7")));
  EXPECT_OK(hold(7));
}

// Killed anywhere: nothing leaks, and what is held is not lost.
TEST_F(KeeperCoreTest, AWorkerMayDieAtEveryStep) {
  const size_t before = OpenDescriptors();
  for (int step = 0; step <= 6; ++step) {
    const WorkerId id = core_->Connect();
    uint64_t ticket = 0;
    uint64_t segment = 0;
    if (step >= 1) {
      ASSERT_OK(Handle(id, FrameType::kHello, EncodeHello({.pid = 1})));
    }
    if (step >= 2) ticket = Claim(id, kOne).ticket;
    if (step >= 3) {
      ASSERT_OK_AND_ASSIGN(segment, Put(id, ticket, kOne, SealedFd(100)));
    }
    if (step >= 4) {
      ASSERT_OK(Handle(id, FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}})));
      ASSERT_OK(Answer());
    }
    if (step >= 5) {
      ASSERT_OK(Handle(id, FrameType::kRelease, EncodeNumber(segment)));
    }
    if (step >= 6) {
      ASSERT_OK(Handle(id, FrameType::kUnhold, EncodeName("a/1")));
    }
    core_->Disconnect(id);
    core_->Disconnect(id);  // Twice is once.
    const bool held = step == 4 || step == 5;
    EXPECT_EQ(core_->usage().reserved_bytes, 0u) << step;
    EXPECT_EQ(core_->usage().builders, 0u) << step;
    EXPECT_EQ(core_->usage().segments, held ? 1u : 0u) << step;
    EXPECT_EQ(core_->usage().sealed_bytes, held ? kPageBytes : 0u) << step;
    EXPECT_EQ(core_->Holdings().size(), held ? 1u : 0u) << step;
    replies_.clear();
    EXPECT_EQ(OpenDescriptors(), before + (held ? 1 : 0)) << step;
    if (held) {
      // The next one finds it resident, and builds nothing.
      const WorkerId next = Greeted();
      const SegmentTable::ClaimResult found = Claim(next, kOne);
      EXPECT_EQ(found.ticket, 0u);
      ASSERT_EQ(found.resident.size(), 1u);
      ASSERT_OK(Handle(next, FrameType::kUnhold, EncodeName("a/1")));
      core_->Disconnect(next);
    }
    EXPECT_EQ(core_->usage().segments, 0u) << step;
  }
}

TEST_F(KeeperCoreTest, WhoeverWaitsIsToldOnceWhenABuildEnds) {
  const WorkerId builder = Greeted();
  const WorkerId waiter = Greeted();
  const WorkerId bystander = Greeted();
  const auto wait = [&] {
    const SegmentTable::ClaimResult claim = Claim(waiter, kOne);
    EXPECT_EQ(claim.waiting.size(), 1u);
    EXPECT_EQ(claim.ticket, 0u);
    events_.changed.clear();
  };
  uint64_t ticket = Claim(builder, kOne).ticket;
  wait();
  ASSERT_OK(Handle(builder, FrameType::kAbandon, EncodeNumber(ticket)));
  EXPECT_EQ(events_.changed, std::vector<WorkerId>{waiter});
  ticket = Claim(builder, kTwo).ticket;
  ASSERT_OK(Handle(builder, FrameType::kAbandon, EncodeNumber(ticket)));
  EXPECT_EQ(events_.changed, std::vector<WorkerId>{waiter});  // It knows.

  ticket = Claim(builder, kOne).ticket;
  wait();
  ASSERT_OK(Put(builder, ticket, kOne, SealedFd(100)).status());
  EXPECT_EQ(events_.changed, std::vector<WorkerId>{waiter});
  core_->Disconnect(builder);

  const WorkerId second = Greeted();
  ASSERT_NE(Claim(second, kOne).ticket, 0u);
  wait();
  core_->Disconnect(bystander);  // Built nothing.
  EXPECT_TRUE(events_.changed.empty());
  core_->Disconnect(second);
  EXPECT_EQ(events_.changed, std::vector<WorkerId>{waiter});
  EXPECT_NE(Claim(waiter, kOne).ticket, 0u);  // And takes over.
}

TEST_F(KeeperCoreTest, PassesOnWhatConcernsProcesses) {
  const WorkerId id = Greeted();
  ASSERT_OK(Handle(id, FrameType::kReady, ""));
  EXPECT_EQ(events_.ready, std::vector<WorkerId>{id});
  ASSERT_OK(Handle(id, FrameType::kHealthy, EncodeName("digits/3")));
  EXPECT_EQ(events_.healthy, std::vector<std::string>{"digits/3"});
  events_.upgrade_answer = absl::FailedPreconditionError("one is on its way");
  ASSERT_OK(Handle(id, FrameType::kUpgrade, ""));
  EXPECT_EQ(Answer(), events_.upgrade_answer);
  events_.upgrade = {.phase = UpgradeStatus::Phase::kDraining, .serving_pid = 7};
  ASSERT_OK(Handle(id, FrameType::kUpgradeStatus, ""));
  EXPECT_EQ(DecodeUpgradeStatus(replies_.at(0))->serving_pid, 7);
}

TEST_F(KeeperCoreTest, KeepsTheDesiredStateAndGenerations) {
  const WorkerId retiring = Greeted();
  const WorkerId id = Greeted();
  ASSERT_OK(Handle(id, FrameType::kReadState, ""));
  EXPECT_EQ(DecodeState(replies_.at(0))->revision, 0u);
  ASSERT_OK(Handle(id, FrameType::kSetState, EncodeSetState(0, "one")));
  EXPECT_EQ(*DecodeNumberReply(replies_.at(0)), 1u);
  ASSERT_OK(Handle(id, FrameType::kSetState, EncodeSetState(0, "late")));
  EXPECT_THAT(DecodeNumberReply(replies_.at(0)).status(), StatusIs(absl::StatusCode::kAborted));
  // Who did not do it is told, and only of what was done.
  EXPECT_EQ(events_.state_set, std::vector<WorkerId>{retiring});
  core_->Disconnect(id);
  const WorkerId next = Greeted();
  ASSERT_OK(Handle(next, FrameType::kReadState, ""));
  EXPECT_EQ(DecodeState(replies_.at(0))->bytes, "one");
  ASSERT_OK(Handle(next, FrameType::kGeneration, ""));
  EXPECT_EQ(*DecodeNumberReply(replies_.at(0)), 1'000u);
  ASSERT_OK(Handle(next, FrameType::kGeneration, ""));
  EXPECT_EQ(*DecodeNumberReply(replies_.at(0)), 1'001u);
}

TEST_F(KeeperCoreTest, AReExecutedKeeperGoesOnWithItsWorkers) {
  const WorkerId anna = Greeted();
  const uint64_t held = Build(anna, kOne);
  ASSERT_OK(Handle(anna, FrameType::kHold,
                   EncodeHold({.name = "a/1", .keys = {TestKey(1)}, .note = "note"})));
  const uint64_t leased = Build(anna, kTwo);
  const std::vector<EntryRequest> three = {{TestKey(3), 5'000}};
  const uint64_t ticket = Claim(anna, three).ticket;
  const WorkerId shy = core_->Connect();
  ASSERT_OK(Handle(anna, FrameType::kSetState, EncodeSetState(0, "desired")));
  ASSERT_OK(Handle(anna, FrameType::kGeneration, ""));
  const SegmentTable::Usage usage = core_->usage();

  const KeeperCore::Saved saved = core_->Save();
  const std::unique_ptr<MemoryStateStore> before = std::move(state_);
  state_ = *MemoryStateStore::Open("");  // The next process has an empty one.
  ASSERT_OK(Reload(saved));
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(unused_, std::vector<std::string>{"listener"});
  EXPECT_EQ(core_->usage().sealed_bytes, usage.sealed_bytes);
  EXPECT_EQ(core_->usage().reserved_bytes, usage.reserved_bytes);
  EXPECT_EQ(core_->workers(), (std::vector<WorkerId>{anna, shy}));
  EXPECT_EQ(state_->Read()->bytes, "desired");
  ASSERT_EQ(core_->Holdings().size(), 1u);
  EXPECT_EQ(core_->Holdings()[0].note, "note");
  // Every number that the workers have is still good.
  ASSERT_OK(Put(anna, ticket, three, SealedFd(5'000)).status());
  ASSERT_OK(Handle(anna, FrameType::kRelease, EncodeNumber(leased)));
  ASSERT_OK(Handle(anna, FrameType::kRelease, EncodeNumber(held)));
  ASSERT_OK(Handle(anna, FrameType::kGeneration, ""));
  EXPECT_EQ(*DecodeNumberReply(replies_.at(0)), 1'001u);
  ASSERT_OK(Handle(shy, FrameType::kHello, EncodeHello({.pid = 2})));
  EXPECT_GT(core_->Connect(), shy);
  core_->Disconnect(anna);
  EXPECT_EQ(core_->usage().segments, 1u);
}

TEST_F(KeeperCoreTest, ARestartedKeeperHasWhatIsHeldAndNobodysLeases) {
  const WorkerId anna = Greeted();
  Build(anna, kOne);
  ASSERT_OK(Handle(anna, FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}})));
  const uint64_t leased = Build(anna, kTwo);
  ASSERT_NE(Claim(anna, {{TestKey(3), 5'000}}).ticket, 0u);
  ASSERT_OK(Reload(core_->Save()));
  // Its workers are gone with the process before it.
  for (const WorkerId worker : core_->workers()) core_->Disconnect(worker);
  EXPECT_EQ(core_->usage().sealed_bytes, kPageBytes);
  EXPECT_EQ(core_->usage().reserved_bytes, 0u);
  EXPECT_EQ(events_.segments.count("segment-" + std::to_string(leased)), 0u);
  EXPECT_EQ(Claim(Greeted(), kOne).resident.size(), 1u);
}

TEST_F(KeeperCoreTest, ASegmentWhoseDescriptorIsMissingOrNotOursIsLeftOut) {
  const WorkerId anna = Greeted();
  const uint64_t one = Build(anna, kOne);
  Build(anna, kTwo);
  ASSERT_OK(Handle(anna, FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}})));
  ASSERT_OK(Handle(anna, FrameType::kHold, EncodeHold({.name = "b/1", .keys = {TestKey(2)}})));
  KeeperCore::Saved saved = core_->Save();
  ASSERT_OK(Reload(saved, {"segment-" + std::to_string(one)}));
  EXPECT_EQ(core_->usage().segments, 1u);
  ASSERT_EQ(core_->Holdings().size(), 1u);
  EXPECT_EQ(core_->Holdings()[0].name, "b/1");
  EXPECT_FALSE(notes_.empty());

  // Under its name, something that can still be written.
  saved = core_->Save();
  const UniqueFd writable(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(writable.get(), kPageBytes), 0);
  saved.fds[0].fd = writable.get();
  const std::string name = saved.fds[0].name;
  ASSERT_OK(Reload(saved));
  EXPECT_EQ(core_->usage().segments, 0u);
  EXPECT_EQ(unused_, (std::vector<std::string>{"listener", name}));
  EXPECT_TRUE(core_->Holdings().empty());
}

TEST_F(KeeperCoreTest, DamagedBytesAreDataLoss) {
  const WorkerId anna = Greeted();
  Build(anna, kOne);
  ASSERT_OK(Handle(anna, FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}})));
  ASSERT_NE(Claim(anna, kTwo).ticket, 0u);
  const std::string good = core_->Save().bytes;
  const auto restore = [&](const std::string& bytes) {
    return KeeperCore::Restore(options_, state_.get(), &events_, bytes, {}).status();
  };
  ASSERT_OK(restore(good));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_THAT(restore(good.substr(0, length)), StatusIs(absl::StatusCode::kDataLoss)) << length;
  }
  EXPECT_THAT(restore(good + "x"), StatusIs(absl::StatusCode::kDataLoss));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_FALSE(restore(damaged).ok()) << i;
  }
  std::string later = good;
  later[8] = 2;
  EXPECT_THAT(restore(later), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(KeeperCoreTest, SavesAgainOnlyWhenSomethingChanged) {
  const WorkerId id = Greeted();
  uint64_t seen = core_->changes();
  const auto changed = [&] { return std::exchange(seen, core_->changes()) != seen; };
  ASSERT_OK(Handle(id, FrameType::kUsage, ""));
  ASSERT_OK(Handle(id, FrameType::kReadState, ""));
  EXPECT_FALSE(changed());
  ASSERT_OK(Handle(id, FrameType::kSetState, EncodeSetState(0, "x")));
  EXPECT_TRUE(changed());
  const uint64_t segment = Build(id, kOne);
  EXPECT_TRUE(changed());
  ASSERT_OK(Handle(id, FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}})));
  EXPECT_TRUE(changed());
  ASSERT_OK(Handle(id, FrameType::kRelease, EncodeNumber(segment)));
  EXPECT_TRUE(changed());
  ASSERT_OK(Handle(id, FrameType::kGeneration, ""));
  EXPECT_TRUE(changed());
  core_->Disconnect(id);
  EXPECT_TRUE(changed());
}

}  // namespace
}  // namespace paramd
