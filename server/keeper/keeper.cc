#include "server/keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/parameter_capacity.h"
#include "server/keeper/listening_socket.h"
#include "server/keeper/worker_environment.h"

extern char** environ;

namespace paramd {
namespace {

// Frames of one worker before others have their turn.
constexpr int kReceivesAtOnce = 16;

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

UpgradePolicyOptions UpgradeOptions(const ServerConfig& config) {
  // The worker ends by itself before that.
  return {.ready_max = config.upgrade_deadline,
          .drain_max = RetirementMax(config) + config.drain_deadline + absl::Seconds(10)};
}

}  // namespace

void Keeper::BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Keeper::Keeper(KeeperOptions options, const Clock* clock)
    : options_(std::move(options)),
      clock_(clock),
      manager_(options_.notify_socket),
      upgrade_(UpgradeOptions(options_.config)) {}

absl::StatusOr<std::unique_ptr<Keeper>> Keeper::Start(KeeperOptions options, const Clock* clock) {
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(options), clock));
  PARAMD_RETURN_IF_ERROR(keeper->Open());
  return keeper;
}

Keeper::~Keeper() {
  for (const auto& worker : workers_) kill(worker->pid, SIGKILL);
  // With a service manager the sockets live on, and so does the path.
  if (admin_listener_.valid() && !manager_.present()) {
    (void)unlink(options_.config.admin_socket.c_str());
  }
}

absl::Status Keeper::Open() {
  sigset_t signals;
  sigprocmask(SIG_BLOCK, nullptr, &signals);
  signals_ = UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return absl::InternalError(StrCat("signalfd: ", strerror(errno)));
  struct stat binary = {};
  if (stat("/proc/self/exe", &binary) == 0) {
    binary_device_ = binary.st_dev;
    binary_inode_ = binary.st_ino;
  }
  PARAMD_ASSIGN_OR_RETURN(state_, MemoryStateStore::Open(options_.config.state_file));
  if (options_.image.valid()) {
    const absl::Status restored = RestoreImage();
    if (!restored.ok()) LOG(ERROR) << "starting from nothing: " << restored.message();
  } else if (!options_.inherited.empty()) {
    const absl::Status restored = RestoreStore();
    if (!restored.ok()) LOG(WARNING) << "nothing is kept from before: " << restored.message();
  }
  if (core_ == nullptr) {
    core_ = std::make_unique<KeeperCore>(
        KeeperCoreOptions{
            .capacity_bytes = ParameterCapacity(options_.config),
            .generation_start = static_cast<uint64_t>(absl::ToUnixMicros(clock_->Now()))},
        state_.get(), static_cast<KeeperEvents*>(this));
  }
  PARAMD_RETURN_IF_ERROR(OpenListeners());
  if (WithRole(WorkerRole::kServing) == nullptr && WithRole(WorkerRole::kSuccessor) == nullptr) {
    StartProcess(WorkerRole::kServing);
  }
  return absl::OkStatus();
}

absl::Status Keeper::OpenListeners() {
  const bool had_grpc = grpc_listener_.valid();
  const bool had_admin = admin_listener_.valid();
  if (!had_grpc) {
    PARAMD_ASSIGN_OR_RETURN(grpc_listener_,
                            ListenOnTcp(options_.config.grpc_address, "--grpc-address"));
  }
  if (!had_admin) {
    PARAMD_ASSIGN_OR_RETURN(admin_listener_, ListenForAdmin(options_.config));
  }
  if (!had_grpc) manager_.Store(kGrpcListenerName, grpc_listener_.get());
  if (!had_admin && admin_listener_.valid())
    manager_.Store(kAdminListenerName, admin_listener_.get());
  LOG(INFO) << "the keeper listens on port " << PortOf(grpc_listener_.get())
            << (admin_listener_.valid() ? StrCat(" and ", options_.config.admin_socket) : "");
  return absl::OkStatus();
}

// ---- What workers say. ----

