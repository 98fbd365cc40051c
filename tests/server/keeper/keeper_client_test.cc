#include "server/keeper/keeper_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/params/parameter_store.h"
#include "tests/runtime/params/segment_table_contract.h"
#include "tests/server/keeper/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// One client of a keeper that runs.
class ClientRig {
 public:
  ClientRig() {
    keeper_.Start();
    client_ = keeper_.AddClient(&id_);
  }
  ~ClientRig() { keeper_.Detach(id_); }
  SegmentTable& table() { return *client_; }

 private:
  KeeperRig keeper_;
  WorkerId id_ = 0;
  std::unique_ptr<KeeperClient> client_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Keeper, SegmentTableContract, ClientRig);

const std::vector<EntryRequest> kOne = {{TestKey(1), 100}};

absl::StatusOr<uint64_t> Build(SegmentTable* table, const std::vector<EntryRequest>& entries,
                               char fill = 0) {
  PARAMD_ASSIGN_OR_RETURN(const auto claim, table->Claim(entries, EntryKind::kTensor));
  PARAMD_ASSIGN_OR_RETURN(const SegmentLayout layout, LayOutSegment(entries));
  return table->Put(claim.ticket, SealedFd(layout.bytes, fill), layout.places);
}

class KeeperClientTest : public ::testing::Test {
 protected:
  void SetUp() override { keeper_.Start(); }

  SegmentTable::Usage Usage() {
    SegmentTable::Usage usage;
    keeper_.Do([&](KeeperCore& core) { usage = core.usage(); });
    return usage;
  }

  KeeperRig keeper_;
};

