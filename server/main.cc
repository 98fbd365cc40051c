// paramd-worker: serves the models of a repository until it is told to stop, or
// until another worker has taken its place.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "runtime/base/clock.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/loading/model_record.h"
#include "server/config/server_config.h"
#include "server/keeper/keeper_client.h"
#include "server/keeper/worker_environment.h"
#include "server/main_events.h"
#include "server/observability/log.h"
#include "server/observability/version.h"
#include "server/worker.h"

namespace paramd {
namespace {

// How often a retired worker looks whether its last client has gone.
constexpr absl::Duration kRetiredLook = absl::Milliseconds(50);

// Readiness off; work is still taken for the grace period (load balancers need
// it to look elsewhere); then what is under way may finish until the deadline.
void Stop(const ServerConfig& config, const Clock& clock, MainEvents* events, Worker* worker) {
  worker->StopAccepting();
  LOG(INFO) << "stopping: not ready any more, requests are taken for another "
            << config.drain_grace;
  const absl::Time end = clock.Now() + config.drain_grace;
  MainEvent event = MainEvent::kLook;
  while (event != MainEvent::kTime && event != MainEvent::kStop) {
    event = events->Wait(std::max(end - clock.Now(), absl::ZeroDuration()));
  }
  if (event == MainEvent::kStop) LOG(INFO) << "second signal: the grace period ends";
  LOG(INFO) << "draining for at most " << config.drain_deadline;
  worker->Drain(clock.Now() + config.drain_deadline);
}

// Another worker accepts connections. Those that are here end by themselves: gRPC
// asks each client to connect anew when its connection is connection_age_max old.
void Retire(const ServerConfig& config, const Clock& clock, MainEvents* events, Worker* worker) {
  LOG(INFO) << "another worker has taken over: this one answers what is connected";
  worker->Retire();
  const absl::Time deadline = clock.Now() + RetirementMax(config);
  while (worker->open_connections() > 0 && clock.Now() < deadline) {
    const MainEvent event = events->Wait(kRetiredLook);
    if (event == MainEvent::kStop) break;
    if (event == MainEvent::kFollow) worker->Follow();
  }
  LOG(INFO) << "retired with " << worker->open_connections() << " connections left";
  worker->Drain(clock.Now() + config.drain_deadline);
}

// Each sealed segment and each connection is a descriptor; the soft limit of
// 1,024 is a habit of select(), which nobody here calls.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LOG(WARNING) << "RLIMIT_NOFILE stays where it is";
}

// By default glibc keeps up to eight heaps a core, and threads that come and go
// (a load has its own) leave a high-water mark in one after the other: 1,000 swaps
// of 55 MB grew the process by 5 to 20%. One a core is enough for request threads,
// which rarely wait for each other there.
void LimitHeaps() {
  const unsigned cores = std::max(2u, std::thread::hardware_concurrency());
  if (mallopt(M_ARENA_MAX, static_cast<int>(cores)) == 0) LOG(WARNING) << "heaps stay unlimited";
}

// Null: this worker runs alone.
absl::StatusOr<std::unique_ptr<KeeperClient>> FindKeeper() {
  const std::optional<std::string> number = ProcessEnvironment()(kKeeperFdVariable);
  if (!number) return nullptr;
  int fd = -1;
  if (!absl::SimpleAtoi(*number, &fd) || fd < 0) {
    return absl::InvalidArgumentError(StrCat(kKeeperFdVariable, " is no descriptor"));
  }
  return KeeperClient::Connect(UniqueFd(fd),
                               {.pid = getpid(), .build = VersionText(), .format = LoadFormat()});
}

absl::Status Serve(const ServerConfig& config, const Clock& clock, MainEvents* events) {
  WorkerParts parts;
  PARAMD_ASSIGN_OR_RETURN(parts.keeper, FindKeeper());
  parts.post = [events](MainEvent event) { events->Post(event); };
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Worker> worker,
                          Worker::Start(config, &clock, std::move(parts)));
  while (true) {
    PARAMD_ASSIGN_OR_RETURN(const absl::Time again, worker->Look());
    events->Hear(worker->watch_fd());
    switch (events->Wait(again - clock.Now())) {
      case MainEvent::kStop:
        Stop(config, clock, events, worker.get());
        return absl::OkStatus();
      case MainEvent::kRetire:
        Retire(config, clock, events, worker.get());
        return absl::OkStatus();
      case MainEvent::kServe:
        worker->Serve();
        break;
      case MainEvent::kRescan:
        worker->Rescan();
        break;
      case MainEvent::kFollow:  // A successor reads the state again when it serves.
      case MainEvent::kLook:
      case MainEvent::kTime:
        break;
    }
  }
}

int Run(const ServerConfig& config) {
  // Debian's Abseil is built with its search for deadlocks, which gRPC's mutexes
  // then pay for: a graph of all of them under one lock, that also grows by 0.8 kB
  // with each thread that comes and goes (every swap starts some).
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  MainEvents events;
  const LogWriter log({.format = config.log_format,
                       .level = config.log_level,
                       .verbosity = static_cast<int>(config.verbosity)});
  LOG(INFO) << VersionText();
  RaiseDescriptorLimit();
  LimitHeaps();
  if (const absl::Status status = Serve(config, *Clock::Real(), &events); !status.ok()) {
    LOG(ERROR) << status.message();
    return EXIT_FAILURE;
  }
  LOG(INFO) << "stopped";
  return EXIT_SUCCESS;
}

int Main(int argc, char** argv) {
  const std::vector<const char*> args(argv + 1, argv + argc);
  const absl::StatusOr<ParsedServerConfig> parsed =
      ParseServerConfig(args, ProcessEnvironment(), VersionText());
  if (const std::optional<int> code = ExitWithoutRunning(parsed)) return *code;
  return Run(parsed->config);
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