WorkerProcess* Keeper::Find(WorkerId id) {
  for (const auto& worker : workers_) {
    if (worker->id == id && id != 0) return worker.get();
  }
  return nullptr;
}

WorkerProcess* Keeper::WithRole(WorkerRole role) {
  for (const auto& worker : workers_) {
    if (worker->role == role) return worker.get();
  }
  return nullptr;
}

absl::StatusOr<KeeperWelcome> Keeper::Welcome(WorkerId id, const WorkerHello& hello) {
  WorkerProcess* const worker = Find(id);
  if (worker == nullptr) return absl::InternalError("the keeper does not know this worker");
  LOG(INFO) << "worker " << worker->pid << " is " << hello.build;
  KeeperWelcome welcome;
  welcome.grpc_listener = Duplicate(grpc_listener_.get());
  if (admin_listener_.valid()) welcome.admin_listener = Duplicate(admin_listener_.get());
  welcome.events = std::move(worker->worker_events);
  welcome.breadcrumb = Duplicate(worker->breadcrumbs.get());
  if (!welcome.grpc_listener.valid() || !welcome.breadcrumb.valid()) {
    return absl::ResourceExhaustedError("the keeper is out of descriptors");
  }
  welcome.successor = worker->role == WorkerRole::kSuccessor;
  welcome.crashes = crashes_.crashes();
  welcome.quarantined = crashes_.quarantined();
  return welcome;
}

void Keeper::Ready(WorkerId id) {
  WorkerProcess* const worker = Find(id);
  if (worker == nullptr || worker->ready_since != absl::InfiniteFuture()) return;
  worker->ready_since = clock_->Now();
  if (worker->role == WorkerRole::kSuccessor) {
    LOG(INFO) << "the new worker " << worker->pid << " is ready";
    Take(upgrade_.OnSuccessorReady(clock_->Now()));
  } else {
    LOG(INFO) << "worker " << worker->pid << " is ready";
    // One that took the place of a worker that died while it came up.
    if (upgrade_.phase() == UpgradeStatus::Phase::kStarting) {
      Take(upgrade_.OnSuccessorReady(clock_->Now()));
    }
  }
  ever_ready_ = true;
  ShowStatus();
}

void Keeper::Healthy(WorkerId, std::string_view version) { crashes_.OnHealthy(version); }

absl::Status Keeper::RequestUpgrade(WorkerId) {
  if (stopping_) return absl::FailedPreconditionError("paramd is stopping");
  const WorkerProcess* const serving = WithRole(WorkerRole::kServing);
  PARAMD_RETURN_IF_ERROR(upgrade_.Request(
      clock_->Now(), serving != nullptr && serving->ready_since != absl::InfiniteFuture()));
  LOG(INFO) << "upgrade: " << upgrade_.message();
  upgrade_asked_ = true;
  return absl::OkStatus();
}

UpgradeStatus Keeper::upgrade_status() {
  const WorkerProcess* const serving = WithRole(WorkerRole::kServing);
  return {.phase = upgrade_.phase(),
          .serving_pid = serving == nullptr ? 0 : serving->pid,
          .message = upgrade_.message()};
}

void Keeper::Send(WorkerId id, KeeperEvent event) {
  if (WorkerProcess* const worker = Find(id); worker != nullptr) worker->SendEvent(event);
}

void Keeper::SegmentAdded(const std::string& name, int fd) { manager_.Store(name, fd); }
void Keeper::SegmentRemoved(const std::string& name) { manager_.Remove(name); }

// ---- Processes. ----

void Keeper::StartProcess(WorkerRole role) {
  start_at_ = absl::InfiniteFuture();
  absl::StatusOr<std::unique_ptr<WorkerProcess>> worker = StartWorker(options_.worker);
  if (!worker.ok()) {
    LOG(ERROR) << "no worker: " << worker.status().message();
    if (role == WorkerRole::kSuccessor) {
      Take(upgrade_.OnSuccessorGone(FromAbsl(worker.status().message())));
    } else {
      start_at_ = clock_->Now() + absl::Seconds(1);
    }
    return;
  }
  (*worker)->role = role;
  (*worker)->id = core_->Connect();
  LOG(INFO) << (role == WorkerRole::kSuccessor ? "started the new worker " : "started worker ")
            << (*worker)->pid;
  workers_.push_back(std::move(*worker));
}