TEST_F(KeeperClientTest, IsWelcomed) {
  WorkerId id = 0;
  const auto client = keeper_.AddClient(&id);
  KeeperWelcome welcome = client->TakeWelcome();
  EXPECT_TRUE(welcome.grpc_listener.valid());
  EXPECT_FALSE(welcome.admin_listener.valid());
  EXPECT_TRUE(welcome.events.valid());
  EXPECT_FALSE(welcome.successor);
  EXPECT_EQ(welcome.crashes, 2u);
  ASSERT_EQ(welcome.quarantined.size(), 1u);
  EXPECT_EQ(welcome.quarantined[0].version, "digits/3");
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, TellsAndAsksAboutProcesses) {
  WorkerId id = 0;
  const auto client = keeper_.AddClient(&id);
  client->ReportReady();
  client->ReportHealthy("digits/3");
  keeper_.Do([&](KeeperCore&) {
    EXPECT_EQ(keeper_.events.ready, std::vector<WorkerId>{id});
    EXPECT_EQ(keeper_.events.healthy, std::vector<std::string>{"digits/3"});
    keeper_.events.upgrade_answer = absl::FailedPreconditionError("on its way");
    keeper_.events.upgrade = {.phase = UpgradeStatus::Phase::kStarting, .message = "starting"};
  });
  EXPECT_EQ(client->RequestUpgrade(), absl::FailedPreconditionError("on its way"));
  EXPECT_EQ(client->upgrade_status().message, "starting");
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, EditsTheDesiredState) {
  WorkerId id = 0;
  const auto client = keeper_.AddClient(&id);
  EXPECT_EQ(client->Read()->revision, 0u);
  const std::string large(kStateBytesMax, 's');
  ASSERT_OK_AND_ASSIGN(const uint64_t revision, client->CompareAndSet(0, large));
  EXPECT_THAT(client->CompareAndSet(0, "late").status(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(client->CompareAndSet(revision, large + "s").status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const StoredState state, client->Read());
  EXPECT_EQ(state.revision, revision);
  EXPECT_TRUE(state.bytes == large);
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, OneBuildsTheOtherWaitsAndSharesIt) {
  WorkerId anna_id = 0;
  WorkerId bert_id = 0;
  const auto anna = keeper_.AddClient(&anna_id);
  const auto bert = keeper_.AddClient(&bert_id);
  ASSERT_OK_AND_ASSIGN(const auto claim, anna->Claim(kOne, EntryKind::kTensor));
  ASSERT_NE(claim.ticket, 0u);
  std::thread waiter([&] {
    const auto shared = bert->Claim(kOne, EntryKind::kTensor);
    ASSERT_OK(shared.status());
    ASSERT_EQ(shared->resident.size(), 1u);
    char first = 0;
    EXPECT_EQ(::pread(shared->resident[0].fd.get(), &first, 1, 99), 1);
    EXPECT_EQ(first, 'a');
  });
  ASSERT_OK(anna->Put(claim.ticket, SealedFd(100, 'a'), LayOutSegment(kOne)->places).status());
  waiter.join();
  EXPECT_EQ(Usage().segments, 1u);
  keeper_.Detach(anna_id);
  keeper_.Detach(bert_id);
}

TEST_F(KeeperClientTest, WhoeverWaitsTakesOverFromOneThatDies) {
  WorkerId anna_id = 0;
  WorkerId bert_id = 0;
  auto anna = keeper_.AddClient(&anna_id);
  const auto bert = keeper_.AddClient(&bert_id);
  ASSERT_OK(anna->Claim(kOne, EntryKind::kTensor).status());
  std::thread waiter([&] {
    const auto claim = bert->Claim(kOne, EntryKind::kTensor);
    ASSERT_OK(claim.status());
    EXPECT_NE(claim->ticket, 0u);
    bert->Abandon(claim->ticket);
  });
  keeper_.Detach(anna_id);
  anna.reset();  // Its socket closes, as the kernel does for a process that was killed.
  waiter.join();
  EXPECT_EQ(Usage().reserved_bytes, 0u);
  keeper_.Detach(bert_id);
}

// The real thing: another process that is killed with SIGKILL between any two steps of a load.
TEST_F(KeeperClientTest, AProcessKilledBetweenAnyTwoStepsLeaksNothingAndLosesNothing) {
  for (int step = 1; step <= 5; ++step) {
    UniqueFd socket = keeper_.AddWorker();
    int done[2];
    ASSERT_EQ(::pipe2(done, O_CLOEXEC), 0);
    const UniqueFd read_end(done[0]);
    UniqueFd write_end(done[1]);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Only this thread exists here; it uses no lock that another one could hold.
      FrameSocket keeper(std::move(socket));
      const auto ask = [&](FrameType type, std::string body, UniqueFd fd = {}) {
        Frame frame{.type = type, .request = 1, .body = std::move(body)};
        if (fd.valid()) frame.fds.push_back(std::move(fd));
        if (!keeper.Send(frame).ok()) ::_exit(1);
        return *keeper.Receive();
      };
      ask(FrameType::kHello, EncodeHello({.pid = 1}));
      uint64_t ticket = 0;
      if (step >= 2) {
        std::vector<Frame> parts;
        parts.push_back(ask(FrameType::kClaim, EncodeClaim(kOne, EntryKind::kTensor)));
        ticket = DecodeClaimReply(std::move(parts), 1)->ticket;
      }
      uint64_t segment = 0;
      if (step >= 3) {
        segment = *DecodeNumberReply(ask(
            FrameType::kPut, EncodePut(ticket, LayOutSegment(kOne)->places), SealedFd(100, 'k')));
      }
      if (step >= 4) {
        ask(FrameType::kHold, EncodeHold({.name = "a/1", .keys = {TestKey(1)}}));
      }
      if (step >= 5) ask(FrameType::kRelease, EncodeNumber(segment));
      static_cast<void>(!::write(write_end.get(), "x", 1));
      while (true) ::pause();
    }
    socket.Reset();
    write_end.Reset();
    char byte = 0;
    ASSERT_EQ(::read(read_end.get(), &byte, 1), 1) << step;
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    keeper_.WaitForWorkers(0);
    const bool held = step >= 4;
    EXPECT_EQ(Usage().reserved_bytes, 0u) << step;
    EXPECT_EQ(Usage().builders, 0u) << step;
    EXPECT_EQ(Usage().segments, held ? 1u : 0u) << step;
    if (held) {
      WorkerId id = 0;
      const auto next = keeper_.AddClient(&id);
      ASSERT_OK_AND_ASSIGN(const auto claim, next->Claim(kOne, EntryKind::kTensor));
      ASSERT_EQ(claim.resident.size(), 1u);
      char last = 0;
      EXPECT_EQ(::pread(claim.resident[0].fd.get(), &last, 1, 99), 1);
      EXPECT_EQ(last, 'k');
      next->Unhold("a/1");
      keeper_.Detach(id);
    }
    keeper_.WaitForWorkers(0);
    EXPECT_EQ(Usage().segments, 0u) << step;
  }
}

TEST_F(KeeperClientTest, MoreSegmentsThanOneMessageCarries) {
  KeeperRig large({.capacity_bytes = 1'000 * kPageBytes});
  large.Start();
  WorkerId id = 0;
  const auto client = large.AddClient(&id);
  std::vector<EntryRequest> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back({TestKey(i), 100});
    ASSERT_OK(Build(client.get(), {all.back()}).status());
  }
  ASSERT_OK_AND_ASSIGN(const auto claim, client->Claim(all, EntryKind::kTensor));
  EXPECT_EQ(claim.resident.size(), 300u);
  for (const LentSegment& segment : claim.resident) {
    ASSERT_OK(CheckSealed(segment.fd.get(), 100));
  }
  EXPECT_EQ(client->List().size(), 300u);
  large.Detach(id);
}

TEST_F(KeeperClientTest, LimitsAreSaidBeforeTheyEndTheConnection) {
  WorkerId id = 0;
  const auto client = keeper_.AddClient(&id);
  const std::vector<EntryRequest> many(kClaimEntriesMax + 1, kOne[0]);
  EXPECT_THAT(client->Claim(many, EntryKind::kTensor).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Hold({.name = std::string(10'000, 'n')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  client->Unhold(std::string(10'000, 'n'));
  client->ReportHealthy(std::string(10'000, 'n'));
  EXPECT_EQ(client->usage().capacity_bytes, 10 * kPageBytes);  // Still connected.
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, AKeeperThatIsGoneIsToldOnceAndEveryCallComesBack) {
  WorkerId id = 0;
  std::vector<absl::Status> lost;
  const auto client =
      keeper_.AddClient(&id, [&](const absl::Status& status) { lost.push_back(status); });
  ASSERT_OK_AND_ASSIGN(const auto claim, client->Claim(kOne, EntryKind::kTensor));
  keeper_.Cut(id);
  EXPECT_THAT(client->Claim(kOne, EntryKind::kTensor).status(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(lost.size(), 1u);
  EXPECT_FALSE(client->Put(claim.ticket, SealedFd(100), LayOutSegment(kOne)->places).ok());
  client->Abandon(claim.ticket);
  client->Release(1);
  EXPECT_FALSE(client->Hold({.name = "a"}).ok());
  client->Unhold("a");
  EXPECT_TRUE(client->Holdings().empty());
  EXPECT_TRUE(client->List().empty());
  EXPECT_EQ(client->usage().segments, 0u);
  EXPECT_EQ(client->NextGeneration(), 0u);
  EXPECT_FALSE(client->Read().ok());
  EXPECT_FALSE(client->CompareAndSet(0, "").ok());
  client->ReportReady();
  client->ReportHealthy("a");
  EXPECT_FALSE(client->RequestUpgrade().ok());
  EXPECT_EQ(client->upgrade_status().phase, UpgradeStatus::Phase::kNone);
  EXPECT_EQ(lost.size(), 1u);
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, AClaimThatWaitsEndsWithTheKeeper) {
  WorkerId anna_id = 0;
  WorkerId bert_id = 0;
  const auto anna = keeper_.AddClient(&anna_id);
  const auto bert = keeper_.AddClient(&bert_id, [](const absl::Status&) {});
  ASSERT_OK(anna->Claim(kOne, EntryKind::kTensor).status());
  std::thread waiter([&] {
    EXPECT_THAT(bert->Claim(kOne, EntryKind::kTensor).status(),
                StatusIs(absl::StatusCode::kUnavailable));
  });
  bert->NoticeClosed();  // What the acceptor thread calls when the events end.
  waiter.join();
  keeper_.Detach(anna_id);
  keeper_.Detach(bert_id);
}

TEST(KeeperClient, WithoutAReactionOfItsOwnTheProcessEndsQuietly) {
  SocketPair pair = *MakeSocketPair();
  pair.second.Reset();
  EXPECT_EXIT(
      {
        auto client = KeeperClient::Connect(std::move(pair.first), {.pid = 1});
        ::_exit(0);  // Not reached.
      },
      ::testing::ExitedWithCode(kKeeperLostExit), "keeper is gone");
}

TEST(KeeperClient, AKeeperThatRefusesSaysWhy) {
  KeeperRig keeper;
  keeper.events.refusal = absl::FailedPreconditionError("a worker serves already");
  keeper.Start();
  EXPECT_EQ(KeeperClient::Connect(keeper.AddWorker(), {.pid = 1}).status(),
            absl::FailedPreconditionError("a worker serves already"));
}

TEST(KeeperClient, AnAnswerToAnotherQuestionIsTheEnd) {
  SocketPair pair = *MakeSocketPair();
  FrameSocket keeper(std::move(pair.second));
  ASSERT_OK(keeper.Send(EmptyReply(99)));
  std::vector<absl::Status> lost;
  EXPECT_FALSE(
      KeeperClient::Connect(std::move(pair.first), {.pid = 1}, [&](const absl::Status& status) {
        lost.push_back(status);
      }).ok());
  EXPECT_EQ(lost.size(), 1u);
}

// The store above the client, as a worker uses it, over a restart.
TEST_F(KeeperClientTest, ARestartedWorkerFindsItsParametersWithoutBuildingThem) {
  ContentId key = TestKey(1);
  WorkerId id = 0;
  {
    const auto client = keeper_.AddClient(&id);
    ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create({.table = client.get()}));
    ASSERT_OK_AND_ASSIGN(ParameterStore::Claimed claimed, store->Claim(key, 5'000));
    ASSERT_FALSE(claimed.resident());
    std::memset(claimed.builder()->bytes().data(), 'p', 5'000);
    ASSERT_OK_AND_ASSIGN(const ParameterRef ref, store->Seal(std::move(claimed.builder())));
    ASSERT_OK(client->Hold({.name = "a/1", .keys = {key}, .note = "first"}));
    keeper_.Detach(id);
  }
  keeper_.WaitForWorkers(0);
  const auto client = keeper_.AddClient(&id);
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create({.table = client.get()}));
  ASSERT_EQ(client->Holdings().size(), 1u);
  EXPECT_EQ(client->Holdings()[0].note, "first");
  {
    ASSERT_OK_AND_ASSIGN(ParameterStore::Claimed claimed, store->Claim(key, 5'000));
    ASSERT_TRUE(claimed.resident());
    EXPECT_EQ(claimed.ref().bytes()[4'999], std::byte{'p'});
    // The digest travels too.
    ASSERT_OK(claimed.ref().Verify());
    client->Unhold("a/1");
    EXPECT_EQ(Usage().segments, 1u);
  }
  EXPECT_EQ(Usage().segments, 0u);
  keeper_.Detach(id);
}

TEST_F(KeeperClientTest, ManyThreadsOfTwoWorkersEndWithNothing) {
  KeeperRig keeper({.capacity_bytes = 200 * kPageBytes});
  keeper.Start();
  WorkerId ids[2];
  const std::unique_ptr<KeeperClient> clients[2] = {keeper.AddClient(&ids[0]),
                                                    keeper.AddClient(&ids[1])};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      KeeperClient* const client = clients[t % 2].get();
      for (int round = 0; round < 100; ++round) {
        const std::vector<EntryRequest> wanted = {{TestKey(round % 5), 100},
                                                  {TestKey(5 + (round + t) % 5), 100}};
        auto claim = client->Claim(wanted, EntryKind::kTensor);
        ASSERT_OK(claim.status());
        if (claim->ticket != 0) {
          std::vector<EntryRequest> mine;
          for (size_t i : claim->to_build) mine.push_back(wanted[i]);
          const SegmentLayout layout = *LayOutSegment(mine);
          if (round % 7 == 3) {
            client->Abandon(claim->ticket);
          } else {
            auto id = client->Put(claim->ticket, SealedFd(layout.bytes), layout.places);
            ASSERT_OK(id.status());
            client->Release(*id);
          }
        }
        for (const LentSegment& segment : claim->resident) client->Release(segment.segment_id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  keeper.Do([](KeeperCore& core) {
    EXPECT_EQ(core.usage().segments, 0u);
    EXPECT_EQ(core.usage().sealed_bytes, 0u);
    EXPECT_EQ(core.usage().reserved_bytes, 0u);
  });
  keeper.Detach(ids[0]);
  keeper.Detach(ids[1]);
}

}  // namespace
}  // namespace paramd
