#include "server/worker.h"

#include <sys/prctl.h>

#include <algorithm>
#include <any>
#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/base/cpu_budget.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "server/administration.h"
#include "server/batching/executor.h"
#include "server/config/parameter_capacity.h"
#include "server/crash_trail.h"
#include "server/front_doors.h"
#include "server/keeper/listening_socket.h"
#include "server/model_loading.h"
#include "server/observability/metrics.h"
#include "server/observability/metrics_listener.h"
#include "server/observability/version.h"
#include "server/predict/predict_router.h"
#include "server/repository/model_repository.h"
#include "server/rpc/kserve/kserve_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/predict_service.h"
#include "server/status_page.h"
#include "server/store_usage.h"
#include "server/stream_plan.h"
#include "server/versions/routing_snapshot.h"

namespace paramd {
namespace {

// How long connections wait for what an earlier worker served; after that they
// are taken, and told what is not there yet.
constexpr absl::Duration kRestoreMax = absl::Seconds(5);
// How long the worker before this one may take to give up the metrics port.
constexpr absl::Duration kMetricsPortMax = absl::Seconds(10);
constexpr absl::Duration kMetricsPortRetry = absl::Milliseconds(20);

void NameThread(const std::string& name) { prctl(PR_SET_NAME, name.c_str(), 0, 0, 0); }

}  // namespace

// Members in the order in which they are built; destroyed the other way round.
class Worker::Impl {
 public:
  Impl(const ServerConfig& config, const Clock* clock, WorkerParts parts)
      : config_(config),
        clock_(clock),
        started_(clock->Now()),
        post_(std::move(parts.post)),
        keeper_(std::move(parts.keeper)) {}
  ~Impl();

  absl::Status Start();

  absl::StatusOr<absl::Time> Look();
  void Serve();
  void Retire();
  void Follow() { administration_->Follow(); }
  size_t open_connections() { return doors_->open_connections(); }
  void Rescan() { administration_->Rescan(""); }
  int watch_fd() const { return administration_->watch_fd(); }

  absl::Status Readiness() const;
  void StopAccepting();
  void Drain(absl::Time deadline);

  int grpc_port() const { return doors_->grpc_port(); }
  int metrics_port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  ServingStatus status() const { return versions_->status(); }

 private:
  absl::Status MeetKeeper();
  absl::Status OpenStore();
  absl::Status StartExecutor(const CpuBudget& budget);
  absl::StatusOr<LoadedModel> Load(const LoadRequest& request, const LoadProgress& progress);
  void StartVersions();
  absl::Status StartAdministration();
  absl::Status StartFrontDoors();
  void MakeKServe(const WireCallParts& calls);
  absl::StatusOr<FrontDoorsParts> FindSockets();
  absl::Status StartMetricsListener();
  void OnKeeperEvent(uint8_t event);
  void StartThread(const std::string& name);
  bool Restored(const ServingStatus& status) const;
  absl::Status CheckSuccession(const ServingStatus& status) const;
  void PublishHealth(const ServingStatus& status);
  StatusPageInput Status() const;

