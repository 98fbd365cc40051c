// What every SegmentTable promises, as tests: in-process and through the keeper.
//
// A rig is default-constructible and has `SegmentTable& table()` with a capacity
// of ten pages and generations from 1,000; give it with
// INSTANTIATE_TYPED_TEST_SUITE_P(Name, SegmentTableContract, Rig).
#ifndef PARAMD_TESTS_RUNTIME_PARAMS_SEGMENT_TABLE_CONTRACT_H_
#define PARAMD_TESTS_RUNTIME_PARAMS_SEGMENT_TABLE_CONTRACT_H_

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "runtime/params/sealed_memory.h"
#include "runtime/params/segment_table.h"
#include "tests/support/status_testing.h"

namespace paramd {

template <typename Rig>
class SegmentTableContract : public ::testing::Test {
 protected:
  static ContentId Key(int i) { return DerivedKey({.transform = "test" + std::to_string(i)}); }

  SegmentTable& table() { return rig_.table(); }
  absl::StatusOr<SegmentTable::ClaimResult> Claim(std::vector<EntryRequest> requests) {
    return table().Claim(requests, EntryKind::kTensor);
  }
  // Builds everything that the claim left to its caller.
  uint64_t Build(const SegmentTable::ClaimResult& claim, std::vector<EntryRequest> requests) {
    std::vector<EntryRequest> mine;
    for (size_t i : claim.to_build) mine.push_back(requests[i]);
    auto layout = LayOutSegment(mine);
    auto memory = WritableMemory::Create("test", layout->bytes);
    auto sealed = std::move(*memory).Seal();
    return *table().Put(claim.ticket, sealed->TakeFd(), layout->places);
  }

