#include "server/batching/batch_policy.h"

#include <algorithm>
#include <bit>

namespace paramd {
namespace {

bool Contains(absl::Span<const int64_t> ascending, int64_t value) {
  return std::binary_search(ascending.begin(), ascending.end(), value);
}

bool IsShort(const GroupView& group, const BatchLimits& limits, int64_t rows) {
  return rows == 1 || group.cost->Predict(rows) <= limits.time_max;
}

// The largest warm size that may run now, or 0.
int64_t LargestWarm(const GroupView& group, const BatchLimits& limits, int64_t rows) {
  for (auto size = group.warm.rbegin(); size != group.warm.rend(); ++size) {
    if (*size <= rows && IsShort(group, limits, *size)) return *size;
  }
  return 0;
}

int64_t PowerOfTwoBelow(int64_t rows) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows)));
}

// The size to compile so that `rows` can run: just that many, or smaller powers
// of two where it was refused, would take too long, or the group has its share.
int64_t SizeToCompile(const GroupView& group, const BatchLimits& limits, int64_t rows) {
  const bool exact = static_cast<int64_t>(group.warm.size()) < limits.exact_sizes_max;
  int64_t size = exact ? rows : PowerOfTwoBelow(rows);
  while (size > 1 && (Contains(group.refused, size) || !IsShort(group, limits, size))) {
    const int64_t below = PowerOfTwoBelow(size);
    size = below < size ? below : size / 2;
  }
  return Contains(group.warm, size) || Contains(group.refused, size) ? 0 : size;
}

}  // namespace

BatchStep NextBatch(const GroupView& group, const BatchLimits& limits, absl::Time now) {
  BatchStep step;
  const int64_t rows = std::min(group.rows_waiting, limits.rows_max);
  int64_t warm = LargestWarm(group, limits, rows);
  if (!group.compiling && warm < rows) {
    const int64_t wanted = SizeToCompile(group, limits, rows);
    if (wanted > warm) step.compile_rows = wanted;
  }
  if (warm == 0 && !group.compiling && step.compile_rows == 0 && !group.warm.empty() &&
      group.warm.front() <= rows) {
    // Smaller sizes cannot be compiled: too long a batch is better than none.
    warm = group.warm.front();
  }
  if (warm == 0) return step;
  const absl::Time run_at = group.oldest + limits.queue_delay_max;
  // Company helps only while the batch can still grow.
  const bool full = group.rows_waiting >= limits.rows_max || !IsShort(group, limits, rows + 1) ||
                    Contains(limits.preferred, group.rows_waiting);
  if (!full && now < run_at) {
    step.wake_at = run_at;
    step.compile_rows = 0;  // The number of rows is not known yet.
    return step;
  }
  step.run_rows = warm;
  return step;
}

int64_t RowsWithoutSplit(absl::Span<const int64_t> call_rows, int64_t rows,
                         absl::Span<const int64_t> warm) {
  int64_t border = 0;
  for (const int64_t next : call_rows) {
    // A call that no batch of this size holds is split in any case.
    if (next > rows) return rows;
    if (border + next > rows) break;
    border += next;
  }
  return border == rows || Contains(warm, border) ? border : rows;
}

}  // namespace paramd