  const ServerConfig config_;
  const Clock* const clock_;
  const absl::Time started_;
  const std::function<void(MainEvent)> post_;
  const std::unique_ptr<KeeperClient> keeper_;
  KeeperWelcome welcome_;
  std::set<std::string> inherited_;           // Models of which an earlier worker served versions.
  std::set<std::string> inherited_versions_;  // "digits/3".
  std::unique_ptr<CrashTrail> trail_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> doors_open_{false};  // The members below stand.
  std::atomic<bool> reported_ready_{false};
  // Of main's thread.
  bool serves_ = true;  // False: a successor that waits for its turn.
  bool accepting_ = false;
  absl::Time accept_by_;
  absl::Time metrics_by_;
  StreamPlan streams_;
  std::unique_ptr<ModelRepository> repository_;
  std::unique_ptr<ParameterStore> store_;
  std::optional<StoreMetrics> store_metrics_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Executor> executor_;
  RoutingTable routing_;
  std::unique_ptr<ModelLoading> loading_;
  std::unique_ptr<VersionManager> versions_;
  std::unique_ptr<Administration> administration_;
  std::unique_ptr<PredictRouter> router_;
  std::unique_ptr<PredictService> predict_service_;
  std::unique_ptr<ModelService> model_service_;
  std::unique_ptr<PredictService> admin_predict_service_;
  std::unique_ptr<ModelService> admin_model_service_;
  // Of KServe V2; what both of its services share.
  std::unique_ptr<SharedRegions> client_regions_;  // Null: off.
  std::unique_ptr<SequenceStates> sequences_;
  TraceSettings traces_;
  std::unique_ptr<grpc::Service> kserve_service_;
  std::unique_ptr<grpc::Service> admin_kserve_service_;
  std::unique_ptr<FrontDoors> doors_;
  std::unique_ptr<MetricsListener> listener_;
};

absl::Status Worker::Impl::Start() {
  PARAMD_ASSIGN_OR_RETURN(repository_, ModelRepository::Open(config_.model_repository));
  const CpuBudget budget = ReadCpuBudget();
  PARAMD_RETURN_IF_ERROR(MeetKeeper());
  PARAMD_RETURN_IF_ERROR(OpenStore());
  metrics_ = Metrics::Create({.build = ThisBuild(), .triton_names = config_.triton_metrics});
  metrics_->SetCpuBudget(budget.quota.value_or(static_cast<double>(budget.cpus.size())));
  store_metrics_.emplace(store_.get());
  metrics_->SetStoreUsageSource(&*store_metrics_);
  PARAMD_RETURN_IF_ERROR(StartExecutor(budget));
  ModelLoadingOptions loading_options = {.idle_priority = true};
  loading_options.serving = [this](const std::string& model) {
    absl::StatusOr<ModelHandle> handle = routing_.Find(model, VersionChoice());
    return handle.ok() ? *std::move(handle) : ModelHandle();
  };
  loading_options.anything_serves = [this] {
    const std::vector<ModelStatus> models = versions_->status().models;
    return std::any_of(models.begin(), models.end(),
                       [](const ModelStatus& model) { return model.ready; });
  };
  loading_options.on_read = [this](const std::string& model, uint64_t bytes) {
    metrics_->AddLoadBytes(model, bytes);
  };
  loading_ = std::make_unique<ModelLoading>(config_, streams_, &repository_->directory(),
                                            store_.get(), clock_, std::move(loading_options));
  StartVersions();
  PARAMD_RETURN_IF_ERROR(StartAdministration());
  PARAMD_RETURN_IF_ERROR(StartFrontDoors());
  doors_open_.store(true);
  LOG(INFO) << "paramd serves " << config_.model_repository << " on port " << grpc_port() << ", "
            << budget.ToString() << ": " << streams_.streams << " streams of "
            << streams_.threads_per_stream << " threads";
  PARAMD_RETURN_IF_ERROR(administration_->Start());
  accept_by_ = clock_->Now() + kRestoreMax;
  metrics_by_ = clock_->Now() + kMetricsPortMax;
  return Look().status();
}

// Who was here before, what it held, and what it crashed in.
absl::Status Worker::Impl::MeetKeeper() {
  if (keeper_ == nullptr) return absl::OkStatus();
  welcome_ = keeper_->TakeWelcome();
  serves_ = !welcome_.successor;
  for (const SegmentTable::Holding& holding : keeper_->Holdings()) {
    inherited_.insert(holding.name.substr(0, holding.name.rfind('/')));
    inherited_versions_.insert(holding.name);
  }
  if (!welcome_.breadcrumb.valid()) return absl::OkStatus();
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<BreadcrumbWriter> breadcrumbs,
                          BreadcrumbWriter::Map(std::move(welcome_.breadcrumb)));
  breadcrumbs->InstallCrashHandler();
  for (const KeeperWelcome::Quarantined& version : welcome_.quarantined) {
    LOG(ERROR) << version.version << " is in quarantine: " << version.reason;
  }
  trail_ = std::make_unique<CrashTrail>(std::move(breadcrumbs), welcome_.quarantined);
  return absl::OkStatus();
}

