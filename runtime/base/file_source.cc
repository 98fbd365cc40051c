#include "runtime/base/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// One pread moves at most 2 GiB on Linux; smaller pieces also let a load stop.
constexpr uint64_t kReadBytesMax = uint64_t{64} << 20;

int64_t Nanoseconds(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

absl::StatusOr<FileSource::Seen> FileSource::Look(int fd, std::string_view name,
                                                  uint64_t* link_count) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot stat '", name, "'")));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat("'", name, "' is not a regular file"));
  }
  if (link_count != nullptr) *link_count = info.st_nlink;
  return Seen{.size = static_cast<uint64_t>(info.st_size),
              .inode = info.st_ino,
              .device = info.st_dev,
              .modified_ns = Nanoseconds(info.st_mtim),
              .changed_ns = Nanoseconds(info.st_ctim)};
}

absl::StatusOr<std::unique_ptr<FileSource>> FileSource::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer; regular files do
  // not care.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot open '", path, "'")));
  return FromFd(std::move(fd), path);
}

absl::StatusOr<std::unique_ptr<FileSource>> FileSource::FromFd(UniqueFd fd, std::string_view name) {
  uint64_t link_count = 0;
  PARAMD_ASSIGN_OR_RETURN(const Seen seen, Look(fd.get(), name, &link_count));
  return std::unique_ptr<FileSource>(new FileSource(std::move(fd), name, seen, link_count));
}

absl::Status FileSource::ReadAt(uint64_t offset, absl::Span<std::byte> destination) const {
  if (!RangeIsInside(offset, destination.size(), seen_.size)) {
    return absl::OutOfRangeError(StrCat("'", name_, "' has ", seen_.size, " bytes: cannot read ",
                                        destination.size(), " at offset ", offset));
  }
  uint64_t done = 0;
  while (done < destination.size()) {
    const uint64_t piece = std::min<uint64_t>(destination.size() - done, kReadBytesMax);
    const ssize_t got =
        ::pread(fd_.get(), destination.data() + done, piece, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(
          errno, ToAbsl(StrCat("cannot read '", name_, "' at offset ", offset + done)));
    }
    if (got == 0) {
      return absl::DataLossError(StrCat("'", name_, "' became shorter while it was read: it had ",
                                        seen_.size, " bytes and now ends at ", offset + done));
    }
    done += static_cast<uint64_t>(got);
    bytes_read_.fetch_add(static_cast<uint64_t>(got), std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

absl::Status FileSource::CheckUnchanged() const {
  PARAMD_ASSIGN_OR_RETURN(const Seen now, Look(fd_.get(), name_, nullptr));
  if (now == seen_) return absl::OkStatus();
  if (now.size != seen_.size) {
    return absl::DataLossError(StrCat("'", name_, "' changed while it was read: from ", seen_.size,
                                      " to ", now.size, " bytes"));
  }
  return absl::DataLossError(
      StrCat("'", name_,
             "' was written while it was read; put new files beside old ones and "
             "rename them into place"));
}

}  // namespace paramd
