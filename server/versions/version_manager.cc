#include "server/versions/version_manager.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "runtime/model.h"
#include "server/batching/executor.h"
#include "server/batching/warm_up.h"
#include "server/observability/metrics.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/task_loop.h"

namespace paramd {
namespace {

// One load of one version, from the wish to the end.
struct Instance {
  uint64_t id = 0;
  DesiredVersion version;
  BatcherOptions batching;
  std::any config;
  bool desired = false;
  bool fallback = false;
  VersionState state = VersionState::kPending;
  std::string reason;
  WeightsIdentity weights;
  absl::Time since;
  absl::Duration load_took;
  ModelHandle handle;  // While serving.
  HandleWatch watch;

  VersionView view() const { return {id, version.number, state, desired, fallback}; }
};

struct ModelRecord {
  bool desired = false;  // In the last list.
  std::string error;
  SwapOrder swap_order = SwapOrder::kAvailabilityFirst;
  std::vector<std::unique_ptr<Instance>> instances;

  std::vector<VersionView> views() const {
    std::vector<VersionView> views;
    for (const auto& instance : instances) views.push_back(instance->view());
    return views;
  }
};

bool IsComing(VersionState state) {
  return state == VersionState::kPending || state == VersionState::kLoading ||
         state == VersionState::kWarming;
}

bool IsLoadedOrComing(VersionState state) {
  return IsComing(state) || state == VersionState::kServing;
}

// What one load brought, on its way to the control thread.
struct LoadOutcome {
  bool skipped = false;  // Nobody wanted it when its turn came: nothing was read.
  absl::StatusOr<LoadedModel> loaded = absl::UnknownError("not loaded");
  std::vector<WarmSize> warm;
  absl::Duration took;
};

}  // namespace

// The table is changed by the control thread only; others read it under the
// mutex. So the control thread looks at it, drops the lock, acts, and finds it
// as it was.
class VersionManager::Impl {
 public:
  Impl(const VersionManagerOptions& options, VersionManagerParts parts)
      : options_(options), parts_(std::move(parts)) {
    CHECK(parts_.clock != nullptr && parts_.executor != nullptr && parts_.routing != nullptr);
    CHECK(parts_.load != nullptr);
    if (!options_.start_threads) return;
    control_.Start(1, nullptr);
    loaders_.Start(std::max(options_.loader_threads, 1), parts_.on_loader_thread_start);
  }

  ~Impl() { Shutdown(); }

  void SetDesired(std::vector<DesiredModel> models) {
    control_.Post([this, models = std::move(models)]() mutable {
      Reconcile(std::move(models));
      TakeSteps();
    });
  }

  bool RunControl() { return control_.RunOne(); }
  bool RunLoad() { return loaders_.RunOne(); }

  ServingStatus status() const {
    MutexLock lock(&mutex_);
    ServingStatus status;
    status.settled = desired_known_;
    status.all_ready = desired_known_;
    for (const auto& [name, record] : models_) {
      ModelStatus model;
      model.name = name;
      model.error = record.error;
      model.default_version = DefaultVersion(record.views());
      model.ready = model.default_version != 0;
      bool coming = false;
      for (const auto& instance : record.instances) {
        coming = coming || IsComing(instance->state);
        model.versions.push_back({.number = instance->version.number,
                                  .state = instance->state,
                                  .reason = instance->reason,
                                  .weights = instance->weights,
                                  .holders = instance->watch.holders(),
                                  .since = instance->since,
                                  .load_took = instance->load_took});
      }
      model.failed = !model.ready && !coming;
      std::stable_sort(
          model.versions.begin(), model.versions.end(),
          [](const VersionStatus& a, const VersionStatus& b) { return a.number < b.number; });
      if (record.desired) {
        status.settled = status.settled && (model.ready || model.failed);
        status.all_ready = status.all_ready && model.ready;
      }
      status.models.push_back(std::move(model));
    }
    status.all_ready = status.all_ready && status.settled;
    return status;
  }

  void Shutdown() {
    {
      MutexLock lock(&mutex_);
      if (shut_down_) return;
      shut_down_ = true;
    }
    control_.Post([this] {
      {
        MutexLock lock(&mutex_);
        stopping_ = true;
      }
      Reconcile({});
      TakeSteps();
    });
    if (options_.start_threads) {
      WaitUntilEmpty();
    } else {
      while (control_.RunOne() || loaders_.RunOne()) {
      }
      MutexLock lock(&mutex_);
      CHECK(models_.empty()) << "a ModelHandle outlives the VersionManager";
    }
    loaders_.Stop();
    control_.Stop();
  }

