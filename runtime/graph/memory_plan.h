// MemoryPlan: where in the arena each buffer of a program lies, so that buffers
// that are never needed at the same time share addresses.
//
// Life: computed once per compiled program. Thread-safety: a pure function.
#ifndef PARAMD_RUNTIME_GRAPH_MEMORY_PLAN_H_
#define PARAMD_RUNTIME_GRAPH_MEMORY_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace paramd {

// Covers AVX-512 loads and one cache line.
inline constexpr uint64_t kBufferAlignmentBytes = 64;

// A buffer holds something from step `first` to step `last`, both included.
struct BufferLife {
  uint64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct MemoryPlan {
  std::vector<uint64_t> offsets;  // One per buffer, multiples of kBufferAlignmentBytes.
  uint64_t bytes = 0;             // Needed in all.
};

// Largest buffers first, each into the tightest gap that is free throughout its
// life. ResourceExhausted if the sum of all does not fit 64 bits.
// REQUIRES: first <= last for every buffer.
absl::StatusOr<MemoryPlan> PlanMemory(absl::Span<const BufferLife> buffers);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_MEMORY_PLAN_H_