absl::Status Worker::Impl::OpenStore() {
  ParameterStoreOptions options;
  if (keeper_ != nullptr) {
    options.table = keeper_.get();
  } else {
    options.capacity_bytes = ParameterCapacity(config_);
    // Without a keeper to hand them out, generations count up from here.
    options.generation_start = static_cast<uint64_t>(absl::ToUnixMicros(started_));
  }
  PARAMD_ASSIGN_OR_RETURN(store_, ParameterStore::Create(options));
  return absl::OkStatus();
}

void Worker::Impl::StartThread(const std::string& name) {
  NameThread(name);
  if (trail_ != nullptr) trail_->AddThread();
}

absl::Status Worker::Impl::StartExecutor(const CpuBudget& budget) {
  PARAMD_ASSIGN_OR_RETURN(streams_, PlanStreams(budget.threads(), static_cast<int>(config_.streams),
                                                static_cast<int>(config_.threads_per_stream)));
  ExecutorParts parts = {.clock = clock_, .metrics = metrics_->executor(), .trail = trail_.get()};
  for (int i = 0; i < streams_.streams; ++i) {
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));
    parts.arenas.push_back(std::move(arena));
  }
  parts.on_thread_start = [this](int stream) {
    StartThread(stream < 0 ? "compile" : StrCat("stream-", stream));
    SetKernelThreads(streams_.threads_per_stream);
  };
  PARAMD_ASSIGN_OR_RETURN(executor_, Executor::Create({.streams = streams_.streams,
                                                       .batch_time_max = config_.batch_time_max,
                                                       .queue_bytes_max = config_.queue_bytes_max},
                                                      std::move(parts)));
  return absl::OkStatus();
}

// Leaves a trail: a crash while it loads, or later while it runs, is this version's.
absl::StatusOr<LoadedModel> Worker::Impl::Load(const LoadRequest& request,
                                               const LoadProgress& progress) {
  if (trail_ == nullptr) return loading_->Load(request, progress);
  const uint32_t number = trail_->Name(request.id.model, request.id.number, request.revision);
  trail_->Loading(number);
  absl::StatusOr<LoadedModel> loaded = loading_->Load(request, progress);
  trail_->Loading(0);
  for (const std::string& name :
       trail_->Acquit(request.id.model, request.id.number, request.revision)) {
    keeper_->ReportHealthy(name);
  }
  if (loaded.ok()) {
    loaded->trail = number;
    trail_->Loaded(number, loaded->weights.generation);
  }
  return loaded;
}

void Worker::Impl::StartVersions() {
  VersionManagerParts parts = {.clock = clock_,
                               .executor = executor_.get(),
                               .routing = &routing_,
                               .metrics = metrics_.get()};
  parts.load = [this](const LoadRequest& request, const LoadProgress& progress) {
    return Load(request, progress);
  };
  parts.on_unloaded = [this](const VersionId& id, const WeightsIdentity& weights) {
    loading_->Unloaded(id, weights);
    if (trail_ != nullptr) trail_->Unloaded(weights.generation);
  };
  parts.tidy = [this] { loading_->Tidy(); };
  parts.new_arena = [] { return Arena::Create(kArenaAddressBytes); };
  parts.on_loader_thread_start = [this] {
    StartThread("loader");
    SetKernelThreads(1);
  };
  parts.on_change = [this](const ServingStatus& status) {
    // Names first: who waits for health finds `default` where it belongs.
    if (doors_open_) administration_->OnChange(status);
    PublishHealth(status);
  };
  versions_ = std::make_unique<VersionManager>(
      VersionManagerOptions{.loader_threads =
                                std::max<int>(1, static_cast<int>(config_.loader_threads))},
      std::move(parts));
}

absl::Status Worker::Impl::StartAdministration() {
  AdministrationParts parts = {.clock = clock_,
                               .repository = repository_.get(),
                               .versions = versions_.get(),
                               .routing = &routing_,
                               .keeper = keeper_.get(),
                               .active = serves_};
  parts.plan = [this](const PlanRequest& request) {
    return loading_->Plan(request.load, request.goes_first);
  };
  parts.held = [this](const VersionId& id, const std::string& revision) {
    return loading_->CanRestore(id, revision);
  };
  parts.on_verified = [this](const VerifyReport& report) {
    metrics_->RecordVerification(report.model, report.status.code());
  };
  if (trail_ != nullptr) parts.quarantined = trail_->Quarantined();
  PARAMD_ASSIGN_OR_RETURN(administration_, Administration::Create(config_, std::move(parts)));
  return absl::OkStatus();
}

