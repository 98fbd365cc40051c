#include "runtime/graph/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/log/check.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

struct Placed {
  uint64_t offset = 0;
  uint64_t end = 0;
  int32_t first = 0;
  int32_t last = 0;
};

// The start of the smallest free gap of at least `bytes`, else the first free
// address behind everything. `placed` is sorted by offset.
uint64_t FindOffset(const std::vector<Placed>& placed, uint64_t bytes, const BufferLife& life) {
  uint64_t best = 0;
  uint64_t best_gap = std::numeric_limits<uint64_t>::max();
  bool found = false;
  uint64_t free_from = 0;
  for (const Placed& other : placed) {
    if (other.last < life.first || life.last < other.first) continue;
    if (other.offset > free_from) {
      const uint64_t gap = other.offset - free_from;
      if (gap >= bytes && gap < best_gap) {
        best = free_from;
        best_gap = gap;
        found = true;
      }
    }
    free_from = std::max(free_from, other.end);
  }
  return found ? best : free_from;
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(absl::Span<const BufferLife> buffers) {
  MemoryPlan plan;
  plan.offsets.resize(buffers.size(), 0);
  // No sum below can wrap if even all buffers side by side do not.
  uint64_t sum = 0;
  for (const BufferLife& buffer : buffers) {
    DCHECK(buffer.first <= buffer.last);
    constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max() / 2;
    if (buffer.bytes > kMax - kBufferAlignmentBytes || sum > kMax - buffer.bytes) {
      return absl::ResourceExhaustedError(
          StrCat("activations of more than ", kMax, " bytes in one program"));
    }
    sum += buffer.bytes + kBufferAlignmentBytes;
  }

  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  std::vector<Placed> placed;
  placed.reserve(buffers.size());
  for (const size_t index : order) {
    const BufferLife& life = buffers[index];
    if (life.bytes == 0) continue;
    const uint64_t bytes =
        (life.bytes + kBufferAlignmentBytes - 1) / kBufferAlignmentBytes * kBufferAlignmentBytes;
    const uint64_t offset = FindOffset(placed, bytes, life);
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    const Placed entry{offset, offset + bytes, life.first, life.last};
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), entry,
                         [](const Placed& a, const Placed& b) { return a.offset < b.offset; }),
        entry);
  }
  return plan;
}

}  // namespace paramd
