#include "runtime/base/cpu_budget.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Files of the kernel: small, and gone or unreadable in some containers.
std::optional<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (text.size() < (size_t{1} << 20)) {
    file.read(buffer, sizeof(buffer));
    text.append(buffer, static_cast<size_t>(file.gcount()));
    if (!file) break;
  }
  return text;
}

std::optional<uint64_t> ReadNumberFile(const std::string& path) {
  const std::optional<std::string> text = ReadSmallFile(path);
  uint64_t value = 0;
  if (!text.has_value() || !absl::SimpleAtoi(*text, &value)) return std::nullopt;
  return value;
}

// The value after `key` in "key value" lines ("MemTotal:  16 kB", "nr_periods 7").
std::optional<uint64_t> FindLine(const std::string& text, std::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, ToAbsl(key))) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    uint64_t value = 0;
    if (!words.empty() && absl::SimpleAtoi(words[0], &value)) return value;
  }
  return std::nullopt;
}

// "0-3,8" -> 0 1 2 3 8.
std::vector<int> ParseCpuList(const std::string& text) {
  constexpr int kCpusMax = 1 << 16;
  std::vector<int> cpus;
  for (absl::string_view piece : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(piece, '-');
    int first = 0;
    int last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends[0], &first)) continue;
    last = first;
    if (ends.size() == 2 && !absl::SimpleAtoi(ends[1], &last)) continue;
    if (first < 0 || last >= kCpusMax) continue;
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  // Machines with more than 1,024 cores need a larger set than cpu_set_t.
  for (int size = CPU_SETSIZE; size <= (1 << 16); size *= 2) {
    cpu_set_t* set = CPU_ALLOC(size);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(size);
    CPU_ZERO_S(bytes, set);
    const bool known = ::sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; known && cpu < size; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) cpus.push_back(cpu);
    }
    CPU_FREE(set);
    if (known) break;
  }
  if (cpus.empty()) {
    const unsigned count = std::max(1u, std::thread::hardware_concurrency());
    for (unsigned cpu = 0; cpu < count; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

// The folders of this process's cgroup for one controller, from its own level
// up to the mount's root: a limit anywhere above binds as well.
struct CgroupLevels {
  bool v2 = false;
  bool found = false;
  std::vector<std::string> folders;
};

std::vector<std::string> FoldersUpwards(const std::string& mount, std::string_view path) {
  std::vector<std::string> folders;
  std::string rest(path);
  while (!rest.empty() && rest != "/") {
    folders.push_back(mount + rest);
    rest.resize(rest.rfind('/') == std::string::npos ? 0 : rest.rfind('/'));
  }
  // In a container the path may be the host's and its folder absent; the
  // mount's root is then the container's own group.
  folders.push_back(mount);
  return folders;
}

CgroupLevels FindCgroup(const std::string& root, std::string_view controller) {
  CgroupLevels levels;
  const std::optional<std::string> text = ReadSmallFile(root + "/proc/self/cgroup");
  if (!text.has_value()) return levels;
  std::optional<std::string> v1_path;
  std::optional<std::string> v2_path;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    if (fields[0] == "0" && fields[1].empty()) v2_path = std::string(fields[2]);
    for (absl::string_view name : absl::StrSplit(fields[1], ',')) {
      if (FromAbsl(name) == controller) v1_path = std::string(fields[2]);
    }
  }
  const std::string base = root + "/sys/fs/cgroup";
  if (v1_path.has_value()) {
    levels.found = true;
    levels.folders = FoldersUpwards(StrCat(base, "/", controller), *v1_path);
  } else if (v2_path.has_value()) {
    levels.found = levels.v2 = true;
    levels.folders = FoldersUpwards(base, *v2_path);
  }
  return levels;
}

std::optional<double> QuotaOf(const std::string& folder, bool v2) {
  if (v2) {
    const std::optional<std::string> text = ReadSmallFile(folder + "/cpu.max");
    if (!text.has_value()) return std::nullopt;
    const std::vector<absl::string_view> words =
        absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    double quota = 0;
    double period = 0;
    if (words.size() != 2 || words[0] == "max" || !absl::SimpleAtod(words[0], &quota) ||
        !absl::SimpleAtod(words[1], &period) || quota <= 0 || period <= 0) {
      return std::nullopt;
    }
    return quota / period;
  }
  const std::optional<std::string> quota_text = ReadSmallFile(folder + "/cpu.cfs_quota_us");
  const std::optional<uint64_t> period = ReadNumberFile(folder + "/cpu.cfs_period_us");
  int64_t quota = 0;
  if (!quota_text.has_value() || !absl::SimpleAtoi(*quota_text, &quota) || quota <= 0 ||
      !period.has_value() || *period == 0) {
    return std::nullopt;  // -1 means no limit.
  }
  return static_cast<double>(quota) / static_cast<double>(*period);
}

int CountNumaNodes(const std::string& root, const std::vector<int>& cpus) {
  int nodes = 0;
  const std::string base = root + "/sys/devices/system/node";
  const std::optional<std::string> online = ReadSmallFile(base + "/online");
  if (!online.has_value()) return 1;
  for (int node : ParseCpuList(*online)) {
    const std::optional<std::string> list = ReadSmallFile(StrCat(base, "/node", node, "/cpulist"));
    if (!list.has_value()) continue;
    const std::vector<int> members = ParseCpuList(*list);
    nodes += std::any_of(members.begin(), members.end(), [&](int cpu) {
      return std::binary_search(cpus.begin(), cpus.end(), cpu);
    });
  }
  return std::max(nodes, 1);
}

}  // namespace

