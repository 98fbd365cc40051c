// WorkerProcess: a worker as its keeper sees it: a process, a socket, a socket
// for events, memory for breadcrumbs.
//
// It inherits the one socket; all else comes over it, in the welcome. It dies
// with its keeper (PR_SET_PDEATHSIG), and is in a process group of its own, so
// that Ctrl-C in a terminal reaches the keeper alone.
//
// Life: StartWorker forks and executes; the keeper reaps. Thread-safety: one thread.
#ifndef PARAMD_SERVER_KEEPER_WORKER_PROCESS_H_
#define PARAMD_SERVER_KEEPER_WORKER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"
#include "server/keeper/frame_socket.h"
#include "server/keeper/keeper_core.h"

namespace paramd {

enum class WorkerRole : uint8_t {
  kServing = 0,
  kSuccessor = 1,  // Comes up while another serves.
  kRetired = 2,    // Answers its last connections.
};

struct WorkerProcess {
  WorkerProcess(pid_t process, UniqueFd socket) : pid(process), channel(std::move(socket)) {}

  const pid_t pid;
  FrameChannel channel;
  WorkerId id = 0;  // 0: its connection has ended.
  WorkerRole role = WorkerRole::kServing;
  UniqueFd events;         // Ours; the other end goes with the welcome.
  UniqueFd worker_events;  // Until then.
  UniqueFd breadcrumbs;
  absl::Time ready_since = absl::InfiniteFuture();
  absl::Time kill_at = absl::InfiniteFuture();

  // One byte; lost when the worker does not read.
  void SendEvent(KeeperEvent event) const;
};

struct WorkerCommand {
  std::string program;                 // A path.
  std::vector<std::string> arguments;  // Without the program's name.
  std::vector<std::string> environment;
};
// Internal: the system has no process, descriptor or memory left. A program that
// cannot be executed ends with status 127.
absl::StatusOr<std::unique_ptr<WorkerProcess>> StartWorker(const WorkerCommand& command);

// "it was killed by signal 11 (Segmentation fault)", "it ended with status 1".
std::string ExitText(int wait_status);
// As a shell would say it: the status, or 128 and the signal.
int ExitCode(int wait_status);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_WORKER_PROCESS_H_
