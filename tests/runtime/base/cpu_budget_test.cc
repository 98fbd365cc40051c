#include "runtime/base/cpu_budget.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

class CpuBudgetTest : public ::testing::Test {
 protected:
  MachineSources Sources(std::vector<int> affinity = {0, 1, 2, 3}) {
    return {.root = root_.path(), .affinity = std::move(affinity)};
  }
  TempFolder root_;
};

TEST_F(CpuBudgetTest, TakesTheSmallestQuotaOfAllLevelsInV2) {
  root_.Write("proc/self/cgroup", "0::/kube/pod/box\n");
  root_.Write("sys/fs/cgroup/kube/pod/box/cpu.max", "max 100000\n");
  root_.Write("sys/fs/cgroup/kube/pod/cpu.max", "150000 100000\n");
  root_.Write("sys/fs/cgroup/kube/cpu.max", "800000 100000\n");
  const CpuBudget budget = ReadCpuBudget(Sources());
  EXPECT_EQ(budget.cgroup_version, "v2");
  ASSERT_TRUE(budget.quota.has_value());
  EXPECT_DOUBLE_EQ(*budget.quota, 1.5);
  EXPECT_EQ(budget.threads(), 2);
  EXPECT_EQ(budget.ToString(), "4 cores (quota 1.5), 1 NUMA node, cgroup v2: 2 threads");
}

TEST_F(CpuBudgetTest, ReadsV1AndItsMinusOne) {
  root_.Write("proc/self/cgroup", "4:memory:/\n3:cpu,cpuacct:/docker/x\n0::/\n");
  root_.Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
  root_.Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ReadCpuBudget(Sources()).quota, std::nullopt);
  root_.Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "50000\n");
  const CpuBudget budget = ReadCpuBudget(Sources());
  EXPECT_EQ(budget.cgroup_version, "v1");
  EXPECT_DOUBLE_EQ(budget.quota.value_or(0), 0.5);
  EXPECT_EQ(budget.threads(), 1);  // Never none.
}

TEST_F(CpuBudgetTest, FallsBackToTheMountsRootInsideAContainer) {
  // The path is the host's, and its folder is not there.
  root_.Write("proc/self/cgroup", "0::/system.slice/docker-abc.scope\n");
  root_.Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(ReadCpuBudget(Sources()).quota.value_or(0), 2.0);
}

TEST_F(CpuBudgetTest, WorksWithNothingToRead) {
  const CpuBudget budget = ReadCpuBudget(Sources({3, 1}));
  EXPECT_EQ(budget.cpus, (std::vector<int>{1, 3}));
  EXPECT_EQ(budget.threads(), 2);
  EXPECT_EQ(budget.cgroup_version, "none");
  EXPECT_EQ(ReadMemoryBudget(Sources()).total_bytes, 0u);
}

TEST_F(CpuBudgetTest, CountsTheNumaNodesOfTheAllowedCores) {
  root_.Write("sys/devices/system/node/online", "0-2\n");
  root_.Write("sys/devices/system/node/node0/cpulist", "0-3,16-19\n");
  root_.Write("sys/devices/system/node/node1/cpulist", "4-7\n");
  root_.Write("sys/devices/system/node/node2/cpulist", "\n");  // Memory only.
  EXPECT_EQ(ReadCpuBudget(Sources({0, 1})).numa_nodes, 1);
  EXPECT_EQ(ReadCpuBudget(Sources({3, 4})).numa_nodes, 2);
}

TEST_F(CpuBudgetTest, MemoryIsTheSmallerOfMachineAndCgroup) {
  root_.Write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:   800 kB\n");
  EXPECT_EQ(ReadMemoryBudget(Sources()).available_bytes, 800u * 1024);
  root_.Write("proc/self/cgroup", "0::/a\n");
  root_.Write("sys/fs/cgroup/a/memory.max", "500000\n");
  root_.Write("sys/fs/cgroup/a/memory.current", "300000\n");
  root_.Write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000\n");
  const MemoryBudget budget = ReadMemoryBudget(Sources());
  EXPECT_EQ(budget.total_bytes, 1000u * 1024);
  EXPECT_EQ(budget.limit_bytes, 500'000u);
  EXPECT_EQ(budget.available_bytes, 300'000u);  // Page cache counts as free.
}

TEST_F(CpuBudgetTest, NoLimitInV1IsAHugeNumber) {
  root_.Write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 800 kB\n");
  root_.Write("proc/self/cgroup", "4:memory:/\n");
  root_.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root_.Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
  EXPECT_EQ(ReadMemoryBudget(Sources()).limit_bytes, std::nullopt);
  EXPECT_EQ(ReadMemoryBudget(Sources()).available_bytes, 800u * 1024);
}

TEST_F(CpuBudgetTest, ReadsThrottledTime) {
  EXPECT_EQ(ReadCpuThrottled(Sources()), absl::ZeroDuration());
  root_.Write("proc/self/cgroup", "0::/a\n");
  root_.Write("sys/fs/cgroup/a/cpu.stat", "usage_usec 5\nnr_throttled 2\nthrottled_usec 1500\n");
  EXPECT_EQ(ReadCpuThrottled(Sources()), absl::Microseconds(1500));
}

TEST(CpuBudget, ReadsThisMachine) {
  const CpuBudget budget = ReadCpuBudget();
  EXPECT_GE(budget.threads(), 1);
  EXPECT_GE(budget.numa_nodes, 1);
  const MemoryBudget memory = ReadMemoryBudget();
  EXPECT_GT(memory.total_bytes, 0u);
  EXPECT_GT(memory.available_bytes, 0u);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
}

}  // namespace
}  // namespace paramd
