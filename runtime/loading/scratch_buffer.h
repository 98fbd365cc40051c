// ScratchBuffer: temporary memory of a load. Mapped and unmapped directly: what
// malloc frees in large pieces may stay with the process, and a load must leave
// nothing behind.
//
// Life: owns its bytes. Thread-safety: one owner.
#ifndef PARAMD_RUNTIME_LOADING_SCRATCH_BUFFER_H_
#define PARAMD_RUNTIME_LOADING_SCRATCH_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/params/sealed_memory.h"

namespace paramd {

class ScratchBuffer {
 public:
  ScratchBuffer() = default;
  // Zeroed, page-aligned; ResourceExhausted if the system has no more. 0 bytes is fine.
  static absl::StatusOr<ScratchBuffer> Allocate(uint64_t bytes);

  absl::Span<std::byte> bytes() const { return {map_.data(), bytes_}; }
  void Reset() {
    map_.Reset();
    bytes_ = 0;
  }

 private:
  MappedRange map_;
  uint64_t bytes_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_SCRATCH_BUFFER_H_
