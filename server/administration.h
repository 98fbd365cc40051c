// Administration: what operators reach, put together: the desired state and the
// controller that serves it, the ModelAdmin services in front of that, and the
// repository's watcher behind it.
//
//   admin socket, TCP (--admin-on-tcp)  ->  AdminService  ->  StateController
//   inotify (--watch), SIGHUP           ->  Rescan        ->  StateController
//
// Life: Create, then Start once the front doors stand. StopWaiting when the
// process begins to stop: who waits for a load is told so. The version manager
// must have been shut down before the destructor, the gRPC servers as well.
// Thread-safety: OnChange is for the version manager's control thread, all else
// for main's.
#ifndef PARAMD_SERVER_ADMINISTRATION_H_
#define PARAMD_SERVER_ADMINISTRATION_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "server/config/server_config.h"
#include "server/keeper/keeper_client.h"
#include "server/repository/model_repository.h"
#include "server/repository/repository_watcher.h"
#include "server/rpc/admin_service.h"
#include "server/state/state_controller.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct AdministrationParts {
  const Clock* clock = nullptr;
  ModelRepository* repository = nullptr;  // Borrowed, like all that follow.
  VersionManager* versions = nullptr;
  const RoutingTable* routing = nullptr;
  KeeperClient* keeper = nullptr;  // Null: this process keeps the state itself.
  // StateControllerOptions::quarantined.
  std::map<std::string, std::string> quarantined;
  // False: a successor, which edits nothing before Activate.
  bool active = true;
  // StateControllerParts::held, plan and on_verified.
  std::function<bool(const VersionId&, const std::string& revision)> held;
  std::function<absl::StatusOr<LoadPlan>(const PlanRequest&)> plan;
  std::function<void(const VerifyReport&)> on_verified;
};

class Administration {
 public:
  static absl::StatusOr<std::unique_ptr<Administration>> Create(const ServerConfig& config,
                                                                AdministrationParts parts);
  ~Administration();

  // Takes the stored state, or the repository's if there is none.
  absl::Status Start();
  void OnChange(const ServingStatus& status) { controller_->OnChange(status); }
  void Activate();
  void Deactivate();
  void Follow() { controller_->Follow(); }
  void StopWaiting() { controller_->Shutdown(); }
  // SIGHUP: reads the repository again.
  void Rescan(const std::string& model);

  // Reports what has changed in the repository; returns when to be called again.
  absl::Time Look();
  // Readable when Look has something to do; -1: nothing is watched.
  int watch_fd() const { return watcher_ == nullptr ? -1 : watcher_->fd(); }

  // A gRPC service belongs to one server. That for TCP is null unless asked for.
  grpc::Service* socket_service() { return socket_service_.get(); }
  grpc::Service* tcp_service() { return tcp_service_.get(); }
  ModelAdmin* admin() { return controller_.get(); }

 private:
  Administration(const ServerConfig& config, AdministrationParts parts)
      : config_(config), parts_(std::move(parts)) {}
  absl::Status Build();
  absl::StatusOr<std::vector<ListedModel>> List(const std::string& model) const;
  std::unique_ptr<AdminService> NewService();
  void StartWatching();

  const ServerConfig config_;
  const AdministrationParts parts_;
  std::unique_ptr<MemoryStateStore> own_store_;  // Without a keeper.
  std::unique_ptr<StateController> controller_;
  std::unique_ptr<AdminService> socket_service_;
  std::unique_ptr<AdminService> tcp_service_;
  std::unique_ptr<RepositoryWatcher> watcher_;  // While active.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_ADMINISTRATION_H_
