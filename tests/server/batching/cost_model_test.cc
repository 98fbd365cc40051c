#include "server/batching/cost_model.h"

#include "gtest/gtest.h"

namespace paramd {
namespace {

constexpr absl::Duration kMs = absl::Milliseconds(1);

double Predicted(const CostModel& cost, int64_t rows) {
  return absl::ToDoubleMilliseconds(cost.Predict(rows));
}

TEST(CostModel, KnowsNothingAtFirst) { EXPECT_EQ(CostModel().Predict(8), absl::ZeroDuration()); }

TEST(CostModel, AveragesOneSizeAndForgetsOutliers) {
  CostModel cost;
  cost.Observe(4, 10 * kMs);
  EXPECT_NEAR(Predicted(cost, 4), 10, 1e-6);
  cost.Observe(4, 50 * kMs);
  EXPECT_LT(Predicted(cost, 4), 21);
  for (int i = 0; i < 30; ++i) cost.Observe(4, 30 * kMs);
  EXPECT_NEAR(Predicted(cost, 4), 30, 0.1);
}

TEST(CostModel, DrawsALineThroughTheSizesThatRan) {
  CostModel cost;
  cost.Observe(8, 18 * kMs);
  EXPECT_NEAR(Predicted(cost, 16), 36, 1e-6);  // One size: in proportion.
  cost.Observe(1, 4 * kMs);                    // 2 ms a batch and 2 ms a row.
  EXPECT_NEAR(Predicted(cost, 4), 10, 1e-6);
  EXPECT_NEAR(Predicted(cost, 16), 34, 1e-6);
}

TEST(CostModel, NeverPredictsLessForMoreRowsByExtrapolating) {
  CostModel cost;
  cost.Observe(4, 20 * kMs);
  cost.Observe(8, 10 * kMs);  // A lucky one.
  EXPECT_GE(Predicted(cost, 16), 10);
  EXPECT_GT(Predicted(cost, 1), 0);
}

TEST(CostModel, StaysSmall) {
  CostModel cost;
  for (int64_t rows = 1; rows <= 1000; ++rows) cost.Observe(rows, rows * kMs);
  EXPECT_NEAR(Predicted(cost, 1000), 1000, 1);
  EXPECT_NEAR(Predicted(cost, 30), 30, 1);
}

}  // namespace
}  // namespace paramd
