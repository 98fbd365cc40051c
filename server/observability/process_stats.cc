#include "server/observability/process_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Files of /proc that are read here are far smaller; smaps_rollup is 1 KB.
constexpr size_t kFileBytesMax = 256 << 10;

std::optional<std::string> ReadSmallFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (text.size() < kFileBytesMax) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0) {
      close(fd);
      return std::nullopt;
    }
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

std::vector<std::string> Fields(std::string_view line) {
  return absl::StrSplit(ToAbsl(line), absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(ToAbsl(text), &value)) return std::nullopt;
  return value;
}

// The first number after "<key>" at the start of a line, times `scale`.
std::optional<uint64_t> NumberAfter(std::string_view text, std::string_view key, uint64_t scale) {
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(key)) {
      const std::vector<std::string> fields = Fields(line.substr(key.size()));
      if (fields.empty()) return std::nullopt;
      const std::optional<uint64_t> value = Number(fields[0]);
      if (!value || *value > UINT64_MAX / scale) return std::nullopt;
      return *value * scale;
    }
    at = end + 1;
  }
  return std::nullopt;
}

void ReadStatus(const std::string& text, ProcessStats* stats) {
  stats->resident_bytes = NumberAfter(text, "VmRSS:", 1024);
  stats->virtual_bytes = NumberAfter(text, "VmSize:", 1024);
  stats->anon_bytes = NumberAfter(text, "RssAnon:", 1024);
  stats->file_bytes = NumberAfter(text, "RssFile:", 1024);
  stats->shmem_bytes = NumberAfter(text, "RssShmem:", 1024);
  stats->threads = NumberAfter(text, "Threads:", 1);
}

// `stat` is /proc/self/stat; the program's name in it may hold anything, so
// fields are counted from the last parenthesis.
void ReadTimes(const std::string& stat, const std::optional<std::string>& machine_stat,
               ProcessStats* stats) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return;
  // fields[0] is field 3 of proc(5): utime is 14, stime 15, starttime 22.
  const std::vector<std::string> fields = Fields(std::string_view(stat).substr(name_end + 1));
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (fields.size() < 20 || ticks <= 0) return;
  const auto user = Number(fields[11]);
  const auto system = Number(fields[12]);
  const auto start = Number(fields[19]);
  if (user && system) {
    stats->cpu_seconds = (static_cast<double>(*user) + static_cast<double>(*system)) / ticks;
  }
  if (!start || !machine_stat) return;
  if (const auto boot = NumberAfter(*machine_stat, "btime", 1)) {
    stats->start_time_seconds = static_cast<double>(*boot) + static_cast<double>(*start) / ticks;
  }
}

std::optional<uint64_t> CountEntries(const std::string& path, bool is_own_fd_folder) {
  DIR* const folder = opendir(path.c_str());
  if (folder == nullptr) return std::nullopt;
  uint64_t count = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(folder);
  // The listing's own descriptor is gone by the time anybody reads the number.
  if (is_own_fd_folder && count > 0) --count;
  return count;
}

// By device and inode, so that a segment that two processes have counts once.
using MemfdBlocks = std::map<std::pair<dev_t, ino_t>, uint64_t>;

void AddMemfds(const std::string& fd_folder, MemfdBlocks* blocks) {
  DIR* const folder = opendir(fd_folder.c_str());
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    const std::string path = StrCat(fd_folder, "/", entry->d_name);
    char target[64];
    const ssize_t length = readlink(path.c_str(), target, sizeof(target));
    if (length < 0 ||
        !std::string_view(target, static_cast<size_t>(length)).starts_with("/memfd:paramd")) {
      continue;
    }
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) continue;  // Closed just now.
    (*blocks)[{info.st_dev, info.st_ino}] = static_cast<uint64_t>(info.st_blocks) * 512;
  }
  closedir(folder);
}

std::optional<uint64_t> ReadMemfdBytes(const std::string& proc_root, const std::string& status) {
  MemfdBlocks blocks;
  AddMemfds(proc_root + "/self/fd", &blocks);
  // The keeper is the parent; another parent has no memfds of this name.
  if (const std::optional<uint64_t> parent = NumberAfter(status, "PPid:", 1)) {
    AddMemfds(StrCat(proc_root, "/", *parent, "/fd"), &blocks);
  }
  uint64_t bytes = 0;
  for (const auto& [inode, size] : blocks) bytes += size;
  return bytes;
}

}  // namespace

uint64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<uint64_t>(info.uordblks) + static_cast<uint64_t>(info.hblkhd);
}

ProcessStats ReadProcessStats(const std::string& proc_root) {
  ProcessStats stats;
  const std::string self = proc_root + "/self";
  if (const auto text = ReadSmallFile(self + "/status")) {
    ReadStatus(*text, &stats);
    stats.memfd_bytes = ReadMemfdBytes(proc_root, *text);
  }
  if (const auto text = ReadSmallFile(self + "/smaps_rollup")) {
    stats.proportional_bytes = NumberAfter(*text, "Pss:", 1024);
  }
  if (const auto text = ReadSmallFile(self + "/stat")) {
    ReadTimes(*text, ReadSmallFile(proc_root + "/stat"), &stats);
  }
  if (const auto text = ReadSmallFile(self + "/limits")) {
    stats.max_fds = NumberAfter(*text, "Max open files", 1);
  }
  stats.open_fds = CountEntries(self + "/fd", proc_root == "/proc");
  return stats;
}

std::optional<CpuThrottling> ReadCpuThrottling(const std::string& proc_root,
                                               const std::string& cgroup_root) {
  const auto membership = ReadSmallFile(proc_root + "/self/cgroup");
  // Candidates in order: version 2, then version 1 with and without the path
  // (a container sees its own cgroup at the root of the mount).
  std::vector<std::string> candidates;
  if (membership) {
    for (const absl::string_view line : absl::StrSplit(*membership, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
      if (parts.size() != 3) continue;
      if (parts[0] == "0" && parts[1].empty()) {
        candidates.push_back(cgroup_root + parts[2] + "/cpu.stat");
        continue;
      }
      for (const absl::string_view controller : absl::StrSplit(parts[1], ',')) {
        if (controller != "cpu") continue;
        candidates.push_back(cgroup_root + "/" + parts[1] + parts[2] + "/cpu.stat");
        candidates.push_back(cgroup_root + "/cpu" + parts[2] + "/cpu.stat");
      }
    }
  }
  candidates.push_back(cgroup_root + "/cpu.stat");
  candidates.push_back(cgroup_root + "/cpu/cpu.stat");
  for (const std::string& path : candidates) {
    const auto text = ReadSmallFile(path);
    if (!text) continue;
    const auto periods = NumberAfter(*text, "nr_throttled", 1);
    const auto microseconds = NumberAfter(*text, "throttled_usec", 1);
    const auto nanoseconds = NumberAfter(*text, "throttled_time", 1);
    if (!periods || (!microseconds && !nanoseconds)) continue;
    CpuThrottling throttling;
    throttling.periods = *periods;
    throttling.seconds = microseconds ? static_cast<double>(*microseconds) * 1e-6
                                      : static_cast<double>(*nanoseconds) * 1e-9;
    return throttling;
  }
  return std::nullopt;
}

}  // namespace paramd
