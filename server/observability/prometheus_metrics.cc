// Metrics over prometheus-cpp: the only file that includes it.
//
// Recorders are plain atomics of our own; a scrape adds them up into the
// library's families, which it writes in the exposition format.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_split.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "server/observability/atomic_histogram.h"
#include "server/observability/metrics.h"
#include "server/observability/process_stats.h"

namespace paramd {
namespace {

constexpr int kCodeCount = 17;
constexpr double kNanosecondsPerSecond = 1e9;
constexpr size_t kReasonBytesMax = 200;

// Names as gRPC writes them, which Abseil's are too; anything outside the list
// counts as UNKNOWN.
std::string CodeName(int code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}
size_t CodeIndex(absl::StatusCode code) {
  const int index = static_cast<int>(code);
  return static_cast<size_t>(
      index >= 0 && index < kCodeCount ? index : static_cast<int>(absl::StatusCode::kUnknown));
}

// The format wants UTF-8, and what ends in the middle of a character is none.
std::string LabelText(std::string_view text) {
  std::string label(text.substr(0, kReasonBytesMax));
  for (char& c : label) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return label;
}

using Counter = std::atomic<uint64_t>;
using Gauge = std::atomic<int64_t>;

void Add(Counter* counter, uint64_t amount) {
  counter->fetch_add(amount, std::memory_order_relaxed);
}
uint64_t Get(const Counter& counter) { return counter.load(std::memory_order_relaxed); }
int64_t Get(const Gauge& gauge) { return gauge.load(std::memory_order_relaxed); }

// Families under construction: one a MetricId, dropped when nothing was added.
class Families {
 public:
  using Values = std::vector<std::string>;

  void AddNumber(MetricId id, const Values& label_values, double value) {
    prometheus::ClientMetric& metric = AddSeries(id, label_values);
    if (SpecOf(id).type == MetricType::kCounter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
  }

  template <typename T>
  void AddOptional(MetricId id, const std::optional<T>& value) {
    if (value) AddNumber(id, {}, static_cast<double>(*value));
  }

  void AddHistogram(MetricId id, const Values& label_values, const HistogramTotals& totals) {
    const absl::Span<const double> bounds = SpecOf(id).bounds;
    CHECK_EQ(totals.buckets.size(), bounds.size() + 1);
    prometheus::ClientMetric::Histogram& histogram = AddSeries(id, label_values).histogram;
    uint64_t count = 0;
    for (size_t i = 0; i < totals.buckets.size(); ++i) {
      count += totals.buckets[i];
      histogram.bucket.push_back(
          {.cumulative_count = count,
           .upper_bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity()});
    }
    histogram.sample_count = count;
    histogram.sample_sum = totals.sum;
  }

  std::string Text() const {
    std::vector<prometheus::MetricFamily> families;
    for (const prometheus::MetricFamily& family : families_) {
      if (!family.metric.empty()) families.push_back(family);
    }
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
  }

 private:
  prometheus::ClientMetric& AddSeries(MetricId id, const Values& label_values) {
    const MetricSpec& spec = SpecOf(id);
    prometheus::MetricFamily& family = families_[static_cast<size_t>(id)];
    if (family.name.empty()) {
      family.name = std::string(spec.name);
      family.help = std::string(spec.help);
      family.type = spec.type == MetricType::kCounter ? prometheus::MetricType::Counter
                    : spec.type == MetricType::kGauge ? prometheus::MetricType::Gauge
                                                      : prometheus::MetricType::Histogram;
    }
    const std::vector<std::string> names =
        absl::StrSplit(ToAbsl(spec.labels), ", ", absl::SkipEmpty());
    CHECK_EQ(names.size(), label_values.size()) << ToAbsl(spec.name);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    for (size_t i = 0; i < names.size(); ++i) metric.label.push_back({names[i], label_values[i]});
    return metric;
  }

  std::array<prometheus::MetricFamily, static_cast<size_t>(MetricId::kCount)> families_;
};

// Outcomes and whole times: what an unknown model has too.
struct RequestSeries {
  std::array<Counter, kCodeCount> by_code = {};
  AtomicHistogram whole{SpecOf(MetricId::kRequestSeconds).bounds, kNanosecondsPerSecond};

