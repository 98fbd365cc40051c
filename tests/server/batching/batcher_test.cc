#include "server/batching/batcher.h"

#include <memory>
#include <utility>
#include <vector>

#include "tests/server/batching/batching_rig.h"
#include "tests/support/fake_metrics.h"

namespace paramd {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kMs = absl::Milliseconds(1);

std::vector<std::unique_ptr<FakeCall>> SubmitRows(Batcher* batcher, std::vector<int64_t> rows) {
  std::vector<std::unique_ptr<FakeCall>> calls;
  float first = 10;
  for (const int64_t r : rows) {
    calls.push_back(FakeCall::Rows(r, first));
    SubmitTo(batcher, calls.back().get());
    first += 100;
  }
  return calls;
}

// Row r of the call answered with its own first element, in the right order.
void ExpectOwnRows(const FakeCall& call, int64_t rows, float first, float scale = 1) {
  ASSERT_OK(call.status());
  EXPECT_EQ(call.answers(), 1);
  EXPECT_EQ(call.answered_rows(), rows);
  const std::vector<float> z = call.output("z");
  const std::vector<float> y = call.output("y");
  ASSERT_EQ(z.size(), static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    EXPECT_EQ(z[static_cast<size_t>(r)], first + static_cast<float>(r));
    EXPECT_EQ(y[static_cast<size_t>(2 * r)], scale * (first + static_cast<float>(r)));
  }
}

TEST(Batcher, AnswersOneCall) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1});
  EXPECT_EQ(calls[0]->answers(), 0);
  EXPECT_TRUE(rig.executor->RunOne(0));
  ExpectOwnRows(*calls[0], 1, 10);
  EXPECT_FALSE(rig.executor->RunOne(0));
}

TEST(Batcher, BatchesWhatIsThere) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1, 1, 2});
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(4));
  ExpectOwnRows(*calls[0], 1, 10);
  ExpectOwnRows(*calls[1], 1, 110);
  ExpectOwnRows(*calls[2], 2, 210);
  EXPECT_EQ(calls[2]->batch_rows(), 4);
}

TEST(Batcher, RunsFiveAsFourAndOneUntilFiveIsCompiled) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1, 1, 1, 1, 1});
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(4, 1));
  EXPECT_TRUE(rig.executor->CompileOne());
  EXPECT_THAT(model.compiles(), ElementsAre(Shape{5, 2}));
  auto more = SubmitRows(batcher.get(), {1, 1, 1, 1, 1});
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(4, 1, 5));
  for (size_t i = 0; i < 5; ++i) {
    ExpectOwnRows(*calls[i], 1, 10 + 100 * static_cast<float>(i));
    ExpectOwnRows(*more[i], 1, 10 + 100 * static_cast<float>(i));
  }
}

// Of a version that was restored: it answers before its other sizes are there.
TEST(Batcher, SizesForLaterAreCompiledWithoutBeingAskedForAndKeepTheirTimes) {
  BatchingRig rig;
  FakeModel model({.compiled_rows = {1}});
  auto made = Batcher::Create(rig.executor.get(), {},
                              {.model_name = "fake",
                               .model = &model,
                               .warm = WarmRows({1}, kMs, kMs),
                               .warm_later = WarmRows({2, 4, 8, 16}, kMs, kMs)});
  ASSERT_OK(made.status());
  EXPECT_EQ((*made)->queue_state().shapes_compiling, 3);  // 16 is beyond the model.
  auto first = SubmitRows(made->get(), {1, 1, 1, 1});
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(1, 1, 1, 1));
  rig.Settle();
  EXPECT_EQ((*made)->queue_state().shapes_compiling, 0);
  EXPECT_THAT(model.compiles(), testing::IsSupersetOf({Shape{2, 2}, Shape{4, 2}, Shape{8, 2}}));
  auto second = SubmitRows(made->get(), {1, 1, 1, 1, 1, 1, 1, 1});
  rig.RunAll();
  EXPECT_THAT(model.rows_run(), ElementsAre(1, 1, 1, 1, 8));
  for (size_t i = 0; i < 8; ++i) ExpectOwnRows(*second[i], 1, 10 + 100 * static_cast<float>(i));
}

