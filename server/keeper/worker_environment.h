// What a keeper and its worker, two programs, agree on beside the protocol.
//
// Thread-safety: constants and pure functions.
#ifndef PARAMD_SERVER_KEEPER_WORKER_ENVIRONMENT_H_
#define PARAMD_SERVER_KEEPER_WORKER_ENVIRONMENT_H_

#include "absl/time/time.h"
#include "server/config/server_config.h"

namespace paramd {

// The descriptor of the worker's end of the socket; not set: no keeper.
inline constexpr char kKeeperFdVariable[] = "PARAMD_KEEPER_FD";
// Beside the program of the keeper.
inline constexpr char kWorkerProgram[] = "paramd-worker";

// How long a retired worker lives at most: gRPC varies the age of connections by
// a tenth, and then lets calls go on for a while.
inline absl::Duration RetirementMax(const ServerConfig& config) {
  return 1.1 * config.connection_age_max + config.connection_age_grace + absl::Seconds(5);
}
// How long a worker that was told to stop may take until it is killed.
inline absl::Duration StopMax(const ServerConfig& config) {
  return config.drain_grace + config.drain_deadline + absl::Seconds(15);
}

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_WORKER_ENVIRONMENT_H_