 private:
  void WaitUntilEmpty() {
    MutexLock lock(&mutex_);
    absl::Time complain_at = parts_.clock->Now() + absl::Seconds(10);
    while (!models_.empty()) {
      emptied_.WaitUntil(&mutex_, complain_at);
      if (models_.empty() || parts_.clock->Now() < complain_at) continue;
      complain_at = parts_.clock->Now() + absl::Seconds(10);
      for (const auto& [name, record] : models_) {
        for (const auto& instance : record.instances) {
          LOG(WARNING) << "waiting for " << name << "/" << instance->version.number << ", "
                       << VersionStateName(instance->state) << ", " << instance->watch.holders()
                       << " handles";
        }
      }
    }
  }

  // ---- On the control thread. ----

  void Reconcile(std::vector<DesiredModel> models) {
    MutexLock lock(&mutex_);
    if (stopping_) models.clear();
    desired_known_ = true;
    for (auto& [name, record] : models_) record.desired = false;
    for (DesiredModel& model : models) {
      ModelRecord& record = models_[model.name];
      if (record.desired) continue;  // Listed twice: the first counts.
      record.desired = true;
      record.error = model.error;
      record.swap_order = model.swap_order;
      if (!model.error.empty()) continue;  // What serves goes on; nothing new can be read.
      for (const auto& instance : record.instances) instance->desired = false;
      for (DesiredVersion& version : model.versions) Want(model, std::move(version), &record);
    }
    for (auto& [name, record] : models_) {
      if (record.desired) continue;
      for (const auto& instance : record.instances) instance->desired = false;
    }
  }

  void Want(const DesiredModel& model, DesiredVersion version, ModelRecord* record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& instance : record->instances) {
      // Also one that failed: trying the same files again would fail again.
      if (instance->version.number == version.number &&
          instance->version.revision == version.revision &&
          (IsLoadedOrComing(instance->state) || instance->state == VersionState::kFailed)) {
        instance->desired = true;
        return;
      }
    }
    auto instance = std::make_unique<Instance>();
    instance->id = ++last_id_;
    instance->version = std::move(version);
    instance->batching = model.batching;
    instance->config = model.config;
    instance->desired = true;
    instance->since = parts_.clock->Now();
    record->instances.push_back(std::move(instance));
  }

  // Acts until the policy wants nothing of any model, then tells the world once.
  void TakeSteps() {
    while (TakeStep()) {
    }
    Publish();
    std::vector<ModelHandle> dropped;
    {
      MutexLock lock(&mutex_);
      dropped.swap(dropped_);
    }
    // After Publish, so that the last handle of an idle version goes here and now.
    dropped.clear();
    RefreshMetrics();
    if (parts_.on_change) parts_.on_change(status());
  }

  bool TakeStep() {
    std::optional<LoadRequest> load;
    uint64_t id = 0;
    std::string gone;
    {
      MutexLock lock(&mutex_);
      VersionAction action;
      std::string name;
      for (const auto& [model, record] : models_) {
        action = NextAction(record.views(), record.swap_order);
        name = model;
        if (action.step != VersionStep::kNothing) break;
        if (!record.desired && record.instances.empty()) {
          gone = model;
          break;
        }
      }
      if (!gone.empty()) {
        models_.erase(gone);
        if (models_.empty()) emptied_.SignalAll();
      } else if (action.step == VersionStep::kNothing) {
        return false;
      } else {
        id = action.instance;
        ModelRecord& record = models_.at(name);
        Instance* const instance = FindLocked(id);
        switch (action.step) {
          case VersionStep::kLoad:
          case VersionStep::kReload:
            EnterLocked(instance, VersionState::kLoading, "");
            load = LoadRequest{{name, instance->version.number},
                               instance->version.directory,
                               instance->version.revision,
                               instance->config};
            break;
          case VersionStep::kUnload:
            // Desired ones that do not serve yet: this one makes room for them.
            instance->fallback = record.swap_order == SwapOrder::kMemoryFirst && HasDesired(record);
            EnterLocked(instance, VersionState::kDraining, "");
            dropped_.push_back(std::move(instance->handle));
            instance->handle = ModelHandle();
            break;
          case VersionStep::kForget:
            std::erase_if(record.instances, [id](const auto& i) { return i->id == id; });
            break;
          case VersionStep::kNothing:
            break;
        }
      }
    }
    if (!gone.empty() && parts_.metrics != nullptr) parts_.metrics->ForgetModel(gone);
    if (load) {
      LOG(INFO) << "loading " << load->id.model << "/" << load->id.number;
      loaders_.Post([this, id, request = *std::move(load)] { Load(id, request); });
    }
    return true;
  }

  static bool HasDesired(const ModelRecord& record) {
    return std::any_of(record.instances.begin(), record.instances.end(),
                       [](const auto& instance) { return instance->desired; });
  }