  void Record(absl::StatusCode code, absl::Duration duration) {
    Add(&by_code[CodeIndex(code)], 1);
    whole.Observe(absl::ToInt64Nanoseconds(duration));
  }
};

// What one version's recorders say together at a scrape.
struct VersionTotals {
  std::array<uint64_t, kCodeCount> by_code = {};
  HistogramTotals whole;
  std::array<HistogramTotals, kStageCount> stages;
  HistogramTotals batch_rows;
  HistogramTotals batch_requests;
  HistogramTotals shape_compiles;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  int64_t queue_requests = 0;
  int64_t queue_bytes = 0;
  int64_t compiled_shapes = 0;
  uint64_t unique_bytes = 0;
  uint64_t shared_bytes = 0;
  uint64_t unique_packed_bytes = 0;
  uint64_t shared_packed_bytes = 0;
  uint64_t arena_bytes = 0;
  std::set<std::pair<uint64_t, std::string>> weights;  // Generation, weights_id.
  StatisticsTotals statistics;
};

class PrometheusMetrics;

class PrometheusVersionMetrics final : public VersionMetrics {
 public:
  PrometheusVersionMetrics(PrometheusMetrics* owner, std::string_view model, int64_t version)
      : owner_(owner), model_(model), version_(version) {}
  ~PrometheusVersionMetrics() override;

