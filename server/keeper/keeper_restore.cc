// The keeper's part that outlives the keeper: its next image and the service
// manager's store.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/host_port.h"
#include "server/config/parameter_capacity.h"
#include "server/keeper/keeper.h"
#include "server/keeper/listening_socket.h"

namespace paramd {
namespace {

constexpr const char* kTableNames[] = {"table-a", "table-b"};
// A load makes hundreds of segments: the table is not copied for each.
constexpr absl::Duration kSaveEvery = absl::Milliseconds(50);

UniqueFd Adopt(int number) {
  if (number < 0 || fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return UniqueFd();
  return UniqueFd(number);
}

// The host of a socket's own address; empty for other families.
std::string HostOf(int fd) {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof(address);
  char host[INET6_ADDRSTRLEN] = "";
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return "";
  const void* where = nullptr;
  if (address.ss_family == AF_INET) {
    where = &reinterpret_cast<const sockaddr_in*>(&address)->sin_addr;
  } else if (address.ss_family == AF_INET6) {
    where = &reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr;
  } else {
    return "";
  }
  return inet_ntop(address.ss_family, where, host, sizeof(host)) == nullptr ? "" : host;
}

// Whether an inherited listener is the one that is configured now: one that
// listened to the world must not go on after somebody said 127.0.0.1.
bool IsTcpListener(int fd, const std::string& address) {
  if (!CheckListening(fd).ok()) return false;
  const absl::StatusOr<HostPort> named = ParseHostPort(address);
  if (!named.ok()) return false;
  const absl::StatusOr<HostPort> wanted = ResolveNumeric(*named);
  const int port = PortOf(fd);
  return wanted.ok() && port != 0 && (wanted->port == 0 || wanted->port == port) &&
         wanted->host == HostOf(fd);
}

bool IsUnixListener(int fd, const std::string& path) {
  sockaddr_un address = {};
  socklen_t bytes = sizeof(address);
  if (!CheckListening(fd).ok() ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    return false;
  }
  // It was made under another name, see ListenOnUnix; and it must be reachable.
  return address.sun_family == AF_UNIX && path + "~" == address.sun_path &&
         access(path.c_str(), F_OK) == 0;
}

}  // namespace

absl::Status Keeper::RestoreCore(KeeperImage image, std::vector<KeeperCore::OwnedFd> fds) {
  PARAMD_ASSIGN_OR_RETURN(
      KeeperCore::Restored restored,
      KeeperCore::Restore(
          {.capacity_bytes = ParameterCapacity(options_.config),
           .generation_start = static_cast<uint64_t>(absl::ToUnixMicros(clock_->Now()))},
          state_.get(), this, image.core, std::move(fds)));
  for (const std::string& note : restored.notes) LOG(WARNING) << note;
  for (const std::string& name : restored.unused_fds) manager_.Remove(name);
  core_ = std::move(restored.core);
  crashes_.Restore(image.crashes);
  saved_sequence_ = image.sequence;
  return absl::OkStatus();
}

absl::Status Keeper::RestoreImage() {
  const UniqueFd file = std::move(options_.image);
  PARAMD_ASSIGN_OR_RETURN(const std::string bytes, ReadImageFile(file.get()));
  PARAMD_ASSIGN_OR_RETURN(KeeperImage image, DecodeImage(bytes));
  std::vector<KeeperCore::OwnedFd> fds;
  for (const KeeperImage::Fd& fd : image.fds) {
    UniqueFd adopted = Adopt(fd.number);
    if (fd.name == kGrpcListenerName && CheckListening(adopted.get()).ok()) {
      grpc_listener_ = std::move(adopted);
    } else if (fd.name == kAdminListenerName && CheckListening(adopted.get()).ok()) {
      admin_listener_ = std::move(adopted);
    } else if (fd.name == kTableNames[0] || fd.name == kTableNames[1]) {
      saved_[fd.name == kTableNames[1]] = std::move(adopted);
    } else {
      fds.push_back({fd.name, std::move(adopted)});
    }
  }
  for (const KeeperImage::Worker& saved : image.workers) {
    auto worker =
        std::make_unique<WorkerProcess>(static_cast<pid_t>(saved.pid), Adopt(saved.channel));
    worker->id = saved.id;
    worker->role = saved.role;
    worker->ready_since = saved.ready_since;
    worker->events = Adopt(saved.events);
    worker->worker_events = Adopt(saved.worker_events);
    worker->breadcrumbs = Adopt(saved.breadcrumbs);
    workers_.push_back(std::move(worker));
  }
  ever_ready_ = image.ever_ready;
  upgrade_.Restore(image.upgrade);
  const absl::Status restored = RestoreCore(std::move(image), std::move(fds));
  if (restored.ok()) {
    LOG(INFO) << "this is the keeper's next image; its workers go on";
    return restored;
  }
  // Their leases are unknown: the next worker loads anew.
  for (const auto& worker : workers_) kill(worker->pid, SIGKILL);
  workers_.clear();
  return restored;
}

absl::Status Keeper::RestoreStore() {
  std::optional<KeeperImage> newest;
  std::vector<KeeperCore::OwnedFd> fds;
  for (InheritedFd& fd : options_.inherited) {
    const int table = fd.name == kTableNames[0] ? 0 : fd.name == kTableNames[1] ? 1 : -1;
    if (fd.name == kGrpcListenerName && IsTcpListener(fd.fd.get(), options_.config.grpc_address)) {
      grpc_listener_ = std::move(fd.fd);
    } else if (fd.name == kAdminListenerName &&
               IsUnixListener(fd.fd.get(), options_.config.admin_socket)) {
      admin_listener_ = std::move(fd.fd);
    } else if (fd.name == kGrpcListenerName || fd.name == kAdminListenerName) {
      manager_.Remove(fd.name);  // The configuration has changed.
    } else if (table >= 0) {
      const absl::StatusOr<std::string> bytes = ReadImageFile(fd.fd.get());
      absl::StatusOr<KeeperImage> image =
          bytes.ok() ? DecodeImage(*bytes) : absl::StatusOr<KeeperImage>(bytes.status());
      if (image.ok() && (!newest || newest->sequence < image->sequence)) {
        newest = std::move(*image);
      }
      saved_[table] = std::move(fd.fd);
    } else {
      fds.push_back({fd.name, std::move(fd.fd)});
    }
  }
  options_.inherited.clear();
  if (!newest) {
    for (const KeeperCore::OwnedFd& fd : fds) manager_.Remove(fd.name);
    return absl::NotFoundError("the service manager has no table of ours");
  }
  PARAMD_RETURN_IF_ERROR(RestoreCore(*std::move(newest), std::move(fds)));
  for (const WorkerId id : core_->workers()) core_->Disconnect(id);  // Of the process before.
  const SegmentTable::Usage usage = core_->usage();
  LOG(INFO) << "the service manager kept " << usage.segments << " segments with "
            << usage.sealed_bytes << " bytes";
  return absl::OkStatus();
}

KeeperImage Keeper::MakeImage(bool with_workers) {
  KeeperImage image;
  KeeperCore::Saved saved = core_->Save();
  image.sequence = ++saved_sequence_;
  image.core = std::move(saved.bytes);
  image.crashes = crashes_.Save();
  image.upgrade = upgrade_.Save();
  image.ever_ready = ever_ready_;
  for (const KeeperCore::NamedFd& fd : saved.fds) image.fds.push_back({fd.name, fd.fd});
  if (!with_workers) return image;
  image.fds.push_back({kGrpcListenerName, grpc_listener_.get()});
  if (admin_listener_.valid()) image.fds.push_back({kAdminListenerName, admin_listener_.get()});
  for (int i = 0; i < 2; ++i) {
    if (saved_[i]) image.fds.push_back({kTableNames[i], saved_[i]->get()});
  }
  for (const auto& worker : workers_) {
    image.workers.push_back({.pid = worker->pid,
                             .id = worker->id,
                             .role = worker->role,
                             .ready_since = worker->ready_since,
                             .channel = worker->channel.fd(),
                             .events = worker->events.get(),
                             .worker_events = worker->worker_events.get(),
                             .breadcrumbs = worker->breadcrumbs.get()});
  }
  return image;
}

void Keeper::SaveForManager() {
  if (!manager_.present() || core_->changes() == saved_changes_) return;
  if (!stopping_ && clock_->Now() < save_at_) return;
  const int turn = static_cast<int>(saved_sequence_ % 2);
  if (!saved_[turn]) {
    absl::StatusOr<UniqueFd> file = MakeImageFile();
    if (!file.ok()) return;
    saved_[turn] = std::move(*file);
    manager_.Store(kTableNames[turn], saved_[turn]->get());
  }
  const absl::Status written =
      WriteImageFile(saved_[turn]->get(), EncodeImage(MakeImage(/*with_workers=*/false)));
  if (!written.ok()) LOG_EVERY_N_SEC(ERROR, 10) << written.message();
  saved_changes_ = core_->changes();
  save_at_ = clock_->Now() + kSaveEvery;
}

bool Keeper::BinaryChanged() const {
  struct stat binary = {};
  return stat(options_.program.c_str(), &binary) == 0 &&
         (binary.st_dev != binary_device_ || binary.st_ino != binary_inode_) &&
         access(options_.program.c_str(), X_OK) == 0;
}

// Comes back only if it could not.
void Keeper::ExecuteAnew() {
  const KeeperImage image = MakeImage(/*with_workers=*/true);
  absl::StatusOr<UniqueFd> file = MakeImageFile();
  absl::Status status = file.status();
  if (status.ok()) status = WriteImageFile(file->get(), EncodeImage(image));
  if (!status.ok()) {
    LOG(ERROR) << "the keeper stays as it is: " << status.message();
    return;
  }
  std::vector<int> numbers = {file->get()};
  for (const KeeperImage::Fd& fd : image.fds) numbers.push_back(fd.number);
  for (const KeeperImage::Worker& worker : image.workers) {
    numbers.insert(numbers.end(),
                   {worker.channel, worker.events, worker.worker_events, worker.breadcrumbs});
  }
  std::vector<std::string> environment = options_.worker.environment;
  environment.push_back(StrCat(kKeeperImageVariable, "=", file->get()));
  // Not the worker's business, but the next image's.
  if (manager_.present()) environment.push_back(StrCat("NOTIFY_SOCKET=", options_.notify_socket));
  std::vector<std::string> arguments = {options_.program};
  arguments.insert(arguments.end(), options_.worker.arguments.begin(),
                   options_.worker.arguments.end());
  std::vector<char*> argv, envp;
  for (std::string& text : arguments) argv.push_back(text.data());
  for (std::string& text : environment) envp.push_back(text.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  LOG(INFO) << "executing the keeper's new binary, " << options_.program;
  for (const int number : numbers) fcntl(number, F_SETFD, 0);
  execve(options_.program.c_str(), argv.data(), envp.data());
  LOG(ERROR) << "the keeper stays as it is: " << options_.program << ": " << strerror(errno);
  for (const int number : numbers) fcntl(number, F_SETFD, FD_CLOEXEC);
}

}  // namespace paramd
