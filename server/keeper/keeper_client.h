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
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/segment_table.h"
#include "server/keeper/keeper_protocol.h"
#include "server/state/state_store.h"

namespace paramd {

// The exit status of a worker whose keeper is gone.
inline constexpr int kKeeperLostExit = 75;  // EX_TEMPFAIL: start again.

class KeeperClient final : public SegmentTable, public StateStore {
 public:
  // The reaction to a keeper that is gone or speaks nonsense; the call that found
  // out returns an error (or nothing) after it, if it returns.
  using OnLost = std::function<void(const absl::Status&)>;

  // `socket` is the worker's end (PARAMD_KEEPER_FD). FailedPrecondition: the
  // keeper is of another version. `on_lost` is called at most once, on the
  // thread that found out; empty: a log line and _exit(kKeeperLostExit).
  static absl::StatusOr<std::unique_ptr<KeeperClient>> Connect(UniqueFd socket,
                                                               const WorkerHello& hello,
                                                               OnLost on_lost = {});
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
  using UpgradeStatus = paramd::UpgradeStatus;
  UpgradeStatus upgrade_status() const;
  // On the acceptor thread, when kChanged came.
  void NoticeChanged();
  // On the acceptor thread, when the events' socket has closed: the keeper is
  // gone, and a Claim that waits would never hear of it.
  void NoticeClosed();

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