void Keeper::EndConnection(WorkerProcess* worker) {
  if (worker->id == 0) return;
  core_->Disconnect(std::exchange(worker->id, 0));
  worker->channel.TakeSocket();  // Closed here.
}

void Keeper::ReadFrames(WorkerProcess* worker, bool to_the_end) {
  for (int i = 0; worker->id != 0 && (to_the_end || i < kReceivesAtOnce); ++i) {
    std::vector<Frame> frames;
    const absl::StatusOr<bool> open = worker->channel.Receive(&frames);
    absl::Status status = open.status();
    std::vector<Frame> replies;
    for (Frame& frame : frames) {
      const absl::Status handled = core_->Handle(worker->id, std::move(frame), &replies);
      if (handled.ok()) continue;
      status = handled;
      break;
    }
    for (Frame& reply : replies) {
      const absl::Status sent = worker->channel.Send(std::move(reply));
      // One that is dead cannot be told, but what it said before counts.
      if (!sent.ok() && !to_the_end && status.ok()) status = sent;
    }
    if (!status.ok()) {
      LOG(ERROR) << "worker " << worker->pid << " is cut off: " << status.message();
      return EndConnection(worker);
    }
    if (!*open) return EndConnection(worker);
    if (frames.empty()) {
      if (to_the_end) return EndConnection(worker);
      return;
    }
  }
}

void Keeper::ReapChildren() {
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    // Others are orphans that became ours as the container's first process.
    const auto found =
        std::ranges::find_if(workers_, [pid](const auto& worker) { return worker->pid == pid; });
    if (found == workers_.end()) continue;
    std::unique_ptr<WorkerProcess> worker = std::move(*found);
    workers_.erase(found);
    OnExit(std::move(worker), status);
  }
}

void Keeper::OnExit(std::unique_ptr<WorkerProcess> worker, int wait_status) {
  // Its last words are still in the socket.
  workers_.push_back(std::move(worker));
  WorkerProcess* const dead = workers_.back().get();
  ReadFrames(dead, /*to_the_end=*/true);
  EndConnection(dead);
  worker = std::move(workers_.back());
  workers_.pop_back();

  const std::string text = ExitText(wait_status);
  if (stopping_) {
    LOG(INFO) << "worker " << worker->pid << ": " << text;
    if (worker->role == WorkerRole::kServing) exit_code_ = ExitCode(wait_status);
    return;
  }
  switch (worker->role) {
    case WorkerRole::kRetired:
      LOG(INFO) << "the retired worker " << worker->pid << " is gone: " << text;
      Take(upgrade_.OnOldGone());
      LOG(INFO) << "upgrade: " << upgrade_.message();
      break;
    case WorkerRole::kSuccessor:
      Take(upgrade_.OnSuccessorGone(text));
      LOG(ERROR) << "upgrade: " << upgrade_.message();
      break;
    case WorkerRole::kServing:
      if (!ever_ready_ && WIFEXITED(wait_status)) {
        // It has said why: a taken port, a folder that is not there.
        LOG(ERROR) << "the worker does not start: " << text;
        exit_code_ = std::max(1, WEXITSTATUS(wait_status));
        return;
      }
      OnCrash(*worker, wait_status);
      break;
  }
  ShowStatus();
}

