#include "server/stream_plan.h"

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

TEST(StreamPlan, ChoosesByTheBudget) {
  const struct {
    int cores, streams, threads;
  } kCases[] = {{1, 1, 1}, {2, 2, 1}, {3, 3, 1}, {4, 2, 2}, {8, 2, 4}, {16, 4, 4}, {64, 16, 4}};
  for (const auto& expected : kCases) {
    ASSERT_OK_AND_ASSIGN(const StreamPlan plan, PlanStreams(expected.cores, 0, 0));
    EXPECT_EQ(plan.streams, expected.streams) << expected.cores;
    EXPECT_EQ(plan.threads_per_stream, expected.threads) << expected.cores;
    EXPECT_LE(plan.streams * plan.threads_per_stream, expected.cores);
  }
}

TEST(StreamPlan, WhatIsConfiguredCounts) {
  ASSERT_OK_AND_ASSIGN(StreamPlan plan, PlanStreams(8, 1, 0));
  EXPECT_EQ(plan.threads_per_stream, 8);
  ASSERT_OK_AND_ASSIGN(plan, PlanStreams(8, 0, 2));
  EXPECT_EQ(plan.streams, 4);
  ASSERT_OK_AND_ASSIGN(plan, PlanStreams(2, 3, 2));
  EXPECT_EQ(plan.streams, 3);
  EXPECT_EQ(plan.threads_per_stream, 2);
}

TEST(StreamPlan, RefusesWhatCanOnlyBeAMistake) {
  EXPECT_THAT(PlanStreams(2, 64, 64),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4096 threads on 2 cores")));
}

}  // namespace
}  // namespace paramd
