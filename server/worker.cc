#include "server/worker.h"

#include <sys/prctl.h>

#include <algorithm>
#include <any>
#include <atomic>
#include <optional>
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
#include "server/batching/executor.h"
#include "server/desired_models.h"
#include "server/model_loading.h"
#include "server/observability/metrics.h"
#include "server/observability/metrics_listener.h"
#include "server/observability/version.h"
#include "server/predict/predict_router.h"
#include "server/repository/model_repository.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/model_service.h"
#include "server/rpc/predict_service.h"
#include "server/status_page.h"
#include "server/store_usage.h"
#include "server/stream_plan.h"
#include "server/versions/routing_snapshot.h"

namespace paramd {
namespace {

// Address space of one stream's activations; memory appears as it is touched.
constexpr uint64_t kArenaAddressBytes = uint64_t{64} << 30;
// Of the memory that the process may use, what parameters may take by default.
constexpr double kParameterShare = 0.8;

void NameThread(const std::string& name) { prctl(PR_SET_NAME, name.c_str(), 0, 0, 0); }

void StartLoaderThread() {
  NameThread("loader");
  SetKernelThreads(1);
}

uint64_t ParameterCapacity(const ServerConfig& config) {
  if (config.parameter_capacity_bytes != 0) return config.parameter_capacity_bytes;
  const MemoryBudget memory = ReadMemoryBudget();
  const uint64_t limit = std::min(memory.total_bytes, memory.limit_bytes.value_or(UINT64_MAX));
  return static_cast<uint64_t>(static_cast<double>(limit) * kParameterShare);
}

GrpcServerOptions GrpcOptions(const ServerConfig& config) {
  return {.address = config.grpc_address,
          .message_bytes_max = config.message_bytes_max,
          .header_bytes_max = config.header_bytes_max,
          .concurrent_streams_max = config.concurrent_streams_max,
          .keepalive_time = config.keepalive_time,
          .keepalive_timeout = config.keepalive_timeout,
          .connection_age_max = config.connection_age_max,
          .connection_age_grace = config.connection_age_grace};
}

void LogListing(const RepositoryListing& listing) {
  for (const std::string& warning : listing.warnings) LOG(WARNING) << warning;
  for (const RepositoryModel& model : listing.models) {
    for (const std::string& warning : model.warnings) {
      LOG(WARNING) << "model " << model.name << ": " << warning;
    }
    if (!model.status.ok()) LOG(ERROR) << "model " << model.name << ": " << model.status;
    for (const RepositoryVersion& version : model.versions) {
      if (!version.status.ok()) {
        LOG(ERROR) << "model " << model.name << " version " << version.number << ": "
                   << version.status;
      }
    }
  }
}

}  // namespace

// Members in the order in which they are built; destroyed the other way round.
class Worker::Impl {
 public:
  Impl(const ServerConfig& config, const Clock* clock)
      : config_(config), clock_(clock), started_(clock->Now()) {}
  ~Impl();

  absl::Status Start();

  absl::Status Readiness() const;
  void StopAccepting();
  void Drain(absl::Time deadline);

  int grpc_port() const { return grpc_->port(); }
  int metrics_port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  ServingStatus status() const { return versions_->status(); }

 private:
  absl::Status StartExecutor(const CpuBudget& budget);
  void StartVersions();
  absl::Status StartFrontDoors();
  void PublishHealth(const ServingStatus& status);
  std::string RenderStatus() const;

  const ServerConfig config_;
  const Clock* const clock_;
  const absl::Time started_;
  std::atomic<bool> stopping_{false};
  StreamPlan streams_;
  std::unique_ptr<ModelRepository> repository_;
  std::unique_ptr<ParameterStore> store_;
  std::optional<StoreMetrics> store_metrics_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Executor> executor_;
  RoutingTable routing_;
  std::unique_ptr<ModelLoading> loading_;
  std::unique_ptr<VersionManager> versions_;
  std::unique_ptr<PredictRouter> router_;
  std::unique_ptr<PredictService> predict_service_;
  std::unique_ptr<ModelService> model_service_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<MetricsListener> listener_;
};

absl::Status Worker::Impl::Start() {
  PARAMD_ASSIGN_OR_RETURN(repository_, ModelRepository::Open(config_.model_repository));
  PARAMD_ASSIGN_OR_RETURN(const RepositoryListing listing, repository_->Scan());
  LogListing(listing);
  const CpuBudget budget = ReadCpuBudget();
  PARAMD_ASSIGN_OR_RETURN(
      store_, ParameterStore::Create(
                  {.capacity_bytes = ParameterCapacity(config_),
                   // Until a keeper hands them out, generations count up from here.
                   .generation_start = static_cast<uint64_t>(absl::ToUnixMicros(started_))}));
  metrics_ = Metrics::Create({.build = ThisBuild()});
  metrics_->SetCpuBudget(budget.quota.value_or(static_cast<double>(budget.cpus.size())));
  store_metrics_.emplace(store_.get());
  metrics_->SetStoreUsageSource(&*store_metrics_);
  PARAMD_RETURN_IF_ERROR(StartExecutor(budget));
  loading_ = std::make_unique<ModelLoading>(config_, streams_, &repository_->directory(),
                                            store_.get(), clock_,
                                            ModelLoadingOptions{.idle_priority = true});
  StartVersions();
  PARAMD_RETURN_IF_ERROR(StartFrontDoors());
  LOG(INFO) << "paramd serves " << listing.models.size() << " models of "
            << config_.model_repository << " on port " << grpc_->port() << ", " << budget.ToString()
            << ": " << streams_.streams << " streams of " << streams_.threads_per_stream
            << " threads";
  versions_->SetDesired(DesiredModels(listing, config_.model_repository, config_));
  return absl::OkStatus();
}

absl::Status Worker::Impl::StartExecutor(const CpuBudget& budget) {
  PARAMD_ASSIGN_OR_RETURN(streams_, PlanStreams(budget.threads(), static_cast<int>(config_.streams),
                                                static_cast<int>(config_.threads_per_stream)));
  ExecutorParts parts = {.clock = clock_, .metrics = metrics_->executor()};
  for (int i = 0; i < streams_.streams; ++i) {
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));
    parts.arenas.push_back(std::move(arena));
  }
  parts.on_thread_start = [threads = streams_.threads_per_stream](int stream) {
    NameThread(stream < 0 ? "compile" : StrCat("stream-", stream));
    SetKernelThreads(threads);
  };
  PARAMD_ASSIGN_OR_RETURN(executor_, Executor::Create({.streams = streams_.streams,
                                                       .batch_time_max = config_.batch_time_max,
                                                       .queue_bytes_max = config_.queue_bytes_max},
                                                      std::move(parts)));
  return absl::OkStatus();
}

