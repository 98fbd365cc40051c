#include "server/batching/warm_up.h"

#include <vector>

#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

std::vector<int64_t> RowsOf(const std::vector<WarmSize>& warm) {
  std::vector<int64_t> rows;
  for (const WarmSize& size : warm) rows.push_back(size.rows);
  return rows;
}

TEST(WarmUp, CompilesPowersOfTwoAndTheMaximumAndMeasuresThem) {
  FakeClock clock;
  FakeModel model(
      {.rows_max = 6, .compiled_rows = {1}, .clock = &clock, .row_cost = absl::Milliseconds(3)});
  ASSERT_OK_AND_ASSIGN(const std::vector<WarmSize> warm, WarmUp(model, nullptr, clock, {}));
  EXPECT_THAT(RowsOf(warm), testing::ElementsAre(1, 2, 4, 6));
  EXPECT_EQ(warm[3].took, absl::Milliseconds(18));
  EXPECT_EQ(model.compiles().size(), 3u);  // One row was compiled already.
}

TEST(WarmUp, LeavesUnknownShapesToThoseWhoSendThem) {
  FakeClock clock;
  FakeModel model({.width = 0});
  ASSERT_OK_AND_ASSIGN(const std::vector<WarmSize> warm, WarmUp(model, nullptr, clock, {}));
  EXPECT_TRUE(warm.empty());
}

TEST(WarmUp, StopsWhereTheModelStopsFitting) {
  FakeClock clock;
  FakeModel model({.compiled_rows = {}, .compile_status = [](const Shape& x) {
                     return x.dim(0) > 2 ? absl::ResourceExhaustedError("no room")
                                         : absl::OkStatus();
                   }});
  ASSERT_OK_AND_ASSIGN(const std::vector<WarmSize> warm, WarmUp(model, nullptr, clock, {}));
  EXPECT_THAT(RowsOf(warm), testing::ElementsAre(1, 2));
}

TEST(WarmUp, FailsWhereNotEvenOneRowCompiles) {
  FakeClock clock;
  FakeModel model({.compiled_rows = {}, .compile_status = [](const Shape&) {
                     return absl::UnimplementedError("no such operator");
                   }});
  EXPECT_THAT(WarmUp(model, nullptr, clock, {}), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(WarmUp, CompilesWhatItHasNoTimeToMeasure) {
  FakeClock clock;
  FakeModel model({.rows_max = 32, .clock = &clock, .row_cost = absl::Milliseconds(50)});
  ASSERT_OK_AND_ASSIGN(const std::vector<WarmSize> warm, WarmUp(model, nullptr, clock, {}));
  EXPECT_THAT(RowsOf(warm), testing::ElementsAre(1, 2, 4, 8, 16, 32));
  EXPECT_EQ(warm[2].took, absl::Milliseconds(200));
  // 50 twice, 100, 200: by then it is time to serve.
  EXPECT_EQ(warm[3].took, absl::ZeroDuration());
  EXPECT_EQ(model.rows_run(), (std::vector<int64_t>{1, 1, 2, 4}));
}

TEST(WarmUp, DoesNotGoOnForMinutes) {
  FakeClock clock;
  FakeModel model({.rows_max = 64, .clock = &clock, .row_cost = absl::Seconds(1)});
  ASSERT_OK_AND_ASSIGN(const std::vector<WarmSize> warm, WarmUp(model, nullptr, clock, {}));
  EXPECT_THAT(RowsOf(warm), testing::ElementsAre(1, 2, 4));
}

}  // namespace
}  // namespace paramd