TEST(Batcher, ABatcherThatGoesForgetsTheSizesForLater) {
  BatchingRig rig;
  FakeModel model({.compiled_rows = {1}});
  auto made = Batcher::Create(rig.executor.get(), {},
                              {.model_name = "fake",
                               .model = &model,
                               .warm = WarmRows({1}),
                               .warm_later = WarmRows({2, 4})});
  ASSERT_OK(made.status());
  made->reset();
  EXPECT_FALSE(rig.executor->CompileOne());
}

TEST(Batcher, SplitsACallThatIsLargerThanABatchAndPutsItTogether) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1, 21, 1});
  rig.RunAll();
  for (const int64_t rows : model.rows_run()) EXPECT_LE(rows, 8);
  ExpectOwnRows(*calls[0], 1, 10);
  ExpectOwnRows(*calls[1], 21, 110);
  ExpectOwnRows(*calls[2], 1, 210);
}

TEST(Batcher, PartsOfACallMayRunOnSeveralStreamsAtOnce) {
  BatchingRig rig({.streams = 2});
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  model.Block();
  auto calls = SubmitRows(batcher.get(), {16});
  std::thread a([&] { rig.executor->RunOne(0); });
  std::thread b([&] { rig.executor->RunOne(1); });
  model.WaitForRuns(2);
  model.Unblock();
  a.join();
  b.join();
  ExpectOwnRows(*calls[0], 16, 10);
}

TEST(Batcher, AFailingPartFailsItsCallOnceAndNobodyElse) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto bad = FakeCall::Rows(20, kPoison);
  SubmitTo(batcher.get(), bad.get());
  auto good = SubmitRows(batcher.get(), {3});
  rig.RunAll();
  EXPECT_THAT(bad->status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(bad->answers(), 1);
  ExpectOwnRows(*good[0], 3, 10);
  EXPECT_EQ(batcher->queue_state().requests, 0);
}

TEST(Batcher, ABadRequestInsideABatchFailsAlone) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto first = SubmitRows(batcher.get(), {2});
  auto bad = FakeCall::OneRow(kPoison);
  SubmitTo(batcher.get(), bad.get());
  auto last = SubmitRows(batcher.get(), {3, 2});
  rig.RunAll();
  EXPECT_THAT(bad->status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("poisoned")));
  ExpectOwnRows(*first[0], 2, 10);
  ExpectOwnRows(*last[0], 3, 10);
  ExpectOwnRows(*last[1], 2, 110);
}

// Floats that count up, in memory that may be cut off.
class CuttableSource final : public ByteSource {
 public:
  absl::Status Read(uint64_t offset, absl::Span<std::byte> to) const override {
    if (cut) return absl::InvalidArgumentError("cut off");
    for (size_t i = 0; i < to.size() / sizeof(float); ++i) {
      const auto value = static_cast<float>(offset / sizeof(float) + i);
      std::memcpy(to.data() + i * sizeof(float), &value, sizeof(float));
    }
    return absl::OkStatus();
  }
  bool cut = false;
};

TEST(Batcher, ReadsASourceWhenItGathersAndFailsThatCallAlone) {
  for (const bool cut : {false, true}) {
    BatchingRig rig;
    FakeModel model({});
    auto batcher = rig.NewBatcher(model);
    CuttableSource source;
    auto first = SubmitRows(batcher.get(), {2});
    // 20 rows: it runs in several batches, one of them with others.
    auto call = FakeCall::Rows(20, 1);
    call->inputs[0].fragments.clear();
    call->inputs[0].source = &source;
    call->inputs[0].source_offset = 8;
    call->inputs[0].source_bytes = 20 * 2 * sizeof(float);
    SubmitTo(batcher.get(), call.get());
    auto last = SubmitRows(batcher.get(), {3});
    source.cut = cut;
    rig.RunAll();
    ExpectOwnRows(*first[0], 2, 10);
    ExpectOwnRows(*last[0], 3, 10);
    EXPECT_EQ(call->answers(), 1);
    if (cut) {
      EXPECT_THAT(call->status(), StatusIs(absl::StatusCode::kInvalidArgument, "cut off"));
      continue;
    }
    ASSERT_OK(call->status());
    const std::vector<float> z = call->output("z");
    ASSERT_EQ(z.size(), 20u);
    for (size_t row = 0; row < z.size(); ++row) EXPECT_EQ(z[row], 2 + 2 * row);
  }
}