void Worker::Impl::MakeKServe(const WireCallParts& calls) {
  if (config_.allow_client_shm) {
    client_regions_ = std::make_unique<SharedRegions>(SharedRegions::Options());
  }
  sequences_ = std::make_unique<SequenceStates>(
      SequenceOptions{.sequences_max = static_cast<size_t>(config_.sequences_max),
                      .idle_max = config_.sequence_idle_max},
      clock_);
  KServeParts parts = {.calls = {.wire = calls,
                                 .regions = client_regions_.get(),
                                 .sequences = sequences_.get(),
                                 .traces = &traces_},
                       .versions = versions_.get(),
                       .admin = administration_->admin(),
                       .readiness = [this] { return Readiness(); },
                       .version = ThisBuild().version,
                       .repository_root = config_.model_repository};
  admin_kserve_service_ = NewKServeService(parts);
  if (config_.model_control == ModelControl::kNone) {
    parts.control_refusal =
        "explicit model load / unload, and changes of traces and logs, are not allowed on this "
        "address; start paramd with --model-control=explicit, or ask on the admin socket";
  }
  kserve_service_ = NewKServeService(std::move(parts));
}

absl::Status Worker::Impl::StartFrontDoors() {
  router_ = std::make_unique<PredictRouter>(&routing_);
  WireCallParts calls = {.router = router_.get(), .metrics = metrics_.get(), .clock = clock_};
  calls.limits.typed_bytes_max = config_.message_bytes_max;
  predict_service_ = std::make_unique<PredictService>(calls);
  model_service_ = std::make_unique<ModelService>(router_.get(), versions_.get());
  // A service belongs to one gRPC server, and the admin socket has its own.
  admin_predict_service_ = std::make_unique<PredictService>(calls);
  admin_model_service_ = std::make_unique<ModelService>(router_.get(), versions_.get());
  MakeKServe(calls);
  PARAMD_ASSIGN_OR_RETURN(FrontDoorsParts parts, FindSockets());
  parts.services = {predict_service_.get(), model_service_.get(), kserve_service_.get()};
  parts.admin_services = {admin_predict_service_.get(), admin_model_service_.get(),
                          admin_kserve_service_.get(), administration_->socket_service()};
  if (administration_->tcp_service() != nullptr) {
    parts.services.push_back(administration_->tcp_service());
  }
  parts.on_event = [this](uint8_t event) { OnKeeperEvent(event); };
  parts.on_events_end = [] { LOG(ERROR) << "the keeper is gone"; };
  PARAMD_ASSIGN_OR_RETURN(doors_, FrontDoors::Start(config_, std::move(parts)));
  doors_->SetHealth("", false);
  // A successor binds it when its turn has come.
  return serves_ ? StartMetricsListener() : absl::OkStatus();
}

absl::StatusOr<FrontDoorsParts> Worker::Impl::FindSockets() {
  FrontDoorsParts parts;
  if (keeper_ != nullptr) {
    parts.grpc_listener = std::move(welcome_.grpc_listener);
    parts.admin_listener = std::move(welcome_.admin_listener);
    parts.events = std::move(welcome_.events);
    return parts;
  }
  PARAMD_ASSIGN_OR_RETURN(parts.grpc_listener, ListenOnTcp(config_.grpc_address, "--grpc-address"));
  PARAMD_ASSIGN_OR_RETURN(parts.admin_listener, ListenForAdmin(config_));
  return parts;
}

absl::Status Worker::Impl::StartMetricsListener() {
  if (config_.metrics_address.empty()) return absl::OkStatus();
  MetricsListenerOptions options;
  options.address = config_.metrics_address;
  options.render_metrics = [this] { return metrics_->Render(); };
  options.readiness = [this] { return Readiness(); };
  options.render_status = [this] { return StatusPage(Status()); };
  options.render_status_json = [this] { return StatusJson(Status()); };
  PARAMD_ASSIGN_OR_RETURN(listener_, MetricsListener::Start(std::move(options)));
  LOG(INFO) << "metrics are on port " << metrics_port();
  return absl::OkStatus();
}

