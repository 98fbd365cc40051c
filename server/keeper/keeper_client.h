// KeeperClient: the worker's end of its socket to the keeper: the segment table
// and the desired state of the machine, which outlive this process.
//
// Life: Connect once at start; the socket's end is the end of every lease and
// every unfinished build of this process, so a worker that is killed leaks none.
// The keeper's death is the worker's: a call that finds the socket closed ends
// the process with a log line (the next paramd starts clean).
//
// Thread-safety: thread-safe. Calls are answered one at a time, in a few
// microseconds; only Claim may block.
#ifndef PARAMD_SERVER_KEEPER_KEEPER_CLIENT_H_
#define PARAMD_SERVER_KEEPER_KEEPER_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/segment_table.h"
#include "server/state/state_store.h"

namespace paramd {

// What a worker says of itself when it connects.
struct WorkerHello {
  int64_t pid = 0;
  std::string build;  // VersionText().
  // Of manifests and packed layouts (oneDNN's version, instruction set): holdings
  // of another format are not restored from, but loaded anew.
  std::string format;
};

// What the keeper answers.
struct KeeperWelcome {
  // Inherited sockets, listening. grpc is always there.
  UniqueFd grpc_listener;
  UniqueFd admin_listener;  // May be invalid: no admin socket.
  // Events, see KeeperEvent; one byte each, from the keeper only.
  UniqueFd events;
  // Shared page for breadcrumbs (breadcrumb.h); writable by the worker.
  UniqueFd breadcrumb;
  // Another worker serves still: come up, call ReportReady, and accept no
  // connection and bind no port before kServe.
  bool successor = false;
  // How often workers have died since the keeper started, for a metric.
  uint64_t crashes = 0;
  struct Quarantined {
    std::string version;  // "digits/3".
    std::string reason;   // "the worker crashed 3 times while running it".
  };
  // Not to be loaded until their files change or somebody asks.
  std::vector<Quarantined> quarantined;
};

enum class KeeperEvent : uint8_t {
  kServe = 'S',    // Accept connections from now on.
  kRetire = 'R',   // Accept none; serve what is connected until it has gone, then exit.
  kStop = 'T',     // As SIGTERM: readiness off, grace, drain, exit.
  kChanged = 'C',  // Another worker's claim ended: who waits in Claim looks again.
  kRescan = 'H',   // The keeper got SIGHUP.
};

class KeeperClient final : public SegmentTable, public StateStore {
 public:
  // `socket` is the worker's end (PARAMD_KEEPER_FD).
  static absl::StatusOr<std::unique_ptr<KeeperClient>> Connect(UniqueFd socket,
                                                               const WorkerHello& hello);
  ~KeeperClient() override;

  // Moves the descriptors out; once.
  KeeperWelcome TakeWelcome();

  // Everything desired serves or has failed.
  void ReportReady();
  // A version that serves or failed cleanly: its crashes are forgotten.
  void ReportHealthy(std::string_view version);
  // Asks for a successor from the binary that is installed now (paramctl
  // upgrade). FailedPrecondition: one is on its way already.
  absl::Status RequestUpgrade();
  struct UpgradeStatus {
    enum class Phase : uint8_t { kNone, kStarting, kDraining, kDone, kFailed };
    Phase phase = Phase::kNone;
    int64_t serving_pid = 0;
    std::string message;
  };
  UpgradeStatus upgrade_status() const;
  // On the acceptor thread, when kChanged came.
  void NoticeChanged();

  // SegmentTable.
  absl::StatusOr<ClaimResult> Claim(absl::Span<const EntryRequest> requests,
                                    EntryKind kind) override;
  absl::StatusOr<uint64_t> Put(uint64_t ticket, UniqueFd fd,
                               std::vector<EntryPlace> places) override;
  void Abandon(uint64_t ticket) override;
  void Release(uint64_t segment_id) override;
  absl::Status Hold(Holding holding) override;
  void Unhold(std::string_view name) override;
  std::vector<Holding> Holdings() const override;
  std::vector<SegmentInfo> List() const override;
  Usage usage() const override;
  uint64_t NextGeneration() override;

  // StateStore.
  absl::StatusOr<StoredState> Read() const override;
  absl::StatusOr<uint64_t> CompareAndSet(uint64_t expected, std::string bytes) override;

 private:
  class Impl;
  explicit KeeperClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_KEEPER_CLIENT_H_