void Keeper::OnCrash(const WorkerProcess& worker, int wait_status) {
  std::vector<Suspect> suspects;
  const absl::StatusOr<BreadcrumbReport> report = ReadBreadcrumbs(worker.breadcrumbs.get());
  if (report.ok()) {
    suspects = FindSuspects(*report, WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0);
  }
  const CrashPolicy::Verdict verdict =
      crashes_.OnCrash(clock_->Now(), worker.ready_since, suspects);
  std::string doing;
  for (const Suspect& suspect : suspects) {
    StrAppend(&doing, doing.empty() ? " while " : ", ", ActivityName(suspect.activity), " ",
              suspect.version);
  }
  const bool successor_comes = upgrade_.phase() == UpgradeStatus::Phase::kStarting &&
                               WithRole(WorkerRole::kSuccessor) != nullptr;
  LOG(ERROR) << "worker " << worker.pid << " is gone: " << ExitText(wait_status) << doing
             << " (crash " << crashes_.crashes() << ", " << crashes_.row() << " in a row); "
             << (successor_comes ? "the new worker takes its place"
                 : verdict.delay == absl::ZeroDuration()
                     ? "starting the next one"
                     : StrCat("the next one starts in ", absl::FormatDuration(verdict.delay)));
  for (const KeeperWelcome::Quarantined& version : verdict.newly) {
    LOG(ERROR) << version.version << " is in quarantine: " << version.reason
               << "; it is not loaded until its files change or it is asked for";
  }
  if (successor_comes) {
    Take(upgrade_.OnOldGone());
    return;
  }
  if (upgrade_.phase() == UpgradeStatus::Phase::kStarting) {
    Take(upgrade_.OnSuccessorGone(ExitText(wait_status)));
  }
  if (verdict.delay == absl::ZeroDuration()) {
    StartProcess(WorkerRole::kServing);
  } else {
    start_at_ = clock_->Now() + verdict.delay;
  }
}

void Keeper::Take(const UpgradePolicy::Steps& steps) {
  for (const UpgradeStep step : steps) {
    WorkerProcess* const serving = WithRole(WorkerRole::kServing);
    WorkerProcess* const successor = WithRole(WorkerRole::kSuccessor);
    WorkerProcess* const retired = WithRole(WorkerRole::kRetired);
    switch (step) {
      case UpgradeStep::kStartSuccessor:
        StartProcess(WorkerRole::kSuccessor);
        break;
      case UpgradeStep::kKillSuccessor:
        if (successor != nullptr) kill(successor->pid, SIGKILL);
        break;
      case UpgradeStep::kRetireOld:
        if (serving == nullptr) break;
        serving->SendEvent(KeeperEvent::kRetire);
        serving->role = WorkerRole::kRetired;
        break;
      case UpgradeStep::kServeNew:
        if (successor == nullptr) break;
        successor->SendEvent(KeeperEvent::kServe);
        successor->role = WorkerRole::kServing;
        break;
      case UpgradeStep::kKillOld:
        if (retired != nullptr) kill(retired->pid, SIGKILL);
        break;
    }
  }
  if (!steps.empty()) LOG(INFO) << "upgrade: " << upgrade_.message();
}

// ---- The loop. ----

void Keeper::Stop() {
  LOG(INFO) << "stopping";
  if (!std::exchange(stopping_, true)) manager_.Notify("STOPPING=1\nSTATUS=stopping");
  start_at_ = absl::InfiniteFuture();
  for (const auto& worker : workers_) {
    // A second time ends the worker's grace period.
    kill(worker->pid, worker->role == WorkerRole::kSuccessor ? SIGKILL : SIGTERM);
    worker->kill_at = clock_->Now() + StopMax(options_.config);
  }
}

void Keeper::ReadSignals() {
  signalfd_siginfo info = {};
  while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    switch (info.ssi_signo) {
      case SIGTERM:
      case SIGINT:
        Stop();
        break;
      case SIGHUP:
        if (const WorkerProcess* const worker = WithRole(WorkerRole::kServing); worker != nullptr) {
          worker->SendEvent(KeeperEvent::kRescan);
        }
        break;
      case SIGUSR2:
        if (const absl::Status asked = RequestUpgrade(0); !asked.ok()) {
          LOG(WARNING) << "SIGUSR2: " << asked.message();
        }
        break;
      default:  // SIGCHLD.
        break;
    }
  }
  ReapChildren();  // Several deaths may be one signal.
}

