// ProgramCache: the compiled programs of one model, by input shapes. Bounded:
// beyond the limit the least recently used one that is not kept goes.
//
//   compile thread   Insert -> a new snapshot replaces the old, version + 1
//   stream threads   one atomic load of the version; only when it changed, a lock
//                    to take the new snapshot
//
// (std::atomic<std::shared_ptr> would do the same with a lock inside, which
// ThreadSanitizer does not understand.)
//
// Thread-safety: thread-safe. What a snapshot holds is const.
#ifndef PARAMD_RUNTIME_GRAPH_PROGRAM_CACHE_H_
#define PARAMD_RUNTIME_GRAPH_PROGRAM_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "runtime/base/mutex.h"
#include "runtime/graph/compiled_program.h"
#include "runtime/tensor/shape.h"

namespace paramd {

// Keeps one program alive. Cheap to copy.
class ProgramRef {
 public:
  ProgramRef() = default;
  explicit ProgramRef(std::unique_ptr<const CompiledProgram> program)
      : held_(std::make_shared<Held>()) {
    held_->program = std::move(program);
  }

  bool valid() const { return held_ != nullptr; }
  const CompiledProgram& operator*() const { return *held_->program; }
  const CompiledProgram* operator->() const { return held_->program.get(); }
  const CompiledProgram* get() const { return held_ == nullptr ? nullptr : held_->program.get(); }

  // When it was last prepared, on the cache's own count.
  void Touch(uint64_t tick) const { held_->last_used.store(tick, std::memory_order_relaxed); }
  uint64_t last_used() const { return held_->last_used.load(std::memory_order_relaxed); }

  // Whether it was compiled for exactly these shapes.
  bool IsFor(absl::Span<const Shape> input_shapes) const;

 private:
  struct Held {
    std::unique_ptr<const CompiledProgram> program;
    std::atomic<uint64_t> last_used{0};
  };
  std::shared_ptr<Held> held_;
};

class ProgramCache {
 public:
  struct Entry {
    ProgramRef program;
    bool keep = false;  // Warm-up sizes: batches fall back on them, so they stay.
  };
  using Snapshot = std::vector<Entry>;
  // Keeps one state of the cache alive.
  class SnapshotRef {
   public:
    SnapshotRef() = default;
    const Snapshot& operator*() const { return *snapshot_; }
    const Snapshot* operator->() const { return snapshot_.get(); }

   private:
    friend class ProgramCache;
    explicit SnapshotRef(std::shared_ptr<const Snapshot> snapshot)
        : snapshot_(std::move(snapshot)) {}
    std::shared_ptr<const Snapshot> snapshot_;
  };

  // REQUIRES: programs_max >= 1. Kept programs do not count.
  explicit ProgramCache(size_t programs_max)
      : programs_max_(programs_max), snapshot_(std::make_shared<const Snapshot>()) {}

  // Changes with every snapshot.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  SnapshotRef snapshot() const;

  // The program for these shapes, or an invalid ref.
  ProgramRef Find(absl::Span<const Shape> input_shapes) const;
  // A program for the same shapes that is already there stays instead.
  void Insert(ProgramRef program, bool keep);

  uint64_t NextTick() const { return tick_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  const size_t programs_max_;
  std::atomic<uint64_t> version_{1};
  mutable std::atomic<uint64_t> tick_{0};
  mutable Mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PROGRAM_CACHE_H_
