#include "server/held_models.h"

#include <algorithm>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"

namespace paramd {

std::optional<HeldModels::Held> HeldModels::Read(SegmentTable::Holding holding) const {
  absl::StatusOr<ModelRecord> record = ParseModelRecord(holding.note);
  if (!record.ok()) {
    LOG(WARNING) << "what is kept in memory of " << holding.name
                 << " cannot be used: " << record.status();
    return std::nullopt;
  }
  return Held{std::move(holding.name), *std::move(record), std::move(holding.keys)};
}

std::optional<HeldModels::Held> HeldModels::Find(std::string_view label) const {
  for (SegmentTable::Holding& holding : table_->Holdings()) {
    if (holding.name == label) return Read(std::move(holding));
  }
  return std::nullopt;
}

std::vector<HeldModels::Held> HeldModels::All() const {
  std::vector<Held> all;
  for (SegmentTable::Holding& holding : table_->Holdings()) {
    if (std::optional<Held> held = Read(std::move(holding))) all.push_back(*std::move(held));
  }
  return all;
}

absl::Status HeldModels::Hold(std::string_view label, const ModelRecord& record,
                              const ParameterSet& set) {
  SegmentTable::Holding holding;
  holding.name = std::string(label);
  for (const ParameterRef& entry : set.entries()) holding.keys.push_back(entry.key());
  PARAMD_ASSIGN_OR_RETURN(holding.note, SerializeModelRecord(record));
  MutexLock lock(&mutex_);
  return table_->Hold(std::move(holding));
}

void HeldModels::Release(std::string_view label, uint64_t generation) {
  MutexLock lock(&mutex_);
  const std::optional<Held> held = Find(label);
  if (held.has_value() && held->record.generation == generation) table_->Unhold(label);
}

int HeldModels::ReleaseAllBut(const std::vector<std::pair<std::string, uint64_t>>& wanted) {
  MutexLock lock(&mutex_);
  int released = 0;
  for (SegmentTable::Holding& holding : table_->Holdings()) {
    const std::string name = holding.name;
    const std::optional<Held> held = Read(std::move(holding));
    const bool keep =
        held.has_value() && std::find(wanted.begin(), wanted.end(),
                                      std::pair(name, held->record.generation)) != wanted.end();
    if (keep) continue;
    table_->Unhold(name);
    ++released;
  }
  return released;
}

}  // namespace paramd
