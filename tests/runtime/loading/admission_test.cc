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

}  // namespace
}  // namespace paramd
