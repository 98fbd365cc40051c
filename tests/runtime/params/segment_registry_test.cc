#include "runtime/params/segment_registry.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/params/sealed_memory.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr SegmentRegistry::Owner kAnna = 1;
constexpr SegmentRegistry::Owner kBert = 2;

ContentId Key(int i) { return DerivedKey({.transform = "test" + std::to_string(i)}); }

UniqueFd Sealed(uint64_t bytes) {
  auto memory = WritableMemory::Create("test", bytes);
  return std::move(*memory).Seal()->TakeFd();
}

class SegmentRegistryTest : public ::testing::Test {
 protected:
  absl::StatusOr<SegmentTable::ClaimResult> Claim(SegmentRegistry::Owner owner,
                                                  std::vector<EntryRequest> requests) {
    return registry_.Claim(owner, requests, EntryKind::kTensor);
  }
  uint64_t Build(SegmentRegistry::Owner owner, int key) {
    auto claim = Claim(owner, {{Key(key), 100}});
    return *registry_.Put(owner, claim->ticket, Sealed(100),
                          registry_.layout(owner, claim->ticket)->places);
  }

  SegmentRegistry registry_{{.capacity_bytes = 10 * kPageBytes, .generation_start = 1'000}};
  std::vector<SegmentRegistry::Closed> closed_;
};

TEST_F(SegmentRegistryTest, EndOwnerGivesBackAllThatWasTheirsAndNothingElse) {
  const uint64_t shared = Build(kAnna, 1);
  const uint64_t alone = Build(kAnna, 2);
  ASSERT_OK(Claim(kAnna, {{Key(1), 100}}).status());  // A second lease.
  ASSERT_OK(Claim(kBert, {{Key(1), 100}}).status());
  ASSERT_OK(Claim(kAnna, {{Key(3), 5 * kPageBytes}}).status());
  ASSERT_OK(Claim(kBert, {{Key(4), 100}}).status());
  EXPECT_EQ(registry_.UsageOf(kAnna).leases, 3u);
  EXPECT_EQ(registry_.UsageOf(kAnna).builds, 1u);

  EXPECT_EQ(registry_.EndOwner(kAnna, &closed_), 1u);
  ASSERT_EQ(closed_.size(), 1u);
  EXPECT_EQ(closed_[0].segment_id, alone);
  EXPECT_EQ(registry_.UsageOf(kAnna).leases, 0u);
  EXPECT_EQ(registry_.UsageOf(kBert).leases, 1u);
  EXPECT_EQ(registry_.UsageOf(kBert).builds, 1u);
  EXPECT_EQ(registry_.usage().sealed_bytes, kPageBytes);
  EXPECT_EQ(registry_.usage().reserved_bytes, kPageBytes);
  ASSERT_EQ(registry_.List().size(), 1u);
  EXPECT_EQ(registry_.List()[0].segment_id, shared);
  EXPECT_EQ(registry_.List()[0].leases, 1u);
  EXPECT_EQ(registry_.EndOwner(kAnna, &closed_), 0u);  // Nothing any more.
}

TEST_F(SegmentRegistryTest, NobodyUsesWhatIsAnothers) {
  const uint64_t id = Build(kAnna, 1);
  ASSERT_OK_AND_ASSIGN(const auto claim, Claim(kAnna, {{Key(2), 100}}));
  const auto places = registry_.layout(kAnna, claim.ticket)->places;
  EXPECT_EQ(registry_.layout(kBert, claim.ticket), nullptr);
  EXPECT_THAT(registry_.Put(kBert, claim.ticket, Sealed(100), places).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(registry_.Abandon(kBert, claim.ticket), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(registry_.Release(kBert, id, &closed_), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(registry_.Release(kAnna, id, &closed_));
  EXPECT_THAT(registry_.Release(kAnna, id, &closed_), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(registry_.Put(kAnna, claim.ticket, Sealed(100), places).status());
  EXPECT_THAT(registry_.Abandon(kAnna, claim.ticket), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SegmentRegistryTest, PlacesThatWereNotLaidOutAreRefusedAndTheBuildGoesOn) {
  ASSERT_OK_AND_ASSIGN(const auto claim, Claim(kAnna, {{Key(1), 100}, {Key(2), 100}}));
  const auto good = registry_.layout(kAnna, claim.ticket)->places;
  auto moved = good;
  moved[1].offset += 64;
  auto longer = good;
  longer[1].bytes = 1'000;
  auto other = good;
  other[0].key = Key(3);
  for (const auto& places : {moved, longer, other, std::vector<EntryPlace>{good[0]}}) {
    EXPECT_THAT(registry_.Put(kAnna, claim.ticket, Sealed(300), places).status(),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(registry_.usage().builders, 1u);
  ASSERT_OK(registry_.Put(kAnna, claim.ticket, Sealed(300), good).status());
}

TEST_F(SegmentRegistryTest, NeverBlocks) {
  ASSERT_OK(Claim(kAnna, {{Key(1), 100}, {Key(2), 100}}).status());
  ASSERT_OK_AND_ASSIGN(const auto claim, Claim(kBert, {{Key(2), 100}}));
  EXPECT_TRUE(claim.resident.empty());
  EXPECT_EQ(claim.ticket, 0u);
  EXPECT_EQ(claim.waiting, std::vector<size_t>{0});
  EXPECT_EQ(registry_.UsageOf(kBert).builds, 0u);
}

class ImportTest : public SegmentRegistryTest {
 protected:
  // Two segments, one held; one build; by two owners.
  void SetUp() override {
    held_ = Build(kAnna, 1);
    leased_ = Build(kBert, 2);
    ASSERT_OK(registry_.Hold({.name = "a/1", .keys = {Key(1)}}, &closed_));
    ASSERT_OK(Claim(kAnna, {{Key(3), 100}}).status());
  }
  std::map<uint64_t, UniqueFd> Fds() {
    std::map<uint64_t, UniqueFd> fds;
    fds.emplace(held_, Sealed(100));
    fds.emplace(leased_, Sealed(100));
    return fds;
  }
  absl::Status Import(SegmentRegistry::Contents contents) {
    SegmentRegistry fresh({.capacity_bytes = 10 * kPageBytes});
    return fresh.Import(std::move(contents), Fds(), &notes_);
  }

  uint64_t held_ = 0;
  uint64_t leased_ = 0;
  std::vector<std::string> notes_;
};

TEST_F(ImportTest, AllIsAsItWas) {
  SegmentRegistry fresh({.capacity_bytes = 10 * kPageBytes, .generation_start = 7});
  ASSERT_OK(fresh.Import(registry_.Export(), Fds(), &notes_));
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(fresh.usage().sealed_bytes, 2 * kPageBytes);
  EXPECT_EQ(fresh.usage().reserved_bytes, kPageBytes);
  EXPECT_EQ(fresh.UsageOf(kAnna).leases, 1u);
  EXPECT_EQ(fresh.UsageOf(kAnna).builds, 1u);
  EXPECT_EQ(fresh.UsageOf(kBert).leases, 1u);
  EXPECT_EQ(fresh.NextGeneration(), 1'000u);
  // Numbers go on above the old ones.
  ASSERT_OK_AND_ASSIGN(const auto claim, fresh.Claim(kBert, {{{Key(9), 1}}}, EntryKind::kTensor));
  EXPECT_GT(claim.ticket, leased_ + 1);
  EXPECT_EQ(fresh.EndOwner(kAnna, &closed_), 1u);
  EXPECT_EQ(fresh.usage().segments, 2u);  // One is held, one is the other's.
}

TEST_F(ImportTest, ASegmentWithoutDescriptorTakesItsHoldingAlong) {
  SegmentRegistry fresh({.capacity_bytes = 10 * kPageBytes});
  auto fds = Fds();
  fds.erase(held_);
  ASSERT_OK(fresh.Import(registry_.Export(), std::move(fds), &notes_));
  EXPECT_EQ(notes_.size(), 2u);
  EXPECT_TRUE(fresh.Holdings().empty());
  EXPECT_EQ(fresh.usage().segments, 1u);
  // Whoever wants it builds it again.
  ASSERT_OK_AND_ASSIGN(const auto claim, fresh.Claim(kBert, {{{Key(1), 100}}}, EntryKind::kTensor));
  EXPECT_EQ(claim.to_build.size(), 1u);
}

TEST_F(ImportTest, WhatNobodyHasIsClosed) {
  SegmentRegistry fresh({.capacity_bytes = 10 * kPageBytes});
  auto contents = registry_.Export();
  contents.leases.clear();
  ASSERT_OK(fresh.Import(std::move(contents), Fds(), &notes_));
  EXPECT_EQ(fresh.usage().segments, 1u);
  EXPECT_EQ(fresh.usage().sealed_bytes, kPageBytes);
}

TEST_F(ImportTest, ContentsThatContradictThemselvesAreRefused) {
  using Contents = SegmentRegistry::Contents;
  const std::vector<std::pair<std::string, void (*)(Contents*)>> hostile = {
      {"a number twice",
       [](Contents* c) { c->segments[1].segment_id = c->segments[0].segment_id; }},
      {"number 0", [](Contents* c) { c->segments[0].segment_id = 0; }},
      {"a number to come", [](Contents* c) { c->segments[0].segment_id = c->next_id; }},
      {"a ticket that is a segment",
       [](Contents* c) { c->builds[0].ticket = c->segments[0].segment_id; }},
      {"a ticket to come", [](Contents* c) { c->builds[0].ticket = UINT64_MAX; }},
      {"a key in two segments", [](Contents* c) { c->segments[1].places = c->segments[0].places; }},
      {"a key in a segment and in a build",
       [](Contents* c) {
         c->builds[0].requests = {{Key(1), 100}};
       }},
      {"a segment without places", [](Contents* c) { c->segments[0].places.clear(); }},
      {"an offset that is not laid out", [](Contents* c) { c->segments[0].places[0].offset = 64; }},
      {"an entry of 0 bytes", [](Contents* c) { c->segments[0].places[0].bytes = 0; }},
      {"a build of nothing", [](Contents* c) { c->builds[0].requests.clear(); }},
      {"a build of all memory", [](Contents* c) { c->builds[0].requests[0].bytes = UINT64_MAX; }},
      {"a lease on no segment", [](Contents* c) { c->leases[0].segment_id = 12'345; }},
      {"a lease twice", [](Contents* c) { c->leases.push_back(c->leases[0]); }},
      {"no leases", [](Contents* c) { c->leases[0].count = 0; }},
      {"too many leases", [](Contents* c) { c->leases[0].count = UINT32_MAX; }},
      {"a holding twice", [](Contents* c) { c->holdings.push_back(c->holdings[0]); }},
  };
  for (const auto& [what, damage] : hostile) {
    Contents contents = registry_.Export();
    damage(&contents);
    EXPECT_THAT(Import(std::move(contents)), StatusIs(absl::StatusCode::kDataLoss)) << what;
  }
}

TEST_F(ImportTest, SumsThatWrapAreRefused) {
  auto contents = registry_.Export();
  contents.next_id = uint64_t{1} << 40;
  for (int i = 0; i < (1 << 18) + 1; ++i) {
    contents.builds.push_back({.owner = kAnna,
                               .ticket = uint64_t{1'000} + i,
                               .requests = {{Key(1'000 + i), kSealedBytesMax}}});
  }
  EXPECT_THAT(Import(std::move(contents)), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace paramd
