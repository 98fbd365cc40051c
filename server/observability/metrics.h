// Metrics: every number paramd exports, declared in one place.
//
// kMetricSpecs is the list: name, type, unit, labels, meaning, bucket bounds.
// METRICS.md is generated from it and a test holds the two together. The rest of
// the server sees the small recorder interfaces below and never the library
// that writes the exposition format.
//
// Labels are bounded: model and version come from the repository, never from
// the wire; requests for models that do not exist count as model="unknown" with
// an empty version.
//
// Life: Metrics outlives every recorder it made. A version's series disappear
// from /metrics when its VersionMetrics is destroyed.
//
// Thread-safety: all recorders are thread-safe. Record*, Add* and Set* of
// RequestMetrics, VersionMetrics and ExecutorMetrics take no lock and allocate
// nothing, except SetWeights; the others may lock (loads, the store).
#ifndef PARAMD_SERVER_OBSERVABILITY_METRICS_H_
#define PARAMD_SERVER_OBSERVABILITY_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/observability/version_statistics.h"

namespace paramd {

enum class MetricType { kCounter, kGauge, kHistogram };

// One row of kMetricSpecs. `labels` is a comma-separated list in the order in
// which /metrics shows them.
struct MetricSpec {
  std::string_view name;
  MetricType type;
  std::string_view unit;
  std::string_view labels;
  std::string_view help;
  absl::Span<const double> bounds = {};
};

// From below a bare gRPC echo (170 us whole, 20 us a stage) to the longest
// request anybody should wait for.
inline constexpr double kLatencyBounds[] = {20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3,
                                            5e-3,  10e-3, 20e-3,  50e-3,  0.1,    0.2,  0.5,
                                            1,     2,     5,      10,     20,     60};
inline constexpr double kBatchBounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
inline constexpr double kLoadBounds[] = {1e-3, 10e-3, 50e-3, 0.1, 0.25, 0.5, 1,
                                         2.5,  5,     10,    30,  60,   300};

enum class MetricId : uint8_t {
  kRequests,
  kRequestSeconds,
  kStageSeconds,
  kRequestBytes,
  kResponseBytes,
  kBatchRows,
  kBatchRequests,
  kQueueRequests,
  kQueueBytes,
  kStreams,
  kStreamsBusy,
  kStreamBusySeconds,
  kStreamArenaBytes,
  kCompiledShapes,
  kShapeCompileSeconds,
  kParameterBytes,
  kParameterPackedBytes,
  kArenaBytes,
  kVersionInfo,
  kLoads,
  kLoadSeconds,
  kLoadsInProgress,
  kLoadBytes,
  kVersionFailed,
  kNameVersion,
  kVerifications,
  kStoreSealedBytes,
  kStoreSharedBytes,
  kStoreReservedBytes,
  kStoreCapacityBytes,
  kStoreSegments,
  kStoreDeduplicatedBytes,
  kStoreCollapseFailures,
  kReady,
  kWorkerCrashes,
  kQuarantinedVersions,
  kRequestsOpen,
  kCpuBudget,
  kCpuThrottledSeconds,
  kCpuThrottledPeriods,
  kProcessCpuSeconds,
  kProcessResidentBytes,
  kProcessVirtualBytes,
  kProcessMemoryBytes,
  kMemoryLedgerBytes,
  kProcessProportionalBytes,
  kProcessOpenFds,
  kProcessMaxFds,
  kProcessThreads,
  kProcessStartTime,
  kBuildInfo,
  kTritonSuccess,
  kTritonFailure,
  kTritonInferences,
  kTritonExecutions,
  kTritonPending,
  kTritonRequestMicroseconds,
  kTritonQueueMicroseconds,
  kTritonInputMicroseconds,
  kTritonInferMicroseconds,
  kTritonOutputMicroseconds,
  kCount,
};

// Indexed by MetricId.
inline constexpr MetricSpec kMetricSpecs[] = {
    {"paramd_requests_total", MetricType::kCounter, "", "model, version, code",
     "Requests answered, by gRPC code; refused ones included."},
    {"paramd_request_seconds", MetricType::kHistogram, "seconds", "model, version",
     "Time of a request in the daemon, from its first byte parsed to its answer handed to gRPC.",
     kLatencyBounds},
    {"paramd_request_stage_seconds", MetricType::kHistogram, "seconds", "model, version, stage",
     "Time of an answered request in one stage: decode (parsing and routing), queue (until chosen "
     "for a batch), batch (gathering its rows), compute (the model), encode (writing the answer, "
     "behind those of its batch). They add up to paramd_request_seconds.",
     kLatencyBounds},
    {"paramd_request_bytes_total", MetricType::kCounter, "bytes", "model, version",
     "Bytes of the requests that reached a model."},
    {"paramd_response_bytes_total", MetricType::kCounter, "bytes", "model, version",
     "Bytes of the answers that a model gave."},
    {"paramd_batch_rows", MetricType::kHistogram, "rows", "model, version",
     "Rows in a batch that was run.", kBatchBounds},
    {"paramd_batch_requests", MetricType::kHistogram, "requests", "model, version",
     "Requests that had rows in a batch that was run.", kBatchBounds},
    {"paramd_queue_requests", MetricType::kGauge, "requests", "model, version",
     "Requests waiting to be chosen for a batch."},
    {"paramd_queue_bytes", MetricType::kGauge, "bytes", "model, version",
     "Input bytes of the requests waiting to be chosen for a batch."},
    {"paramd_executor_streams", MetricType::kGauge, "streams", "",
     "Streams that batches run on, shared by all models."},
    {"paramd_executor_streams_busy", MetricType::kGauge, "streams", "",
     "Streams that are running a batch now."},
    {"paramd_executor_busy_seconds_total", MetricType::kCounter, "seconds", "",
     "Time that streams spent running batches, summed over streams."},
    {"paramd_executor_arena_bytes", MetricType::kGauge, "bytes", "",
     "Activation memory that all streams hold together."},
    {"paramd_compiled_shapes", MetricType::kGauge, "shapes", "model, version",
     "Input shapes that are compiled and kept."},
    {"paramd_shape_compile_seconds", MetricType::kHistogram, "seconds", "model, version",
     "Time to compile one input shape.", kLoadBounds},
    {"paramd_parameter_bytes", MetricType::kGauge, "bytes", "model, version, kind",
     "Parameter bytes held for a version: unique (it is the only holder) or shared (others hold "
     "them as well)."},
    {"paramd_parameter_packed_bytes", MetricType::kGauge, "bytes", "model, version, kind",
     "Of paramd_parameter_bytes, those in a kernel's own order."},
    {"paramd_arena_bytes", MetricType::kGauge, "bytes", "model, version",
     "Activation memory that the version's largest compiled batch needs of a stream."},
    {"paramd_version_info", MetricType::kGauge, "", "model, version, generation, weights_id",
     "1 for each version that is loaded."},
    {"paramd_loads_total", MetricType::kCounter, "", "model, code",
     "Attempts to load a version, by outcome; OK means that it serves."},
    {"paramd_load_seconds", MetricType::kHistogram, "seconds", "model",
     "Time of an attempt to load a version, warm-up included, failures included.", kLoadBounds},
    {"paramd_loads_in_progress", MetricType::kGauge, "loads", "",
     "Versions that are being loaded now."},
    {"paramd_load_bytes_total", MetricType::kCounter, "bytes", "model",
     "Parameter bytes that were read from model files."},
    {"paramd_version_failed", MetricType::kGauge, "", "model, version, code, reason",
     "1 for each version that should serve and does not because it failed, and why (the reason cut "
     "to 200 bytes); gone once it is fixed."},
    {"paramd_name_version", MetricType::kGauge, "", "model, name",
     "The version that a name (default, a label) points at."},
    {"paramd_verifications_total", MetricType::kCounter, "", "model, code",
     "Versions whose parameters in memory were hashed again; DATA_LOSS: they had changed."},
    {"paramd_store_sealed_bytes", MetricType::kGauge, "bytes", "",
     "Bytes in sealed segments; each segment once, whatever the number of its holders."},
    {"paramd_store_shared_bytes", MetricType::kGauge, "bytes", "",
     "Of paramd_store_sealed_bytes, segments with more than one holder, each once."},
    {"paramd_store_reserved_bytes", MetricType::kGauge, "bytes", "",
     "Bytes set aside for parameters that are being loaded."},
    {"paramd_store_capacity_bytes", MetricType::kGauge, "bytes", "",
     "Bytes that sealed and reserved segments may have together."},
    {"paramd_store_segments", MetricType::kGauge, "segments", "", "Sealed segments."},
    {"paramd_store_deduplicated_bytes_total", MetricType::kCounter, "bytes", "",
     "Bytes that were not stored because an equal segment was there."},
    {"paramd_store_collapse_failures_total", MetricType::kCounter, "", "",
     "Segments that the kernel could not move to huge pages; they serve from small ones."},
    {"paramd_ready", MetricType::kGauge, "", "", "1 while /healthz says ready, else 0."},
    {"paramd_worker_crashes_total", MetricType::kCounter, "", "",
     "Workers of this keeper that died; 0 without a keeper."},
    {"paramd_quarantined_versions", MetricType::kGauge, "versions", "",
     "Versions that are not loaded because the worker crashed three times in them."},
    {"paramd_requests_open", MetricType::kGauge, "requests", "",
     "Requests that gRPC has handed over and that are not answered yet."},
    {"paramd_cpu_budget_cores", MetricType::kGauge, "cores", "",
     "Cores that the daemon plans with: the least of affinity, cgroup quota and hardware."},
    {"paramd_cpu_throttled_seconds_total", MetricType::kCounter, "seconds", "",
     "Time that the cgroup's CPU quota kept threads from running; absent outside a cgroup."},
    {"paramd_cpu_throttled_periods_total", MetricType::kCounter, "", "",
     "Enforcement periods in which the quota ran out; absent outside a cgroup."},
    {"process_cpu_seconds_total", MetricType::kCounter, "seconds", "", "User and system CPU time."},
    {"process_resident_memory_bytes", MetricType::kGauge, "bytes", "", "Resident memory."},
    {"process_virtual_memory_bytes", MetricType::kGauge, "bytes", "", "Address space in use."},
    {"paramd_process_memory_bytes", MetricType::kGauge, "bytes", "kind",
     "Memory as the system counts it, by kind: anon (heap, stacks, arenas), file (programs and "
     "libraries), shmem (parameters, as far as this process has touched them), memfd (blocks of "
     "parameter segments, each inode once, in this process and its keeper)."},
    {"paramd_memory_ledger_bytes", MetricType::kGauge, "bytes", "kind",
     "Memory as paramd counts it, to be held against anon + memfd of paramd_process_memory_bytes: "
     "parameters (sealed segments), allocator (the heap, in use), arenas (activations), baseline "
     "(anonymous memory measured at the start). No kind is computed from another."},
    {"paramd_process_proportional_bytes", MetricType::kGauge, "bytes", "",
     "Resident memory in which pages shared with other processes count in proportion (PSS)."},
    {"process_open_fds", MetricType::kGauge, "descriptors", "", "Open file descriptors."},
    {"process_max_fds", MetricType::kGauge, "descriptors", "", "Most file descriptors allowed."},
    {"paramd_process_threads", MetricType::kGauge, "threads", "", "Threads."},
    {"process_start_time_seconds", MetricType::kGauge, "seconds", "",
     "When the process started, since the Unix epoch."},
    {"paramd_build_info", MetricType::kGauge, "", "version, compiler, onednn, cuda",
     "1; its labels say what was built."},
    // Under the names that Triton has, for dashboards that were made for it
    // (--triton-metrics): no _total, and microseconds.
    {"nv_inference_request_success", MetricType::kCounter, "", "model, version",
     "Requests answered with OK; Triton's name."},
    {"nv_inference_request_failure", MetricType::kCounter, "", "model, version",
     "Requests answered with an error; Triton's name."},
    {"nv_inference_count", MetricType::kCounter, "rows", "model, version",
     "Rows of the requests answered with OK; Triton's name."},
    {"nv_inference_exec_count", MetricType::kCounter, "", "model, version",
     "Batches that were run; Triton's name."},
    {"nv_inference_pending_request_count", MetricType::kGauge, "requests", "model, version",
     "Requests waiting to be chosen for a batch; Triton's name."},
    {"nv_inference_request_duration_us", MetricType::kCounter, "microseconds", "model, version",
     "Time of the requests answered with OK in the daemon; Triton's name."},
    {"nv_inference_queue_duration_us", MetricType::kCounter, "microseconds", "model, version",
     "Of that, waiting to be chosen for a batch; Triton's name."},
    {"nv_inference_compute_input_duration_us", MetricType::kCounter, "microseconds",
     "model, version", "Of that, gathering rows; Triton's name."},
    {"nv_inference_compute_infer_duration_us", MetricType::kCounter, "microseconds",
     "model, version", "Of that, the model; Triton's name."},
    {"nv_inference_compute_output_duration_us", MetricType::kCounter, "microseconds",
     "model, version", "Of that, writing the answer; Triton's name."},
};
static_assert(std::size(kMetricSpecs) == static_cast<size_t>(MetricId::kCount));

constexpr const MetricSpec& SpecOf(MetricId id) { return kMetricSpecs[static_cast<size_t>(id)]; }

enum class Stage : uint8_t { kDecode, kQueue, kBatch, kCompute, kEncode };
inline constexpr int kStageCount = 5;
std::string_view StageName(Stage stage);

// What a front door says about a request: once each, when it is answered.
class RequestMetrics {
 public:
  virtual ~RequestMetrics() = default;
  virtual void RecordRequest(absl::StatusCode code, absl::Duration whole) = 0;
};

struct ParameterUsage {
  uint64_t unique_bytes = 0;
  uint64_t shared_bytes = 0;
  uint64_t unique_packed_bytes = 0;  // Of unique_bytes.
  uint64_t shared_packed_bytes = 0;  // Of shared_bytes.
};

// One per loaded model version.
class VersionMetrics : public RequestMetrics {
 public:
  // Stages that a request did not reach are not recorded.
  virtual void RecordStage(Stage stage, absl::Duration duration) = 0;
  virtual void RecordMessageBytes(uint64_t request_bytes, uint64_t response_bytes) = 0;
  virtual void RecordBatch(int64_t rows, int64_t requests) = 0;
  // Differences: +1 and the bytes when a request enters the queue, -1 and minus
  // the bytes when it leaves, whatever the reason.
  virtual void AddToQueue(int64_t requests, int64_t bytes) = 0;
  virtual void RecordShapeCompile(absl::Duration duration) = 0;
  virtual void SetCompiledShapes(int64_t shapes) = 0;
  virtual void SetParameterUsage(const ParameterUsage& usage) = 0;
  virtual void SetArenaBytes(uint64_t bytes) = 0;
  // Until this is called the version has no paramd_version_info.
  virtual void SetWeights(uint64_t generation, std::string_view weights_id) = 0;