TEST(Batcher, PassesNumbersThatAreNoneThrough) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto nan = FakeCall::OneRow(std::numeric_limits<float>::quiet_NaN());
  SubmitTo(batcher.get(), nan.get());
  auto good = SubmitRows(batcher.get(), {1});
  rig.RunAll();
  ASSERT_OK(nan->status());
  EXPECT_TRUE(std::isnan(nan->output("y")[0]));
  ExpectOwnRows(*good[0], 1, 10);  // In the same batch.
  EXPECT_EQ(good[0]->batch_rows(), 2);
}

TEST(Batcher, TrailingShapesNeverMix) {
  BatchingRig rig;
  FakeModel model({.width = 0});
  auto batcher = rig.NewBatcher(model, {}, {});
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (int64_t i = 0; i < 12; ++i) {
    calls.push_back(FakeCall::Rows(1, 10, 1 + i % 3));
    SubmitTo(batcher.get(), calls.back().get());
  }
  rig.Settle();
  for (const auto& call : calls) ExpectOwnRows(*call, 1, 10);
  for (const FakeModel::RunRecord& run : model.runs()) EXPECT_EQ(run.x.dim(0), 4);
  EXPECT_EQ(model.runs().size(), 3u);
}

TEST(Batcher, AColdShapeWaitsForItsCompilationAndHoldsUpNobody) {
  BatchingRig rig;
  FakeModel model({.width = 0});
  auto batcher = rig.NewBatcher(model, {}, {});
  auto warm = FakeCall::Rows(1, 10, 2);
  SubmitTo(batcher.get(), warm.get());
  rig.Settle();
  EXPECT_OK(warm->status());

  auto cold = FakeCall::Rows(2, 10, 3);
  auto beside = FakeCall::Rows(1, 10, 2);
  SubmitTo(batcher.get(), cold.get());
  SubmitTo(batcher.get(), beside.get());
  EXPECT_EQ(rig.RunAll(), 1);
  ExpectOwnRows(*beside, 1, 10);
  EXPECT_EQ(cold->answers(), 0);
  EXPECT_EQ(batcher->queue_state().shapes_compiling, 1);
  EXPECT_TRUE(rig.executor->CompileOne());
  EXPECT_EQ(rig.RunAll(), 1);
  ExpectOwnRows(*cold, 2, 10);
}

TEST(Batcher, TriesSmallerSizesBeforeItHandsBackACompilationError) {
  BatchingRig rig;
  FakeModel model({.width = 0, .compile_status = [](const Shape& x) {
                     if (x.dim(1) == 9 || x.dim(0) > 2) {
                       return absl::ResourceExhaustedError("no room for " + x.ToString());
                     }
                     return absl::OkStatus();
                   }});
  auto batcher = rig.NewBatcher(model, {}, {});
  auto fits_in_pairs = FakeCall::Rows(6, 10, 3);
  auto never_fits = FakeCall::Rows(6, 10, 9);
  SubmitTo(batcher.get(), fits_in_pairs.get());
  SubmitTo(batcher.get(), never_fits.get());
  rig.Settle();
  ExpectOwnRows(*fits_in_pairs, 6, 10);
  EXPECT_THAT(never_fits->status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("[1,9]")));
  EXPECT_EQ(never_fits->answers(), 1);
}

TEST(Batcher, AShapeThatTheModelDroppedIsCompiledAgain) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  model.Forget(Shape{2, 2});
  auto calls = SubmitRows(batcher.get(), {1, 1});
  rig.Settle();
  ExpectOwnRows(*calls[0], 1, 10);
  ExpectOwnRows(*calls[1], 1, 110);
  EXPECT_THAT(model.compiles(), ElementsAre(Shape{2, 2}));

  model.Forget(Shape{8, 2});
  auto split = SubmitRows(batcher.get(), {11});
  rig.Settle();
  ExpectOwnRows(*split[0], 11, 10);
}

