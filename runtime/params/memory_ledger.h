// MemoryLedger: where every byte of the store is, at one moment. Lines are
// sums over segments, whole pages; none is computed by subtraction, so a bug
// shows as a sum that does not add up instead of hiding in "the rest":
//
//   sum of the sets' unique_bytes + shared_once_bytes + unowned_bytes
//       = held_bytes = what this process has mapped
//
// A bundle is one segment: it counts as shared as soon as two sets use any of
// its entries, because it goes only when both have gone.
//
// Life: a value, from ParameterStore::Ledger. Thread-safety: a value.
#ifndef PARAMD_RUNTIME_PARAMS_MEMORY_LEDGER_H_
#define PARAMD_RUNTIME_PARAMS_MEMORY_LEDGER_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/params/segment_table.h"

namespace paramd {

// Bytes by EntryKind.
struct KindBytes {
  std::array<uint64_t, kEntryKinds> by_kind{};

  void Add(EntryKind kind, uint64_t bytes) { by_kind[static_cast<size_t>(kind)] += bytes; }
  uint64_t of(EntryKind kind) const { return by_kind[static_cast<size_t>(kind)]; }
  uint64_t total() const {
    uint64_t sum = 0;
    for (uint64_t bytes : by_kind) sum += bytes;
    return sum;
  }
};

// What one ParameterSet holds.
struct SetBytes {
  KindBytes unique;  // Segments whose only holder is this set.
  KindBytes shared;  // Segments with other holders too.
};

struct MemoryLedger {
  struct SetLine {
    uint64_t set_id = 0;
    std::string label;
    SetBytes bytes;
  };
  std::vector<SetLine> sets;       // In the order of their making.
  uint64_t shared_once_bytes = 0;  // Each segment of two or more sets, once.
  uint64_t unowned_bytes = 0;      // Segments of no set yet: loads in progress.
  uint64_t held_bytes = 0;         // Every segment this process has mapped, once.
  SegmentTable::Usage table;       // The same as the table counts it, with reservations.

  // One line a set and the totals, for /statusz and the log.
  std::string ToString() const;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_MEMORY_LEDGER_H_
