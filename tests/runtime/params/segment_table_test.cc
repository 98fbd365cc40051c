#include "runtime/params/segment_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "runtime/params/sealed_memory.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

ContentId Key(int i) { return DerivedKey({.transform = "test" + std::to_string(i)}); }

class SegmentTableTest : public ::testing::Test {
 protected:
  absl::StatusOr<SegmentTable::ClaimResult> Claim(std::vector<EntryRequest> requests) {
    return table_.Claim(requests, EntryKind::kTensor);
  }
  // Builds everything that the claim left to its caller.
  uint64_t Build(const SegmentTable::ClaimResult& claim, std::vector<EntryRequest> requests) {
    std::vector<EntryRequest> mine;
    for (size_t i : claim.to_build) mine.push_back(requests[i]);
    auto layout = LayOutSegment(mine);
    auto memory = WritableMemory::Create("test", layout->bytes);
    auto sealed = std::move(*memory).Seal();
    return *table_.Put(claim.ticket, sealed->TakeFd(), layout->places);
  }

  InProcessSegmentTable table_{{.capacity_bytes = 10 * kPageBytes, .generation_start = 1'000}};
};

TEST_F(SegmentTableTest, ASegmentLivesAsLongAsItsLeases) {
  const std::vector<EntryRequest> wanted = {{Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto first, Claim(wanted));
  ASSERT_EQ(first.to_build.size(), 1u);
  EXPECT_EQ(table_.usage().reserved_bytes, kPageBytes);
  const uint64_t id = Build(first, wanted);
  EXPECT_EQ(table_.usage().reserved_bytes, 0u);
  EXPECT_EQ(table_.usage().sealed_bytes, kPageBytes);

  ASSERT_OK_AND_ASSIGN(auto second, Claim(wanted));
  ASSERT_EQ(second.resident.size(), 1u);
  EXPECT_EQ(second.resident[0].segment_id, id);
  EXPECT_EQ(second.ticket, 0u);
  ASSERT_OK(SealedMemory::FromFd(std::move(second.resident[0].fd), 100).status());
  ASSERT_EQ(table_.List().size(), 1u);
  EXPECT_EQ(table_.List()[0].leases, 2u);

  table_.Release(id);
  EXPECT_EQ(table_.usage().segments, 1u);
  table_.Release(id);
  EXPECT_EQ(table_.usage().segments, 0u);
  EXPECT_EQ(table_.usage().sealed_bytes, 0u);
  ASSERT_OK_AND_ASSIGN(auto third, Claim(wanted));
  EXPECT_EQ(third.to_build.size(), 1u);  // Gone means gone.
  table_.Abandon(third.ticket);
}

TEST_F(SegmentTableTest, AHoldingKeepsWhatItNamesWhenTheLastLeaseEnds) {
  const std::vector<EntryRequest> wanted = {{Key(1), 100}, {Key(2), 100}};
  ASSERT_OK_AND_ASSIGN(auto claim, Claim(wanted));
  const uint64_t id = Build(claim, wanted);
  EXPECT_THAT(table_.Hold({.name = "digits/1", .keys = {Key(1), Key(3)}}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(table_.Holdings().empty());
  ASSERT_OK(table_.Hold({.name = "digits/1", .keys = {Key(1), Key(2)}, .note = "first"}));
  table_.Release(id);
  EXPECT_EQ(table_.usage().segments, 1u);

  // Under the same name again: nothing that both hold is dropped in between.
  ASSERT_OK(table_.Hold({.name = "digits/1", .keys = {Key(2)}, .note = "second"}));
  ASSERT_EQ(table_.Holdings().size(), 1u);
  EXPECT_EQ(table_.Holdings()[0].note, "second");
  EXPECT_EQ(table_.List()[0].leases, 1u);

  table_.Unhold("digits/2");  // Never held.
  EXPECT_EQ(table_.usage().segments, 1u);
  table_.Unhold("digits/1");
  EXPECT_EQ(table_.usage().segments, 0u);
  EXPECT_EQ(table_.usage().sealed_bytes, 0u);
}

TEST_F(SegmentTableTest, WhatIsBeingBuiltCannotBeHeld) {
  const std::vector<EntryRequest> wanted = {{Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto claim, Claim(wanted));
  EXPECT_THAT(table_.Hold({.name = "early", .keys = {Key(1)}}),
              StatusIs(absl::StatusCode::kNotFound));
  table_.Abandon(claim.ticket);
}

TEST_F(SegmentTableTest, RefusesWithBothNumbersWhenFull) {
  ASSERT_OK_AND_ASSIGN(auto first, Claim({{Key(1), 8 * kPageBytes}}));
  const auto second = Claim({{Key(2), 2 * kPageBytes + 1}});
  EXPECT_THAT(second.status(), StatusIs(absl::StatusCode::kResourceExhausted));
  const std::string message(second.status().message());
  EXPECT_NE(message.find("12288"), std::string::npos) << message;  // Needed.
  EXPECT_NE(message.find("8192"), std::string::npos) << message;   // Left.
  EXPECT_NE(message.find("40960"), std::string::npos) << message;  // Capacity.
  table_.Abandon(first.ticket);
  ASSERT_OK_AND_ASSIGN(auto third, Claim({{Key(2), 2 * kPageBytes + 1}}));
  table_.Abandon(third.ticket);
}

TEST_F(SegmentTableTest, ABundleIsSplitIntoThereMineAndTheirs) {
  const std::vector<EntryRequest> one = {{Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto built, Claim(one));
  const uint64_t id = Build(built, one);
  ASSERT_OK_AND_ASSIGN(auto theirs, Claim({{Key(2), 100}}));

  const std::vector<EntryRequest> all = {{Key(1), 100}, {Key(2), 100}, {Key(3), 100}, {Key(4), 5}};
  ASSERT_OK_AND_ASSIGN(auto claim, Claim(all));
  ASSERT_EQ(claim.resident.size(), 1u);
  EXPECT_EQ(claim.waiting, (std::vector<size_t>{1}));
  EXPECT_EQ(claim.to_build, (std::vector<size_t>{2, 3}));
  const uint64_t bundle = Build(claim, all);
  EXPECT_EQ(table_.usage().segments, 2u);  // Two small ones share a page.
  EXPECT_EQ(table_.usage().sealed_bytes, 2 * kPageBytes);
  table_.Abandon(theirs.ticket);
  table_.Release(bundle);
  table_.Release(id);
  table_.Release(id);
}

TEST_F(SegmentTableTest, WaitersTakeOverWhatWasAbandoned) {
  ASSERT_OK_AND_ASSIGN(auto first, Claim({{Key(1), 100}}));
  std::thread waiter([&] {
    auto claim = Claim({{Key(1), 100}});
    ASSERT_OK(claim.status());
    EXPECT_EQ(claim->to_build.size(), 1u);
    table_.Abandon(claim->ticket);
  });
  table_.Abandon(first.ticket);
  waiter.join();
}

TEST_F(SegmentTableTest, RefusesRequestsThatMakeNoSense) {
  EXPECT_THAT(Claim({}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Claim({{Key(1), 0}}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Claim({{Key(1), 1}, {Key(1), 1}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Claim({{Key(1), UINT64_MAX}, {Key(2), 2}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(auto claim, Claim({{Key(1), 100}}));
  // Equal content has equal size: this caller has a bug or a damaged file.
  EXPECT_THAT(Claim({{Key(1), 101}}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  table_.Abandon(claim.ticket);
}

TEST_F(SegmentTableTest, EntriesStartAtCacheLines) {
  ASSERT_OK_AND_ASSIGN(const auto layout,
                       LayOutSegment({{{Key(1), 1}, {Key(2), 64}, {Key(3), 65}, {Key(4), 1}}}));
  EXPECT_EQ(layout.places[1].offset, 64u);
  EXPECT_EQ(layout.places[2].offset, 128u);
  EXPECT_EQ(layout.places[3].offset, 256u);
  EXPECT_EQ(layout.bytes, 257u);
}

TEST_F(SegmentTableTest, GenerationsStartAtTheClockAndOnlyGrow) {
  EXPECT_EQ(table_.NextGeneration(), 1'000u);
  EXPECT_EQ(table_.NextGeneration(), 1'001u);
}

}  // namespace
}  // namespace paramd