TEST(Batcher, RunsCallsOneByOneWhereTheModelDoesNotBatch) {
  BatchingRig rig;
  FakeModel model({.width = 0, .rows_max = 0});
  auto batcher = rig.NewBatcher(model, {}, {});
  auto calls = SubmitRows(batcher.get(), {3, 3, 100});
  rig.Settle();
  EXPECT_THAT(model.rows_run(), ElementsAre(3, 3, 100));
  ASSERT_OK(calls[2]->status());
  EXPECT_EQ(calls[2]->output("z").size(), 100u);
  EXPECT_EQ(calls[0]->output("z").size(), 3u);
}

TEST(Batcher, HigherPrioritiesGoFirst) {
  BatchingRig rig;
  FakeModel model({.rows_max = 1, .compiled_rows = {1}});
  auto batcher = rig.NewBatcher(model, {}, WarmRows({1}));
  std::vector<std::unique_ptr<FakeCall>> calls;
  std::vector<int> order;
  const std::vector<uint32_t> priorities = {0, 200, 1, 0, 5, 1};
  for (size_t i = 0; i < priorities.size(); ++i) {
    calls.push_back(FakeCall::OneRow(1));
    calls.back()->priority = priorities[i];
    calls.back()->on_done = [&order, i](FakeCall*) { order.push_back(static_cast<int>(i)); };
    SubmitTo(batcher.get(), calls.back().get());
  }
  rig.RunAll();
  EXPECT_THAT(order, ElementsAre(2, 5, 4, 0, 3, 1));
}

TEST(Batcher, PrioritiesOutsideTheConfiguredLevelsAreTheDefault) {
  BatchingRig rig;
  FakeModel model({.rows_max = 1, .compiled_rows = {1}});
  auto batcher =
      rig.NewBatcher(model, {.priority_levels = 3, .default_priority = 2}, WarmRows({1}));
  std::vector<std::unique_ptr<FakeCall>> calls;
  std::vector<int> order;
  const std::vector<uint32_t> priorities = {3, 0, 99, 2, 1};
  for (size_t i = 0; i < priorities.size(); ++i) {
    calls.push_back(FakeCall::OneRow(1));
    calls.back()->priority = priorities[i];
    calls.back()->on_done = [&order, i](FakeCall*) { order.push_back(static_cast<int>(i)); };
    SubmitTo(batcher.get(), calls.back().get());
  }
  rig.RunAll();
  EXPECT_THAT(order, ElementsAre(4, 1, 2, 3, 0));
}

TEST(Batcher, WaitsForCompanyAsConfigured) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model, {.queue_delay_max = 5 * kMs});
  auto first = SubmitRows(batcher.get(), {1});
  EXPECT_EQ(rig.RunAll(), 0);
  rig.fake_clock.Advance(3 * kMs);
  auto second = SubmitRows(batcher.get(), {1});
  EXPECT_EQ(rig.RunAll(), 0);
  rig.fake_clock.Advance(2 * kMs);
  EXPECT_EQ(rig.RunAll(), 1);
  EXPECT_THAT(model.rows_run(), ElementsAre(2));
  EXPECT_EQ(first[0]->times().queue, 5 * kMs);

  auto full = SubmitRows(batcher.get(), {8});
  EXPECT_EQ(rig.RunAll(), 1);  // Nothing could join it.
  auto closing = SubmitRows(batcher.get(), {1});
  batcher->Close();
  EXPECT_EQ(rig.RunAll(), 1);  // Nobody will.
}

