#include "server/batching/executor.h"

#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/server/batching/batching_rig.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr absl::Duration kMs = absl::Milliseconds(1);

FakeModelOptions Costing(FakeClock* clock, absl::Duration row) {
  return {.clock = clock, .row_cost = row};
}

// The promise in full: whatever two models are asked, on a fake clock, no batch
// whose predicted time passes batch_time_max starts while another model waits,
// unless it is a single row.
TEST(Executor, StartsNoLongBatchWhileAnotherModelWaits) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 50; ++round) {
    BatchingRig rig;
    const absl::Duration slow_row = kMs * pick(1, 80);
    const absl::Duration fast_row = kMs * pick(1, 20);
    FakeModel slow(Costing(&rig.fake_clock, slow_row));
    FakeModel fast(Costing(&rig.fake_clock, fast_row));
    auto slow_batcher =
        rig.NewBatcher(slow, {}, WarmRows({1, 2, 4, 8}, absl::ZeroDuration(), slow_row), "slow");
    auto fast_batcher =
        rig.NewBatcher(fast, {}, WarmRows({1, 2, 4, 8}, absl::ZeroDuration(), fast_row), "fast");
    std::vector<std::unique_ptr<FakeCall>> calls;
    size_t slow_runs = 0;
    size_t fast_runs = 0;
    for (int step = 0; step < 40; ++step) {
      for (int64_t n = pick(0, 3); n > 0; --n) {
        calls.push_back(FakeCall::Rows(pick(1, 12), 1));
        SubmitTo((pick(0, 1) == 0 ? slow_batcher : fast_batcher).get(), calls.back().get());
      }
      const bool slow_waits = slow_batcher->queue_state().requests > 0;
      const bool fast_waits = fast_batcher->queue_state().requests > 0;
      rig.executor->RunOne(0);
      rig.executor->CompileOne();
      for (; slow_runs < slow.runs().size(); ++slow_runs) {
        const FakeModel::RunRecord run = slow.runs()[slow_runs];
        ASSERT_TRUE(!fast_waits || run.x.dim(0) == 1 || run.took <= 50 * kMs);
      }
      for (; fast_runs < fast.runs().size(); ++fast_runs) {
        const FakeModel::RunRecord run = fast.runs()[fast_runs];
        ASSERT_TRUE(!slow_waits || run.x.dim(0) == 1 || run.took <= 50 * kMs);
      }
    }
    rig.Settle();
    for (const auto& call : calls) ASSERT_OK(call->status());
  }
}

TEST(Executor, AloneAModelGetsFullBatches) {
  BatchingRig rig;
  FakeModel model(Costing(&rig.fake_clock, 30 * kMs));
  auto batcher = rig.NewBatcher(model, {}, WarmRows({1, 2, 4, 8}, kMs * 0, 30 * kMs));
  auto call = FakeCall::Rows(8, 1);
  SubmitTo(batcher.get(), call.get());
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(8));
}

TEST(Executor, SharesTheStreamByTimeAndNotByBatches) {
  BatchingRig rig;
  FakeModel slow(Costing(&rig.fake_clock, 40 * kMs));
  FakeModel fast(Costing(&rig.fake_clock, 1 * kMs));
  auto slow_batcher = rig.NewBatcher(slow, {}, WarmRows({1, 2, 4, 8}, kMs * 0, 40 * kMs), "slow");
  auto fast_batcher = rig.NewBatcher(fast, {}, WarmRows({1, 2, 4, 8}, kMs * 0, 1 * kMs), "fast");
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (int i = 0; i < 800; ++i) {
    calls.push_back(FakeCall::OneRow(1));
    SubmitTo(i < 20 ? slow_batcher.get() : fast_batcher.get(), calls.back().get());
  }
  while (fast_batcher->queue_state().requests > 0) ASSERT_TRUE(rig.executor->RunOne(0));
  // 780 ms of the fast model's time: the slow one has had as much, to a batch.
  absl::Duration slow_time;
  for (const FakeModel::RunRecord& run : slow.runs()) slow_time += run.took;
  EXPECT_GE(slow_time, 700 * kMs);
  EXPECT_LE(slow_time, 860 * kMs);
  rig.RunAll();
}