  // Sums, for ModelStatistics and for the metrics with Triton's names.
  VersionStatistics& statistics() { return statistics_; }
  const VersionStatistics& statistics() const { return statistics_; }

 private:
  VersionStatistics statistics_;
};

class ExecutorMetrics {
 public:
  virtual ~ExecutorMetrics() = default;
  virtual void SetStreams(int64_t streams) = 0;
  virtual void AddBusyStreams(int64_t difference) = 0;
  virtual void RecordBusy(absl::Duration duration) = 0;
  // A difference, so that streams need not know of each other.
  virtual void AddArenaBytes(int64_t difference) = 0;
};

struct StoreUsage {
  uint64_t sealed_bytes = 0;
  uint64_t shared_bytes = 0;  // Of sealed_bytes: with more than one holder.
  uint64_t reserved_bytes = 0;
  uint64_t capacity_bytes = 0;
  uint64_t segments = 0;
  uint64_t deduplicated_bytes = 0;  // Since the start; never falls.
  uint64_t collapse_failures = 0;   // Since the start; never falls.
};

// Says what is true now. Called at each scrape, on the metrics thread.
class StoreUsageSource {
 public:
  virtual ~StoreUsageSource() = default;
  virtual StoreUsage CurrentStoreUsage() const = 0;
};

struct BuildInfo {
  std::string version;   // paramd's.
  std::string compiler;  // "gcc 14.2.0"
  std::string onednn;    // "3.7.2"; empty in a build without it.
  std::string cuda;      // Empty in a build without it.
};

struct MetricsOptions {
  BuildInfo build;
  // Where the kernel's numbers are read at a scrape; tests point them elsewhere.
  std::string proc_root = "/proc";
  std::string cgroup_root = "/sys/fs/cgroup";
  // The nv_inference_* series as well.
  bool triton_names = false;
};

// What operators look for when something does not serve.
struct FailedVersion {
  std::string model;
  int64_t version = 0;
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string reason;
};
struct NamedVersion {
  std::string model;
  std::string name;
  int64_t version = 0;
};

class Metrics {
 public:
  static std::unique_ptr<Metrics> Create(const MetricsOptions& options);

