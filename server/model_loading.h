// ModelLoading: what the version manager calls to load one version: the
// daemon's and the model's configuration become the loader's options, and its
// result is checked against what the configuration declares.
//
//   restore    the version is held in memory with the same revision, from before
//              this process or this load: no file is opened, and it may serve
//   load       otherwise: from its files, checked, warmed up, measured, past the
//              gate, held
//
// Life: the objects it borrows outlive it. Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_MODEL_LOADING_H_
#define PARAMD_SERVER_MODEL_LOADING_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "server/config/server_config.h"
#include "server/gate/golden_case.h"
#include "server/held_models.h"
#include "server/state/model_admin.h"
#include "server/stream_plan.h"
#include "server/versions/model_version.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct ModelLoadingOptions {
  // The version that answers for the model now, if any: what a new one may not be
  // much slower than. Called on loader threads; may be empty.
  std::function<ModelHandle(const std::string& model)> serving;
  // Told of bytes as they are read from a model's files; may be empty.
  std::function<void(const std::string& model, uint64_t bytes)> on_read;
  // Threads that load from files or tidy do the rest of their work at SCHED_IDLE,
  // so that they take no time from requests...
  bool idle_priority = false;
  // ...from the first load on during which this is true: before anything serves
  // there is nobody to be polite to, and a busy machine would never let it start.
  // Until then a load also takes all cores, and measures a single row only. Empty:
  // always.
  std::function<bool()> anything_serves;
};

class ModelLoading {
 public:
  // `repository` is what LoadRequest::directory is relative to.
  ModelLoading(const ServerConfig& config, const StreamPlan& streams, const Directory* repository,
               ParameterStore* store, const Clock* clock, ModelLoadingOptions options = {})
      : options_(std::move(options)),
        config_(config),
        streams_(streams),
        repository_(repository),
        store_(store),
        clock_(clock),
        held_(std::make_unique<HeldModels>(&store->table())),
        rate_(std::make_unique<RateLimit>(clock, config.load_rate_max)) {}

  // REQUIRES: request.config holds a ModelConfig. When it is OK the version is
  // held under "<model>/<number>"; an empty revision is neither held nor restored.
  absl::StatusOr<LoadedModel> Load(const LoadRequest& request, const LoadProgress& progress) const;
  // Whether Load would restore the version from memory.
  bool CanRestore(const VersionId& id, const std::string& revision) const;
  // What that load would take, and whether it would fit once `goes_first` is
  // unloaded. Reads the files, unless the version is held.
  absl::StatusOr<LoadPlan> Plan(const LoadRequest& request,
                                absl::Span<const VersionId> goes_first) const;
  // VersionManagerParts::on_unloaded: nobody wants the version any more.
  void Unloaded(const VersionId& id, const WeightsIdentity& weights) const;
  // Once everything desired serves or has failed: what a worker before this one
  // held and no version here serves goes. Not while stopping.
  void ReleaseUnserved(const ServingStatus& status) const;
  // What a load leaves for later: sealed segments become huge pages, and the heap
  // that reading and packing took goes back to the system.
  void Tidy() const;

 private:
  // `read` counts what was reported as read; it outlives the options.
  ModelLoadOptions OptionsFor(const LoadRequest& request, const LoadProgress& progress,
                              std::atomic<uint64_t>* read) const;
  // Nothing: it is not held, or not as it is wanted now; the log says why.
  std::optional<LoadedModel> Restore(const LoadRequest& request,
                                     const ModelLoadOptions& options) const;
  // Nothing serves yet that a load could take time from.
  bool NobodyIsDisturbed() const { return options_.anything_serves && !options_.anything_serves(); }
  // Compiles, measures and, beside golden requests, judges it.
  absl::StatusOr<std::vector<WarmSize>> WarmUpAndPassGate(const LoadRequest& request,
                                                          const ModelLoadOptions& options,
                                                          const Model& model,
                                                          absl::Span<const GoldenCase> cases) const;
  absl::StatusOr<LoadedModel> LoadFromFiles(const LoadRequest& request,
                                            const ModelLoadOptions& options) const;

  const ModelLoadingOptions options_;
  const ServerConfig config_;
  const StreamPlan streams_;
  const Directory* const repository_;
  ParameterStore* const store_;
  const Clock* const clock_;
  const std::unique_ptr<HeldModels> held_;
  const std::unique_ptr<RateLimit> rate_;  // Of all loads together.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_MODEL_LOADING_H_
