#include "runtime/base/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// The kernel answers EAGAIN when a rename raced with a lookup through "..".
constexpr int kRaceRetries = 32;

absl::Status OpenError(int error, std::string_view path) {
  switch (error) {
    case EXDEV:
      return absl::PermissionDeniedError(
          StrCat("'", path, "' leads outside of its folder, which is not allowed"));
    case ELOOP:
      return absl::InvalidArgumentError(StrCat("'", path, "' has too many symbolic links"));
    case ENOSYS:
      return absl::UnimplementedError(
          "this kernel has no openat2 (Linux 5.6 or newer is needed to open files safely)");
    default:
      return absl::ErrnoToStatus(error, ToAbsl(StrCat("cannot open '", path, "'")));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Directory>> Directory::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot open the folder '", path, "'")));
  }
  return std::unique_ptr<Directory>(new Directory(std::move(fd), path));
}

// The descriptor keeps its number and changes what it stands for, at once.
absl::Status Directory::Reopen() const {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> again, Open(name_));
  if (::dup3(again->fd_.get(), fd_.get(), O_CLOEXEC) < 0) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot open the folder '", name_, "'")));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Directory::OpenBeneath(std::string_view path, int flags) const {
  if (path.empty()) return absl::InvalidArgumentError("an empty path names no file");
  if (path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("a path may not contain a zero byte");
  }
  const std::string path_z(path);
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  // A FIFO must not make us wait. openat2 refuses what O_PATH has no use for.
  if ((flags & O_PATH) == 0) how.flags |= O_NOCTTY | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0;; ++attempt) {
    const long fd = ::syscall(SYS_openat2, fd_.get(), path_z.c_str(), &how, sizeof(how));
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if ((errno == EAGAIN || errno == EINTR) && attempt < kRaceRetries) continue;
    return OpenError(errno, path);
  }
}

absl::StatusOr<std::unique_ptr<FileSource>> Directory::OpenFile(std::string_view path,
                                                                OpenFileOptions options) const {
  PARAMD_ASSIGN_OR_RETURN(UniqueFd fd, OpenBeneath(path, O_RDONLY));
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> file,
                          FileSource::FromFd(std::move(fd), path));
  if (options.refuse_hard_links && file->link_count() > 1) {
    return absl::PermissionDeniedError(
        StrCat("'", path, "' is a hard link (", file->link_count(),
               " names), which is not allowed here; copy the file instead"));
  }
  return file;
}

absl::StatusOr<std::unique_ptr<Directory>> Directory::OpenDirectory(std::string_view path) const {
  PARAMD_ASSIGN_OR_RETURN(UniqueFd fd, OpenBeneath(path, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<Directory>(new Directory(std::move(fd), path));
}

absl::StatusOr<std::vector<std::pair<std::string, unsigned char>>> Directory::ReadEntries(
    size_t entries_max) const {
  // A descriptor of its own: reading a directory moves a position.
  UniqueFd fd(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot list the folder '", name_, "'")));
  }
  DIR* dir = ::fdopendir(fd.get());
  if (dir == nullptr) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot list the folder '", name_, "'")));
  }
  fd.Release();
  auto close = absl::MakeCleanup([dir] { ::closedir(dir); });

  std::vector<std::pair<std::string, unsigned char>> found_entries;
  while (true) {
    errno = 0;
    const dirent* found = ::readdir(dir);
    if (found == nullptr) {
      if (errno != 0) {
        return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot list the folder '", name_, "'")));
      }
      break;
    }
    const std::string_view name = found->d_name;
    if (name == "." || name == "..") continue;
    if (found_entries.size() >= entries_max) {
      return absl::ResourceExhaustedError(
          StrCat("the folder '", name_, "' has more than ", entries_max, " entries"));
    }
    found_entries.emplace_back(name, found->d_type);
  }
  std::sort(found_entries.begin(), found_entries.end());
  return found_entries;
}

absl::StatusOr<std::vector<std::string>> Directory::ListNames(size_t entries_max) const {
  PARAMD_ASSIGN_OR_RETURN(auto found, ReadEntries(entries_max));
  std::vector<std::string> names;
  names.reserve(found.size());
  for (auto& [name, type] : found) names.push_back(std::move(name));
  return names;
}

absl::StatusOr<std::vector<Directory::Entry>> Directory::List(size_t entries_max) const {
  PARAMD_ASSIGN_OR_RETURN(auto found, ReadEntries(entries_max));
  std::vector<Entry> entries;
  for (auto& [name, type] : found) {
    Entry entry{.name = std::move(name)};
    entry.is_file = type == DT_REG;
    entry.is_directory = type == DT_DIR;
    if (type == DT_LNK || type == DT_UNKNOWN) {
      // O_PATH: looks at what the link names without opening devices.
      const absl::StatusOr<UniqueFd> target = OpenBeneath(entry.name, O_PATH);
      if (!target.ok()) continue;
      struct stat info {};
      if (::fstat(target->get(), &info) != 0) continue;
      entry.is_file = S_ISREG(info.st_mode);
      entry.is_directory = S_ISDIR(info.st_mode);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace paramd
