// KeeperCore: what the keeper knows, without processes: who is connected, which
// segment is whose, what is held, the desired state, generations.
//
// Connect -> Handle (frames in, frames out) -> Disconnect, which ends every
// lease and every unfinished build of that worker. Holdings and the state stay.
// What concerns processes (welcome, ready, upgrade) is passed on to KeeperEvents.
//
// Save puts everything into bytes and a list of named descriptors; Restore makes
// a core of them again: in the next image after the keeper has re-executed
// itself (its workers stay connected), or in the next process from the service
// manager's store of descriptors (its workers are gone: Disconnect each).
//
// Life: borrows state and events, which outlive it. Thread-safety: one thread.
#ifndef PARAMD_SERVER_KEEPER_KEEPER_CORE_H_
#define PARAMD_SERVER_KEEPER_KEEPER_CORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/segment_registry.h"
#include "runtime/params/segment_table.h"
#include "server/keeper/keeper_protocol.h"
#include "server/state/state_store.h"

namespace paramd {

using WorkerId = uint64_t;  // Never 0, never the same twice.

// More loaded versions than any machine has.
inline constexpr size_t kHoldingsMax = 100'000;
inline constexpr uint64_t kHoldingBytesMax = 128u << 20;

// The process side, called from within Handle, Disconnect and Restore. It may
// not call the core back.
class KeeperEvents {
 public:
  virtual ~KeeperEvents() = default;

  // A worker has said who it is. Descriptors are duplicates for it. An error is
  // told to the worker, whose connection then ends.
  virtual absl::StatusOr<KeeperWelcome> Welcome(WorkerId worker, const WorkerHello& hello) = 0;
  virtual void Ready(WorkerId worker) = 0;
  virtual void Healthy(WorkerId worker, std::string_view version) = 0;
  virtual absl::Status RequestUpgrade(WorkerId worker) = 0;
  virtual UpgradeStatus upgrade_status() = 0;
  virtual void Send(WorkerId worker, KeeperEvent event) = 0;
  // For the service manager's store: `fd` is borrowed, and stays open until
  // SegmentRemoved. `name` is "segment-<number>", as in Saved.
  virtual void SegmentAdded(const std::string& name, int fd) = 0;
  virtual void SegmentRemoved(const std::string& name) = 0;
};

struct KeeperCoreOptions {
  uint64_t capacity_bytes = 0;  // Required.
  // Microseconds of the wall clock at start.
  uint64_t generation_start = 1;
};

class KeeperCore {
 public:
  KeeperCore(const KeeperCoreOptions& options, MemoryStateStore* state, KeeperEvents* events);
  ~KeeperCore();
  KeeperCore(const KeeperCore&) = delete;
  KeeperCore& operator=(const KeeperCore&) = delete;

  WorkerId Connect();
  // Not connected: nothing happens.
  void Disconnect(WorkerId worker);
  std::vector<WorkerId> workers() const;

  // One frame of a worker; what it is answered is appended. An error is a frame
  // that no worker sends: send what was appended, close its socket, Disconnect it.
  absl::Status Handle(WorkerId worker, Frame frame, std::vector<Frame>* replies);

  SegmentTable::Usage usage() const { return registry_.usage(); }
  std::vector<SegmentTable::Holding> Holdings() const { return registry_.Holdings(); }
  // Leases and builds of one worker; zeros when it is not connected.
  SegmentRegistry::OwnerUsage UsageOf(WorkerId worker) const { return registry_.UsageOf(worker); }
  // Grows whenever what Save would write may have changed: who keeps a saved
  // copy compares.
  uint64_t changes() const { return changes_; }

  struct NamedFd {
    std::string name;
    int fd = -1;  // Borrowed, open until the core changes.
  };
  struct Saved {
    std::string bytes;
    std::vector<NamedFd> fds;
  };
  Saved Save() const;

  struct OwnedFd {
    std::string name;
    UniqueFd fd;
  };
  struct Restored;
  // DataLoss: the bytes are damaged, not ours, or contradict themselves;
  // Unimplemented: written by a version that this one does not know. A segment
  // whose descriptor is missing or not sealed is left out, and so is every
  // holding that needs it (its model loads anew). Generations go on above the
  // saved ones, the state is the newer of the saved and the given one.
  // SegmentAdded is not called for what is restored.
  static absl::StatusOr<Restored> Restore(const KeeperCoreOptions& options, MemoryStateStore* state,
                                          KeeperEvents* events, std::string_view bytes,
                                          std::vector<OwnedFd> fds);

 private:
  struct Worker {
    bool greeted = false;
    bool waiting = false;  // Was told to wait, and of no change since.
  };

  static std::string SegmentName(uint64_t segment_id);
  absl::Status Hello(WorkerId id, Worker* worker, const Frame& frame, std::vector<Frame>* replies);
  absl::Status Dispatch(WorkerId id, Worker* worker, Frame frame, std::vector<Frame>* replies);
  absl::Status Claim(WorkerId id, Worker* worker, const Frame& frame, std::vector<Frame>* replies);
  absl::Status Put(WorkerId id, Frame frame, std::vector<Frame>* replies);
  absl::Status GiveBack(WorkerId id, const Frame& frame, std::vector<Frame>* replies);
  absl::Status Named(WorkerId id, const Frame& frame, std::vector<Frame>* replies);
  absl::Status Ask(WorkerId id, const Frame& frame, std::vector<Frame>* replies);
  absl::Status Hold(SegmentTable::Holding holding, std::vector<SegmentRegistry::Closed>* closed);
  void Close(std::vector<SegmentRegistry::Closed> closed);
  // Builds ended: wakes whoever waits for one.
  void TellWaiting();

  MemoryStateStore* const state_;
  KeeperEvents* const events_;
  SegmentRegistry registry_;
  std::map<WorkerId, Worker> workers_;
  WorkerId next_worker_ = 1;
  uint64_t changes_ = 0;
};

struct KeeperCore::Restored {
  std::unique_ptr<KeeperCore> core;
  // Given, but part of nothing (closed by now): to be removed from the store
  // that they came from.
  std::vector<std::string> unused_fds;
  // What was left out and why, for the log.
  std::vector<std::string> notes;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_KEEPER_CORE_H_