TEST(Batcher, RefusesWhatTheQueueCannotHold) {
  BatchingRig rig({.queue_bytes_max = 100});
  FakeModel model({});
  auto batcher = rig.NewBatcher(model, {.queue_requests_max = 3, .queue_bytes_max = 64});
  auto other = rig.NewBatcher(model, {}, WarmRows({1}), "other");
  auto three = SubmitRows(batcher.get(), {1, 1, 1});  // 8 bytes a row.
  auto fourth = SubmitRows(batcher.get(), {1});
  EXPECT_THAT(fourth[0]->status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                            HasSubstr("3 requests wait, the limit is 3")));
  rig.RunAll();
  auto large = SubmitRows(batcher.get(), {6, 3});
  EXPECT_THAT(large[1]->status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                           HasSubstr("48 bytes wait and this request has 24")));
  auto global = SubmitRows(other.get(), {7});
  EXPECT_THAT(global[0]->status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                            HasSubstr("server's queues are full: 48 bytes")));
  rig.Settle();
  EXPECT_OK(large[0]->status());
  EXPECT_EQ(rig.executor->state().bytes, 0u);
  auto after = SubmitRows(other.get(), {7});  // There is room again.
  rig.Settle();
  EXPECT_OK(after[0]->status());
}

TEST(Batcher, ACancelledCallIsNotComputed) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1, 1, 1});
  calls[1]->Cancel();
  rig.RunAll();
  EXPECT_THAT(calls[1]->status(), StatusIs(absl::StatusCode::kCancelled));
  ExpectOwnRows(*calls[0], 1, 10);
  ExpectOwnRows(*calls[2], 1, 210);
  EXPECT_THAT(model.rows_run(), ElementsAre(2));

  auto early = FakeCall::OneRow(1);
  early->Cancel();
  SubmitTo(batcher.get(), early.get());
  EXPECT_THAT(early->status(), StatusIs(absl::StatusCode::kCancelled));
}

