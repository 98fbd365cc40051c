#include "runtime/loading/admission.h"

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Admission, WhatFitsExactlyGoes) {
  EXPECT_OK(Admit("m/1", {.parameter_bytes = 60, .scratch_bytes = 30, .arena_bytes = 10},
                  {.store_capacity_bytes = 100, .store_used_bytes = 40, .available_bytes = 100}));
}

TEST(Admission, AFullStoreIsNamedWithWhatIsLeft) {
  EXPECT_THAT(Admit("m/1", {.parameter_bytes = 61},
                    {.store_capacity_bytes = 100, .store_used_bytes = 40, .available_bytes = 1000}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("needs 61"), HasSubstr("60 of the store's 100"))));
  // More used than there is room for: nothing is left, and nothing wraps.
  EXPECT_THAT(
      Admit("m/1", {.parameter_bytes = 1},
            {.store_capacity_bytes = 100, .store_used_bytes = 140, .available_bytes = 1000}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("0 of the store's")));
}

TEST(Admission, ThePeakIsMeasuredAgainstTheMachine) {
  EXPECT_THAT(Admit("m/1", {.parameter_bytes = 60, .scratch_bytes = 30, .arena_bytes = 11},
                    {.store_capacity_bytes = 100, .store_used_bytes = 0, .available_bytes = 100}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("needs 101"), HasSubstr("100 are available"),
                             HasSubstr("30 scratch"))));
}

TEST(Admission, WhatGoesFirstMakesRoomInBothAndIsNamed) {
  const AdmissionNeed need{.parameter_bytes = 60, .scratch_bytes = 30, .arena_bytes = 10};
  AdmissionRoom room{.store_capacity_bytes = 100, .store_used_bytes = 90, .available_bytes = 50};
  EXPECT_FALSE(Admit("m/1", need, room).ok());
  room.freed_bytes = 50;
  EXPECT_OK(Admit("m/1", need, room));
  room.freed_bytes = 49;
  EXPECT_THAT(Admit("m/1", need, room),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("59 of the store's 100"), HasSubstr("49 are freed"))));
  room.freed_bytes = 1000;  // More than is used: no more room than there is.
  EXPECT_EQ(room.store_left(), 100u);
}

TEST(Admission, TheTighterLimitIsShownInItsOwnTerms) {
  const AdmissionNeed need{.parameter_bytes = 60, .scratch_bytes = 30, .arena_bytes = 10};
  AdmissionMargin margin = TighterLimit(
      need, {.store_capacity_bytes = 100, .store_used_bytes = 30, .available_bytes = 1000});
  EXPECT_EQ(margin.needed_bytes, 60u);
  EXPECT_EQ(margin.left_bytes, 70u);
  EXPECT_TRUE(margin.fits());
  margin = TighterLimit(need, {.store_capacity_bytes = 1000, .available_bytes = 99});
  EXPECT_EQ(margin.needed_bytes, 100u);
  EXPECT_EQ(margin.left_bytes, 99u);
  EXPECT_FALSE(margin.fits());
}

}  // namespace
}  // namespace paramd
