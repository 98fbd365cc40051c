// Real threads, for ThreadSanitizer: many submitters, several streams, models
// that come and go, and every sink called exactly once.
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "server/batching/batcher.h"
#include "server/batching/executor.h"
#include "tests/server/batching/batching_rig.h"

namespace paramd {
namespace {

std::unique_ptr<Executor> NewExecutor(int streams) {
  ExecutorParts parts;
  parts.clock = Clock::Real();
  auto made = Executor::Create({.streams = streams}, std::move(parts));
  EXPECT_OK(made.status());
  return *std::move(made);
}

std::unique_ptr<Batcher> NewBatcher(Executor* executor, const FakeModel& model,
                                    BatcherOptions options, std::string name) {
  auto made = Batcher::Create(
      executor, options,
      {.model_name = std::move(name),
       .model = &model,
       .warm = model.description().inputs[0].shape[1].known() ? WarmRows({1, 2, 4, 8})
                                                              : std::vector<WarmSize>{}});
  EXPECT_OK(made.status());
  return *std::move(made);
}

bool RowsAreOwn(const FakeCall& call, int64_t rows, float first) {
  const std::vector<float> z = call.output("z");
  if (z.size() != static_cast<size_t>(rows)) return false;
  for (int64_t r = 0; r < rows; ++r) {
    if (z[static_cast<size_t>(r)] != first + static_cast<float>(r)) return false;
  }
  return true;
}

TEST(ExecutorStress, EverySinkIsCalledExactlyOnceAndGetsItsOwnRows) {
  constexpr int kSubmitters = 4;
  constexpr int kCallsEach = 400;
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  auto executor = NewExecutor(3);
  FakeModel fixed({});
  FakeModel ragged({.width = 0});
  auto fixed_batcher = NewBatcher(executor.get(), fixed, {.queue_requests_max = 200}, "fixed");
  auto ragged_batcher = NewBatcher(
      executor.get(), ragged,
      {.queue_delay_max = absl::Microseconds(200), .concurrent_batches_max = 2}, "ragged");
  struct Sent {
    std::unique_ptr<FakeCall> call;
    int64_t rows;
    float first;
  };
  std::vector<std::vector<Sent>> sent(kSubmitters);
  std::vector<std::thread> submitters;
  for (int s = 0; s < kSubmitters; ++s) {
    submitters.emplace_back([&, s] {
      std::mt19937 random(seed + static_cast<uint32_t>(s));
      const auto pick = [&](int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(random);
      };
      for (int i = 0; i < kCallsEach; ++i) {
        const bool poison = pick(0, 19) == 0;
        const int64_t rows = pick(0, 9) == 0 ? pick(9, 20) : pick(1, 3);
        const float first = poison ? kPoison : static_cast<float>(pick(1, 1000));
        const bool to_ragged = pick(0, 2) == 0;
        auto call = FakeCall::Rows(rows, first, to_ragged ? pick(1, 4) : 2);
        call->priority = static_cast<uint32_t>(pick(0, 3));
        if (pick(0, 19) == 0) call->deadline = Clock::Real()->Now() + absl::Microseconds(300);
        FakeCall* const borrowed = call.get();
        sent[static_cast<size_t>(s)].push_back({std::move(call), rows, first});
        SubmitTo((to_ragged ? ragged_batcher : fixed_batcher).get(), borrowed);
        if (pick(0, 9) == 0) borrowed->Cancel();
      }
    });
  }
  for (std::thread& submitter : submitters) submitter.join();
  for (const auto& calls : sent) {
    for (const Sent& s : calls) s.call->Wait();
  }
  executor->Drain(Clock::Real()->Now() + absl::Seconds(60));
  int answered = 0;
  for (const auto& calls : sent) {
    for (const Sent& s : calls) {
      ASSERT_EQ(s.call->answers(), 1);
      const absl::Status status = s.call->status();
      if (status.ok()) {
        ++answered;
        ASSERT_TRUE(RowsAreOwn(*s.call, s.rows, s.first));
      } else if (s.first == kPoison) {
        continue;
      } else {
        ASSERT_TRUE(absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
                    absl::IsResourceExhausted(status))
            << status;
      }
    }
  }
  EXPECT_GT(answered, kSubmitters * kCallsEach / 4);
  EXPECT_EQ(executor->state().requests, 0);
  EXPECT_EQ(executor->state().bytes, 0u);
}

TEST(ExecutorStress, BatchersComeAndGoWhileOthersServe) {
  auto executor = NewExecutor(2);
  FakeModel steady({});
  auto steady_batcher = NewBatcher(executor.get(), steady, {}, "steady");
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::thread client([&] {
    while (!stop) {
      auto call = FakeCall::Rows(2, 5);
      SubmitTo(steady_batcher.get(), call.get());
      call->Wait();
      if (!call->status().ok() || !RowsAreOwn(*call, 2, 5)) break;
      ++served;
    }
  });
  for (int round = 0; round < 60; ++round) {
    FakeModel model({.width = round % 2 == 0 ? 0 : 2});
    std::vector<std::unique_ptr<FakeCall>> calls;
    {
      auto batcher = NewBatcher(executor.get(), model, {}, "passing");
      for (int i = 0; i < 20; ++i) {
        calls.push_back(FakeCall::Rows(1 + i % 11, 1, 2));
        SubmitTo(batcher.get(), calls.back().get());
      }
      if (round % 3 == 0) batcher->Drain(Clock::Real()->Now() + absl::Seconds(60));
    }
    // Gone: whatever was not answered with rows was refused, and nothing is open.
    for (const auto& call : calls) {
      ASSERT_EQ(call->answers(), 1);
      ASSERT_TRUE(call->status().ok() || absl::IsUnavailable(call->status()));
      ASSERT_TRUE(round % 3 != 0 || call->status().ok()) << call->status();
    }
    ASSERT_EQ(model.sessions_alive(), 0);
  }
  stop = true;
  client.join();
  EXPECT_GT(served, 0);
}

TEST(ExecutorStress, ACallMayBeDestroyedInsideOnDone) {
  constexpr int kCalls = 500;
  auto executor = NewExecutor(2);
  FakeModel model({});
  auto batcher = NewBatcher(executor.get(), model, {}, "fake");
  std::atomic<int> done{0};
  for (int i = 0; i < kCalls; ++i) {
    FakeCall* const call = FakeCall::Rows(1 + i % 10, 1).release();
    call->on_done = [&done](FakeCall* finished) {
      delete finished;
      ++done;
    };
    SubmitTo(batcher.get(), call);
  }
  batcher->Drain(Clock::Real()->Now() + absl::Seconds(60));
  EXPECT_EQ(done, kCalls);
}

}  // namespace
}  // namespace paramd
