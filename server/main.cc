// paramd: serves the models of a repository until it is told to stop.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "runtime/base/clock.h"
#include "server/config/server_config.h"
#include "server/observability/log.h"
#include "server/observability/version.h"
#include "server/shutdown.h"
#include "server/worker.h"

namespace paramd {
namespace {

// Readiness off; work is still taken for the grace period (load balancers need
// it to look elsewhere); then what is under way may finish until the deadline.
void Stop(const ServerConfig& config, const Clock& clock, StopSignals* signals, Worker* worker) {
  worker->StopAccepting();
  LOG(INFO) << "stopping: not ready any more, requests are taken for another "
            << config.drain_grace;
  if (signals->Wait(config.drain_grace) != 0) LOG(INFO) << "second signal: the grace period ends";
  LOG(INFO) << "draining for at most " << config.drain_deadline;
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

int Run(const ServerConfig& config) {
  StopSignals signals;
  const LogWriter log({.format = config.log_format,
                       .level = config.log_level,
                       .verbosity = static_cast<int>(config.verbosity)});
  const Clock* const clock = Clock::Real();
  LOG(INFO) << VersionText();
  RaiseDescriptorLimit();
  absl::StatusOr<std::unique_ptr<Worker>> worker = Worker::Start(config, clock);
  if (!worker.ok()) {
    LOG(ERROR) << worker.status().message();
    return EXIT_FAILURE;
  }
  signals.Wait();
  Stop(config, *clock, &signals, worker->get());
  worker->reset();
  LOG(INFO) << "stopped";
  return EXIT_SUCCESS;
}

int Main(int argc, char** argv) {
  const std::vector<const char*> args(argv + 1, argv + argc);
  const absl::StatusOr<ParsedServerConfig> parsed =
      ParseServerConfig(args, ProcessEnvironment(), VersionText());
  if (!parsed.ok()) {
    std::fprintf(stderr, "paramd: %s\n", std::string(parsed.status().message()).c_str());
    return 2;
  }
  switch (parsed->action) {
    case ParsedServerConfig::Action::kPrint:
      std::fputs(parsed->text.c_str(), stdout);
      return EXIT_SUCCESS;
    case ParsedServerConfig::Action::kPrintConfig:
      std::fputs(EffectiveConfig(parsed->origins).c_str(), stdout);
      return EXIT_SUCCESS;
    case ParsedServerConfig::Action::kRun:
      break;
  }
  return Run(parsed->config);
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