  virtual ~Metrics() = default;

  // Two recorders of the same version at once (a reload overlapping the old
  // one's drain) share the version's series: their values are summed.
  virtual std::unique_ptr<VersionMetrics> ForVersion(std::string_view model, int64_t version) = 0;

  // For requests that name a model or version which does not exist.
  virtual RequestMetrics* unknown_model() = 0;
  virtual ExecutorMetrics* executor() = 0;

  // Around one attempt: AddLoadsInProgress(+1), the load, RecordLoad (OK means
  // that it serves), AddLoadsInProgress(-1).
  virtual void RecordLoad(std::string_view model, absl::StatusCode code, absl::Duration took) = 0;
  virtual void AddLoadsInProgress(int64_t difference) = 0;
  // As they are read; from loader threads.
  virtual void AddLoadBytes(std::string_view model, uint64_t bytes) = 0;
  // All there are now; each call replaces the last.
  virtual void SetVersions(std::vector<FailedVersion> failed, std::vector<NamedVersion> names) = 0;
  virtual void RecordVerification(std::string_view model, absl::StatusCode code) = 0;
  // Drops the load series of a model that left the repository.
  virtual void ForgetModel(std::string_view model) = 0;

  // Borrows `source` until it is set to null; null: no store series.
  virtual void SetStoreUsageSource(const StoreUsageSource* source) = 0;

  virtual void SetReady(bool ready) = 0;
  // What the keeper counted.
  virtual void SetCrashes(uint64_t crashes, uint64_t quarantined_versions) = 0;
  // +1 when gRPC hands over a request, -1 when its answer is handed back.
  virtual void AddOpenRequests(int64_t difference) = 0;
  virtual void SetCpuBudget(double cores) = 0;

  // Prometheus text format 0.0.4, for the /metrics listener and for tests.
  virtual std::string Render() const = 0;
};

// The table of METRICS.md, generated.
std::string MetricsTable();

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_METRICS_H_
