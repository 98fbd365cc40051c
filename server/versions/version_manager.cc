#include "server/versions/version_manager.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/batching/executor.h"
#include "server/observability/metrics.h"
#include "server/versions/load_attempt.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/task_loop.h"
#include "server/versions/version_record.h"

namespace paramd {
// The table is changed by the control thread only; others read it under the
// mutex. So the control thread looks at it, drops the lock, acts, and finds it
// as it was.
class VersionManager::Impl {
 public:
  Impl(const VersionManagerOptions& options, VersionManagerParts parts)
      : options_(options),
        parts_(std::move(parts)),
        control_(parts_.clock),
        loaders_(parts_.clock) {
    CHECK(parts_.clock != nullptr && parts_.executor != nullptr && parts_.routing != nullptr);
    CHECK(parts_.load != nullptr);
    if (!options_.start_threads) return;
    control_.Start(1, nullptr);
    loaders_.Start(std::max(options_.loader_threads, 1), parts_.on_loader_thread_start);
  }

  ~Impl() { Shutdown(); }

  void SetDesired(std::vector<DesiredModel> models, DesiredOptions options) {
    control_.Post([this, models = std::move(models), options = std::move(options)]() mutable {
      Reconcile(std::move(models), options.revision);
      TakeSteps(std::move(options.on_published));
    });
  }

  void RunAt(absl::Time when, TaskLoop::Task task) { control_.PostAt(when, std::move(task)); }
  void RunOnLoader(TaskLoop::Task task) { loaders_.Post(std::move(task)); }

  bool RunControl() { return control_.RunOne(); }
  bool RunLoad() { return loaders_.RunOne(); }

