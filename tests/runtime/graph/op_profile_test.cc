#include "runtime/graph/op_profile.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace paramd {
namespace {

OpProfile::Line Named(std::string node) {
  OpProfile::Line line;
  line.node = std::move(node);
  return line;
}

TEST(OpProfileTest, StepsAreChargedWithTheirOwnTime) {
  FakeClock clock;
  OpProfile profile(&clock);
  const int outer = 0, inner = 0;
  const auto run_inner = [&] {
    return profile.Time(
        &inner,
        [&] {
          clock.Advance(absl::Milliseconds(3));
          return 1;
        },
        [] { return Named("inner"); });
  };
  for (int run = 0; run < 2; ++run) {
    const int result = profile.Time(
        &outer,
        [&] {
          clock.Advance(absl::Milliseconds(5));
          return run_inner() + run_inner();
        },
        [] { return Named("outer"); });
    EXPECT_EQ(result, 2);
  }
  ASSERT_EQ(profile.lines().size(), 2u);
  EXPECT_EQ(profile.lines()[0].node, "inner");
  EXPECT_EQ(profile.lines()[0].runs, 4);
  EXPECT_EQ(profile.lines()[0].time, absl::Milliseconds(12));
  EXPECT_EQ(profile.lines()[1].node, "outer");
  EXPECT_EQ(profile.lines()[1].runs, 2);
  EXPECT_EQ(profile.lines()[1].time, absl::Milliseconds(10));
}

}  // namespace
}  // namespace paramd
