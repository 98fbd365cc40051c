// paramd: keeps sockets, parameters and the desired state, and a worker alive.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/numbers.h"
#include "runtime/base/clock.h"
#include "runtime/base/strings.h"
#include "server/config/server_config.h"
#include "server/keeper/keeper.h"
#include "server/keeper/service_manager.h"
#include "server/keeper/worker_environment.h"
#include "server/observability/log.h"

extern char** environ;

namespace paramd {
namespace {

constexpr char kVersion[] = "paramd " PARAMD_VERSION;

// This program's path, also when the file was replaced since.
std::string OwnPath() {
  std::array<char, 4096> buffer;
  const ssize_t bytes = readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (bytes <= 0) return "paramd";
  std::string path(buffer.data(), static_cast<size_t>(bytes));
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

std::string WorkerPath(const std::string& own) {
  return StrCat(own.substr(0, own.rfind('/') + 1), kWorkerProgram);
}

// What is the keeper's own business is not the worker's.
std::vector<std::string> WorkerEnvironment() {
  constexpr std::array<std::string_view, 7> kOwn = {
      "NOTIFY_SOCKET=", "LISTEN_PID=",          "LISTEN_FDS=",      "LISTEN_FDNAMES=",
      "WATCHDOG_USEC=", "PARAMD_KEEPER_IMAGE=", "PARAMD_KEEPER_FD="};
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (std::ranges::none_of(kOwn,
                             [text](std::string_view own) { return text.starts_with(own); })) {
      environment.emplace_back(text);
    }
  }
  return environment;
}

// Only comes back if the program cannot be executed.
int BecomeWorker(const std::string& program, char** argv) {
  std::string name = kWorkerProgram;
  argv[0] = name.data();
  execv(program.c_str(), argv);
  std::perror(program.c_str());
  return 127;
}

// One descriptor a segment, and its duplicate on the way to a worker.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LOG(WARNING) << "RLIMIT_NOFILE stays where it is";
}

int Run(const ServerConfig& config, std::vector<std::string> arguments) {
  Keeper::BlockSignals();
  const LogWriter log({.format = config.log_format,
                       .level = config.log_level,
                       .verbosity = static_cast<int>(config.verbosity)});
  RaiseDescriptorLimit();
  const EnvironmentReader environment = ProcessEnvironment();
  KeeperOptions options;
  options.config = config;
  options.program = OwnPath();
  options.worker = {.program = WorkerPath(options.program),
                    .arguments = std::move(arguments),
                    .environment = WorkerEnvironment()};
  options.notify_socket = environment("NOTIFY_SOCKET").value_or("");
  int image = -1;
  if (absl::SimpleAtoi(environment(kKeeperImageVariable).value_or(""), &image) && image > 2) {
    options.image = UniqueFd(image);
  } else {
    options.inherited = TakeInheritedFds(environment);
  }
  absl::StatusOr<std::unique_ptr<Keeper>> keeper = Keeper::Start(std::move(options), Clock::Real());
  if (!keeper.ok()) {
    LOG(ERROR) << keeper.status().message();
    return EXIT_FAILURE;
  }
  return (*keeper)->Run();
}

int Main(int argc, char** argv) {
  const std::vector<const char*> args(argv + 1, argv + argc);
  // What was built is the worker's to say: it has the kernels in it.
  const bool version = std::ranges::find(args, std::string_view("--version")) != args.end();
  if (version) return BecomeWorker(WorkerPath(OwnPath()), argv);
  const absl::StatusOr<ParsedServerConfig> parsed =
      ParseServerConfig(args, ProcessEnvironment(), kVersion);
  if (const std::optional<int> code = ExitWithoutRunning(parsed)) return *code;
  if (parsed->config.no_keeper) return BecomeWorker(WorkerPath(OwnPath()), argv);
  return Run(parsed->config, {argv + 1, argv + argc});
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