 private:
  Rig rig_;
};

TYPED_TEST_SUITE_P(SegmentTableContract);

TYPED_TEST_P(SegmentTableContract, ASegmentLivesAsLongAsItsLeases) {
  SegmentTable& table = this->table();
  const std::vector<EntryRequest> wanted = {{this->Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto first, this->Claim(wanted));
  ASSERT_EQ(first.to_build.size(), 1u);
  EXPECT_EQ(table.usage().reserved_bytes, kPageBytes);
  EXPECT_EQ(table.usage().builders, 1u);
  const uint64_t id = this->Build(first, wanted);
  EXPECT_EQ(table.usage().reserved_bytes, 0u);
  EXPECT_EQ(table.usage().sealed_bytes, kPageBytes);

  ASSERT_OK_AND_ASSIGN(auto second, this->Claim(wanted));
  ASSERT_EQ(second.resident.size(), 1u);
  EXPECT_EQ(second.resident[0].segment_id, id);
  EXPECT_EQ(second.resident[0].bytes, 100u);
  EXPECT_EQ(second.ticket, 0u);
  ASSERT_OK(SealedMemory::FromFd(std::move(second.resident[0].fd), 100).status());
  ASSERT_EQ(table.List().size(), 1u);
  EXPECT_EQ(table.List()[0].leases, 2u);

  table.Release(id);
  EXPECT_EQ(table.usage().segments, 1u);
  table.Release(id);
  EXPECT_EQ(table.usage().segments, 0u);
  EXPECT_EQ(table.usage().sealed_bytes, 0u);
  ASSERT_OK_AND_ASSIGN(auto third, this->Claim(wanted));
  EXPECT_EQ(third.to_build.size(), 1u);  // Gone means gone.
  table.Abandon(third.ticket);
}

TYPED_TEST_P(SegmentTableContract, AHoldingKeepsWhatItNamesWhenTheLastLeaseEnds) {
  SegmentTable& table = this->table();
  const ContentId one = this->Key(1);
  const ContentId two = this->Key(2);
  const std::vector<EntryRequest> wanted = {{one, 100}, {two, 100}};
  ASSERT_OK_AND_ASSIGN(auto claim, this->Claim(wanted));
  const uint64_t id = this->Build(claim, wanted);
  EXPECT_THAT(table.Hold({.name = "digits/1", .keys = {one, this->Key(3)}}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(table.Holdings().empty());
  ASSERT_OK(table.Hold({.name = "digits/1", .keys = {one, two}, .note = "first"}));
  table.Release(id);
  EXPECT_EQ(table.usage().segments, 1u);

  // Under the same name again: nothing that both hold is dropped in between.
  ASSERT_OK(table.Hold({.name = "digits/1", .keys = {two}, .note = "second"}));
  ASSERT_EQ(table.Holdings().size(), 1u);
  EXPECT_EQ(table.Holdings()[0].note, "second");
  EXPECT_EQ(table.Holdings()[0].keys, std::vector<ContentId>{two});
  EXPECT_EQ(table.List()[0].leases, 1u);

  table.Unhold("digits/2");  // Never held.
  EXPECT_EQ(table.usage().segments, 1u);
  table.Unhold("digits/1");
  EXPECT_EQ(table.usage().segments, 0u);
  EXPECT_EQ(table.usage().sealed_bytes, 0u);
}

TYPED_TEST_P(SegmentTableContract, WhatIsBeingBuiltCannotBeHeld) {
  ASSERT_OK_AND_ASSIGN(auto claim, this->Claim({{this->Key(1), 100}}));
  EXPECT_THAT(this->table().Hold({.name = "early", .keys = {this->Key(1)}}),
              StatusIs(absl::StatusCode::kNotFound));
  this->table().Abandon(claim.ticket);
}

TYPED_TEST_P(SegmentTableContract, RefusesWithBothNumbersWhenFull) {
  ASSERT_OK_AND_ASSIGN(auto first, this->Claim({{this->Key(1), 8 * kPageBytes}}));
  const auto second = this->Claim({{this->Key(2), 2 * kPageBytes + 1}});
  EXPECT_THAT(second.status(), StatusIs(absl::StatusCode::kResourceExhausted));
  const std::string message(second.status().message());
  EXPECT_NE(message.find("12288"), std::string::npos) << message;  // Needed.
  EXPECT_NE(message.find("8192"), std::string::npos) << message;   // Left.
  EXPECT_NE(message.find("40960"), std::string::npos) << message;  // Capacity.
  this->table().Abandon(first.ticket);
  ASSERT_OK_AND_ASSIGN(auto third, this->Claim({{this->Key(2), 2 * kPageBytes + 1}}));
  this->table().Abandon(third.ticket);
}

TYPED_TEST_P(SegmentTableContract, ABundleIsSplitIntoThereMineAndTheirs) {
  SegmentTable& table = this->table();
  const std::vector<EntryRequest> one = {{this->Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto built, this->Claim(one));
  const uint64_t id = this->Build(built, one);
  ASSERT_OK_AND_ASSIGN(auto theirs, this->Claim({{this->Key(2), 100}}));

  const std::vector<EntryRequest> all = {
      {this->Key(1), 100}, {this->Key(2), 100}, {this->Key(3), 100}, {this->Key(4), 5}};
  ASSERT_OK_AND_ASSIGN(auto claim, this->Claim(all));
  ASSERT_EQ(claim.resident.size(), 1u);
  EXPECT_EQ(claim.waiting, (std::vector<size_t>{1}));
  EXPECT_EQ(claim.to_build, (std::vector<size_t>{2, 3}));
  const uint64_t bundle = this->Build(claim, all);
  EXPECT_EQ(table.usage().segments, 2u);  // Two small ones share a page.
  EXPECT_EQ(table.usage().sealed_bytes, 2 * kPageBytes);
  table.Abandon(theirs.ticket);
  table.Release(bundle);
  table.Release(id);
  table.Release(id);
}

TYPED_TEST_P(SegmentTableContract, WaitersTakeOverWhatWasAbandoned) {
  ASSERT_OK_AND_ASSIGN(auto first, this->Claim({{this->Key(1), 100}}));
  std::thread waiter([&] {
    auto claim = this->Claim({{this->Key(1), 100}});
    ASSERT_OK(claim.status());
    EXPECT_EQ(claim->to_build.size(), 1u);
    this->table().Abandon(claim->ticket);
  });
  this->table().Abandon(first.ticket);
  waiter.join();
}

TYPED_TEST_P(SegmentTableContract, WaitersGetWhatWasBuilt) {
  const std::vector<EntryRequest> wanted = {{this->Key(1), 100}};
  ASSERT_OK_AND_ASSIGN(auto first, this->Claim(wanted));
  uint64_t seen = 0;
  std::thread waiter([&] {
    auto claim = this->Claim(wanted);
    ASSERT_OK(claim.status());
    ASSERT_EQ(claim->resident.size(), 1u);
    seen = claim->resident[0].segment_id;
    this->table().Release(seen);
  });
  const uint64_t id = this->Build(first, wanted);
  waiter.join();
  EXPECT_EQ(seen, id);
  this->table().Release(id);
}

TYPED_TEST_P(SegmentTableContract, RefusesRequestsThatMakeNoSense) {
  const ContentId one = this->Key(1);
  EXPECT_THAT(this->Claim({}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(this->Claim({{one, 0}}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(this->Claim({{one, 1}, {one, 1}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(this->Claim({{one, UINT64_MAX}, {this->Key(2), 2}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(auto claim, this->Claim({{one, 100}}));
  // Equal content has equal size: this caller has a bug or a damaged file.
  EXPECT_THAT(this->Claim({{one, 101}}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  this->table().Abandon(claim.ticket);
}

TYPED_TEST_P(SegmentTableContract, GenerationsStartAtTheClockAndOnlyGrow) {
  EXPECT_EQ(this->table().NextGeneration(), 1'000u);
  EXPECT_EQ(this->table().NextGeneration(), 1'001u);
}

REGISTER_TYPED_TEST_SUITE_P(SegmentTableContract, ASegmentLivesAsLongAsItsLeases,
                            AHoldingKeepsWhatItNamesWhenTheLastLeaseEnds,
                            WhatIsBeingBuiltCannotBeHeld, RefusesWithBothNumbersWhenFull,
                            ABundleIsSplitIntoThereMineAndTheirs, WaitersTakeOverWhatWasAbandoned,
                            WaitersGetWhatWasBuilt, RefusesRequestsThatMakeNoSense,
                            GenerationsStartAtTheClockAndOnlyGrow);

}  // namespace paramd

#endif  // PARAMD_TESTS_RUNTIME_PARAMS_SEGMENT_TABLE_CONTRACT_H_
