#include "server/keeper/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/keeper/breadcrumb.h"
#include "server/keeper/worker_environment.h"

namespace paramd {
namespace {

constexpr int kCannotExecute = 127;

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec: system calls only.
[[noreturn]] void BecomeWorker(pid_t keeper, int socket, const char* program, char* const* argv,
                               char* const* environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != keeper) _exit(kCannotExecute);  // It died before that.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  fcntl(socket, F_SETFD, 0);
  execve(program, argv, environment);
  constexpr char kMessage[] =
      "paramd: paramd-worker, which should be beside it, cannot be executed\n";
  (void)!write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(kCannotExecute);
}

}  // namespace

void WorkerProcess::SendEvent(KeeperEvent event) const {
  const auto byte = static_cast<uint8_t>(event);
  (void)!send(events.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> StartWorker(const WorkerCommand& command) {
  PARAMD_ASSIGN_OR_RETURN(SocketPair frames, MakeSocketPair());
  PARAMD_ASSIGN_OR_RETURN(SocketPair events, MakeSocketPair());
  PARAMD_ASSIGN_OR_RETURN(UniqueFd breadcrumbs, MakeBreadcrumbs());
  std::vector<std::string> arguments = {"paramd-worker"};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = command.environment;
  environment.push_back(StrCat(kKeeperFdVariable, "=", frames.second.get()));
  const std::vector<char*> argv = Pointers(&arguments);
  const std::vector<char*> envp = Pointers(&environment);
  const pid_t keeper = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::InternalError(StrCat("fork: ", strerror(errno)));
  if (pid == 0) {
    BecomeWorker(keeper, frames.second.get(), command.program.c_str(), argv.data(), envp.data());
  }
  auto worker = std::make_unique<WorkerProcess>(pid, std::move(frames.first));
  worker->events = std::move(events.first);
  worker->worker_events = std::move(events.second);
  worker->breadcrumbs = std::move(breadcrumbs);
  return worker;
}

std::string ExitText(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return StrCat("it was killed by signal ", signal, " (", strsignal(signal), ")");
  }
  return StrCat("it ended with status ", WEXITSTATUS(wait_status));
}

int ExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace paramd