// On the acceptor's thread.
void Worker::Impl::OnKeeperEvent(uint8_t event) {
  switch (static_cast<KeeperEvent>(event)) {
    case KeeperEvent::kChanged:
      keeper_->NoticeChanged();
      return;
    case KeeperEvent::kServe:
      return post_(MainEvent::kServe);
    case KeeperEvent::kRetire:
      return post_(MainEvent::kRetire);
    case KeeperEvent::kStop:
      return post_(MainEvent::kStop);
    case KeeperEvent::kRescan:
      return post_(MainEvent::kRescan);
    case KeeperEvent::kStateSet:
      return post_(MainEvent::kFollow);
  }
  LOG(WARNING) << "the keeper sends an event that this worker does not know";
}

// Whether everything that was served before has come back, or cannot.
bool Worker::Impl::Restored(const ServingStatus& status) const {
  if (inherited_.empty()) return true;
  bool known = false;
  for (const ModelStatus& model : status.models) {
    if (!inherited_.contains(model.name)) continue;
    if (!model.ready && !model.failed) return false;
    // And each of its versions: a request may name any of them.
    for (const VersionStatus& version : model.versions) {
      const bool coming = version.state == VersionState::kPending ||
                          version.state == VersionState::kLoading ||
                          version.state == VersionState::kWarming;
      const std::string name = StrCat(model.name, "/", version.number);
      if (coming && version.desired && inherited_versions_.contains(name)) return false;
    }
    known = true;
  }
  return known || status.settled;
}

