// StateStore: where the desired state is kept: one document of opaque bytes
// with a revision. Who edits it reads, changes and sets under the revision that
// was read; when somebody was faster, Aborted says so and the edit starts over.
//
// In paramd the keeper has it, so it survives workers and upgrades (KeeperClient
// is the other implementation); without a keeper it is MemoryStateStore.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_STATE_STATE_STORE_H_
#define PARAMD_SERVER_STATE_STATE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"

namespace paramd {

struct StoredState {
  uint64_t revision = 0;  // 0: nothing was ever set.
  std::string bytes;
};

// More than any desired state needs: 10,000 models of a few hundred bytes.
inline constexpr uint64_t kStateBytesMax = uint64_t{16} << 20;

class StateStore {
 public:
  virtual ~StateStore() = default;

  virtual absl::StatusOr<StoredState> Read() const = 0;
  // The new revision, always larger. Aborted: the revision is not `expected` any
  // more. InvalidArgument: above kStateBytesMax. An error of the file, if there
  // is one, leaves the state as it was.
  virtual absl::StatusOr<uint64_t> CompareAndSet(uint64_t expected, std::string bytes) = 0;
};

class MemoryStateStore final : public StateStore {
 public:
  // `file` empty: in memory only. Else the state is read from there now, if it
  // exists, and every change is written there (a new file, synced, renamed over
  // the old one). DataLoss: the file is not one of ours.
  static absl::StatusOr<std::unique_ptr<MemoryStateStore>> Open(const std::string& file);

  absl::StatusOr<StoredState> Read() const override;
  absl::StatusOr<uint64_t> CompareAndSet(uint64_t expected, std::string bytes) override;
  // Takes a state that was saved elsewhere, if it is newer than this one.
  absl::Status AdoptIfNewer(StoredState state);

 private:
  MemoryStateStore(std::string file, StoredState state)
      : file_(std::move(file)), state_(std::move(state)) {}
  // The file first, then the memory.
  absl::Status Replace(StoredState state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string file_;
  mutable Mutex mutex_;
  StoredState state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_STATE_STORE_H_