TEST(Executor, ASlowModelNeverTakesTheLastFreeStream) {
  BatchingRig rig({.streams = 2});
  FakeModel slow(Costing(nullptr, 80 * kMs));
  auto slow_batcher = rig.NewBatcher(slow, {}, WarmRows({1, 2, 4, 8}, kMs * 0, 80 * kMs), "slow");
  FakeModel fast({});
  auto fast_batcher = rig.NewBatcher(fast, {}, WarmRows({1, 2, 4, 8}), "fast");
  slow.Block();
  auto first = FakeCall::OneRow(1);
  auto second = FakeCall::OneRow(1);
  auto third = FakeCall::OneRow(1);
  SubmitTo(slow_batcher.get(), first.get());
  std::thread stream([&] { rig.executor->RunOne(0); });
  slow.WaitForRuns(1);
  SubmitTo(slow_batcher.get(), second.get());
  EXPECT_FALSE(rig.executor->RunOne(1));
  SubmitTo(fast_batcher.get(), third.get());
  EXPECT_TRUE(rig.executor->RunOne(1));  // That is what it was kept for.
  EXPECT_OK(third->status());
  slow.Unblock();
  stream.join();
  rig.RunAll();
  EXPECT_OK(second->status());
}

TEST(Executor, LimitsConcurrentBatchesOfAModel) {
  BatchingRig rig({.streams = 3});
  FakeModel model({});
  auto batcher = rig.NewBatcher(model, {.concurrent_batches_max = 2});
  model.Block();
  std::vector<std::unique_ptr<FakeCall>> calls;
  std::vector<std::thread> streams;
  for (int i = 0; i < 2; ++i) {
    calls.push_back(FakeCall::Rows(8, 1));
    SubmitTo(batcher.get(), calls.back().get());
    streams.emplace_back([&, i] { rig.executor->RunOne(i); });
    model.WaitForRuns(i + 1);
  }
  calls.push_back(FakeCall::OneRow(1));
  SubmitTo(batcher.get(), calls.back().get());
  EXPECT_FALSE(rig.executor->RunOne(2));
  model.Unblock();
  for (std::thread& stream : streams) stream.join();
  EXPECT_TRUE(rig.executor->RunOne(2));
  for (const auto& call : calls) EXPECT_OK(call->status());
}

TEST(Executor, PriorityReachesAcrossModels) {
  BatchingRig rig;
  FakeModel a({});
  FakeModel b({});
  auto batcher_a = rig.NewBatcher(a, {}, WarmRows({1}), "a");
  auto batcher_b = rig.NewBatcher(b, {}, WarmRows({1}), "b");
  auto plain = FakeCall::OneRow(1);
  auto urgent = FakeCall::OneRow(1);
  urgent->priority = 1;
  SubmitTo(batcher_a.get(), plain.get());
  SubmitTo(batcher_b.get(), urgent.get());
  EXPECT_TRUE(rig.executor->RunOne(0));
  EXPECT_OK(urgent->status());
  EXPECT_EQ(plain->answers(), 0);
  rig.RunAll();
}

TEST(Executor, VersionsOfOneModelShareItsTime) {
  BatchingRig rig;
  FakeModel v1(Costing(&rig.fake_clock, 10 * kMs));
  FakeModel v2(Costing(&rig.fake_clock, 10 * kMs));
  FakeModel other(Costing(&rig.fake_clock, 10 * kMs));
  auto batcher_1 = rig.NewBatcher(v1, {}, WarmRows({1}, kMs * 0, 10 * kMs), "model");
  auto batcher_2 = rig.NewBatcher(v2, {}, WarmRows({1}, kMs * 0, 10 * kMs), "model");
  auto batcher_o = rig.NewBatcher(other, {}, WarmRows({1}, kMs * 0, 10 * kMs), "other");
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (int i = 0; i < 30; ++i) {
    for (Batcher* batcher : {batcher_1.get(), batcher_2.get(), batcher_o.get()}) {
      calls.push_back(FakeCall::OneRow(1));
      SubmitTo(batcher, calls.back().get());
    }
  }
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(rig.executor->RunOne(0));
  EXPECT_GE(other.runs().size(), 19u);
  EXPECT_GE(v1.runs().size() + v2.runs().size(), 19u);
  rig.RunAll();
}

TEST(Executor, DrainCoversAllModels) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher_a = rig.NewBatcher(model, {}, WarmRows({1}), "a");
  auto batcher_b = rig.NewBatcher(model, {}, WarmRows({1}), "b");
  auto a = FakeCall::OneRow(1);
  auto b = FakeCall::OneRow(1);
  SubmitTo(batcher_a.get(), a.get());
  SubmitTo(batcher_b.get(), b.get());
  rig.executor->Drain(rig.fake_clock.Now());
  EXPECT_THAT(a->status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(b->status(), StatusIs(absl::StatusCode::kUnavailable));
  auto late = FakeCall::OneRow(1);
  SubmitTo(batcher_a.get(), late.get());
  EXPECT_THAT(late->status(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(Executor, OptionsAreChecked) {
  const auto create = [](ExecutorOptions options) {
    options.start_threads = false;
    ExecutorParts parts;
    parts.clock = Clock::Real();
    return Executor::Create(options, std::move(parts)).status();
  };
  EXPECT_OK(create({}));
  EXPECT_THAT(create({.streams = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(create({.batch_time_max = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(create({.queue_bytes_max = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
