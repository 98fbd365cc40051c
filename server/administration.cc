#include "server/administration.h"

#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "server/desired_models.h"

namespace paramd {
namespace {

void LogListed(const RepositoryModel& model) {
  for (const std::string& warning : model.warnings) {
    LOG(WARNING) << "model " << model.name << ": " << warning;
  }
  if (!model.status.ok()) LOG(ERROR) << "model " << model.name << ": " << model.status;
  for (const RepositoryVersion& version : model.versions) {
    if (version.status.ok()) continue;
    LOG(ERROR) << "model " << model.name << " version " << version.number << ": " << version.status;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Administration>> Administration::Create(const ServerConfig& config,
                                                                       AdministrationParts parts) {
  std::unique_ptr<Administration> made(new Administration(config, std::move(parts)));
  PARAMD_RETURN_IF_ERROR(made->Build());
  return made;
}

Administration::~Administration() { controller_->Shutdown(); }

absl::Status Administration::Build() {
  StateStore* store = parts_.keeper;
  if (store == nullptr) {
    PARAMD_ASSIGN_OR_RETURN(own_store_, MemoryStateStore::Open(config_.state_file));
    store = own_store_.get();
  }
  controller_ = std::make_unique<StateController>(
      StateControllerOptions{.keep_previous = config_.keep_previous,
                             .verify_interval = config_.verify_interval,
                             .quarantined = parts_.quarantined,
                             .active = parts_.active},
      StateControllerParts{
          .clock = parts_.clock,
          .store = store,
          .versions = parts_.versions,
          .routing = parts_.routing,
          .list = [this](const std::string& model) { return List(model); },
          .reconfigure = ReconfigureListed,
          .desired = [this](const DesiredState& state) { return DesiredModels(state, config_); },
          .held = parts_.held,
          .plan = parts_.plan,
          .on_verified = parts_.on_verified});
  socket_service_ = NewService();
  if (config_.admin_on_tcp) tcp_service_ = NewService();
  return absl::OkStatus();
}

std::unique_ptr<AdminService> Administration::NewService() {
  AdminServiceParts parts = {.admin = controller_.get()};
  if (KeeperClient* const keeper = parts_.keeper; keeper != nullptr) {
    parts.request_upgrade = [keeper] { return keeper->RequestUpgrade(); };
    parts.upgrade_status = [keeper] { return keeper->upgrade_status(); };
  }
  return std::make_unique<AdminService>(
      AdminServiceOptions{.repository_root = config_.model_repository}, std::move(parts));
}

absl::StatusOr<std::vector<ListedModel>> Administration::List(const std::string& model) const {
  // By name: where the root is a link that was flipped, it leads elsewhere now.
  PARAMD_RETURN_IF_ERROR(parts_.repository->Reopen());
  if (!model.empty()) {
    PARAMD_ASSIGN_OR_RETURN(const RepositoryModel found, parts_.repository->ScanModel(model));
    LogListed(found);
    std::vector<ListedModel> one = {ListedModelOf(found, config_.model_repository)};
    one.front().auto_promote = config_.auto_promote;
    return one;
  }
  PARAMD_ASSIGN_OR_RETURN(const RepositoryListing listing, parts_.repository->Scan());
  for (const std::string& warning : listing.warnings) LOG(WARNING) << warning;
  for (const RepositoryModel& found : listing.models) LogListed(found);
  std::vector<ListedModel> all = ListedModels(listing, config_.model_repository);
  for (ListedModel& one : all) one.auto_promote = config_.auto_promote;
  return all;
}

absl::Status Administration::Start() {
  // Where nothing is in memory yet (a first worker, with --state-file), files are
  // opened anyway: then what was added while nobody looked counts too.
  const bool cold = parts_.keeper == nullptr || parts_.keeper->Holdings().empty();
  PARAMD_RETURN_IF_ERROR(controller_->Start(/*rescan=*/cold));
  if (parts_.active) StartWatching();
  return absl::OkStatus();
}

void Administration::Activate() {
  controller_->Activate();
  if (watcher_ == nullptr) StartWatching();
}

void Administration::Deactivate() {
  watcher_.reset();
  controller_->Deactivate();
}

void Administration::StartWatching() {
  if (!config_.watch) return;
  absl::StatusOr<std::unique_ptr<RepositoryWatcher>> watcher =
      RepositoryWatcher::Create(config_.model_repository, parts_.clock, {},
                                [this](const std::string& model) { Rescan(model); });
  if (!watcher.ok()) {
    LOG(ERROR) << watcher.status().message() << "; changes are seen on SIGHUP only";
    return;
  }
  watcher_ = *std::move(watcher);
}

void Administration::Rescan(const std::string& model) {
  const absl::Status status = controller_->Rescan(model);
  if (status.ok()) return;
  // A stray file in the root looks like a model that is not there.
  if (absl::IsNotFound(status) && !model.empty()) {
    VLOG(1) << "reading " << model << " again: " << status;
  } else {
    LOG(ERROR) << "reading the repository again: " << status;
  }
}

absl::Time Administration::Look() {
  return watcher_ == nullptr ? absl::InfiniteFuture() : watcher_->Look();
}

}  // namespace paramd