  void RecordRequest(absl::StatusCode code, absl::Duration whole) override {
    requests_.Record(code, whole);
  }
  void RecordStage(Stage stage, absl::Duration duration) override {
    stages_[static_cast<size_t>(stage)].Observe(absl::ToInt64Nanoseconds(duration));
  }
  void RecordMessageBytes(uint64_t request_bytes, uint64_t response_bytes) override {
    Add(&request_bytes_, request_bytes);
    Add(&response_bytes_, response_bytes);
  }
  void RecordBatch(int64_t rows, int64_t requests) override {
    batch_rows_.Observe(rows);
    batch_requests_.Observe(requests);
  }
  void AddToQueue(int64_t requests, int64_t bytes) override {
    queue_requests_.fetch_add(requests, std::memory_order_relaxed);
    queue_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void RecordShapeCompile(absl::Duration duration) override {
    shape_compiles_.Observe(absl::ToInt64Nanoseconds(duration));
  }
  void SetCompiledShapes(int64_t shapes) override { compiled_shapes_ = shapes; }
  void SetParameterUsage(const ParameterUsage& usage) override {
    unique_bytes_ = usage.unique_bytes;
    shared_bytes_ = usage.shared_bytes;
    unique_packed_bytes_ = usage.unique_packed_bytes;
    shared_packed_bytes_ = usage.shared_packed_bytes;
  }
  void SetArenaBytes(uint64_t bytes) override { arena_bytes_ = bytes; }
  void SetWeights(uint64_t generation, std::string_view weights_id) override {
    MutexLock lock(&mutex_);
    weights_ = {generation, std::string(weights_id)};
  }

  std::pair<std::string, int64_t> key() const { return {model_, version_}; }
  void AddTo(VersionTotals* totals) const;

 private:
  PrometheusMetrics* const owner_;
  const std::string model_;
  const int64_t version_;

  RequestSeries requests_;
  std::array<AtomicHistogram, kStageCount> stages_ = {
      AtomicHistogram(SpecOf(MetricId::kStageSeconds).bounds, kNanosecondsPerSecond),
      AtomicHistogram(SpecOf(MetricId::kStageSeconds).bounds, kNanosecondsPerSecond),
      AtomicHistogram(SpecOf(MetricId::kStageSeconds).bounds, kNanosecondsPerSecond),
      AtomicHistogram(SpecOf(MetricId::kStageSeconds).bounds, kNanosecondsPerSecond),
      AtomicHistogram(SpecOf(MetricId::kStageSeconds).bounds, kNanosecondsPerSecond)};
  AtomicHistogram batch_rows_{SpecOf(MetricId::kBatchRows).bounds, 1};
  AtomicHistogram batch_requests_{SpecOf(MetricId::kBatchRequests).bounds, 1};
  AtomicHistogram shape_compiles_{SpecOf(MetricId::kShapeCompileSeconds).bounds,
                                  kNanosecondsPerSecond};
  Counter request_bytes_ = 0;
  Counter response_bytes_ = 0;
  Gauge queue_requests_ = 0;
  Gauge queue_bytes_ = 0;
  Gauge compiled_shapes_ = 0;
  Counter unique_bytes_ = 0;
  Counter shared_bytes_ = 0;
  Counter unique_packed_bytes_ = 0;
  Counter shared_packed_bytes_ = 0;
  Counter arena_bytes_ = 0;

  mutable Mutex mutex_;
  std::pair<uint64_t, std::string> weights_ ABSL_GUARDED_BY(mutex_);
};

void PrometheusVersionMetrics::AddTo(VersionTotals* totals) const {
  for (int i = 0; i < kCodeCount; ++i) totals->by_code[i] += Get(requests_.by_code[i]);
  requests_.whole.AddTo(&totals->whole);
  for (int i = 0; i < kStageCount; ++i) stages_[i].AddTo(&totals->stages[i]);
  batch_rows_.AddTo(&totals->batch_rows);
  batch_requests_.AddTo(&totals->batch_requests);
  shape_compiles_.AddTo(&totals->shape_compiles);
  totals->request_bytes += Get(request_bytes_);
  totals->response_bytes += Get(response_bytes_);
  totals->queue_requests += Get(queue_requests_);
  totals->queue_bytes += Get(queue_bytes_);
  totals->compiled_shapes += Get(compiled_shapes_);
  totals->unique_bytes += Get(unique_bytes_);
  totals->shared_bytes += Get(shared_bytes_);
  totals->unique_packed_bytes += Get(unique_packed_bytes_);
  totals->shared_packed_bytes += Get(shared_packed_bytes_);
  totals->arena_bytes += Get(arena_bytes_);
  statistics().AddTo(&totals->statistics);
  MutexLock lock(&mutex_);
  if (!weights_.second.empty()) totals->weights.insert(weights_);
}

class UnknownModelMetrics final : public RequestMetrics {
 public:
  void RecordRequest(absl::StatusCode code, absl::Duration whole) override {
    series.Record(code, whole);
  }
  RequestSeries series;
};

class PrometheusExecutorMetrics final : public ExecutorMetrics {
 public:
  void SetStreams(int64_t count) override { streams = count; }
  void AddBusyStreams(int64_t difference) override {
    busy.fetch_add(difference, std::memory_order_relaxed);
  }
  void RecordBusy(absl::Duration duration) override {
    Add(&busy_ns, static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration))));
  }
  void AddArenaBytes(int64_t difference) override {
    arena_bytes.fetch_add(difference, std::memory_order_relaxed);
  }

  Gauge streams = 0;
  Gauge busy = 0;
  Counter busy_ns = 0;
  Gauge arena_bytes = 0;
};

class PrometheusMetrics final : public Metrics {
 public:
  explicit PrometheusMetrics(const MetricsOptions& options) : options_(options) {}
  ~PrometheusMetrics() override {
    MutexLock lock(&mutex_);
    CHECK(recorders_.empty()) << "a VersionMetrics outlives its Metrics";
  }

