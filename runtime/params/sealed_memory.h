// WritableMemory -> SealedMemory: bytes that are written once and then by
// nobody, paramd included.
//
// Life:  Create (memfd, mapped for writing) -> filled by one thread -> Seal:
// unmapped first, because F_SEAL_WRITE answers EBUSY while a writable map
// lives; sealed against writing, growing and shrinking; mapped again read-only.
// From then on the kernel refuses to map it for writing, to write, truncate or
// punch it, in every process that ever gets the descriptor.
//
// Why memfd: seals exist only there; /dev/shm is 64 MB in a default container;
// and nothing leaks when the last process dies. Large maps start at a multiple
// of 2 MB so that MADV_COLLAPSE can turn them into huge pages.
//
// Thread-safety: WritableMemory has one owner. SealedMemory's bytes may be read
// from any thread; moving it is not synchronised.
#ifndef PARAMD_RUNTIME_PARAMS_SEALED_MEMORY_H_
#define PARAMD_RUNTIME_PARAMS_SEALED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

// What memory is counted in: a segment takes whole pages.
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
// Whole pages for `bytes`, at least one. REQUIRES: bytes <= kSealedBytesMax.
uint64_t PageRoundedBytes(uint64_t bytes);
inline constexpr uint64_t kSealedBytesMax = uint64_t{1} << 46;

// Whether a descriptor that came from another process is what Seal makes: a
// memfd with every seal, F_SEAL_SEAL too, and exactly the pages that `bytes`
// take, so that nobody keeps more memory than was counted. InvalidArgument with
// what it is instead.
absl::Status CheckSealed(int fd, uint64_t bytes);

// One mapping; unmaps itself.
class MappedRange {
 public:
  MappedRange() = default;
  MappedRange(void* address, uint64_t bytes) : address_(address), bytes_(bytes) {}
  MappedRange(MappedRange&& other) noexcept;
  MappedRange& operator=(MappedRange&& other) noexcept;
  ~MappedRange() { Reset(); }

  std::byte* data() const { return static_cast<std::byte*>(address_); }
  uint64_t bytes() const { return bytes_; }
  void Reset();

 private:
  void* address_ = nullptr;
  uint64_t bytes_ = 0;
};

class SealedMemory {
 public:
  // Maps a descriptor that came from somebody else (the keeper). InvalidArgument
  // if it lacks a seal or is smaller than `bytes`: bytes that can still change
  // are never taken for parameters.
  static absl::StatusOr<SealedMemory> FromFd(UniqueFd fd, uint64_t bytes);

  SealedMemory() = default;
  SealedMemory(SealedMemory&&) = default;
  SealedMemory& operator=(SealedMemory&&) = default;

  // Read-only. A store into it faults.
  absl::Span<const std::byte> bytes() const { return {map_.data(), bytes_}; }
  const UniqueFd& fd() const { return fd_; }
  // The mapping stays; whoever takes the descriptor lends it to others.
  UniqueFd TakeFd() { return std::move(fd_); }

  // Asks the kernel to gather the pages into huge ones (28 -> 32 GB/s when
  // read, FACTS.md). Takes time, so it runs in the background and never
  // concurrently with the destructor. Unavailable when the kernel will not.
  absl::Status Collapse() const;

 private:
  friend class WritableMemory;
  SealedMemory(UniqueFd fd, MappedRange map, uint64_t bytes)
      : fd_(std::move(fd)), map_(std::move(map)), bytes_(bytes) {}

  UniqueFd fd_;
  MappedRange map_;
  uint64_t bytes_ = 0;
};

class WritableMemory {
 public:
  // Zeroed memory; `name` shows in /proc/PID/maps. The pages are taken from the
  // kernel at once: ResourceExhausted here instead of a SIGBUS in the middle of
  // a load.
  static absl::StatusOr<WritableMemory> Create(std::string_view name, uint64_t bytes);

  WritableMemory(WritableMemory&&) = default;
  WritableMemory& operator=(WritableMemory&&) = default;

  absl::Span<std::byte> bytes() const { return {map_.data(), bytes_}; }

  // Consumes the writable view. The kernel refuses while anything else holds a
  // page, such as compaction for somebody's huge page that was interrupted by
  // busier threads; so it is asked again for `patience`, then Unavailable.
  absl::StatusOr<SealedMemory> Seal(absl::Duration patience = absl::Seconds(10)) &&;

 private:
  WritableMemory(UniqueFd fd, MappedRange map, uint64_t bytes)
      : fd_(std::move(fd)), map_(std::move(map)), bytes_(bytes) {}

  UniqueFd fd_;
  MappedRange map_;
  uint64_t bytes_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_SEALED_MEMORY_H_