// A successor takes over only if it serves every model that is served now.
absl::Status Worker::Impl::CheckSuccession(const ServingStatus& status) const {
  for (const ModelStatus& model : status.models) {
    if (model.ready || !inherited_.contains(model.name)) continue;
    std::string reason = model.error;
    for (const VersionStatus& version : model.versions) {
      if (!version.reason.empty()) reason = version.reason;
    }
    return absl::FailedPreconditionError(
        StrCat("model ", model.name, ", which is served now, does not load: ", reason));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> Worker::Impl::Look() {
  const ServingStatus status = versions_->status();
  if (keeper_ != nullptr && status.settled && !reported_ready_) {
    if (!serves_) PARAMD_RETURN_IF_ERROR(CheckSuccession(status));
    reported_ready_ = true;
    keeper_->ReportReady();
  }
  if (!serves_) return absl::InfiniteFuture();
  const absl::Time now = clock_->Now();
  absl::Time again = std::min(administration_->Look(), sequences_->Sweep());
  if (!accepting_) {
    if (Restored(status) || now >= accept_by_) {
      accepting_ = true;
      doors_->SetAccepting(true);
    } else {
      again = std::min(again, accept_by_);
    }
  }
  if (listener_ == nullptr && !config_.metrics_address.empty()) {
    const absl::Status bound = StartMetricsListener();
    if (!bound.ok() && now < metrics_by_) {
      again = std::min(again, now + kMetricsPortRetry);
    } else if (!bound.ok()) {
      // Requests are worth more than their numbers.
      LOG_EVERY_N_SEC(ERROR, 60) << bound.message();
      again = std::min(again, now + kMetricsPortMax);
    }
  }
  return again;
}

void Worker::Impl::Serve() {
  if (std::exchange(serves_, true)) return;
  LOG(INFO) << "this worker serves from now on";
  metrics_by_ = clock_->Now() + kMetricsPortMax;
  administration_->Activate();
}

void Worker::Impl::Retire() {
  administration_->Deactivate();
  doors_->SetAccepting(false);
  listener_.reset();
}

absl::Status Worker::Impl::Readiness() const {
  if (stopping_.load(std::memory_order_relaxed)) return absl::UnavailableError("stopping");
  const ServingStatus status = versions_->status();
  if (config_.strict_readiness ? status.all_ready : status.settled) return absl::OkStatus();
  std::vector<std::string> waiting;
  for (const ModelStatus& model : status.models) {
    if (!model.ready && (config_.strict_readiness || !model.failed)) waiting.push_back(model.name);
  }
  std::string message = waiting.empty() ? "models are not known yet" : "waiting for";
  for (size_t i = 0; i < waiting.size(); ++i) {
    StrAppend(&message, i == 0 ? " " : ", ", waiting[i]);
  }
  return absl::UnavailableError(message);
}

// On the control thread, whenever a state changed. Nothing is desired before the
// front doors are open, so they stand by then.
void Worker::Impl::PublishHealth(const ServingStatus& status) {
  if (!doors_open_) return;  // A start that failed is being taken apart.
  const bool stopping = stopping_.load(std::memory_order_relaxed);
  for (const ModelStatus& model : status.models) {
    doors_->SetHealth(model.name, model.ready && !stopping);
  }
  const bool ready = !stopping && (config_.strict_readiness ? status.all_ready : status.settled);
  doors_->SetHealth("", ready);
  metrics_->SetReady(ready);
  metrics_->SetCrashes(welcome_.crashes, trail_ == nullptr ? 0 : trail_->quarantined());
  if (!stopping) loading_->ReleaseUnserved(status);
  if (post_) post_(MainEvent::kLook);
}

StatusPageInput Worker::Impl::Status() const {
  StatusPageInput input = {.build = VersionText(),
                           .now = clock_->Now(),
                           .started = started_,
                           .readiness = Readiness(),
                           .serving = versions_->status(),
                           .crashes = welcome_.crashes,
                           .quarantined = trail_ == nullptr ? 0 : trail_->quarantined(),
                           .executor = executor_->state(),
                           .streams = streams_.streams,
                           .threads_per_stream = streams_.threads_per_stream,
                           .ledger = store_->Ledger()};
  for (const ModelStatus& model : input.serving.models) {
    for (const VersionStatus& version : model.versions) {
      if (version.state != VersionState::kServing) continue;
      const auto handle = routing_.Find(model.name, {.number = version.number});
      if (!handle.ok()) continue;
      const ParameterCounts& counts = (*handle)->model().parameters().counts();
      input.scalars[{model.name, version.number}] = {
          .weights = counts.of(ParameterRole::kWeight), .biases = counts.of(ParameterRole::kBias)};
    }
  }
  return input;
}

void Worker::Impl::StopAccepting() {
  stopping_.store(true, std::memory_order_relaxed);
  PublishHealth(versions_->status());
}

void Worker::Impl::Drain(absl::Time deadline) {
  // The executor first: while it finishes what it has, calls that still arrive
  // are answered with Unavailable, which clients retry elsewhere. A server that
  // shuts down itself answers those with Cancelled, which they do not.
  administration_->StopWaiting();
  executor_->Drain(deadline);
  doors_->Shutdown(deadline);
}

Worker::Impl::~Impl() {
  stopping_.store(true, std::memory_order_relaxed);
  if (administration_ != nullptr) administration_->StopWaiting();
  if (doors_ != nullptr) doors_->Shutdown(absl::InfinitePast());
  listener_.reset();
  if (executor_ != nullptr) executor_->Drain(absl::InfinitePast());
  if (versions_ != nullptr) versions_->Shutdown();
  if (metrics_ != nullptr) metrics_->SetStoreUsageSource(nullptr);
}

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(const ServerConfig& config,
                                                      const Clock* clock, WorkerParts parts) {
  PARAMD_RETURN_IF_ERROR(ValidateServerConfig(config));
  auto impl = std::make_unique<Impl>(config, clock, std::move(parts));
  PARAMD_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Worker>(new Worker(std::move(impl)));
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() = default;
int Worker::grpc_port() const { return impl_->grpc_port(); }
int Worker::metrics_port() const { return impl_->metrics_port(); }
absl::Status Worker::readiness() const { return impl_->Readiness(); }
ServingStatus Worker::status() const { return impl_->status(); }
absl::StatusOr<absl::Time> Worker::Look() { return impl_->Look(); }
void Worker::Serve() { impl_->Serve(); }
void Worker::Retire() { impl_->Retire(); }
void Worker::Follow() { impl_->Follow(); }
size_t Worker::open_connections() { return impl_->open_connections(); }
void Worker::Rescan() { impl_->Rescan(); }
int Worker::watch_fd() const { return impl_->watch_fd(); }
void Worker::StopAccepting() { impl_->StopAccepting(); }
void Worker::Drain(absl::Time deadline) { impl_->Drain(deadline); }

}  // namespace paramd
