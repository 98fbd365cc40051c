// What the kernel says about this process and its cgroup, for /metrics.
//
// Everything is optional: a container may hide any of these files, and a number
// that is not there is left out of /metrics instead of being invented.
//
// Thread-safety: pure functions over files.
#ifndef PARAMD_SERVER_OBSERVABILITY_PROCESS_STATS_H_
#define PARAMD_SERVER_OBSERVABILITY_PROCESS_STATS_H_

#include <cstdint>
#include <optional>
#include <string>

namespace paramd {

struct ProcessStats {
  std::optional<double> cpu_seconds;         // User and system.
  std::optional<double> start_time_seconds;  // Since the Unix epoch.
  std::optional<uint64_t> resident_bytes;
  std::optional<uint64_t> virtual_bytes;
  std::optional<uint64_t> anon_bytes;  // Parts of resident_bytes.
  std::optional<uint64_t> file_bytes;
  std::optional<uint64_t> shmem_bytes;
  // Blocks of paramd's memfds, each inode once, whether this process or its
  // parent, if that is a keeper, has the descriptor.
  std::optional<uint64_t> memfd_bytes;
  std::optional<uint64_t> proportional_bytes;
  std::optional<uint64_t> threads;
  std::optional<uint64_t> open_fds;
  std::optional<uint64_t> max_fds;
};

// `proc_root` is "/proc"; tests give a copy.
ProcessStats ReadProcessStats(const std::string& proc_root);

// Heap bytes that the program has in use, as the C library counts them.
uint64_t AllocatedBytes();

struct CpuThrottling {
  double seconds = 0;
  uint64_t periods = 0;
};

// From cpu.stat of the process's own cgroup, version 2 or 1; nothing when there
// is none.
std::optional<CpuThrottling> ReadCpuThrottling(const std::string& proc_root,
                                               const std::string& cgroup_root);

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_PROCESS_STATS_H_
