#include "server/batching/batch_policy.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace paramd {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

struct Case {
  std::string name;
  int64_t waiting;
  std::vector<int64_t> warm;
  int64_t run;
  int64_t compile;
  int64_t rows_max = 8;
  std::vector<int64_t> refused = {};
  bool compiling = false;
  absl::Duration time_max = absl::InfiniteDuration();
  absl::Duration row_cost = absl::ZeroDuration();
};

CostModel CostOf(absl::Duration row) {
  CostModel cost;
  if (row > absl::ZeroDuration()) {
    for (const int64_t rows : {1, 8}) cost.Observe(rows, rows * row);
  }
  return cost;
}

TEST(BatchPolicy, RunsTheLargestWarmSizeAndCompilesWhatIsMissing) {
  const absl::Duration ms = absl::Milliseconds(1);
  const Case cases[] = {
      {"one", 1, {1, 2, 4, 8}, 1, 0},
      {"exact", 4, {1, 2, 4, 8}, 4, 0},
      {"five is four and one", 5, {1, 2, 4, 8}, 4, 5},
      {"five, once compiled", 5, {1, 2, 4, 5, 8}, 5, 0},
      {"five, while it compiles", 5, {1, 2, 4, 8}, 4, 0, 8, {}, true},
      {"five was refused: four is the next size below", 5, {1, 2, 4, 8}, 4, 0, 8, {5}},
      {"never above the maximum", 100, {1, 2, 4, 8}, 8, 0},
      {"a maximum that is no power of two", 100, {1, 2, 4, 6}, 6, 0, 6},
      {"cold", 3, {}, 0, 3},
      {"cold and compiling", 3, {}, 0, 0, 8, {}, true},
      {"cold: the size was refused, smaller ones are tried", 6, {}, 0, 4, 8, {6}},
      {"cold: all sizes refused", 6, {}, 0, 0, 8, {1, 2, 4, 6}},
      {"warm only above what waits", 3, {8}, 0, 3},
      {"capped in time", 8, {1, 2, 4, 8}, 4, 0, 8, {}, false, 50 * ms, 10 * ms},
      {"a single row may take long", 8, {1, 2, 4, 8}, 1, 0, 8, {}, false, 50 * ms, 60 * ms},
      {"capped, and the short size is cold", 8, {8}, 0, 4, 8, {}, false, 50 * ms, 10 * ms},
      {"capped, short sizes refused: long beats never",
       8,
       {8},
       8,
       0,
       8,
       {1, 2, 4},
       false,
       50 * ms,
       10 * ms},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const CostModel cost = CostOf(c.row_cost);
    const GroupView group{.rows_waiting = c.waiting,
                          .oldest = kNow,
                          .warm = c.warm,
                          .refused = c.refused,
                          .compiling = c.compiling,
                          .cost = &cost};
    const BatchStep step = NextBatch(group, {.rows_max = c.rows_max, .time_max = c.time_max}, kNow);
    EXPECT_EQ(step.run_rows, c.run);
    EXPECT_EQ(step.compile_rows, c.compile);
  }
}

TEST(BatchPolicy, WaitsForCompanyOnlyWhereConfiguredAndOnlyUntilItIsFull) {
  const CostModel cost;
  const std::vector<int64_t> warm = {1, 2, 4, 8};
  GroupView group{.rows_waiting = 3, .oldest = kNow, .warm = warm, .cost = &cost};
  BatchLimits limits{.rows_max = 8};
  EXPECT_EQ(NextBatch(group, limits, kNow).run_rows, 2);  // Nobody waits on an idle engine.

  limits.queue_delay_max = absl::Milliseconds(5);
  BatchStep step = NextBatch(group, limits, kNow + absl::Milliseconds(4));
  EXPECT_EQ(step.run_rows, 0);
  EXPECT_EQ(step.wake_at, kNow + absl::Milliseconds(5));
  EXPECT_EQ(NextBatch(group, limits, kNow + absl::Milliseconds(5)).run_rows, 2);

  group.rows_waiting = 8;
  EXPECT_EQ(NextBatch(group, limits, kNow).run_rows, 8);

  group.rows_waiting = 2;
  const std::vector<int64_t> preferred = {2};
  limits.preferred = preferred;
  EXPECT_EQ(NextBatch(group, limits, kNow).run_rows, 2);
}

