// Arena: the activation memory of one stream. A large range of addresses is
// reserved once and never moves; memory behind it appears as it is first
// touched. All sessions of a stream share it from the bottom up, one batch at a
// time, so bound addresses stay good whatever is loaded later.
//
// Life: as long as its stream. Thread-safety: Reserve is thread-safe; the
// memory belongs to the stream's thread.
#ifndef PARAMD_RUNTIME_GRAPH_ARENA_H_
#define PARAMD_RUNTIME_GRAPH_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace paramd {

// Enough for any model's activations; memory appears as it is touched.
inline constexpr uint64_t kArenaAddressBytes = uint64_t{64} << 30;

class Arena {
 public:
  // Reserves `address_bytes` of address space, not of memory.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(uint64_t address_bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // A program needs `bytes` from base(). ResourceExhausted, with both numbers, beyond the range.
  absl::Status Reserve(uint64_t bytes);
  std::byte* base() const { return base_; }
  // The largest Reserve so far: what the stream's activations may occupy.
  uint64_t reserved_bytes() const { return reserved_.load(std::memory_order_relaxed); }
  // Gives memory above `bytes` back to the system (after a model was unloaded).
  void Trim(uint64_t bytes);

 private:
  Arena(std::byte* base, uint64_t address_bytes) : base_(base), address_bytes_(address_bytes) {}
  std::byte* const base_;
  const uint64_t address_bytes_;
  std::atomic<uint64_t> reserved_{0};
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_ARENA_H_
