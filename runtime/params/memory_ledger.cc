#include "runtime/params/memory_ledger.h"

#include "runtime/base/strings.h"

namespace paramd {

std::string MemoryLedger::ToString() const {
  std::string text;
  for (const SetLine& line : sets) {
    StrAppend(&text, line.label, ": unique ", line.bytes.unique.total(), ", shared ",
              line.bytes.shared.total(), "\n");
  }
  StrAppend(&text, "shared once ", shared_once_bytes, ", in no set ", unowned_bytes, ", held ",
            held_bytes, "\nsealed ", table.sealed_bytes, " and reserved ", table.reserved_bytes,
            " of ", table.capacity_bytes, " in ", table.segments, " segments\n");
  return text;
}

}  // namespace paramd