int CpuBudget::threads() const {
  const int cores = std::max<int>(1, static_cast<int>(cpus.size()));
  if (!quota.has_value() || *quota >= cores) return cores;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

std::string CpuBudget::ToString() const {
  std::string text = StrCat(cpus.size(), cpus.size() == 1 ? " core" : " cores");
  if (quota.has_value()) StrAppend(&text, " (quota ", *quota, ")");
  StrAppend(&text, ", ", numa_nodes, numa_nodes == 1 ? " NUMA node" : " NUMA nodes", ", cgroup ",
            cgroup_version, ": ", threads(), threads() == 1 ? " thread" : " threads");
  return text;
}

CpuBudget ReadCpuBudget(const MachineSources& sources) {
  CpuBudget budget;
  budget.cpus = sources.affinity.empty() ? AffinityCpus() : sources.affinity;
  std::sort(budget.cpus.begin(), budget.cpus.end());
  const CgroupLevels levels = FindCgroup(sources.root, "cpu");
  budget.cgroup_version = !levels.found ? "none" : levels.v2 ? "v2" : "v1";
  for (const std::string& folder : levels.folders) {
    const std::optional<double> quota = QuotaOf(folder, levels.v2);
    if (quota.has_value()) budget.quota = std::min(budget.quota.value_or(*quota), *quota);
  }
  budget.numa_nodes = CountNumaNodes(sources.root, budget.cpus);
  return budget;
}

MemoryBudget ReadMemoryBudget(const MachineSources& sources) {
  MemoryBudget budget;
  if (const std::optional<std::string> info = ReadSmallFile(sources.root + "/proc/meminfo")) {
    budget.total_bytes = FindLine(*info, "MemTotal:").value_or(0) * 1024;
    budget.available_bytes = FindLine(*info, "MemAvailable:").value_or(0) * 1024;
  }
  const CgroupLevels levels = FindCgroup(sources.root, "memory");
  for (const std::string& folder : levels.folders) {
    const std::optional<uint64_t> limit =
        ReadNumberFile(folder + (levels.v2 ? "/memory.max" : "/memory.limit_in_bytes"));
    // v1 writes "no limit" as a number above any machine's memory.
    if (!limit.has_value() || *limit >= (uint64_t{1} << 60)) continue;
    const uint64_t used =
        ReadNumberFile(folder + (levels.v2 ? "/memory.current" : "/memory.usage_in_bytes"))
            .value_or(0);
    uint64_t droppable = 0;
    if (const std::optional<std::string> stat = ReadSmallFile(folder + "/memory.stat")) {
      droppable =
          FindLine(*stat, levels.v2 ? "inactive_file " : "total_inactive_file ").value_or(0);
    }
    const uint64_t held = used > droppable ? used - droppable : 0;
    const uint64_t left = *limit > held ? *limit - held : 0;
    budget.limit_bytes = std::min(budget.limit_bytes.value_or(*limit), *limit);
    budget.available_bytes = std::min(budget.available_bytes, left);
  }
  return budget;
}

absl::Duration ReadCpuThrottled(const MachineSources& sources) {
  const CgroupLevels levels = FindCgroup(sources.root, "cpu");
  // The innermost level that counts: each level includes what is below it.
  for (const std::string& folder : levels.folders) {
    const std::optional<std::string> stat = ReadSmallFile(folder + "/cpu.stat");
    if (!stat.has_value()) continue;
    if (levels.v2) {
      if (const auto us = FindLine(*stat, "throttled_usec ")) {
        return absl::Microseconds(static_cast<int64_t>(*us));
      }
    } else if (const auto ns = FindLine(*stat, "throttled_time ")) {
      return absl::Nanoseconds(static_cast<int64_t>(*ns));
    }
  }
  return absl::ZeroDuration();
}

}  // namespace paramd