// Whatever waits: rows never above the maximum, above what waits, or of a size
// that is not compiled; within the time or a single row, while others wait.
TEST(BatchPolicy, KeepsItsLimitsWhateverWaits) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int i = 0; i < 20000; ++i) {
    CostModel cost;
    for (int64_t n = pick(0, 5); n > 0; --n) {
      cost.Observe(pick(1, 64), absl::Microseconds(pick(1, 200000)));
    }
    std::vector<int64_t> sizes[2];
    for (auto& list : sizes) {
      for (int64_t n = pick(0, 8); n > 0; --n) list.push_back(pick(1, 64));
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
    }
    const bool others = pick(0, 1) == 1;
    const BatchLimits limits{
        .rows_max = pick(1, 64),
        .queue_delay_max = absl::Milliseconds(pick(0, 3)),
        .time_max = others ? absl::Milliseconds(50) : absl::InfiniteDuration()};
    const GroupView group{.rows_waiting = pick(1, 200),
                          .oldest = kNow - absl::Milliseconds(pick(0, 5)),
                          .warm = sizes[0],
                          .refused = sizes[1],
                          .compiling = pick(0, 1) == 1,
                          .cost = &cost};
    const BatchStep step = NextBatch(group, limits, kNow);
    ASSERT_LE(step.run_rows, std::min(limits.rows_max, group.rows_waiting));
    ASSERT_LE(step.compile_rows, std::min(limits.rows_max, group.rows_waiting));
    if (step.run_rows > 0) {
      ASSERT_THAT(sizes[0], testing::Contains(step.run_rows));
      // Too long only where nothing shorter can ever be compiled.
      const bool nothing_shorter = step.run_rows == sizes[0].front() && step.compile_rows == 0;
      ASSERT_TRUE(step.run_rows == 1 || cost.Predict(step.run_rows) <= limits.time_max ||
                  nothing_shorter);
    }
    if (step.compile_rows > 0) {
      ASSERT_FALSE(group.compiling);
      ASSERT_THAT(sizes[0], testing::Not(testing::Contains(step.compile_rows)));
      ASSERT_THAT(sizes[1], testing::Not(testing::Contains(step.compile_rows)));
    }
    if (step.run_rows == 0 && step.compile_rows == 0 && step.wake_at == absl::InfiniteFuture()) {
      // Stuck is only what compiles now, or what was refused down to one row.
      const auto fits = [&](int64_t size) {
        return size <= std::min(limits.rows_max, group.rows_waiting);
      };
      ASSERT_TRUE(group.compiling || std::none_of(sizes[0].begin(), sizes[0].end(), fits));
      ASSERT_TRUE(group.compiling || std::count(sizes[1].begin(), sizes[1].end(), 1) == 1);
    }
  }
}

TEST(BatchPolicy, SplitsACallOnlyWhenItMust) {
  const std::vector<int64_t> warm = {1, 2, 3, 4, 8};
  const auto rows = [&](std::vector<int64_t> calls, int64_t size) {
    return RowsWithoutSplit(calls, size, warm);
  };
  EXPECT_EQ(rows({2, 2}, 4), 4);
  EXPECT_EQ(rows({3, 2}, 4), 3);  // Three are warm: nobody is split.
  EXPECT_EQ(rows({5, 3}, 8), 8);
  EXPECT_EQ(rows({5, 5}, 8), 8);  // Five are not warm: the second is split.
  EXPECT_EQ(rows({9}, 8), 8);     // More than a batch holds,
  EXPECT_EQ(rows({3, 9}, 8), 8);  // so that it may as well begin here.
}

}  // namespace
}  // namespace paramd
