// VersionsRig: a version manager without threads, over an executor without
// threads; FakeModels are what it loads, from a script by directory.
#ifndef PARAMD_TESTS_SERVER_VERSIONS_VERSIONS_RIG_H_
#define PARAMD_TESTS_SERVER_VERSIONS_VERSIONS_RIG_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/strings.h"
#include "server/batching/executor.h"
#include "server/predict/predict_router.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/version_manager.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_metrics.h"
#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {

class VersionsRig {
 public:
  // `recorder`: instead of `metrics`.
  explicit VersionsRig(bool threads = false, Metrics* recorder = nullptr) : threads_(threads) {
    ExecutorParts parts;
    parts.clock = clock();
    auto made = Executor::Create({.streams = 2, .start_threads = threads}, std::move(parts));
    EXPECT_OK(made.status());
    executor = *std::move(made);
    VersionManagerParts manager_parts;
    manager_parts.clock = clock();
    manager_parts.executor = executor.get();
    manager_parts.routing = &routing;
    manager_parts.metrics = recorder == nullptr ? &metrics : recorder;
    manager_parts.load = [this](const LoadRequest& request, const LoadProgress& progress) {
      return Load(request, progress);
    };
    manager_parts.tidy = [this] { ++tidied; };
    manager_parts.on_unloaded = [this](const VersionId& id, const WeightsIdentity& weights) {
      unloaded.push_back(StrCat(id.model, "/", id.number, " ", weights.weights_id));
    };
    manager_parts.on_change = [this](const ServingStatus& status) {
      ++changes;
      if (on_status) on_status(status);
    };
    manager = std::make_unique<VersionManager>(
        VersionManagerOptions{.loader_threads = 2, .start_threads = threads},
        std::move(manager_parts));
  }

  const Clock* clock() const { return threads_ ? Clock::Real() : &fake_clock; }

  // Until nothing waits any more.
  void Settle() {
    while (manager->RunControl() || manager->RunLoad()) {
    }
  }
  void Control() {
    while (manager->RunControl()) {
    }
  }

  void Want(std::vector<std::pair<std::string, std::vector<int64_t>>> wanted) {
    std::vector<DesiredModel> models;
    for (auto& [name, numbers] : wanted) {
      DesiredModel model;
      model.name = name;
      model.swap_order = swap_order;
      for (const int64_t number : numbers) {
        model.versions.push_back({.number = number,
                                  .directory = StrCat(name, "/", number),
                                  .revision = revision,
                                  .attempt = attempt});
      }
      model.names = names;
      models.push_back(std::move(model));
    }
    manager->SetDesired(std::move(models));
  }

  std::string StatesOf(const std::string& name) const {
    std::string text;
    for (const ModelStatus& model : manager->status().models) {
      if (model.name != name) continue;
      for (const VersionStatus& version : model.versions) {
        StrAppend(&text, text.empty() ? "" : " ", version.number, ":",
                  VersionStateName(version.state));
      }
    }
    return text;
  }

  absl::StatusOr<ModelHandle> Find(const std::string& model, VersionChoice choice = {}) const {
    return routing.Find(model, choice);
  }

  absl::StatusOr<LoadedModel> Load(const LoadRequest& request, const LoadProgress& progress) {
    progress({"parameters", 1, 2});
    if (const auto failure = failures.find(request.directory); failure != failures.end()) {
      return failure->second;
    }
    ++loads;
    ++alive;
    FakeModelOptions options;
    options.scale = static_cast<float>(request.id.number);
    options.on_destroy = [this] {
      --alive;
      MutexLock lock(&mutex);
      destroyed_on.push_back(std::this_thread::get_id());
    };
    if (script) script(request, &options);
    LoadedModel loaded;
    loaded.model = std::make_unique<FakeModel>(std::move(options));
    loaded.weights = {1000 + static_cast<uint64_t>(loads), StrCat("weights-", request.directory)};
    return loaded;
  }

  FakeClock fake_clock;
  FakeMetrics metrics;
  std::unique_ptr<Executor> executor;
  RoutingTable routing;
  // Scripts, set before they are needed.
  std::map<std::string, absl::Status> failures;  // By directory.
  std::function<void(const LoadRequest&, FakeModelOptions*)> script;
  SwapOrder swap_order = SwapOrder::kAvailabilityFirst;
  std::string revision = "r1";
  uint64_t attempt = 0;
  std::vector<DesiredName> names;                       // Of every model of Want.
  std::function<void(const ServingStatus&)> on_status;  // On the control thread.
  // What happened.
  std::atomic<int> loads{0};
  std::atomic<int> alive{0};
  std::atomic<int> changes{0};
  std::atomic<int> tidied{0};
  std::vector<std::string> unloaded;  // Of the control thread: "a/1 weights-a/1".
  Mutex mutex;
  std::vector<std::thread::id> destroyed_on ABSL_GUARDED_BY(mutex);

  std::unique_ptr<VersionManager> manager;  // Last: goes first.

 private:
  const bool threads_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SERVER_VERSIONS_VERSIONS_RIG_H_
