#include "runtime/graph/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/log/check.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Huge pages can back the arena only where it starts on one.
constexpr uint64_t kHugePageBytes = 2 << 20;

uint64_t RoundUp(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(uint64_t address_bytes) {
  constexpr uint64_t kAddressBytesMax = uint64_t{1} << 46;  // Half of what a process has.
  if (address_bytes == 0 || address_bytes > kAddressBytesMax) {
    return absl::InvalidArgumentError(StrCat(
        "arena of ", address_bytes, " bytes of addresses; expected 1 to ", kAddressBytesMax));
  }
  const uint64_t wanted = RoundUp(address_bytes, kHugePageBytes);
  // One huge page more than wanted, so that an aligned start is inside.
  const uint64_t mapped = wanted + kHugePageBytes;
  void* const start = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        StrCat("reserving ", mapped, " bytes of addresses for an arena: ", std::strerror(errno)));
  }
  const auto first = reinterpret_cast<uintptr_t>(start);
  const uintptr_t aligned = RoundUp(first, kHugePageBytes);
  const uint64_t head = aligned - first;
  const uint64_t tail = mapped - head - wanted;
  if (head > 0) munmap(start, head);
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + wanted), tail);
  return std::unique_ptr<Arena>(new Arena(reinterpret_cast<std::byte*>(aligned), wanted));
}

Arena::~Arena() { munmap(base_, address_bytes_); }

absl::Status Arena::Reserve(uint64_t bytes) {
  if (bytes > address_bytes_) {
    return absl::ResourceExhaustedError(StrCat(
        "the program needs ", bytes, " bytes of activations, the arena has ", address_bytes_));
  }
  uint64_t seen = reserved_.load(std::memory_order_relaxed);
  while (seen < bytes && !reserved_.compare_exchange_weak(seen, bytes, std::memory_order_relaxed)) {
  }
  return absl::OkStatus();
}

void Arena::Trim(uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t keep = RoundUp(bytes, page);
  if (keep >= address_bytes_) return;
  // Private anonymous memory reads as zero after this and comes back when touched,
  // so a program that is still bound up there stays correct.
  PCHECK(madvise(base_ + keep, address_bytes_ - keep, MADV_DONTNEED) == 0);
  uint64_t seen = reserved_.load(std::memory_order_relaxed);
  while (seen > bytes && !reserved_.compare_exchange_weak(seen, bytes, std::memory_order_relaxed)) {
  }
}

}  // namespace paramd
