#include "server/rpc/kserve/shared_regions.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr size_t kNameBytesMax = 255;  // NAME_MAX, without shm_open's slash.
// Of shared memory that the daemon may make itself.
constexpr std::string_view kOwnPrefix = "paramd";

bool IsInside(uint64_t offset, uint64_t bytes, uint64_t whole) {
  return offset <= whole && bytes <= whole - offset;
}

absl::StatusOr<uint64_t> BytesOf(int fd) {
  struct stat found = {};
  if (fstat(fd, &found) != 0) return absl::InternalError("a region cannot be looked at");
  return static_cast<uint64_t>(found.st_size);
}

absl::Status NotRegistered(std::string_view name) {
  return absl::NotFoundError(
      StrCat("Unable to find shared memory region: '", name.substr(0, kNameBytesMax), "'"));
}

}  // namespace

absl::Status SharedRegion::Check(uint64_t offset, uint64_t bytes) const {
  if (!IsInside(offset, bytes, info_.bytes)) {
    return absl::InvalidArgumentError(
        StrCat("Invalid offset + byte size for shared memory region: '", info_.name, "': ", offset,
               " + ", bytes, " is beyond its ", info_.bytes, " bytes"));
  }
  PARAMD_ASSIGN_OR_RETURN(const uint64_t whole, BytesOf(fd_.get()));
  if (IsInside(info_.offset + offset, bytes, whole)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the shared memory of region '", info_.name, "' has been cut off: it has ", whole,
             " bytes, the tensor ends at ", info_.offset + offset + bytes));
}

absl::Status SharedRegion::Read(uint64_t offset, absl::Span<std::byte> to) const {
  size_t done = 0;
  while (done < to.size()) {
    const ssize_t got = pread(fd_.get(), to.data() + done, to.size() - done,
                              static_cast<off_t>(info_.offset + offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::InvalidArgumentError(StrCat("the shared memory of region '", info_.name,
                                               "' was cut off while it was read: ", done, " of ",
                                               to.size(), " bytes were there"));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status SharedRegion::Write(uint64_t offset, absl::Span<const std::byte> from) const {
  // Writing beyond the end would make it longer: not ours to do.
  PARAMD_RETURN_IF_ERROR(Check(offset, from.size()));
  int fd = -1;
  {
    MutexLock lock(&mutex_);
    if (!writable_.valid()) {
      // Through the descriptor: the key may name something else by now.
      writable_ = UniqueFd(
          open(StrCat("/proc/self/fd/", fd_.get()).c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    }
    fd = writable_.get();
  }
  if (fd < 0) {
    return absl::InvalidArgumentError(
        StrCat("the shared memory of region '", info_.name, "' may not be written by the daemon"));
  }
  size_t done = 0;
  while (done < from.size()) {
    const ssize_t wrote = pwrite(fd, from.data() + done, from.size() - done,
                                 static_cast<off_t>(info_.offset + offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      return absl::InvalidArgumentError(
          StrCat("the shared memory of region '", info_.name, "' cannot be written"));
    }
    done += static_cast<size_t>(wrote);
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> SharedRegions::Open(const std::string& key) const {
  std::string_view file = key;
  if (file.starts_with('/')) file.remove_prefix(1);
  if (file.empty() || file.size() > kNameBytesMax || file == "." || file == ".." ||
      file.find('/') != std::string_view::npos || file.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("the key of shared memory must be '/name' without further slashes, of at most ",
               kNameBytesMax, " bytes"));
  }
  if (file.starts_with(kOwnPrefix)) {
    return absl::InvalidArgumentError(
        StrCat("keys that begin with '", kOwnPrefix, "' are the daemon's own"));
  }
  // As shm_open does it; O_NONBLOCK for those that are pipes in truth.
  UniqueFd fd(open(StrCat(options_.folder, "/", file).c_str(),
                   O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    if (errno == ENOENT) {
      return absl::NotFoundError(
          StrCat("Unable to open shared memory region: '", key, "' is not on this machine"));
    }
    return absl::InvalidArgumentError(
        StrCat("Unable to open shared memory region: '", key, "' cannot be read by the daemon"));
  }
  struct stat found = {};
  if (fstat(fd.get(), &found) != 0 || !S_ISREG(found.st_mode)) {
    return absl::InvalidArgumentError(StrCat("'", key, "' is no shared memory"));
  }
  return fd;
}

absl::Status SharedRegions::Register(RegionInfo info) {
  if (info.name.empty() || info.name.size() > kNameBytesMax) {
    return absl::InvalidArgumentError(StrCat("a region's name has 1 to ", kNameBytesMax,
                                             " bytes, this one has ", info.name.size()));
  }
  if (info.bytes == 0) {
    return absl::InvalidArgumentError(StrCat("region '", info.name, "' has no bytes"));
  }
  PARAMD_ASSIGN_OR_RETURN(UniqueFd fd, Open(info.key));
  PARAMD_ASSIGN_OR_RETURN(const uint64_t whole, BytesOf(fd.get()));
  if (!IsInside(info.offset, info.bytes, whole)) {
    return absl::InvalidArgumentError(StrCat("failed to register shared memory region '", info.name,
                                             "': invalid args: offset ", info.offset, " and ",
                                             info.bytes, " bytes are beyond the ", whole,
                                             " bytes of '", info.key, "'"));
  }
  std::string name = info.name;
  auto region = std::make_shared<const SharedRegion>(std::move(info), std::move(fd));
  MutexLock lock(&mutex_);
  if (regions_.contains(name)) {
    return absl::AlreadyExistsError(StrCat("shared memory region '", name, "' already in manager"));
  }
  if (regions_.size() >= options_.regions_max) {
    return absl::ResourceExhaustedError(
        StrCat("there are ", regions_.size(), " regions of shared memory, as many as may be"));
  }
  regions_.emplace(std::move(name), std::move(region));
  return absl::OkStatus();
}

absl::Status SharedRegions::Unregister(std::string_view name) {
  MutexLock lock(&mutex_);
  if (name.empty()) {
    regions_.clear();
    return absl::OkStatus();
  }
  const auto it = regions_.find(name);
  if (it == regions_.end()) return NotRegistered(name);
  regions_.erase(it);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RegionInfo>> SharedRegions::List(std::string_view name) const {
  std::vector<RegionInfo> infos;
  MutexLock lock(&mutex_);
  for (const auto& [known, region] : regions_) {
    if (name.empty() || known == name) infos.push_back(region->info());
  }
  if (infos.empty() && !name.empty()) return NotRegistered(name);
  return infos;
}

absl::StatusOr<std::shared_ptr<const SharedRegion>> SharedRegions::Find(
    std::string_view name) const {
  MutexLock lock(&mutex_);
  const auto it = regions_.find(name);
  if (it == regions_.end()) return NotRegistered(name);
  return it->second;
}

}  // namespace paramd
