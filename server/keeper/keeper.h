// Keeper: the process that outlives its workers: sockets, sealed memory, the
// desired state; starts, watches and replaces them. One thread, one poll().
//
// KeeperCore is what it knows of segments, CrashPolicy and UpgradePolicy what it
// decides; this class has the processes, the sockets and the signals.
//
//   SIGTERM, SIGINT  stop the worker in good order, end with its status
//   SIGHUP           the worker reads its repository again
//   SIGUSR2          upgrade: a worker of the binary that is installed now; and if
//                    the keeper's own binary is another one, it executes that first
//
// Life: Start, Run. Thread-safety: one thread, the process's only one.
#ifndef PARAMD_SERVER_KEEPER_KEEPER_H_
#define PARAMD_SERVER_KEEPER_KEEPER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/unique_fd.h"
#include "server/config/server_config.h"
#include "server/keeper/crash_policy.h"
#include "server/keeper/keeper_core.h"
#include "server/keeper/keeper_image.h"
#include "server/keeper/service_manager.h"
#include "server/keeper/upgrade_policy.h"
#include "server/keeper/worker_process.h"
#include "server/state/state_store.h"

namespace paramd {

// Set by a keeper for its next image: the descriptor of a KeeperImage.
inline constexpr char kKeeperImageVariable[] = "PARAMD_KEEPER_IMAGE";

// The listeners' names in an image and in the service manager's store.
inline constexpr char kGrpcListenerName[] = "grpc-listener";
inline constexpr char kAdminListenerName[] = "admin-listener";

struct KeeperOptions {
  ServerConfig config;
  std::string program;  // The keeper's own path, for its next image.
  WorkerCommand worker;
  std::string notify_socket;           // $NOTIFY_SOCKET.
  std::vector<InheritedFd> inherited;  // From the service manager.
  UniqueFd image;                      // From the image before; may be invalid.
};

class Keeper final : private KeeperEvents {
 public:
  // Signals must be blocked already (BlockSignals). AlreadyExists: a port or the
  // admin socket is taken.
  static absl::StatusOr<std::unique_ptr<Keeper>> Start(KeeperOptions options, const Clock* clock);
  static void BlockSignals();
  ~Keeper() override;

  // Until it is told to stop, or its first worker does not start. The status to
  // exit with.
  int Run();

 private:
  Keeper(KeeperOptions options, const Clock* clock);

  // Start's parts.
  absl::Status Open();
  absl::Status RestoreImage();  // From the image before: workers live.
  absl::Status RestoreStore();  // From the service manager.
  absl::Status RestoreCore(KeeperImage image, std::vector<KeeperCore::OwnedFd> fds);
  absl::Status OpenListeners();

  // KeeperEvents.
  absl::StatusOr<KeeperWelcome> Welcome(WorkerId id, const WorkerHello& hello) override;
  void Ready(WorkerId id) override;
  void Healthy(WorkerId id, std::string_view version) override;
  absl::Status RequestUpgrade(WorkerId id) override;
  UpgradeStatus upgrade_status() override;
  void Send(WorkerId id, KeeperEvent event) override;
  void SegmentAdded(const std::string& name, int fd) override;
  void SegmentRemoved(const std::string& name) override;

  WorkerProcess* Find(WorkerId id);
  WorkerProcess* WithRole(WorkerRole role);
  void StartProcess(WorkerRole role);
  void ReadFrames(WorkerProcess* worker, bool to_the_end);
  void EndConnection(WorkerProcess* worker);
  void ReadSignals();
  void ReapChildren();
  void OnExit(std::unique_ptr<WorkerProcess> worker, int wait_status);
  void OnCrash(const WorkerProcess& worker, int wait_status);
  void Take(const UpgradePolicy::Steps& steps);
  void Stop();
  void OnTime();
  int WaitMs() const;
  void Poll();
  // What the service manager shows beside the service's name.
  void ShowStatus();

  // Its next image: all descriptors and children stay.
  bool BinaryChanged() const;
  void ExecuteAnew();
  KeeperImage MakeImage(bool with_workers);
  void SaveForManager();

  KeeperOptions options_;
  const Clock* const clock_;
  ServiceManager manager_;
  CrashPolicy crashes_;
  UpgradePolicy upgrade_;
  std::unique_ptr<MemoryStateStore> state_;
  std::unique_ptr<KeeperCore> core_;
  UniqueFd signals_;
  UniqueFd grpc_listener_;
  UniqueFd admin_listener_;
  std::vector<std::unique_ptr<WorkerProcess>> workers_;
  absl::Time start_at_ = absl::InfiniteFuture();  // The next worker, after a crash.
  bool ever_ready_ = false;
  bool stopping_ = false;
  std::optional<int> exit_code_;
  bool upgrade_asked_ = false;  // To be acted on between frames.
  // Copies of the table with the service manager: written by turns.
  std::optional<UniqueFd> saved_[2];
  uint64_t saved_sequence_ = 0;
  uint64_t saved_changes_ = 0;
  absl::Time save_at_ = absl::InfinitePast();
  uint64_t binary_device_ = 0;
  uint64_t binary_inode_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_KEEPER_H_