  ServingStatus status() const {
    MutexLock lock(&mutex_);
    ServingStatus status;
    status.settled = settled_;
    status.all_ready = settled_;
    status.converged = desired_known_;
    status.revision = revision_;
    const absl::Time now = parts_.clock->Now();
    for (const auto& [name, record] : models_) {
      ModelStatus model = StatusOf(name, record, now);
      status.all_ready = status.all_ready && (model.ready || !record.desired);
      status.converged = status.converged && !model.coming;
      status.models.push_back(std::move(model));
    }
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
      Reconcile({}, 0);
      TakeSteps({});
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
        for (const auto& version : record.versions) {
          LOG(WARNING) << "waiting for " << name << "/" << version->version.number << ", "
                       << VersionStateName(version->state) << ", " << version->watch.holders()
                       << " handles";
        }
      }
    }
  }

  // ---- On the control thread. ----

  void Reconcile(std::vector<DesiredModel> models, uint64_t revision) {
    MutexLock lock(&mutex_);
    if (stopping_) models.clear();
    if (!stopping_ && revision != 0) {
      if (revision < revision_) return;  // Overtaken by a newer one.
      revision_ = revision;
    }
    desired_known_ = true;
    for (auto& [name, record] : models_) record.desired = false;
    for (DesiredModel& model : models) {
      ModelRecord& record = models_[model.name];
      if (record.desired) continue;  // Listed twice: the first counts.
      record.desired = true;
      record.error = model.error;
      record.swap_order = model.swap_order;
      record.names = model.names;
      // Without versions nothing is known to replace what serves: that goes on.
      if (!model.error.empty() && model.versions.empty()) continue;
      for (const auto& version : record.versions) version->desired = false;
      for (DesiredVersion& version : model.versions) Want(model, std::move(version), &record);
    }
    for (auto& [name, record] : models_) {
      if (!record.desired) {
        for (const auto& version : record.versions) version->desired = false;
      }
      // Who is asked for again after nobody wanted it starts anew.
      std::erase_if(record.failures, [&versions = record.versions](const auto& failure) {
        return std::none_of(versions.begin(), versions.end(), [&failure](const auto& version) {
          return version->desired && version->version.number == failure.first;
        });
      });
    }
  }

  // The load that answers this wish already, if there is one.
  static VersionRecord* Matching(const DesiredVersion& wish, const ModelRecord& record) {
    VersionRecord* match = nullptr;
    for (const auto& known : record.versions) {
      if (known->version.number != wish.number || known->version.revision != wish.revision) {
        continue;
      }
      const bool there = IsComing(known->state) || known->state == VersionState::kServing;
      // The same files would fail again.
      const bool failed = known->state == VersionState::kFailed &&
                          known->version.attempt == wish.attempt &&
                          known->version.refusal == wish.refusal;
      const bool waits =
          wish.fallback && known->fallback && known->state == VersionState::kUnloaded;
      if (there || failed || waits) match = known.get();
    }
    return match;
  }

  void Want(const DesiredModel& model, DesiredVersion wish, ModelRecord* record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (VersionRecord* const match = Matching(wish, *record); match != nullptr) {
      match->desired = !wish.fallback;
      match->version.why = std::move(wish.why);
      if (match->version.attempt != wish.attempt) match->not_before = absl::InfinitePast();
      match->version.attempt = wish.attempt;
      return;
    }
    auto added = std::make_unique<VersionRecord>();
    added->id = ++last_id_;
    added->batching = model.batching;
    added->config = model.config;
    added->desired = !wish.fallback;
    added->fallback = wish.fallback;
    if (wish.fallback) added->state = VersionState::kUnloaded;
    added->since = parts_.clock->Now();
    if (!wish.refusal.empty()) {
      LOG(ERROR) << model.name << "/" << wish.number << " is not loaded: " << wish.refusal;
      added->state = VersionState::kFailed;
      added->reason = wish.refusal;
      added->error = absl::FailedPreconditionError(wish.refusal);
    } else if (const auto failure = record->failures.find(wish.number);
               failure != record->failures.end() && failure->second.attempt == wish.attempt) {
      added->not_before = failure->second.last + RetryDelay(failure->second.count);
      if (added->not_before > added->since) {
        added->reason = StrCat("its files changed, it waits to be tried again; it failed: ",
                               failure->second.reason);
        control_.PostAt(added->not_before, [this] { TakeSteps({}); });
      }
    }
    added->version = std::move(wish);
    record->versions.push_back(std::move(added));
  }

  // Acts until the policy wants nothing of any model, then tells the world once.
  void TakeSteps(absl::AnyInvocable<void() &&> on_published) {
    while (TakeStep()) {
    }
    Publish();
    if (on_published) std::move(on_published)();
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
        action = NextAction(ViewsOf(record, parts_.clock->Now()), record.swap_order);
        name = model;
        if (action.step != VersionStep::kNothing) break;
        if (!record.desired && record.versions.empty()) {
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
        VersionRecord* const version = FindLocked(id);
        switch (action.step) {
          case VersionStep::kLoad:
          case VersionStep::kReload:
            EnterLocked(version, VersionState::kLoading, "");
            version->progress = {};
            load = LoadRequest{{name, version->version.number},
                               version->version.directory,
                               version->version.revision,
                               version->config};
            break;
          case VersionStep::kUnload:
            // Desired ones that do not serve yet: this one makes room for them.
            version->fallback = record.swap_order == SwapOrder::kMemoryFirst && HasDesired(record);
            EnterLocked(version, VersionState::kDraining, "");
            dropped_.push_back(std::move(version->handle));
            version->handle = ModelHandle();
            break;
          case VersionStep::kForget:
            std::erase_if(record.versions, [id](const auto& i) { return i->id == id; });
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
    return std::any_of(record.versions.begin(), record.versions.end(),
                       [](const auto& version) { return version->desired; });
  }

  void Publish() {
    std::vector<RoutingSnapshot::Routes> models;
    {
      MutexLock lock(&mutex_);
      const absl::Time now = parts_.clock->Now();
      bool all_known = desired_known_;
      for (const auto& [name, record] : models_) {
        models.push_back(RoutesOf(name, record, now));
        all_known = all_known && !(record.desired && IsBeingLoaded(record, now));
      }
      settled_ = settled_ || all_known;
    }
    parts_.routing->Publish(std::make_unique<const RoutingSnapshot>(std::move(models)));
  }

  // Which bytes are shared changes with every load and unload, of others too.
  void RefreshMetrics() {
    if (parts_.metrics == nullptr) return;
    std::vector<ModelHandle> serving;
    std::vector<FailedVersion> failed;
    std::vector<NamedVersion> names;
    {
      MutexLock lock(&mutex_);
      for (const auto& [name, record] : models_) {
        for (const DesiredName& entry : record.names) {
          names.push_back({name, entry.name, entry.version});
        }
        for (const auto& version : record.versions) {
          if (version->handle) serving.push_back(version->handle);
          if (version->state != VersionState::kFailed || !version->desired) continue;
          failed.push_back({name, version->version.number, version->error.code(), version->reason});
        }
      }
    }
    parts_.metrics->SetVersions(std::move(failed), std::move(names));
    for (const ModelHandle& handle : serving) {
      const Model& model = handle->model();
      const SetBytes bytes = model.parameters().bytes();
      handle->metrics().SetParameterUsage(
          {.unique_bytes = bytes.unique.total(),
           .shared_bytes = bytes.shared.total(),
           .unique_packed_bytes = bytes.unique.of(EntryKind::kPacked),
           .shared_packed_bytes = bytes.shared.of(EntryKind::kPacked)});
    }
  }

  void FinishLoad(uint64_t id, VersionId version_id, LoadOutcome outcome) {
    BatcherOptions batching;
    bool wanted = false;
    {
      MutexLock lock(&mutex_);
      VersionRecord* const version = FindLocked(id);
      CHECK(version != nullptr);  // A record is kept while its load runs.
      wanted = version->desired || version->fallback;
      if (outcome.skipped) {
        // Wished for again meanwhile: from the start.
        EnterLocked(version, wanted ? VersionState::kPending : VersionState::kUnloaded, "");
      }
      batching = version->batching;
      version->load_took = outcome.took;
    }
    if (outcome.skipped) {
      TakeSteps({});
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
      VersionRecord* const version = FindLocked(id);
      if (!status.ok()) {
        FailLocked(version, version_id.model, status);
      } else if (!wanted) {
        EnterLocked(version, VersionState::kUnloaded, "");
      } else {
        version->fallback = false;
        version->weights = std::move(weights);
        version->watch = HandleWatch(handle);
        version->handle = std::move(handle);
        models_.at(version_id.model).failures.erase(version_id.number);
        EnterLocked(version, VersionState::kServing, "");
      }
    }
    TakeSteps({});
    Tidy();
  }

  void FailLocked(VersionRecord* version, const std::string& model, const absl::Status& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    version->fallback = false;  // It was given its chance.
    version->error = error;
    EnterLocked(version, VersionState::kFailed, std::string(FromAbsl(error.message())));
    FailureHistory& history = models_.at(model).failures[version->version.number];
    ++history.count;
    history.last = version->since;
    history.attempt = version->version.attempt;
    history.reason = version->reason;
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
                         .trail = outcome.loaded->trail,
                         .warm = std::move(outcome.warm),
                         .warm_later = std::move(outcome.loaded->warm_later)});
    if (!batcher.ok()) return std::move(batcher).status();
    auto version = std::make_unique<const ModelVersion>(
        version_id, std::move(outcome.loaded->weights), std::move(outcome.loaded->model),
        std::move(metrics), *std::move(batcher), parts_.clock->Now(),
        std::move(outcome.loaded->config));
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
      VersionRecord* const version = FindLocked(id);
      CHECK(version != nullptr);
      EnterLocked(version, VersionState::kUnloaded, "");
      stopping = stopping_;
    }
    if (!stopping && parts_.on_unloaded) parts_.on_unloaded(version_id, weights);
    TakeSteps({});
    if (!stopping) Tidy();
  }

  VersionRecord* FindLocked(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [name, record] : models_) {
      for (const auto& version : record.versions) {
        if (version->id == id) return version.get();
      }
    }
    return nullptr;
  }

  void EnterLocked(VersionRecord* version, VersionState state, std::string reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    version->state = state;
    version->reason = std::move(reason);
    version->since = parts_.clock->Now();
  }

  // ---- On a loader thread. ----

  void Load(uint64_t id, const LoadRequest& request) {
    LoadOutcome outcome;
    outcome.skipped = !StillWanted(id);
    if (!outcome.skipped) {
      if (parts_.metrics != nullptr) parts_.metrics->AddLoadsInProgress(1);
      outcome = LoadAndWarm(
          parts_, options_, request, [this, id](const LoadNote& note) { SetProgress(id, note); },
          [this, id] { control_.Post([this, id] { BeginWarming(id); }); });
    }
    control_.Post([this, id, version = request.id, outcome = std::move(outcome)]() mutable {
      FinishLoad(id, std::move(version), std::move(outcome));
    });
  }

  void BeginWarming(uint64_t id) {
    {
      MutexLock lock(&mutex_);
      VersionRecord* const version = FindLocked(id);
      if (version->state != VersionState::kLoading) return;
      EnterLocked(version, VersionState::kWarming, "");
    }
    if (parts_.on_change) parts_.on_change(status());
  }

  bool StillWanted(uint64_t id) {
    MutexLock lock(&mutex_);
    const VersionRecord* const version = FindLocked(id);
    return version != nullptr && (version->desired || version->fallback);
  }

  void SetProgress(uint64_t id, const LoadNote& note) {
    MutexLock lock(&mutex_);
    VersionRecord* const version = FindLocked(id);
    if (version != nullptr && IsComing(version->state)) version->progress = note;
  }

  const VersionManagerOptions options_;
  const VersionManagerParts parts_;
  mutable Mutex mutex_;
  CondVar emptied_;
  std::map<std::string, ModelRecord> models_ ABSL_GUARDED_BY(mutex_);
  std::vector<ModelHandle> dropped_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  bool desired_known_ ABSL_GUARDED_BY(mutex_) = false;
  bool settled_ ABSL_GUARDED_BY(mutex_) = false;  // Once and for all.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  // Last: their threads use the members above.
  TaskLoop control_;
  TaskLoop loaders_;
};

VersionManager::VersionManager(const VersionManagerOptions& options, VersionManagerParts parts)
    : impl_(std::make_unique<Impl>(options, std::move(parts))) {}

VersionManager::~VersionManager() = default;

void VersionManager::SetDesired(std::vector<DesiredModel> models, DesiredOptions options) {
  impl_->SetDesired(std::move(models), std::move(options));
}
void VersionManager::RunAt(absl::Time when, absl::AnyInvocable<void() &&> task) {
  impl_->RunAt(when, std::move(task));
}
void VersionManager::RunOnLoader(absl::AnyInvocable<void() &&> task) {
  impl_->RunOnLoader(std::move(task));
}
ServingStatus VersionManager::status() const { return impl_->status(); }
void VersionManager::Shutdown() { impl_->Shutdown(); }
bool VersionManager::RunControl() { return impl_->RunControl(); }
bool VersionManager::RunLoad() { return impl_->RunLoad(); }

}  // namespace paramd