void Worker::Impl::StartVersions() {
  VersionManagerParts parts = {.clock = clock_,
                               .executor = executor_.get(),
                               .routing = &routing_,
                               .metrics = metrics_.get()};
  parts.load = [this](const LoadRequest& request, const LoadProgress& progress) {
    return loading_->Load(request, progress);
  };
  parts.on_unloaded = [this](const VersionId& id, const WeightsIdentity& weights) {
    loading_->Unloaded(id, weights);
  };
  parts.tidy = [this] { loading_->Tidy(); };
  parts.new_arena = [] { return Arena::Create(kArenaAddressBytes); };
  parts.on_loader_thread_start = StartLoaderThread;
  parts.on_change = [this](const ServingStatus& status) { PublishHealth(status); };
  versions_ = std::make_unique<VersionManager>(
      VersionManagerOptions{.loader_threads =
                                std::max<int>(1, static_cast<int>(config_.loader_threads))},
      std::move(parts));
}

absl::Status Worker::Impl::StartFrontDoors() {
  router_ = std::make_unique<PredictRouter>(&routing_);
  CodecLimits limits;
  limits.typed_bytes_max = config_.message_bytes_max;
  predict_service_ =
      std::make_unique<PredictService>(router_.get(), metrics_.get(), clock_, limits);
  model_service_ = std::make_unique<ModelService>(router_.get(), versions_.get());
  PARAMD_ASSIGN_OR_RETURN(grpc_, GrpcServer::Start(GrpcOptions(config_),
                                                   {predict_service_.get(), model_service_.get()}));
  grpc_->SetHealth("", false);
  if (config_.metrics_address.empty()) return absl::OkStatus();
  MetricsListenerOptions options;
  options.address = config_.metrics_address;
  options.render_metrics = [this] { return metrics_->Render(); };
  options.readiness = [this] { return Readiness(); };
  options.render_status = [this] { return RenderStatus(); };
  PARAMD_ASSIGN_OR_RETURN(listener_, MetricsListener::Start(std::move(options)));
  return absl::OkStatus();
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
  if (grpc_ == nullptr) return;  // A start that failed is being taken apart.
  const bool stopping = stopping_.load(std::memory_order_relaxed);
  for (const ModelStatus& model : status.models) {
    grpc_->SetHealth(model.name, model.ready && !stopping);
  }
  const bool ready = !stopping && (config_.strict_readiness ? status.all_ready : status.settled);
  grpc_->SetHealth("", ready);
  metrics_->SetReady(ready);
  if (!stopping) loading_->ReleaseUnserved(status);
}

std::string Worker::Impl::RenderStatus() const {
  return StatusPage({.build = VersionText(),
                     .now = clock_->Now(),
                     .started = started_,
                     .readiness = Readiness(),
                     .serving = versions_->status(),
                     .executor = executor_->state(),
                     .streams = streams_.streams,
                     .threads_per_stream = streams_.threads_per_stream,
                     .ledger = store_->Ledger()});
}

void Worker::Impl::StopAccepting() {
  stopping_.store(true, std::memory_order_relaxed);
  PublishHealth(versions_->status());
}

void Worker::Impl::Drain(absl::Time deadline) {
  // The executor first: while it finishes what it has, calls that still arrive
  // are answered with Unavailable, which clients retry elsewhere. A server that
  // shuts down itself answers those with Cancelled, which they do not.
  executor_->Drain(deadline);
  grpc_->Shutdown(deadline);
}

Worker::Impl::~Impl() {
  stopping_.store(true, std::memory_order_relaxed);
  if (grpc_ != nullptr) grpc_->Shutdown(absl::InfinitePast());
  listener_.reset();
  if (executor_ != nullptr) executor_->Drain(absl::InfinitePast());
  if (versions_ != nullptr) versions_->Shutdown();
  if (metrics_ != nullptr) metrics_->SetStoreUsageSource(nullptr);
}

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(const ServerConfig& config,
                                                      const Clock* clock) {
  PARAMD_RETURN_IF_ERROR(ValidateServerConfig(config));
  auto impl = std::make_unique<Impl>(config, clock);
  PARAMD_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Worker>(new Worker(std::move(impl)));
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() = default;
int Worker::grpc_port() const { return impl_->grpc_port(); }
int Worker::metrics_port() const { return impl_->metrics_port(); }
absl::Status Worker::readiness() const { return impl_->Readiness(); }
ServingStatus Worker::status() const { return impl_->status(); }
void Worker::StopAccepting() { impl_->StopAccepting(); }
void Worker::Drain(absl::Time deadline) { impl_->Drain(deadline); }

}  // namespace paramd