TEST(Batcher, AnExpiredCallIsNotComputed) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model, {.default_timeout = 100 * kMs});
  auto soon = FakeCall::OneRow(1);
  soon->deadline = rig.fake_clock.Now() + 5 * kMs;
  auto late = FakeCall::OneRow(2);
  late->deadline = rig.fake_clock.Now();
  auto unset = FakeCall::OneRow(3);
  SubmitTo(batcher.get(), soon.get());
  SubmitTo(batcher.get(), late.get());
  SubmitTo(batcher.get(), unset.get());
  EXPECT_THAT(late->status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  rig.fake_clock.Advance(5 * kMs);
  rig.RunAll();
  EXPECT_THAT(soon->status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_OK(unset->status());
  EXPECT_THAT(model.rows_run(), ElementsAre(1));

  auto waits = FakeCall::OneRow(3);
  SubmitTo(batcher.get(), waits.get());
  rig.fake_clock.Advance(100 * kMs);  // The model's default.
  EXPECT_EQ(rig.RunAll(), 0);
  EXPECT_THAT(waits->status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Batcher, ADeadlineIsKeptEvenWhereNothingCanRun) {
  BatchingRig rig;
  FakeModel model({.width = 0});
  auto batcher = rig.NewBatcher(model, {}, {});
  auto cold = FakeCall::Rows(1, 10, 3);
  cold->deadline = rig.fake_clock.Now() + 5 * kMs;
  SubmitTo(batcher.get(), cold.get());
  EXPECT_EQ(rig.RunAll(), 0);
  rig.fake_clock.Advance(5 * kMs);
  EXPECT_EQ(rig.RunAll(), 0);
  EXPECT_THAT(cold->status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Batcher, ASplitCallThatExpiresIsAnsweredOnceItsRowsStopped) {
  BatchingRig rig({.streams = 2});
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto call = FakeCall::Rows(16, 10);
  call->deadline = rig.fake_clock.Now() + 5 * kMs;
  SubmitTo(batcher.get(), call.get());
  model.Block();
  std::thread stream([&] { rig.executor->RunOne(0); });
  model.WaitForRuns(1);
  rig.fake_clock.Advance(5 * kMs);
  EXPECT_FALSE(rig.executor->RunOne(1));  // Takes the other 8 rows out of the queue.
  EXPECT_EQ(call->answers(), 0);          // The first 8 still write into the call.
  model.Unblock();
  stream.join();
  EXPECT_THAT(call->status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(call->answers(), 1);
}

TEST(Batcher, DrainFinishesWhatItCanAndRefusesTheRest) {
  BatchingRig rig;
  FakeModel model({});
  auto batcher = rig.NewBatcher(model);
  auto calls = SubmitRows(batcher.get(), {1});
  rig.RunAll();
  auto queued = SubmitRows(batcher.get(), {1, 1});
  batcher->Drain(rig.fake_clock.Now());  // No time left.
  for (const auto& call : queued) {
    EXPECT_THAT(call->status(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(call->answers(), 1);
  }
  auto late = SubmitRows(batcher.get(), {1});
  EXPECT_THAT(late[0]->status(), StatusIs(absl::StatusCode::kUnavailable));
  batcher->Drain(rig.fake_clock.Now());  // Again: nothing happens.
  EXPECT_OK(calls[0]->status());
}

TEST(Batcher, DestructionAnswersWhatWaitsAndForgetsWhatCompiles) {
  BatchingRig rig;
  FakeModel model({.width = 0});
  auto batcher = rig.NewBatcher(model, {}, {});
  auto call = FakeCall::Rows(1, 10, 3);
  SubmitTo(batcher.get(), call.get());
  rig.RunAll();  // Asks for the shape.
  batcher.reset();
  EXPECT_THAT(call->status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(rig.executor->CompileOne());
  EXPECT_EQ(model.sessions_alive(), 0);
}

TEST(Batcher, TellsTheMetricsWhatHappened) {
  BatchingRig rig;
  FakeModel model({.clock = &rig.fake_clock, .batch_cost = 2 * kMs, .row_cost = kMs});
  FakeVersionCounts counts;
  FakeVersionMetrics metrics(&counts);
  auto made = Batcher::Create(
      rig.executor.get(), {},
      {.model_name = "fake", .model = &model, .metrics = &metrics, .warm = WarmRows({1, 2, 4, 8})});
  ASSERT_OK(made.status());
  auto calls = SubmitRows(made->get(), {2, 2, 17});
  calls.push_back(FakeCall::OneRow(1));
  calls.back()->Cancel();
  SubmitTo(made->get(), calls.back().get());
  EXPECT_EQ(counts.queue_requests, 3);
  EXPECT_EQ(counts.queue_bytes, 21 * 8);
  rig.RunAll();
  EXPECT_EQ(counts.queue_requests, 0);
  EXPECT_EQ(counts.queue_bytes, 0);
  EXPECT_EQ(counts.batch_rows, 21);
  EXPECT_LE(counts.batch_rows_max, 8);
  EXPECT_EQ(calls[0]->times().compute, 10 * kMs);  // A batch of eight rows.
  // The stages have no gap between them, in a call that ran in several batches neither.
  for (int i = 0; i < 3; ++i) {
    const StageTimes times = calls[i]->times();
    EXPECT_EQ(times.queue + times.batch + times.compute, times.computed - times.submitted) << i;
  }
}

TEST(Batcher, StagesAreRecordedOnceAndAddUp) {
  FakeVersionCounts counts;
  FakeVersionMetrics metrics(&counts);
  const absl::Time arrival = absl::UnixEpoch();
  const StageTimes times = {.submitted = arrival + 1 * kMs,
                            .queue = 2 * kMs,
                            .batch = 3 * kMs,
                            .compute = 4 * kMs,
                            .computed = arrival + 10 * kMs};
  RecordStages(times, arrival, arrival + 15 * kMs, &metrics);
  for (const auto& count : counts.stages) EXPECT_EQ(count, 1);
  EXPECT_EQ(counts.stages_ns, absl::ToInt64Nanoseconds(15 * kMs));
}

TEST(Batcher, OptionsAreChecked) {
  EXPECT_OK(Validate(BatcherOptions{}));
  EXPECT_THAT(Validate({.queue_delay_max = -kMs}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Validate({.priority_levels = 2, .default_priority = 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("default_priority")));
  EXPECT_THAT(Validate({.queue_requests_max = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
