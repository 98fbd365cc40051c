// CpuBudget, MemoryBudget: what this process may use of its machine: the cpuset
// (affinity), the cgroup quota (v1 and v2, every level up to the root), the
// NUMA nodes those cores lie on, and the memory limit above the process.
//
// The CPU budget is computed once at start and printed; memory is read again
// for every admission.
//
// Life: values. Thread-safety: pure functions of the file system below `root`.
#ifndef PARAMD_RUNTIME_BASE_CPU_BUDGET_H_
#define PARAMD_RUNTIME_BASE_CPU_BUDGET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace paramd {

// Where to look. Tests build a small tree and name its root.
struct MachineSources {
  std::string root = "/";
  // The cores this process may run on; empty: ask sched_getaffinity.
  std::vector<int> affinity;
};

struct CpuBudget {
  std::vector<int> cpus;        // Allowed by affinity, ascending; never empty.
  std::optional<double> quota;  // Cores' worth of time by cgroup, when limited.
  int numa_nodes = 1;           // That the allowed cores lie on.
  std::string cgroup_version;   // "v1", "v2" or "none": which one limited or was found.

  // Compute threads to run at once: allowed cores, or the quota rounded up
  // where it is smaller; at least 1. Rounded up because a quota of 1.5 used by
  // one thread wastes a third of it.
  int threads() const;
  // "2 cores (quota 1.5), 1 NUMA node, cgroup v2: 2 threads".
  std::string ToString() const;
};

CpuBudget ReadCpuBudget(const MachineSources& sources = {});

struct MemoryBudget {
  uint64_t total_bytes = 0;             // Of the machine.
  uint64_t available_bytes = 0;         // The smaller of machine and cgroup.
  std::optional<uint64_t> limit_bytes;  // The smallest cgroup limit above us.
};

// Available memory counts page cache that can be dropped as free, in the
// machine (MemAvailable) and in the cgroup (inactive_file) alike.
MemoryBudget ReadMemoryBudget(const MachineSources& sources = {});

// Time that the cgroup's quota kept this process from running, so far; zero
// where there is no such counter.
absl::Duration ReadCpuThrottled(const MachineSources& sources = {});

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_CPU_BUDGET_H_
