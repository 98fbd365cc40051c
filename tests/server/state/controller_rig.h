// ControllerRig: a state controller over a version manager that loads FakeModels,
// a store that the test may disturb, and a repository that is a map.
//
// Without threads whatever would wait steps the manager instead.
#ifndef PARAMD_TESTS_SERVER_STATE_CONTROLLER_RIG_H_
#define PARAMD_TESTS_SERVER_STATE_CONTROLLER_RIG_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "server/state/state_controller.h"
#include "tests/server/versions/versions_rig.h"
#include "tests/support/fake_state_store.h"
#include "tests/support/status_testing.h"

namespace paramd {

class ControllerRig {
 public:
  explicit ControllerRig(bool threads = false, StateControllerOptions options = {})
      : versions(threads), threads_(threads), options_(std::move(options)) {
    Restart();
  }
  ~ControllerRig() {
    controller->Shutdown();
    versions.manager->Shutdown();
  }

  // A controller of its own over the same store: what the next process does.
  void Restart() {
    StateControllerParts parts;
    parts.clock = versions.clock();
    parts.store = &store;
    parts.versions = versions.manager.get();
    parts.routing = &versions.routing;
    parts.list = [this](const std::string& model) { return List(model); };
    parts.desired = Desired;
    parts.held = [this](const VersionId& id, const std::string& revision) {
      return held.contains(StrCat(id.model, "/", id.number, " ", revision));
    };
    parts.plan = plan;
    parts.on_verified = [this](const VerifyReport& report) { verified.push_back(report); };
    if (!threads_) {
      parts.step = [this] { CHECK(Step()) << "this would wait forever"; };
    }
    controller = std::make_unique<StateController>(options_, std::move(parts));
    versions.on_status = [this](const ServingStatus& status) { controller->OnChange(status); };
  }
  bool Step() {
    if (step) return step();
    return versions.manager->RunControl() || versions.manager->RunLoad();
  }

  // "m" has these versions, of which the policy selects the highest `latest`.
  void Put(const std::string& model, const std::vector<int64_t>& numbers, size_t latest = 1,
           const std::string& revision = "r1") {
    ListedModel listed;
    listed.name = model;
    listed.policy = StrCat("latest ", latest);
    for (size_t i = 0; i < numbers.size(); ++i) {
      listed.versions.push_back({.number = numbers[i],
                                 .directory = StrCat(model, "/", numbers[i]),
                                 .revision = revision,
                                 .selected = i + latest >= numbers.size()});
    }
    MutexLock lock(&mutex_);
    repository_[model] = std::move(listed);
  }
  void Put(ListedModel listed) {
    MutexLock lock(&mutex_);
    repository_[listed.name] = std::move(listed);
  }
  void Remove(const std::string& model) {
    MutexLock lock(&mutex_);
    repository_.erase(model);
  }
  int lists() {
    MutexLock lock(&mutex_);
    return lists_;
  }

  int64_t Answers(const std::string& model, VersionChoice choice = {}) const {
    const absl::StatusOr<ModelHandle> found = versions.routing.Find(model, choice);
    return found.ok() ? (*found)->id().number : 0;
  }
  absl::Status Load(const std::string& model, std::optional<int64_t> version = std::nullopt) {
    return controller->Load({.model = model, .version = version}, {}).status();
  }
  std::string StatesOf(const std::string& model) { return versions.StatesOf(model); }

  absl::StatusOr<std::vector<ListedModel>> List(const std::string& model) {
    MutexLock lock(&mutex_);
    ++lists_;
    std::vector<ListedModel> listed;
    for (const auto& [name, known] : repository_) {
      if (model.empty() || name == model) listed.push_back(known);
    }
    if (listed.empty() && !model.empty()) {
      return absl::NotFoundError(StrCat("model '", model, "' is not in the repository"));
    }
    return listed;
  }

  FakeStateStore store;
  VersionsRig versions;
  std::set<std::string> held;  // "m/3 r1": in memory, for Follow.
  std::function<bool()> step;  // Instead of the manager's own order.
  std::function<absl::StatusOr<LoadPlan>(const PlanRequest&)> plan;
  std::vector<VerifyReport> verified;
  std::unique_ptr<StateController> controller;

 private:
  // As server/desired_models.h does it, but for configurations.
  static std::vector<DesiredModel> Desired(const DesiredState& state) {
    std::vector<DesiredModel> desired;
    for (const WantedModel& model : state.models) {
      if (model.unloaded) continue;
      DesiredModel& wish = desired.emplace_back();
      wish.name = model.name;
      wish.error = model.error;
      wish.swap_order =
          model.memory_first ? SwapOrder::kMemoryFirst : SwapOrder::kAvailabilityFirst;
      for (const NameEntry& name : model.names) wish.names.push_back({name.name, name.version});
      for (const WantedVersion& version : model.versions) {
        if (!IsWanted(model, version) && !IsFallback(model, version) && version.error.empty()) {
          continue;
        }
        wish.versions.push_back({.number = version.number,
                                 .directory = version.directory,
                                 .revision = version.revision,
                                 .attempt = version.attempt,
                                 .fallback = IsFallback(model, version),
                                 .refusal = version.error,
                                 .why = WhyWanted(model, version)});
      }
    }
    return desired;
  }

  const bool threads_;
  const StateControllerOptions options_;
  Mutex mutex_;
  std::map<std::string, ListedModel> repository_ ABSL_GUARDED_BY(mutex_);
  int lists_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SERVER_STATE_CONTROLLER_RIG_H_