void Keeper::OnTime() {
  const absl::Time now = clock_->Now();
  if (now >= start_at_) StartProcess(WorkerRole::kServing);
  if (now >= upgrade_.next_deadline()) {
    Take(upgrade_.OnTime(now));
    if (upgrade_.phase() == UpgradeStatus::Phase::kFailed) {
      LOG(ERROR) << "upgrade: " << upgrade_.message();
    }
  }
  for (const auto& worker : workers_) {
    if (now < worker->kill_at) continue;
    LOG(ERROR) << "worker " << worker->pid << " does not end; killing it";
    kill(worker->pid, SIGKILL);
    worker->kill_at = absl::InfiniteFuture();
  }
  SaveForManager();
  if (!upgrade_asked_) return;
  // Between frames: a connection that is in the middle of one cannot be handed on.
  const bool idle = std::ranges::all_of(
      workers_, [](const auto& worker) { return worker->id == 0 || worker->channel.idle(); });
  const bool changed = BinaryChanged();
  if (changed && !idle) return;
  upgrade_asked_ = false;
  if (changed) ExecuteAnew();  // The next image goes on where this stops.
  Take(upgrade_.OnStart());
}

int Keeper::WaitMs() const {
  absl::Time next = std::min(start_at_, upgrade_.next_deadline());
  for (const auto& worker : workers_) next = std::min(next, worker->kill_at);
  if (manager_.present() && core_->changes() != saved_changes_) next = std::min(next, save_at_);
  if (upgrade_asked_) next = std::min(next, clock_->Now() + absl::Milliseconds(1));
  if (next == absl::InfiniteFuture()) return -1;
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(next - clock_->Now()) + 1, 0, 3'600'000));
}

void Keeper::Poll() {
  std::vector<pollfd> polls = {{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  std::vector<WorkerId> ids;
  for (const auto& worker : workers_) {
    if (worker->id == 0) continue;
    polls.push_back(
        {.fd = worker->channel.fd(), .events = worker->channel.poll_events(), .revents = 0});
    ids.push_back(worker->id);
  }
  if (poll(polls.data(), polls.size(), WaitMs()) > 0) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const short events = polls[i + 1].revents;
      WorkerProcess* const worker = Find(ids[i]);
      if (events == 0 || worker == nullptr) continue;
      if ((events & POLLOUT) != 0 && !worker->channel.Flush().ok()) {
        EndConnection(worker);
        continue;
      }
      if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) ReadFrames(worker, /*to_the_end=*/false);
    }
    if (polls[0].revents != 0) ReadSignals();
  }
  OnTime();
}

int Keeper::Run() {
  // An image that was executed for an upgrade goes on with it.
  if (upgrade_.phase() == UpgradeStatus::Phase::kStarting &&
      WithRole(WorkerRole::kSuccessor) == nullptr) {
    Take(upgrade_.OnStart());
  }
  ReapChildren();
  while (!exit_code_ && !(stopping_ && workers_.empty())) Poll();
  stopping_ = true;
  SaveForManager();
  return exit_code_.value_or(EXIT_SUCCESS);
}

void Keeper::ShowStatus() {
  if (!manager_.present() || stopping_) return;
  const WorkerProcess* const serving = WithRole(WorkerRole::kServing);
  std::string text = ever_ready_ ? "READY=1\n" : "";
  if (serving == nullptr) {
    StrAppend(&text, "STATUS=no worker: ", crashes_.row(), " crashes in a row");
  } else {
    StrAppend(&text, "STATUS=worker ", static_cast<int64_t>(serving->pid),
              serving->ready_since == absl::InfiniteFuture() ? " is coming up" : " serves", ", ",
              crashes_.crashes(), " crashes, ", crashes_.quarantined().size(),
              " versions in quarantine");
  }
  manager_.Notify(text);
}

}  // namespace paramd
