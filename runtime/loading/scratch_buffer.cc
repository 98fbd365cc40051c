#include "runtime/loading/scratch_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/strings.h"

namespace paramd {

absl::StatusOr<ScratchBuffer> ScratchBuffer::Allocate(uint64_t bytes) {
  ScratchBuffer buffer;
  if (bytes == 0) return buffer;
  if (bytes > kSealedBytesMax) {
    return absl::ResourceExhaustedError(
        StrCat(bytes, " bytes of scratch, above the limit of ", kSealedBytesMax));
  }
  void* const start =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        StrCat("no memory for ", bytes, " bytes of scratch: ", std::strerror(errno)));
  }
  // A fault for every 4 KiB is a tenth of loading a large tensor. Advice: where
  // there are no huge pages it is as before.
  if (bytes >= kHugePageBytes) static_cast<void>(madvise(start, bytes, MADV_HUGEPAGE));
  buffer.map_ = MappedRange(start, bytes);
  buffer.bytes_ = bytes;
  return buffer;
}

}  // namespace paramd