  std::unique_ptr<VersionMetrics> ForVersion(std::string_view model, int64_t version) override {
    auto recorder = std::make_unique<PrometheusVersionMetrics>(this, model, version);
    MutexLock lock(&mutex_);
    recorders_.insert(recorder.get());
    return recorder;
  }
  void Remove(const PrometheusVersionMetrics* recorder) {
    MutexLock lock(&mutex_);
    recorders_.erase(recorder);
  }

  RequestMetrics* unknown_model() override { return &unknown_; }
  ExecutorMetrics* executor() override { return &executor_; }

  void RecordLoad(std::string_view model, absl::StatusCode code, absl::Duration took) override {
    MutexLock lock(&mutex_);
    auto it = loads_.find(model);
    if (it == loads_.end()) it = loads_.try_emplace(std::string(model)).first;
    ++it->second.by_code[CodeIndex(code)];
    it->second.seconds.Observe(absl::ToInt64Nanoseconds(took));
  }
  void AddLoadsInProgress(int64_t difference) override {
    loads_in_progress_.fetch_add(difference, std::memory_order_relaxed);
  }
  void SetVersions(std::vector<FailedVersion> failed, std::vector<NamedVersion> names) override {
    MutexLock lock(&mutex_);
    failed_ = std::move(failed);
    names_ = std::move(names);
  }
  void RecordVerification(std::string_view model, absl::StatusCode code) override {
    MutexLock lock(&mutex_);
    ++verifications_[{std::string(model), static_cast<int>(CodeIndex(code))}];
  }
  void AddLoadBytes(std::string_view model, uint64_t bytes) override {
    MutexLock lock(&mutex_);
    auto it = loads_.find(model);
    if (it == loads_.end()) it = loads_.try_emplace(std::string(model)).first;
    it->second.bytes += bytes;
  }
  void ForgetModel(std::string_view model) override {
    MutexLock lock(&mutex_);
    std::erase_if(verifications_,
                  [model](const auto& entry) { return entry.first.first == model; });
    if (const auto it = loads_.find(model); it != loads_.end()) loads_.erase(it);
  }
  void SetStoreUsageSource(const StoreUsageSource* source) override {
    // Waits for a scrape that is using the old source: it may be destroyed next.
    MutexLock lock(&store_mutex_);
    store_ = source;
  }
  void SetReady(bool ready) override { ready_ = ready ? 1 : 0; }
  void SetCrashes(uint64_t crashes, uint64_t quarantined_versions) override {
    crashes_ = static_cast<int64_t>(crashes);
    quarantined_ = static_cast<int64_t>(quarantined_versions);
  }
  void AddOpenRequests(int64_t difference) override {
    open_requests_.fetch_add(difference, std::memory_order_relaxed);
  }
  void SetCpuBudget(double cores) override { cpu_budget_ = cores; }

  std::string Render() const override;

 private:
  struct LoadSeries {
    std::array<uint64_t, kCodeCount> by_code = {};
    uint64_t bytes = 0;
    AtomicHistogram seconds{SpecOf(MetricId::kLoadSeconds).bounds, kNanosecondsPerSecond};
  };

  void AddVersions(Families* families) const;
  void AddLoads(Families* families) const;
  void AddStore(Families* families) const;
  void AddDaemon(Families* families) const;
  void AddProcess(Families* families) const;

  const MetricsOptions options_;
  // Anonymous memory before anything was loaded.
  const std::optional<uint64_t> baseline_bytes_ = ReadProcessStats(options_.proc_root).anon_bytes;
  UnknownModelMetrics unknown_;
  PrometheusExecutorMetrics executor_;
  Gauge loads_in_progress_ = 0;
  Gauge ready_ = 0;
  Gauge crashes_ = 0;
  Gauge quarantined_ = 0;
  Gauge open_requests_ = 0;
  std::atomic<double> cpu_budget_ = 0;