  void Publish() {
    std::vector<RoutingSnapshot::Routes> models;
    {
      MutexLock lock(&mutex_);
      for (const auto& [name, record] : models_) {
        RoutingSnapshot::Routes routes;
        routes.model = name;
        routes.default_number = DefaultVersion(record.views());
        for (const auto& instance : record.instances) {
          if (instance->state == VersionState::kServing) {
            routes.serving.push_back(instance->handle);
          }
          routes.coming = routes.coming || IsComing(instance->state) || instance->fallback;
        }
        // By number; of one number the latest load last, where Find looks first.
        std::stable_sort(routes.serving.begin(), routes.serving.end(),
                         [](const ModelHandle& a, const ModelHandle& b) {
                           return a->id().number < b->id().number;
                         });
        models.push_back(std::move(routes));
      }
    }
    parts_.routing->Publish(std::make_unique<const RoutingSnapshot>(std::move(models)));
  }

  // Which bytes are shared changes with every load and unload, of others too.
  void RefreshMetrics() {
    if (parts_.metrics == nullptr) return;
    std::vector<ModelHandle> serving;
    {
      MutexLock lock(&mutex_);
      for (const auto& [name, record] : models_) {
        for (const auto& instance : record.instances) {
          if (instance->handle) serving.push_back(instance->handle);
        }
      }
    }
    for (const ModelHandle& handle : serving) {
      const Model& model = handle->model();
      handle->metrics().SetParameterUsage(
          {.unique_bytes = model.parameters().unique_bytes(),
           .shared_bytes = model.parameters().shared_bytes(),
           .packed_bytes = model.description().weights_bytes_packed});
    }
  }

  void FinishLoad(uint64_t id, VersionId version_id, LoadOutcome outcome) {
    BatcherOptions batching;
    bool wanted = false;
    {
      MutexLock lock(&mutex_);
      Instance* const instance = FindLocked(id);
      CHECK(instance != nullptr);  // A record is kept while its load runs.
      wanted = instance->desired || instance->fallback;
      if (outcome.skipped) {
        // Wished for again meanwhile: from the start.
        EnterLocked(instance, wanted ? VersionState::kPending : VersionState::kUnloaded, "");
      }
      batching = instance->batching;
      instance->load_took = outcome.took;
    }
    if (outcome.skipped) {
      TakeSteps();
      return;
    }
    absl::Status status = outcome.loaded.status();
    ModelHandle handle;
    WeightsIdentity weights;
    if (status.ok() && wanted) {
      weights = outcome.loaded->weights;
      absl::StatusOr<ModelHandle> made = MakeVersion(id, version_id, batching, std::move(outcome));
      status = made.status();
      if (made.ok()) handle = *std::move(made);
    }
    if (parts_.metrics != nullptr) {
      parts_.metrics->RecordLoad(version_id.model, status.code(), outcome.took);
      parts_.metrics->AddLoadsInProgress(-1);
    }
    LOG(INFO) << version_id.model << "/" << version_id.number
              << (status.ok() ? (wanted ? " serves" : " is not wanted any more") : " failed: ")
              << (status.ok() ? "" : status.ToString()) << " after "
              << absl::FormatDuration(outcome.took);
    {
      MutexLock lock(&mutex_);
      Instance* const instance = FindLocked(id);
      if (!status.ok()) {
        instance->fallback = false;  // It was given its chance.
        EnterLocked(instance, VersionState::kFailed, std::string(FromAbsl(status.message())));
      } else if (!wanted) {
        EnterLocked(instance, VersionState::kUnloaded, "");
      } else {
        instance->fallback = false;
        instance->weights = std::move(weights);
        instance->watch = HandleWatch(handle);
        instance->handle = std::move(handle);
        EnterLocked(instance, VersionState::kServing, "");
      }
    }
    TakeSteps();
    Tidy();
  }

  // After everything that waits to be loaded: no answer depends on it.
  void Tidy() {
    if (parts_.tidy) loaders_.Post(parts_.tidy);
  }

  absl::StatusOr<ModelHandle> MakeVersion(uint64_t id, const VersionId& version_id,
                                          const BatcherOptions& batching, LoadOutcome outcome) {
    std::unique_ptr<VersionMetrics> metrics;
    if (parts_.metrics != nullptr) {
      metrics = parts_.metrics->ForVersion(version_id.model, version_id.number);
      metrics->SetWeights(outcome.loaded->weights.generation, outcome.loaded->weights.weights_id);
      metrics->SetArenaBytes(outcome.loaded->model->description().arena_bytes);
      metrics->SetCompiledShapes(static_cast<int64_t>(outcome.warm.size()));
    }
    absl::StatusOr<std::unique_ptr<Batcher>> batcher =
        Batcher::Create(parts_.executor, batching,
                        {.model_name = version_id.model,
                         .model = outcome.loaded->model.get(),
                         .metrics = metrics.get(),
                         .warm = std::move(outcome.warm)});
    if (!batcher.ok()) return std::move(batcher).status();
    auto version = std::make_unique<const ModelVersion>(
        version_id, std::move(outcome.loaded->weights), std::move(outcome.loaded->model),
        std::move(metrics), *std::move(batcher), parts_.clock->Now());
    return ModelHandle(std::move(version), [this, id](std::unique_ptr<const ModelVersion> last) {
      control_.Post([this, id, last = std::move(last)]() mutable {
        const VersionId version_id = last->id();
        const WeightsIdentity weights = {last->generation(), last->weights_id()};
        last.reset();
        FinishUnload(id, version_id, weights);
      });
    });
  }

