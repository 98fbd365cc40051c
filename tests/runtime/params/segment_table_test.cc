#include "runtime/params/segment_table.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/runtime/params/segment_table_contract.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

class InProcessRig {
 public:
  SegmentTable& table() { return table_; }

 private:
  InProcessSegmentTable table_{{.capacity_bytes = 10 * kPageBytes, .generation_start = 1'000}};
};

INSTANTIATE_TYPED_TEST_SUITE_P(InProcess, SegmentTableContract, InProcessRig);

ContentId Key(int i) { return DerivedKey({.transform = "test" + std::to_string(i)}); }

TEST(SegmentTable, EntriesStartAtCacheLines) {
  ASSERT_OK_AND_ASSIGN(const auto layout,
                       LayOutSegment({{{Key(1), 1}, {Key(2), 64}, {Key(3), 65}, {Key(4), 1}}}));
  EXPECT_EQ(layout.places[1].offset, 64u);
  EXPECT_EQ(layout.places[2].offset, 128u);
  EXPECT_EQ(layout.places[3].offset, 256u);
  EXPECT_EQ(layout.bytes, 257u);
}

}  // namespace
}  // namespace paramd
