#include "runtime/graph/program_cache.h"

#include <algorithm>

namespace paramd {

bool ProgramRef::IsFor(absl::Span<const Shape> input_shapes) const {
  const std::vector<ProgramTensor>& inputs = held_->program->inputs;
  if (inputs.size() != input_shapes.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!(inputs[i].shape == input_shapes[i])) return false;
  }
  return true;
}

ProgramCache::SnapshotRef ProgramCache::snapshot() const {
  MutexLock lock(&mutex_);
  return SnapshotRef(snapshot_);
}

ProgramRef ProgramCache::Find(absl::Span<const Shape> input_shapes) const {
  const SnapshotRef now = snapshot();
  for (const Entry& entry : *now) {
    if (entry.program.IsFor(input_shapes)) return entry.program;
  }
  return {};
}

void ProgramCache::Insert(ProgramRef program, bool keep) {
  // What falls out is destroyed after the lock is released.
  std::shared_ptr<const Snapshot> before;
  program.Touch(NextTick());
  MutexLock lock(&mutex_);
  auto next = std::make_shared<Snapshot>(*snapshot_);
  std::vector<Shape> shapes;
  for (const ProgramTensor& input : program->inputs) shapes.push_back(input.shape);
  const auto same = std::find_if(next->begin(), next->end(),
                                 [&](const Entry& entry) { return entry.program.IsFor(shapes); });
  if (same != next->end()) {
    same->keep |= keep;
  } else {
    const auto loose = static_cast<size_t>(
        std::count_if(next->begin(), next->end(), [](const Entry& entry) { return !entry.keep; }));
    if (!keep && loose >= programs_max_) {
      auto oldest = next->end();
      for (auto it = next->begin(); it != next->end(); ++it) {
        if (it->keep) continue;
        if (oldest == next->end() || it->program.last_used() < oldest->program.last_used()) {
          oldest = it;
        }
      }
      next->erase(oldest);
    }
    next->push_back({std::move(program), keep});
  }
  before = std::move(snapshot_);
  snapshot_ = std::move(next);
  version_.fetch_add(1, std::memory_order_release);
}

}  // namespace paramd
