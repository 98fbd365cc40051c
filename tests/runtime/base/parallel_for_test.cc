#include "runtime/base/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace paramd {
namespace {

TEST(ParallelFor, CoversEachIndexOnceForEveryTeamAndCount) {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadTeam team(threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000, 1001}) {
      for (const int64_t grain : {1, 3, 100, 5000}) {
        std::vector<int> seen(static_cast<size_t>(count), 0);
        ParallelFor(&team, count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(seen[static_cast<size_t>(i)], 1) << threads << " " << count << " " << grain;
        }
      }
    }
  }
}

TEST(ParallelFor, RunsInlineWithoutATeam) {
  const auto caller = std::this_thread::get_id();
  int calls = 0;
  ParallelFor(nullptr, 10, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 10);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(ParallelFor, PiecesKeepTheGrain) {
  ThreadTeam team(3);
  std::atomic<int> short_pieces = 0;
  team.Run(1000, 64, [&](int64_t begin, int64_t end) {
    if (end - begin < 64) ++short_pieces;
  });
  EXPECT_LE(short_pieces, 1);  // The last one.
}

TEST(ParallelFor, ALoopWithinALoopRunsInline) {
  ThreadTeam team(3);
  std::atomic<int64_t> sum = 0;
  team.Run(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto self = std::this_thread::get_id();
      team.Run(100, 1, [&](int64_t from, int64_t to) {
        EXPECT_EQ(std::this_thread::get_id(), self);
        sum += to - from;
      });
    }
  });
  EXPECT_EQ(sum, 800);
}

TEST(ParallelFor, ManyLoopsInARow) {
  ThreadTeam team(2);
  std::atomic<int64_t> sum = 0;
  for (int i = 0; i < 2000; ++i) {
    team.Run(16, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
  }
  EXPECT_EQ(sum, 32'000);
}

}  // namespace
}  // namespace paramd
