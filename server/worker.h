// Worker: the serving process put together, and taken apart in the right order.
//
//   repository -> desired models -> version manager -> store, programs
//   gRPC -> router -> batchers -> executor's streams
//
// Until the keeper comes, the `paramd` executable is this and main.cc; then the
// keeper's process takes over ports and segments, and this becomes paramd-worker.
//
// Life: Start binds both ports (a taken one fails at once) and begins to load;
// requests are answered as models become ready. StopAccepting, then Drain, then
// the destructor.
// Thread-safety: one thread; everything inside has its own.
#ifndef PARAMD_SERVER_WORKER_H_
#define PARAMD_SERVER_WORKER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "server/config/server_config.h"
#include "server/versions/version_manager.h"

namespace paramd {

class Worker {
 public:
  // InvalidArgument or NotFound for what is wrong with the configuration or the
  // repository's folder; AlreadyExists for a taken port.
  static absl::StatusOr<std::unique_ptr<Worker>> Start(const ServerConfig& config,
                                                       const Clock* clock);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int grpc_port() const;
  int metrics_port() const;  // 0: no listener.

  // OK once every desired model serves or has failed (--strict-readiness: once
  // all serve) and the worker is not stopping.
  absl::Status readiness() const;
  ServingStatus status() const;

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
