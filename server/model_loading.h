// ModelLoading: what the version manager calls to load one version: the
// daemon's and the model's configuration become the loader's options, and its
// result is checked against what the configuration declares.
//
// Life: the objects it borrows outlive it. Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_MODEL_LOADING_H_
#define PARAMD_SERVER_MODEL_LOADING_H_

#include "absl/status/statusor.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/params/parameter_store.h"
#include "server/config/server_config.h"
#include "server/stream_plan.h"
#include "server/versions/version_manager.h"

namespace paramd {

class ModelLoading {
 public:
  // `repository` is what LoadRequest::directory is relative to.
  ModelLoading(const ServerConfig& config, const StreamPlan& streams, const Directory* repository,
               ParameterStore* store, const Clock* clock)
      : config_(config), streams_(streams), repository_(repository), store_(store), clock_(clock) {}

  // REQUIRES: request.config holds a ModelConfig.
  absl::StatusOr<LoadedModel> Load(const LoadRequest& request, const LoadProgress& progress) const;
  // What a load leaves for later: sealed segments become huge pages, and the heap
  // that reading and packing took goes back to the system.
  void Tidy() const;

 private:
  const ServerConfig config_;
  const StreamPlan streams_;
  const Directory* const repository_;
  ParameterStore* const store_;
  const Clock* const clock_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_MODEL_LOADING_H_