  mutable Mutex mutex_;
  std::set<const PrometheusVersionMetrics*> recorders_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, LoadSeries, std::less<>> loads_ ABSL_GUARDED_BY(mutex_);
  std::vector<FailedVersion> failed_ ABSL_GUARDED_BY(mutex_);
  std::vector<NamedVersion> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, int>, uint64_t> verifications_ ABSL_GUARDED_BY(mutex_);

  // Its own lock, because the source is called while it is held.
  mutable Mutex store_mutex_;
  const StoreUsageSource* store_ ABSL_GUARDED_BY(store_mutex_) = nullptr;
};

PrometheusVersionMetrics::~PrometheusVersionMetrics() { owner_->Remove(this); }

void AddOutcomes(const std::array<uint64_t, kCodeCount>& by_code, const std::string& model,
                 const std::string& version, Families* families) {
  for (int code = 0; code < kCodeCount; ++code) {
    // OK is always there, so that an error rate has its denominator.
    if (by_code[code] == 0 && code != 0) continue;
    families->AddNumber(MetricId::kRequests, {model, version, CodeName(code)},
                        static_cast<double>(by_code[code]));
  }
}

void AddVersion(const std::string& model, const std::string& version, const VersionTotals& totals,
                Families* out) {
  const auto gauge = [&](MetricId id, auto value) {
    out->AddNumber(id, {model, version}, static_cast<double>(value));
  };
  AddOutcomes(totals.by_code, model, version, out);
  out->AddHistogram(MetricId::kRequestSeconds, {model, version}, totals.whole);
  for (int i = 0; i < kStageCount; ++i) {
    out->AddHistogram(MetricId::kStageSeconds,
                      {model, version, std::string(StageName(static_cast<Stage>(i)))},
                      totals.stages[i]);
  }
  gauge(MetricId::kRequestBytes, totals.request_bytes);
  gauge(MetricId::kResponseBytes, totals.response_bytes);
  out->AddHistogram(MetricId::kBatchRows, {model, version}, totals.batch_rows);
  out->AddHistogram(MetricId::kBatchRequests, {model, version}, totals.batch_requests);
  gauge(MetricId::kQueueRequests, totals.queue_requests);
  gauge(MetricId::kQueueBytes, totals.queue_bytes);
  gauge(MetricId::kCompiledShapes, totals.compiled_shapes);
  out->AddHistogram(MetricId::kShapeCompileSeconds, {model, version}, totals.shape_compiles);
  const auto by_kind = [&](MetricId id, uint64_t unique, uint64_t shared) {
    out->AddNumber(id, {model, version, "unique"}, static_cast<double>(unique));
    out->AddNumber(id, {model, version, "shared"}, static_cast<double>(shared));
  };
  by_kind(MetricId::kParameterBytes, totals.unique_bytes, totals.shared_bytes);
  by_kind(MetricId::kParameterPackedBytes, totals.unique_packed_bytes, totals.shared_packed_bytes);
  gauge(MetricId::kArenaBytes, totals.arena_bytes);
  for (const auto& [generation, weights_id] : totals.weights) {
    out->AddNumber(MetricId::kVersionInfo, {model, version, StrCat(generation), weights_id}, 1);
  }
}

void AddTritonNames(const std::string& model, const std::string& version,
                    const VersionTotals& totals, Families* out) {
  const auto add = [&](MetricId id, auto value) {
    out->AddNumber(id, {model, version}, static_cast<double>(value));
  };
  const StatisticsTotals& sums = totals.statistics;
  add(MetricId::kTritonSuccess, sums.successes);
  add(MetricId::kTritonFailure, sums.failures);
  add(MetricId::kTritonInferences, sums.inferences);
  add(MetricId::kTritonExecutions, sums.executions);
  add(MetricId::kTritonPending, totals.queue_requests);
  add(MetricId::kTritonRequestMicroseconds, sums.success_ns / 1000);
  add(MetricId::kTritonQueueMicroseconds, sums.queue_ns / 1000);
  add(MetricId::kTritonInputMicroseconds, sums.input_ns / 1000);
  add(MetricId::kTritonInferMicroseconds, sums.infer_ns / 1000);
  add(MetricId::kTritonOutputMicroseconds, sums.output_ns / 1000);
}

void PrometheusMetrics::AddVersions(Families* families) const {
  // Added up under the lock, written outside it: unloading must not wait for
  // the writing of text.
  std::map<std::pair<std::string, int64_t>, VersionTotals> totals;
  {
    MutexLock lock(&mutex_);
    for (const PrometheusVersionMetrics* recorder : recorders_) {
      recorder->AddTo(&totals[recorder->key()]);
    }
  }
  for (const auto& [key, version_totals] : totals) {
    AddVersion(key.first, StrCat(key.second), version_totals, families);
    if (options_.triton_names) {
      AddTritonNames(key.first, StrCat(key.second), version_totals, families);
    }
  }
  std::array<uint64_t, kCodeCount> by_code;
  uint64_t all = 0;
  for (int i = 0; i < kCodeCount; ++i) all += by_code[i] = Get(unknown_.series.by_code[i]);
  if (all == 0) return;
  AddOutcomes(by_code, "unknown", "", families);
  HistogramTotals whole;
  unknown_.series.whole.AddTo(&whole);
  families->AddHistogram(MetricId::kRequestSeconds, {"unknown", ""}, whole);
}

void PrometheusMetrics::AddLoads(Families* families) const {
  families->AddNumber(MetricId::kLoadsInProgress, {}, static_cast<double>(Get(loads_in_progress_)));
  MutexLock lock(&mutex_);
  for (const auto& [model, series] : loads_) {
    for (int code = 0; code < kCodeCount; ++code) {
      if (series.by_code[code] == 0 && code != 0) continue;
      families->AddNumber(MetricId::kLoads, {model, CodeName(code)},
                          static_cast<double>(series.by_code[code]));
    }
    HistogramTotals seconds;
    series.seconds.AddTo(&seconds);
    families->AddHistogram(MetricId::kLoadSeconds, {model}, seconds);
    families->AddNumber(MetricId::kLoadBytes, {model}, static_cast<double>(series.bytes));
  }
  // Two loads of one version may have failed: a series is there once.
  std::set<std::pair<std::string, int64_t>> told;
  for (const FailedVersion& version : failed_) {
    if (!told.emplace(version.model, version.version).second) continue;
    families->AddNumber(
        MetricId::kVersionFailed,
        {version.model, StrCat(version.version),
         CodeName(static_cast<int>(CodeIndex(version.code))), LabelText(version.reason)},
        1);
  }
  for (const NamedVersion& name : names_) {
    families->AddNumber(MetricId::kNameVersion, {name.model, name.name},
                        static_cast<double>(name.version));
  }
  for (const auto& [key, count] : verifications_) {
    families->AddNumber(MetricId::kVerifications, {key.first, CodeName(key.second)},
                        static_cast<double>(count));
  }
}

void PrometheusMetrics::AddStore(Families* families) const {
  MutexLock lock(&store_mutex_);
  if (store_ == nullptr) return;
  const StoreUsage usage = store_->CurrentStoreUsage();
  const auto add = [families](MetricId id, uint64_t value) {
    families->AddNumber(id, {}, static_cast<double>(value));
  };
  add(MetricId::kStoreSealedBytes, usage.sealed_bytes);
  add(MetricId::kStoreSharedBytes, usage.shared_bytes);
  add(MetricId::kStoreReservedBytes, usage.reserved_bytes);
  add(MetricId::kStoreCapacityBytes, usage.capacity_bytes);
  add(MetricId::kStoreSegments, usage.segments);
  add(MetricId::kStoreDeduplicatedBytes, usage.deduplicated_bytes);
  add(MetricId::kStoreCollapseFailures, usage.collapse_failures);
}

void PrometheusMetrics::AddDaemon(Families* families) const {
  const auto add = [families](MetricId id, double value) { families->AddNumber(id, {}, value); };
  add(MetricId::kStreams, static_cast<double>(Get(executor_.streams)));
  add(MetricId::kStreamsBusy, static_cast<double>(Get(executor_.busy)));
  add(MetricId::kStreamBusySeconds,
      static_cast<double>(Get(executor_.busy_ns)) / kNanosecondsPerSecond);
  add(MetricId::kStreamArenaBytes, static_cast<double>(Get(executor_.arena_bytes)));
  add(MetricId::kReady, static_cast<double>(Get(ready_)));
  add(MetricId::kWorkerCrashes, static_cast<double>(Get(crashes_)));
  add(MetricId::kQuarantinedVersions, static_cast<double>(Get(quarantined_)));
  add(MetricId::kRequestsOpen, static_cast<double>(Get(open_requests_)));
  add(MetricId::kCpuBudget, cpu_budget_.load(std::memory_order_relaxed));
  families->AddNumber(
      MetricId::kBuildInfo,
      {options_.build.version, options_.build.compiler, options_.build.onednn, options_.build.cuda},
      1);
}

void PrometheusMetrics::AddProcess(Families* families) const {
  if (const auto throttling = ReadCpuThrottling(options_.proc_root, options_.cgroup_root)) {
    families->AddNumber(MetricId::kCpuThrottledSeconds, {}, throttling->seconds);
    families->AddNumber(MetricId::kCpuThrottledPeriods, {},
                        static_cast<double>(throttling->periods));
  }
  const ProcessStats stats = ReadProcessStats(options_.proc_root);
  families->AddOptional(MetricId::kProcessCpuSeconds, stats.cpu_seconds);
  families->AddOptional(MetricId::kProcessResidentBytes, stats.resident_bytes);
  families->AddOptional(MetricId::kProcessVirtualBytes, stats.virtual_bytes);
  const auto add_kind = [families](const char* kind, const std::optional<uint64_t>& bytes) {
    if (!bytes) return;
    families->AddNumber(MetricId::kProcessMemoryBytes, {kind}, static_cast<double>(*bytes));
  };
  add_kind("anon", stats.anon_bytes);
  add_kind("file", stats.file_bytes);
  add_kind("shmem", stats.shmem_bytes);
  add_kind("memfd", stats.memfd_bytes);
  const auto add_line = [families](const char* kind, const std::optional<uint64_t>& bytes) {
    if (!bytes) return;
    families->AddNumber(MetricId::kMemoryLedgerBytes, {kind}, static_cast<double>(*bytes));
  };
  {
    MutexLock lock(&store_mutex_);
    if (store_ != nullptr) add_line("parameters", store_->CurrentStoreUsage().sealed_bytes);
  }
  add_line("allocator", AllocatedBytes());
  add_line("arenas", static_cast<uint64_t>(Get(executor_.arena_bytes)));
  add_line("baseline", baseline_bytes_);
  families->AddOptional(MetricId::kProcessProportionalBytes, stats.proportional_bytes);
  families->AddOptional(MetricId::kProcessOpenFds, stats.open_fds);
  families->AddOptional(MetricId::kProcessMaxFds, stats.max_fds);
  families->AddOptional(MetricId::kProcessThreads, stats.threads);
  families->AddOptional(MetricId::kProcessStartTime, stats.start_time_seconds);
}

std::string PrometheusMetrics::Render() const {
  Families families;
  AddVersions(&families);
  AddLoads(&families);
  AddStore(&families);
  AddDaemon(&families);
  AddProcess(&families);
  return families.Text();
}

}  // namespace

std::unique_ptr<Metrics> Metrics::Create(const MetricsOptions& options) {
  return std::make_unique<PrometheusMetrics>(options);
}

}  // namespace paramd
