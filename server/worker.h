// Worker: the serving process put together, and taken apart in the right order.
//
//   repository -> desired models -> version manager -> store, programs
//   gRPC -> router -> batchers -> executor's streams
//
// `paramd-worker` is this and main.cc. Under a keeper the listening sockets, the
// segments and the desired state are the keeper's; alone the worker has its own.
//
// Life: Start binds what it needs (a taken port fails at once) and begins to
// load. Main calls Look whenever Post was called for it or its time has come.
// StopAccepting, then Drain, then the destructor. A successor (the next binary,
// while another worker serves) takes connections from kServe on only.
// Thread-safety: one thread; everything inside has its own.
#ifndef PARAMD_SERVER_WORKER_H_
#define PARAMD_SERVER_WORKER_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "server/config/server_config.h"
#include "server/keeper/keeper_client.h"
#include "server/main_events.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct WorkerParts {
  std::unique_ptr<KeeperClient> keeper;  // Null: alone.
  // Wakes main; any thread calls it. May be empty.
  std::function<void(MainEvent)> post;
};

class Worker {
 public:
  // InvalidArgument or NotFound for what is wrong with the configuration or the
  // repository's folder; AlreadyExists for a taken port.
  static absl::StatusOr<std::unique_ptr<Worker>> Start(const ServerConfig& config,
                                                       const Clock* clock, WorkerParts parts = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int grpc_port() const;
  int metrics_port() const;  // 0: no listener.

  // OK once every desired model serves or has failed (--strict-readiness: once
  // all serve) and the worker is not stopping.
  absl::Status readiness() const;
  ServingStatus status() const;

  // Does what is due: begins to take connections once what was restored serves,
  // binds the metrics port that the worker before it gives up. Returns when it
  // wants to be called again. An error: this worker cannot serve.
  absl::StatusOr<absl::Time> Look();
  // Of a successor: it serves from now on.
  void Serve();
  // Takes no connection any more and gives up the metrics port; those that are
  // connected are answered as before.
  void Retire();
  // After Retire: another worker has changed the desired state, which concerns
  // those that are still connected here.
  void Follow();
  size_t open_connections();
  // Reads the repository again.
  void Rescan();
  // Readable when the repository changed (--watch) and Look should be called; -1:
  // nothing is watched. May be another one after Serve and Retire.
  int watch_fd() const;

  // Readiness and health off; requests are still answered.
  void StopAccepting();
  // Finishes what is under way until `deadline`, refuses and cancels the rest.
  void Drain(absl::Time deadline);

 private:
  class Impl;
  explicit Worker(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_WORKER_H_
