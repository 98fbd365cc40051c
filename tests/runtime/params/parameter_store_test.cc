#include "runtime/params/parameter_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr uint64_t kMegabyte = uint64_t{1} << 20;

ContentId KeyOf(std::string_view content) {
  return TensorContentId(DType::kU8, std::vector<int64_t>{static_cast<int64_t>(content.size())},
                         DigestOf(AsBytes(content)));
}

std::unique_ptr<ParameterStore> NewStore(uint64_t capacity = 64 * kMegabyte) {
  auto store = ParameterStore::Create({.capacity_bytes = capacity, .generation_start = 7});
  EXPECT_OK(store.status());
  return *std::move(store);
}

ParameterRef Put(ParameterStore* store, std::string_view content) {
  auto claim = store->Claim(KeyOf(content), content.size());
  EXPECT_OK(claim.status());
  if (claim->resident()) return claim->ref();
  std::memcpy(claim->builder()->bytes().data(), content.data(), content.size());
  auto ref = store->Seal(std::move(claim->builder()));
  EXPECT_OK(ref.status());
  return *std::move(ref);
}

int OpenDescriptors() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    static_cast<void>(entry);
    ++count;
  }
  return count;
}

// Of this process, in shared memory, by the kernel's account.
uint64_t ResidentSharedBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    uint64_t kilobytes = 0;
    if (word == "RssShmem:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

TEST(ParameterStore, NeedsACapacity) {
  EXPECT_THAT(ParameterStore::Create({}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ParameterStore, EqualContentIsStoredOnce) {
  auto store = NewStore();
  const ParameterRef first = Put(store.get(), "the same bytes");
  const ParameterRef second = Put(store.get(), "the same bytes");
  EXPECT_EQ(first.bytes().data(), second.bytes().data());
  EXPECT_EQ(AsText(first.bytes()), "the same bytes");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.bytes().data()) % kEntryAlignmentBytes, 0u);
  EXPECT_EQ(store->usage().table.segments, 1u);
  EXPECT_EQ(store->usage().shared_claims, 1u);
  EXPECT_EQ(store->usage().shared_claim_bytes, 14u);
}

TEST(ParameterStore, FindNeverBuilds) {
  auto store = NewStore();
  EXPECT_THAT(store->Find(KeyOf("x")).status(), StatusIs(absl::StatusCode::kNotFound));
  const ParameterRef ref = Put(store.get(), "x");
  ASSERT_OK_AND_ASSIGN(const ParameterRef found, store->Find(KeyOf("x")));
  EXPECT_EQ(found.key(), ref.key());
}

TEST(ParameterStore, TheLastReferenceGivesMemoryAndDescriptorBackAtOnce) {
  auto store = NewStore();
  Put(store.get(), "warm-up");
  const int descriptors = OpenDescriptors();
  const uint64_t resident = ResidentSharedBytes();
  {
    const ParameterRef ref = Put(store.get(), std::string(16 * kMegabyte, 'x'));
    const ParameterRef copy = ref;
    ASSERT_OK(copy.Verify());  // Touches every page.
    EXPECT_EQ(OpenDescriptors(), descriptors + 1);
    EXPECT_GE(ResidentSharedBytes(), resident + 16 * kMegabyte);
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
  EXPECT_LT(ResidentSharedBytes(), resident + kMegabyte);
  EXPECT_EQ(store->usage().table.sealed_bytes, 0u);
  EXPECT_EQ(store->Ledger().held_bytes, 0u);
}

TEST(ParameterStore, RefusesAboveItsCapacityWithBothNumbersAndRecovers) {
  auto store = NewStore(2 * kMegabyte);
  {
    const ParameterRef ref = Put(store.get(), std::string(kMegabyte, 'x'));
    const auto claim = store->Claim(KeyOf("big"), 3 * kMegabyte / 2);
    EXPECT_THAT(claim.status(), StatusIs(absl::StatusCode::kResourceExhausted));
    const std::string message(claim.status().message());
    EXPECT_NE(message.find(std::to_string(3 * kMegabyte / 2)), std::string::npos) << message;
    EXPECT_NE(message.find(std::to_string(kMegabyte)), std::string::npos) << message;
  }
  ASSERT_OK(store->Claim(KeyOf("big"), 3 * kMegabyte / 2).status());
}

TEST(ParameterStore, ADroppedBuilderGivesItsReservationBack) {
  auto store = NewStore();
  const int descriptors = OpenDescriptors();
  {
    ASSERT_OK_AND_ASSIGN(auto claim, store->Claim(KeyOf("x"), kMegabyte));
    EXPECT_EQ(store->usage().table.reserved_bytes, kMegabyte);
  }
  EXPECT_EQ(store->usage().table.reserved_bytes, 0u);
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST(ParameterStore, ConcurrentClaimsOfOneKeyBuildItOnce) {
  auto store = NewStore();
  for (int round = 0; round < 50; ++round) {
    const std::string content = "round " + std::to_string(round);
    std::atomic<int> built = 0;
    std::vector<ParameterRef> refs(8);
    std::vector<std::thread> threads;
    for (ParameterRef& ref : refs) {
      threads.emplace_back([&] {
        auto claim = store->Claim(KeyOf(content), content.size());
        ASSERT_OK(claim.status());
        if (claim->resident()) {
          ref = claim->ref();
          return;
        }
        ++built;
        std::memcpy(claim->builder()->bytes().data(), content.data(), content.size());
        auto sealed = store->Seal(std::move(claim->builder()));
        ASSERT_OK(sealed.status());
        ref = *sealed;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(built, 1);
    EXPECT_EQ(store->usage().table.segments, 1u);
    for (const ParameterRef& ref : refs) {
      EXPECT_EQ(AsText(ref.bytes()), content);
      EXPECT_EQ(ref.bytes().data(), refs[0].bytes().data());
    }
  }
}

TEST(ParameterStore, AnotherClaimantTakesOverFromADroppedBuilder) {
  auto store = NewStore();
  ASSERT_OK_AND_ASSIGN(auto first, store->Claim(KeyOf("content"), 7));
  ASSERT_FALSE(first.resident());
  std::vector<std::thread> waiters;
  std::atomic<int> built = 0;
  std::vector<ParameterRef> refs(4);
  for (ParameterRef& ref : refs) {
    waiters.emplace_back([&] {
      auto claim = store->Claim(KeyOf("content"), 7);
      ASSERT_OK(claim.status());
      if (!claim->resident()) {
        ++built;
        std::memcpy(claim->builder()->bytes().data(), "content", 7);
        auto sealed = store->Seal(std::move(claim->builder()));
        ASSERT_OK(sealed.status());
        ref = *sealed;
      } else {
        ref = claim->ref();
      }
    });
  }
  first.builder().reset();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(built, 1);
  for (const ParameterRef& ref : refs) EXPECT_EQ(AsText(ref.bytes()), "content");
}

// References come and go in several threads while others claim: what is found
// is whole, and nothing is left at the end.
TEST(ParameterStore, ClaimsRaceWithLastReferences) {
  auto store = NewStore();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string content = "key " + std::to_string((i + t) % 3);
        const ParameterRef ref = Put(store.get(), content);
        ASSERT_EQ(AsText(ref.bytes()), content);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->usage().table.segments, 0u);
}

TEST(ParameterStore, SmallEntriesShareASegment) {
  auto store = NewStore();
  const ParameterRef there = Put(store.get(), "there");
  std::vector<std::string> contents = {"there", "bias a", "bias b", "norm"};
  std::vector<EntryRequest> requests;
  for (const std::string& content : contents) {
    requests.push_back({KeyOf(content), content.size()});
  }
  ASSERT_OK_AND_ASSIGN(auto claim, store->ClaimBundle(requests));
  ASSERT_EQ(claim.resident.size(), 1u);
  EXPECT_EQ(claim.resident[0].key(), there.key());
  EXPECT_TRUE(claim.waiting.empty());
  ASSERT_NE(claim.builder, nullptr);
  ASSERT_EQ(claim.builder->size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(claim.builder->Find(KeyOf(contents[i + 1])), i);
    std::memcpy(claim.builder->bytes(i).data(), contents[i + 1].data(), contents[i + 1].size());
  }
  ASSERT_OK_AND_ASSIGN(auto refs, store->SealBundle(std::move(claim.builder)));
  ASSERT_EQ(refs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(AsText(refs[i].bytes()), contents[i + 1]);
    EXPECT_OK(refs[i].Verify());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(refs[i].bytes().data()) % kEntryAlignmentBytes, 0u);
    EXPECT_EQ(refs[i].segment_id(), refs[0].segment_id());
  }
  EXPECT_EQ(store->usage().table.segments, 2u);
  // One entry keeps the segment.
  const ParameterRef last = refs[1];
  refs.clear();
  EXPECT_EQ(AsText(last.bytes()), "bias b");
  EXPECT_OK(store->Find(KeyOf("norm")).status());
}

TEST(ParameterStore, TwoLoadersWithOverlappingBundlesDoNotWaitForEachOther) {
  auto store = NewStore();
  for (int round = 0; round < 50; ++round) {
    std::vector<EntryRequest> forward;
    for (int i = 0; i < 6; ++i) {
      forward.push_back({KeyOf(std::to_string(round) + "/" + std::to_string(i)), 100});
    }
    std::vector<EntryRequest> loads[2] = {{forward.begin(), forward.begin() + 4},
                                          {forward.rbegin(), forward.rbegin() + 4}};
    std::vector<ParameterRef> held[2];
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        std::vector<EntryRequest> rest = loads[t];
        while (!rest.empty()) {
          auto claim = store->ClaimBundle(rest);
          ASSERT_OK(claim.status());
          for (ParameterRef& ref : claim->resident) held[t].push_back(std::move(ref));
          if (claim->builder != nullptr) {
            auto refs = store->SealBundle(std::move(claim->builder));
            ASSERT_OK(refs.status());
            for (ParameterRef& ref : *refs) held[t].push_back(std::move(ref));
          }
          rest = claim->waiting;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(held[0].size(), 4u);
    EXPECT_EQ(held[1].size(), 4u);
  }
}

TEST(ParameterStore, VerifyFindsBytesThatAreNotWhatWasHashed) {
  auto store = NewStore();
  EXPECT_OK(Put(store.get(), "good").Verify());
  ASSERT_OK_AND_ASSIGN(auto claim, store->Claim(KeyOf("other"), 5));
  std::memcpy(claim.builder()->bytes().data(), "wrong", 5);
  claim.builder()->SetDigest(0, DigestOf(AsBytes("other")));
  ASSERT_OK_AND_ASSIGN(const ParameterRef ref, store->Seal(std::move(claim.builder())));
  EXPECT_THAT(ref.Verify(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ParameterStore, RefusesAResidentKeyOfAnotherSize) {
  auto store = NewStore();
  const ParameterRef ref = Put(store.get(), "content");
  EXPECT_THAT(store->Claim(ref.key(), 8).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(store->Claim(KeyOf("empty"), 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// As after a worker's restart under a keeper: the table outlives the store.
TEST(ParameterStore, ASecondStoreOnTheSameTableFindsEverythingResident) {
  InProcessSegmentTable table({.capacity_bytes = kMegabyte});
  ASSERT_OK_AND_ASSIGN(auto first, ParameterStore::Create({.table = &table}));
  ASSERT_OK_AND_ASSIGN(auto second, ParameterStore::Create({.table = &table}));
  ParameterRef ref = Put(first.get(), "content");
  ASSERT_OK_AND_ASSIGN(auto claim, second->Claim(ref.key(), 7));
  ASSERT_TRUE(claim.resident());
  EXPECT_EQ(AsText(claim.ref().bytes()), "content");
  EXPECT_NE(claim.ref().bytes().data(), ref.bytes().data());  // A map of its own.
  ref = ParameterRef();
  EXPECT_OK(claim.ref().Verify());
  EXPECT_EQ(table.usage().segments, 1u);
  claim.ref() = ParameterRef();
  EXPECT_EQ(table.usage().segments, 0u);
}

TEST(ParameterStore, CollapsesEachSegmentOnce) {
  auto store = NewStore();
  const ParameterRef ref = Put(store.get(), std::string(5 * kMegabyte, 'x'));
  const size_t failures = store->CollapseSegments();
  EXPECT_EQ(store->usage().collapse_failures, failures);
  EXPECT_EQ(store->CollapseSegments(), 0u);
  EXPECT_OK(ref.Verify());
}

TEST(ParameterStore, HandsOutGenerations) {
  auto store = NewStore();
  EXPECT_EQ(store->NextGeneration(), 7u);
  EXPECT_EQ(store->NextGeneration(), 8u);
}

}  // namespace
}  // namespace paramd
