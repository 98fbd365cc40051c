#include "runtime/graph/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

uint64_t ResidentPages(const std::byte* start, uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> in_core((bytes + page - 1) / page);
  if (mincore(const_cast<std::byte*>(start), bytes, in_core.data()) != 0) return 0;
  uint64_t count = 0;
  for (const unsigned char flags : in_core) count += flags & 1;
  return count;
}

TEST(Arena, ReservesAddressesAndNotMemory) {
  // Far more than any test machine has.
  ASSERT_OK_AND_ASSIGN(auto arena, Arena::Create(uint64_t{1} << 42));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(arena->base()) % (2 << 20), 0u);
  EXPECT_OK(arena->Reserve(uint64_t{1} << 41));
  std::memset(arena->base(), 1, 4096);
  EXPECT_EQ(static_cast<int>(arena->base()[0]), 1);
}

TEST(Arena, RefusesMoreThanItsRangeWithBothNumbers) {
  ASSERT_OK_AND_ASSIGN(auto arena, Arena::Create(4 << 20));
  EXPECT_OK(arena->Reserve(4 << 20));
  EXPECT_THAT(
      arena->Reserve((4 << 20) + 1),
      StatusIs(absl::StatusCode::kResourceExhausted,
               testing::AllOf(testing::HasSubstr("4194305"), testing::HasSubstr("4194304"))));
  EXPECT_THAT(Arena::Create(0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Arena::Create(~uint64_t{0}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Arena, RemembersTheLargestReservation) {
  ASSERT_OK_AND_ASSIGN(auto arena, Arena::Create(4 << 20));
  EXPECT_OK(arena->Reserve(1000));
  EXPECT_OK(arena->Reserve(10));
  EXPECT_EQ(arena->reserved_bytes(), 1000u);
}

TEST(Arena, TrimGivesMemoryBackAndKeepsWhatIsBelow) {
  ASSERT_OK_AND_ASSIGN(auto arena, Arena::Create(8 << 20));
  EXPECT_OK(arena->Reserve(8 << 20));
  std::memset(arena->base(), 7, 8 << 20);
  arena->Trim(1 << 20);
  EXPECT_EQ(arena->reserved_bytes(), uint64_t{1 << 20});
  EXPECT_EQ(static_cast<int>(arena->base()[(1 << 20) - 1]), 7);
  EXPECT_EQ(ResidentPages(arena->base() + (2 << 20), 6 << 20), 0u);
  // Addresses stay good.
  arena->base()[5 << 20] = std::byte{3};
  EXPECT_EQ(static_cast<int>(arena->base()[5 << 20]), 3);
}

}  // namespace
}  // namespace paramd