  void FinishUnload(uint64_t id, const VersionId& version_id, const WeightsIdentity& weights) {
    bool stopping = false;
    {
      MutexLock lock(&mutex_);
      Instance* const instance = FindLocked(id);
      CHECK(instance != nullptr);
      EnterLocked(instance, VersionState::kUnloaded, "");
      stopping = stopping_;
    }
    if (!stopping && parts_.on_unloaded) parts_.on_unloaded(version_id, weights);
    TakeSteps();
    if (!stopping) Tidy();
  }

  Instance* FindLocked(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [name, record] : models_) {
      for (const auto& instance : record.instances) {
        if (instance->id == id) return instance.get();
      }
    }
    return nullptr;
  }

  void EnterLocked(Instance* instance, VersionState state, std::string reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    instance->state = state;
    instance->reason = std::move(reason);
    instance->since = parts_.clock->Now();
  }

  // ---- On a loader thread. ----

  void Load(uint64_t id, const LoadRequest& request) {
    LoadOutcome outcome;
    outcome.skipped = !StillWanted(id);
    const absl::Time start = parts_.clock->Now();
    if (!outcome.skipped) {
      if (parts_.metrics != nullptr) parts_.metrics->AddLoadsInProgress(1);
      outcome.loaded =
          parts_.load(request, [this, id](std::string_view detail) { SetProgress(id, detail); });
    }
    if (outcome.loaded.ok()) {
      control_.Post([this, id] {
        {
          MutexLock lock(&mutex_);
          Instance* const instance = FindLocked(id);
          if (instance->state != VersionState::kLoading) return;
          EnterLocked(instance, VersionState::kWarming, "");
        }
        if (parts_.on_change) parts_.on_change(status());
      });
      if (absl::Status warm = Warm(&outcome); !warm.ok()) outcome.loaded = std::move(warm);
    }
    outcome.took = parts_.clock->Now() - start;
    control_.Post([this, id, version = request.id, outcome = std::move(outcome)]() mutable {
      FinishLoad(id, std::move(version), std::move(outcome));
    });
  }

  absl::Status Warm(LoadOutcome* outcome) {
    std::unique_ptr<Arena> arena;
    if (parts_.new_arena) {
      absl::StatusOr<std::unique_ptr<Arena>> made = parts_.new_arena();
      if (!made.ok()) return std::move(made).status();
      arena = *std::move(made);
    }
    absl::StatusOr<std::vector<WarmSize>> warm = WarmUp(
        *outcome->loaded->model, arena.get(), *parts_.clock, {.measure = options_.measure_warm_up});
    if (!warm.ok()) return std::move(warm).status();
    outcome->warm = *std::move(warm);
    return absl::OkStatus();
  }

  bool StillWanted(uint64_t id) {
    MutexLock lock(&mutex_);
    const Instance* const instance = FindLocked(id);
    return instance != nullptr && (instance->desired || instance->fallback);
  }

  void SetProgress(uint64_t id, std::string_view detail) {
    MutexLock lock(&mutex_);
    Instance* const instance = FindLocked(id);
    if (instance != nullptr && IsComing(instance->state)) instance->reason = std::string(detail);
  }

  const VersionManagerOptions options_;
  const VersionManagerParts parts_;
  mutable Mutex mutex_;
  CondVar emptied_;
  std::map<std::string, ModelRecord> models_ ABSL_GUARDED_BY(mutex_);
  std::vector<ModelHandle> dropped_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool desired_known_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  // Last: their threads use the members above.
  TaskLoop control_;
  TaskLoop loaders_;
};

VersionManager::VersionManager(const VersionManagerOptions& options, VersionManagerParts parts)
    : impl_(std::make_unique<Impl>(options, std::move(parts))) {}

VersionManager::~VersionManager() = default;

void VersionManager::SetDesired(std::vector<DesiredModel> models) {
  impl_->SetDesired(std::move(models));
}
ServingStatus VersionManager::status() const { return impl_->status(); }
void VersionManager::Shutdown() { impl_->Shutdown(); }
bool VersionManager::RunControl() { return impl_->RunControl(); }
bool VersionManager::RunLoad() { return impl_->RunLoad(); }

}  // namespace paramd
