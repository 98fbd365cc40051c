#include "runtime/params/sealed_memory.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/time/clock.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3.
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1.
#endif

namespace paramd {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

absl::StatusOr<UniqueFd> NewMemfd(const std::string& name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name.c_str(), kFlags | MFD_NOEXEC_SEAL));
  if (!fd.valid() && errno == EINVAL) fd = UniqueFd(::memfd_create(name.c_str(), kFlags));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "cannot create sealable memory (memfd)");
  return fd;
}

// Maps the file at an address that is a multiple of `alignment`: reserves
// enough addresses, maps over the aligned part, gives the rest back.
absl::StatusOr<MappedRange> MapAligned(int fd, uint64_t bytes, int protection, uint64_t alignment) {
  const uint64_t reserved = bytes + alignment;
  void* const space =
      ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) return absl::ErrnoToStatus(errno, "cannot reserve addresses");
  const auto start = reinterpret_cast<uintptr_t>(space);
  const uintptr_t aligned = (start + alignment - 1) & ~(alignment - 1);
  void* const map =
      ::mmap(reinterpret_cast<void*>(aligned), bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
  if (map == MAP_FAILED) {
    const int error = errno;
    ::munmap(space, reserved);
    return absl::ErrnoToStatus(error, ToAbsl(StrCat("cannot map ", bytes, " bytes")));
  }
  if (aligned > start) ::munmap(space, aligned - start);
  const uintptr_t end = aligned + bytes;
  if (start + reserved > end) ::munmap(reinterpret_cast<void*>(end), start + reserved - end);
  return MappedRange(map, bytes);
}

absl::StatusOr<MappedRange> Map(int fd, uint64_t file_bytes, int protection) {
  return MapAligned(fd, file_bytes, protection,
                    file_bytes >= kHugePageBytes ? kHugePageBytes : kPageBytes);
}

}  // namespace

uint64_t PageRoundedBytes(uint64_t bytes) {
  CHECK_LE(bytes, kSealedBytesMax);
  return std::max(kPageBytes, (bytes + kPageBytes - 1) / kPageBytes * kPageBytes);
}

absl::Status CheckSealed(int fd, uint64_t bytes) {
  // The seals first: they are refused for what is not memory, and asking any
  // other file for its size might wait for a disk or a network.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return absl::InvalidArgumentError("a segment is not sealable memory");
  constexpr int kAll = kSeals | F_SEAL_SEAL;
  if ((seals & kAll) != kAll) {
    return absl::InvalidArgumentError(
        StrCat("a segment has seals ", seals, ", expected at least ", kAll));
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, "cannot stat a segment");
  if (bytes == 0 || bytes > kSealedBytesMax || info.st_size < 0 ||
      static_cast<uint64_t>(info.st_size) != PageRoundedBytes(bytes)) {
    return absl::InvalidArgumentError(
        StrCat("a segment has ", info.st_size, " bytes, expected whole pages for ", bytes));
  }
  return absl::OkStatus();
}

MappedRange::MappedRange(MappedRange&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

MappedRange& MappedRange::operator=(MappedRange&& other) noexcept {
  if (this != &other) {
    Reset();
    address_ = std::exchange(other.address_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void MappedRange::Reset() {
  if (address_ != nullptr) ::munmap(std::exchange(address_, nullptr), bytes_);
  bytes_ = 0;
}

absl::StatusOr<WritableMemory> WritableMemory::Create(std::string_view name, uint64_t bytes) {
  if (bytes == 0) return absl::InvalidArgumentError("a segment of 0 bytes");
  if (bytes > kSealedBytesMax) {
    return absl::ResourceExhaustedError(
        StrCat("a segment of ", bytes, " bytes is above the limit of ", kSealedBytesMax));
  }
  const uint64_t file_bytes = PageRoundedBytes(bytes);
  PARAMD_ASSIGN_OR_RETURN(UniqueFd fd, NewMemfd(std::string(name)));
  int result = 0;
  do {
    result = ::fallocate(fd.get(), 0, 0, static_cast<off_t>(file_bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return absl::ResourceExhaustedError(StrCat("the machine has no memory for a segment of ",
                                               file_bytes, " bytes (errno ", errno, ")"));
  }
  PARAMD_ASSIGN_OR_RETURN(MappedRange map, Map(fd.get(), file_bytes, PROT_READ | PROT_WRITE));
  // The pages are there: entering them into the page table at once costs a third of
  // a fault for each. Kernels before 5.14 do not know how.
  static_cast<void>(::madvise(map.data(), file_bytes, MADV_POPULATE_WRITE));
  return WritableMemory(std::move(fd), std::move(map), bytes);
}

absl::StatusOr<SealedMemory> WritableMemory::Seal(absl::Duration patience) && {
  const uint64_t file_bytes = map_.bytes();
  map_.Reset();
  const absl::Time deadline = absl::Now() + patience;
  while (::fcntl(fd_.get(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    if (errno != EBUSY) return absl::ErrnoToStatus(errno, "cannot seal a segment");
    // The kernel has waited 0.15 s itself. Seen once in 112 swaps of 55 MB on
    // two busy cores.
    if (absl::Now() >= deadline) {
      return absl::UnavailableError(
          "cannot seal a segment: something else keeps its pages mapped or in use");
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  PARAMD_ASSIGN_OR_RETURN(MappedRange map, Map(fd_.get(), file_bytes, PROT_READ));
  return SealedMemory(std::move(fd_), std::move(map), bytes_);
}

absl::StatusOr<SealedMemory> SealedMemory::FromFd(UniqueFd fd, uint64_t bytes) {
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0) return absl::ErrnoToStatus(errno, "cannot read the seals of a segment");
  if ((seals & kSeals) != kSeals) {
    return absl::InvalidArgumentError(
        StrCat("a segment has seals ", seals, ", expected at least ", kSeals));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return absl::ErrnoToStatus(errno, "cannot stat a segment");
  if (bytes == 0 || bytes > kSealedBytesMax || info.st_size < 0 ||
      static_cast<uint64_t>(info.st_size) < PageRoundedBytes(bytes)) {
    return absl::InvalidArgumentError(
        StrCat("a segment has ", info.st_size, " bytes, expected ", bytes));
  }
  PARAMD_ASSIGN_OR_RETURN(MappedRange map, Map(fd.get(), PageRoundedBytes(bytes), PROT_READ));
  return SealedMemory(std::move(fd), std::move(map), bytes);
}

absl::Status SealedMemory::Collapse() const {
  // Only whole huge pages; the tail stays in small ones.
  const uint64_t bytes = map_.bytes() / kHugePageBytes * kHugePageBytes;
  if (bytes == 0) return absl::OkStatus();
  // The kernel collapses what is mapped here: touch one page of every range.
  for (uint64_t offset = 0; offset < bytes; offset += kHugePageBytes) {
    static_cast<void>(*static_cast<const volatile std::byte*>(map_.data() + offset));
  }
  while (::madvise(map_.data(), bytes, MADV_COLLAPSE) != 0) {
    if (errno == EINTR) continue;
    return absl::UnavailableError(
        StrCat("the kernel kept ", bytes, " bytes in small pages (errno ", errno, ")"));
  }
  return absl::OkStatus();
}

}  // namespace paramd
