#include "server/observability/process_stats.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

TEST(ProcessStats, ReadsThisProcess) {
  const ProcessStats before = ReadProcessStats("/proc");
  ASSERT_TRUE(before.resident_bytes && before.virtual_bytes && before.open_fds && before.threads);
  EXPECT_GT(*before.resident_bytes, 100'000u);
  EXPECT_GT(*before.virtual_bytes, *before.resident_bytes);
  EXPECT_GE(*before.threads, 1u);
  EXPECT_GE(before.cpu_seconds.value_or(-1), 0);
  EXPECT_GT(before.start_time_seconds.value_or(0), 1.5e9);
  EXPECT_GT(before.max_fds.value_or(0), 10u);
  const int fd = open("/dev/null", O_RDONLY);
  EXPECT_EQ(ReadProcessStats("/proc").open_fds, *before.open_fds + 1);
  close(fd);
}

TEST(ProcessStats, CountsTheBlocksOfSegmentsOnceEach) {
  const uint64_t before = ReadProcessStats("/proc").memfd_bytes.value_or(0);
  const int fd = memfd_create("paramd-test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(posix_fallocate(fd, 0, 1 << 20), 0);
  const int again = dup(fd);
  const int other = memfd_create("somebody-else", MFD_CLOEXEC);
  ASSERT_EQ(posix_fallocate(other, 0, 1 << 20), 0);
  EXPECT_EQ(ReadProcessStats("/proc").memfd_bytes, before + (1 << 20));
  for (const int open : {fd, again, other}) close(open);
  EXPECT_EQ(ReadProcessStats("/proc").memfd_bytes, before);
}

TEST(ProcessStats, TheAllocatorSaysWhatIsInUse) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's allocator does not say";
#endif
  const uint64_t before = AllocatedBytes();
  const std::string large(32 << 20, 'x');
  EXPECT_GE(AllocatedBytes(), before + large.size());
  EXPECT_LE(AllocatedBytes(), before + large.size() + (1 << 20));
}

TEST(ProcessStats, LeavesOutWhatIsNotThereOrIsRubbish) {
  TempFolder folder;
  const ProcessStats none = ReadProcessStats(folder.path("proc"));
  EXPECT_FALSE(none.resident_bytes || none.cpu_seconds || none.open_fds || none.threads);
  folder.Write("proc/self/status", "VmRSS:\nVmSize: -3 kB\nThreads:\t18446744073709551616\n");
  folder.Write("proc/self/stat", "1 (x");
  folder.Write("proc/self/limits", "Max open files unlimited unlimited files\n");
  folder.Write("proc/self/smaps_rollup", "Pss: 18446744073709551615 kB\n");
  const ProcessStats rubbish = ReadProcessStats(folder.path("proc"));
  EXPECT_FALSE(rubbish.resident_bytes || rubbish.virtual_bytes || rubbish.threads ||
               rubbish.cpu_seconds || rubbish.max_fds || rubbish.proportional_bytes);
}

TEST(ProcessStats, TheProgramsNameMayHoldAnything) {
  TempFolder folder;
  const long ticks = sysconf(_SC_CLK_TCK);
  folder.Write("proc/self/stat", "7 (a) S 9 9 (b) S 1 1 1 0 -1 4 0 0 0 0 " +
                                     std::to_string(2 * ticks) + " " + std::to_string(ticks) +
                                     " 0 0 20 0 7 0 " + std::to_string(5 * ticks) + " 1 1\n");
  folder.Write("proc/stat", "btime 1000\n");
  const ProcessStats stats = ReadProcessStats(folder.path("proc"));
  EXPECT_EQ(stats.cpu_seconds, 3);
  EXPECT_EQ(stats.start_time_seconds, 1005);
}

TEST(CpuThrottling, ReadsVersion2AndVersion1) {
  TempFolder two;
  two.Write("proc/self/cgroup", "0::/pod/box\n");
  two.Write("cg/pod/box/cpu.stat", "usage_usec 1\nnr_throttled 4\nthrottled_usec 500000\n");
  auto throttling = ReadCpuThrottling(two.path("proc"), two.path("cg"));
  ASSERT_TRUE(throttling.has_value());
  EXPECT_EQ(throttling->seconds, 0.5);
  EXPECT_EQ(throttling->periods, 4u);

  TempFolder one;
  one.Write("proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/box\n0::/\n");
  one.Write("cg/cpu,cpuacct/box/cpu.stat", "nr_throttled 2\nthrottled_time 1500000000\n");
  throttling = ReadCpuThrottling(one.path("proc"), one.path("cg"));
  ASSERT_TRUE(throttling.has_value());
  EXPECT_EQ(throttling->seconds, 1.5);
}

TEST(CpuThrottling, ThereIsNoneWithoutAQuota) {
  TempFolder folder;
  EXPECT_FALSE(ReadCpuThrottling(folder.path("proc"), folder.path("cg")).has_value());
  // The root cgroup has a cpu.stat without these lines.
  folder.Write("proc/self/cgroup", "0::/\n");
  folder.Write("cg/cpu.stat", "usage_usec 1\n");
  EXPECT_FALSE(ReadCpuThrottling(folder.path("proc"), folder.path("cg")).has_value());
}

}  // namespace
}  // namespace paramd
