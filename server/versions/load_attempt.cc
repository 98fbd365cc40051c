#include "server/versions/load_attempt.h"

#include <memory>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/graph/arena.h"
#include "runtime/model.h"
#include "server/batching/warm_up.h"

namespace paramd {
namespace {

absl::StatusOr<std::vector<WarmSize>> Warm(const VersionManagerParts& parts,
                                           const VersionManagerOptions& options,
                                           const Model& model) {
  std::unique_ptr<Arena> arena;
  if (parts.new_arena) {
    PARAMD_ASSIGN_OR_RETURN(arena, parts.new_arena());
  }
  return WarmUp(model, arena.get(), *parts.clock, {.measure = options.measure_warm_up});
}

}  // namespace

LoadOutcome LoadAndWarm(const VersionManagerParts& parts, const VersionManagerOptions& options,
                        const LoadRequest& request, const LoadProgress& progress,
                        const std::function<void()>& on_loaded) {
  LoadOutcome outcome;
  const absl::Time start = parts.clock->Now();
  outcome.loaded = parts.load(request, progress);
  if (outcome.loaded.ok()) {
    if (!outcome.loaded->config.has_value()) outcome.loaded->config = request.config;
    on_loaded();
    if (!outcome.loaded->warm.empty()) {
      outcome.warm = std::move(outcome.loaded->warm);
      outcome.took = parts.clock->Now() - start;
      return outcome;
    }
    absl::StatusOr<std::vector<WarmSize>> warm = Warm(parts, options, *outcome.loaded->model);
    if (warm.ok()) {
      outcome.warm = *std::move(warm);
    } else {
      outcome.loaded = std::move(warm).status();
    }
  }
  outcome.took = parts.clock->Now() - start;
  return outcome;
}

}  // namespace paramd
