#include "runtime/loading/rate_limit.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace paramd {
namespace {

TEST(RateLimit, KeepsTheRateOverManyReads) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  absl::Duration slept;
  RateLimit limit(&clock, 10 << 20, [&](absl::Duration wait) {
    slept += wait;
    clock.Advance(wait);
  });
  for (int i = 0; i < 100; ++i) limit.Take(1 << 20);
  // 100 MiB at 10 MiB a second; what the last one took is paid by the next.
  const absl::Duration took = clock.Now() - start;
  EXPECT_GE(took, absl::Seconds(9.8));
  EXPECT_LE(took, absl::Seconds(10));
  EXPECT_EQ(took, slept);
}

TEST(RateLimit, ReadingThatIsSlowerAnywayNeverWaits) {
  FakeClock clock;
  int waits = 0;
  RateLimit limit(&clock, 1 << 20, [&](absl::Duration) { ++waits; });
  for (int i = 0; i < 10; ++i) {
    limit.Take(100 << 10);
    clock.Advance(absl::Milliseconds(100));
  }
  EXPECT_EQ(waits, 0);
}

TEST(RateLimit, IdleTimeIsNotSavedUpBeyondTheBurst) {
  FakeClock clock;
  std::vector<absl::Duration> waits;
  RateLimit limit(&clock, 1 << 20, [&](absl::Duration wait) { waits.push_back(wait); });
  clock.Advance(absl::Hours(1));
  limit.Take(1 << 20);  // A second's worth: at once, and in debt.
  EXPECT_TRUE(waits.empty());
  limit.Take(1);
  ASSERT_EQ(waits.size(), 1u);
  EXPECT_EQ(waits[0], absl::Seconds(1) - RateLimit::kBurst);
}

TEST(RateLimit, NoLimitNeverWaits) {
  FakeClock clock;
  RateLimit limit(&clock, 0, [](absl::Duration) { ADD_FAILURE(); });
  for (int i = 0; i < 10; ++i) limit.Take(uint64_t{1} << 40);
}

}  // namespace
}  // namespace paramd
