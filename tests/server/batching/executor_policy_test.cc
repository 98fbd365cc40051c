#include "server/batching/executor_policy.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace paramd {
namespace {

constexpr absl::Duration kMs = absl::Milliseconds(1);
constexpr absl::Time kT0 = absl::UnixEpoch();

int Pick(std::vector<Candidate> candidates, StreamsView streams = {1, 1}) {
  return PickNext(candidates, streams, 50 * kMs);
}

TEST(ExecutorPolicy, PrefersPriorityThenLeastServedThenLongestWaiting) {
  EXPECT_EQ(Pick({}), -1);
  EXPECT_EQ(Pick({{100, 9 * kMs, kMs, kT0}, {1, 90 * kMs, kMs, kT0}}), 1);
  EXPECT_EQ(Pick({{100, 9 * kMs, kMs, kT0}, {100, 3 * kMs, kMs, kT0}}), 1);
  EXPECT_EQ(Pick({{100, 3 * kMs, kMs, kT0 + kMs}, {100, 3 * kMs, kMs, kT0}}), 1);
}

TEST(ExecutorPolicy, NeverGivesTheLastFreeStreamToASlowModel) {
  const Candidate slow{1, 0 * kMs, 60 * kMs, kT0};
  const Candidate fast{100, 90 * kMs, kMs, kT0};
  EXPECT_EQ(Pick({slow}, {2, 2}), 0);
  EXPECT_EQ(Pick({slow}, {2, 1}), -1);
  EXPECT_EQ(Pick({slow, fast}, {2, 1}), 1);
  EXPECT_EQ(Pick({slow}, {1, 1}), 0);  // With one stream it is the only way.
}

TEST(ExecutorPolicy, AModelThatWasIdleMayNotClaimTheTime) {
  const std::vector<absl::Duration> busy = {70 * kMs, 40 * kMs};
  EXPECT_EQ(ServiceAfterIdle(0 * kMs, busy), 40 * kMs);
  EXPECT_EQ(ServiceAfterIdle(50 * kMs, busy), 50 * kMs);
  EXPECT_EQ(ServiceAfterIdle(5 * kMs, {}), 5 * kMs);
}

// Models that always have work get equal time, however different their batches.
TEST(ExecutorPolicy, SharesTimeEqually) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::vector<Candidate> candidates;
  std::vector<absl::Duration> batch;
  for (int i = 0; i < 5; ++i) {
    batch.push_back(kMs * std::uniform_int_distribution<int>(1, 50)(random));
    candidates.push_back({100, absl::ZeroDuration(), kMs, kT0});
  }
  for (int step = 0; step < 10000; ++step) {
    const int picked = Pick(candidates);
    candidates[static_cast<size_t>(picked)].service += batch[static_cast<size_t>(picked)];
  }
  for (const Candidate& a : candidates) {
    for (const Candidate& b : candidates) EXPECT_LE(a.service - b.service, 50 * kMs);
  }
}

}  // namespace
}  // namespace paramd
