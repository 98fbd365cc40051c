#include "runtime/graph/memory_plan.h"

#include <cstdint>
#include <limits>
#include <random>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

bool Together(const BufferLife& a, const BufferLife& b) {
  return a.first <= b.last && b.first <= a.last;
}

TEST(MemoryPlan, NoTwoBuffersThatLiveTogetherOverlap) {
  constexpr uint32_t kSeed = 20261124;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 200; ++round) {
    std::vector<BufferLife> lives(1 + random() % 60);
    for (BufferLife& life : lives) {
      life.bytes = random() % 5 == 0 ? random() % 3 : random() % 5000;
      life.first = static_cast<int32_t>(random() % 40);
      life.last = life.first + static_cast<int32_t>(random() % 12);
    }
    ASSERT_OK_AND_ASSIGN(const MemoryPlan plan, PlanMemory(lives));
    ASSERT_EQ(plan.offsets.size(), lives.size());
    for (size_t i = 0; i < lives.size(); ++i) {
      EXPECT_EQ(plan.offsets[i] % kBufferAlignmentBytes, 0u);
      EXPECT_LE(plan.offsets[i] + lives[i].bytes, plan.bytes);
      for (size_t j = 0; j < i; ++j) {
        if (!Together(lives[i], lives[j])) continue;
        const bool apart = plan.offsets[i] + lives[i].bytes <= plan.offsets[j] ||
                           plan.offsets[j] + lives[j].bytes <= plan.offsets[i];
        EXPECT_TRUE(apart || lives[i].bytes == 0 || lives[j].bytes == 0)
            << "round " << round << ": " << i << " and " << j;
      }
    }
  }
}

TEST(MemoryPlan, AChainNeedsTwoBuffersWhateverItsLength) {
  std::vector<BufferLife> lives;
  for (int32_t step = 0; step < 100; ++step) lives.push_back({1024, step, step + 1});
  ASSERT_OK_AND_ASSIGN(const MemoryPlan plan, PlanMemory(lives));
  EXPECT_EQ(plan.bytes, 2048u);
}

TEST(MemoryPlan, ASmallBufferTakesTheTightestGap) {
  // Two die and leave gaps of 4096 and 1024 bytes between those that stay.
  const std::vector<BufferLife> lives = {
      {8192, 0, 9}, {4096, 0, 3}, {2048, 0, 9}, {1024, 0, 3}, {1000, 0, 9}, {960, 5, 9},
  };
  ASSERT_OK_AND_ASSIGN(const MemoryPlan plan, PlanMemory(lives));
  EXPECT_EQ(plan.offsets[5], plan.offsets[3]);
}

TEST(MemoryPlan, RefusesASumThatWraps) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max() / 3;
  EXPECT_THAT(PlanMemory(std::vector<BufferLife>{{kHuge, 0, 1}, {kHuge, 0, 1}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(PlanMemory(std::vector<BufferLife>{{~uint64_t{0}, 0, 1}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace paramd
