// FakeMetrics: recorders that remember, for the tests of other rooms.
//
// Every number is a public atomic, so a test reads what it cares about. Nothing
// is rendered, and series are kept after their recorder is gone.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_TESTS_SUPPORT_FAKE_METRICS_H_
#define PARAMD_TESTS_SUPPORT_FAKE_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/mutex.h"
#include "server/observability/metrics.h"

namespace paramd {

// What the recorders of one model version were told.
struct FakeVersionCounts {
  std::array<std::atomic<int64_t>, 17> requests_by_code = {};
  std::array<std::atomic<int64_t>, kStageCount> stages = {};
  std::atomic<int64_t> stages_ns = 0;  // Of all stages together.
  std::atomic<int64_t> request_bytes = 0;
  std::atomic<int64_t> response_bytes = 0;
  std::atomic<int64_t> batches = 0;
  std::atomic<int64_t> batch_rows = 0;
  std::atomic<int64_t> batch_rows_max = 0;
  std::atomic<int64_t> batch_requests = 0;
  std::atomic<int64_t> queue_requests = 0;
  std::atomic<int64_t> queue_bytes = 0;
  std::atomic<int64_t> shape_compiles = 0;
  std::atomic<int64_t> compiled_shapes = 0;
  std::atomic<uint64_t> unique_bytes = 0;
  std::atomic<uint64_t> shared_bytes = 0;
  std::atomic<uint64_t> packed_bytes = 0;
  std::atomic<uint64_t> arena_bytes = 0;
  std::atomic<uint64_t> generation = 0;
  std::atomic<int64_t> recorders_alive = 0;

  int64_t requests(absl::StatusCode code) const {
    return requests_by_code[static_cast<size_t>(code)];
  }
};

class FakeVersionMetrics final : public VersionMetrics {
 public:
  explicit FakeVersionMetrics(FakeVersionCounts* counts) : counts_(counts) {
    ++counts_->recorders_alive;
  }
  ~FakeVersionMetrics() override { --counts_->recorders_alive; }

  void RecordRequest(absl::StatusCode code, absl::Duration) override {
    ++counts_->requests_by_code[static_cast<size_t>(code)];
  }
  void RecordStage(Stage stage, absl::Duration took) override {
    ++counts_->stages[static_cast<size_t>(stage)];
    counts_->stages_ns += absl::ToInt64Nanoseconds(took);
  }
  void RecordMessageBytes(uint64_t request_bytes, uint64_t response_bytes) override {
    counts_->request_bytes += static_cast<int64_t>(request_bytes);
    counts_->response_bytes += static_cast<int64_t>(response_bytes);
  }
  void RecordBatch(int64_t rows, int64_t requests) override {
    ++counts_->batches;
    counts_->batch_rows += rows;
    counts_->batch_requests += requests;
    int64_t most = counts_->batch_rows_max;
    while (rows > most && !counts_->batch_rows_max.compare_exchange_weak(most, rows)) {
    }
  }
  void AddToQueue(int64_t requests, int64_t bytes) override {
    counts_->queue_requests += requests;
    counts_->queue_bytes += bytes;
  }
  void RecordShapeCompile(absl::Duration) override { ++counts_->shape_compiles; }
  void SetCompiledShapes(int64_t shapes) override { counts_->compiled_shapes = shapes; }
  void SetParameterUsage(const ParameterUsage& usage) override {
    counts_->unique_bytes = usage.unique_bytes;
    counts_->shared_bytes = usage.shared_bytes;
    counts_->packed_bytes = usage.unique_packed_bytes + usage.shared_packed_bytes;
  }
  void SetArenaBytes(uint64_t bytes) override { counts_->arena_bytes = bytes; }
  void SetWeights(uint64_t generation, std::string_view) override {
    counts_->generation = generation;
  }

 private:
  FakeVersionCounts* const counts_;
};

class FakeMetrics final : public Metrics {
 public:
  class Executor final : public ExecutorMetrics {
   public:
    void SetStreams(int64_t n) override { streams = n; }
    void AddBusyStreams(int64_t difference) override {
      const int64_t now = busy += difference;
      int64_t most = busy_max;
      while (now > most && !busy_max.compare_exchange_weak(most, now)) {
      }
    }
    void RecordBusy(absl::Duration) override { ++batches; }
    void AddArenaBytes(int64_t difference) override { arena_bytes += difference; }

    std::atomic<int64_t> streams = 0;
    std::atomic<int64_t> busy = 0;
    std::atomic<int64_t> busy_max = 0;
    std::atomic<int64_t> batches = 0;
    std::atomic<int64_t> arena_bytes = 0;
  };

  std::unique_ptr<VersionMetrics> ForVersion(std::string_view model, int64_t version) override {
    return std::make_unique<FakeVersionMetrics>(&counts(model, version));
  }
  RequestMetrics* unknown_model() override { return &unknown_recorder_; }
  ExecutorMetrics* executor() override { return &fake_executor; }
  void RecordLoad(std::string_view, absl::StatusCode code, absl::Duration) override {
    ++(code == absl::StatusCode::kOk ? loads : load_failures);
  }
  void AddLoadsInProgress(int64_t difference) override { loads_in_progress += difference; }
  void SetVersions(std::vector<FailedVersion> failed, std::vector<NamedVersion> names) override {
    MutexLock lock(&mutex_);
    failed_ = std::move(failed);
    names_ = std::move(names);
  }
  std::vector<FailedVersion> failed_versions() {
    MutexLock lock(&mutex_);
    return failed_;
  }
  std::vector<NamedVersion> named_versions() {
    MutexLock lock(&mutex_);
    return names_;
  }
  void RecordVerification(std::string_view, absl::StatusCode) override { ++verifications; }
  void AddLoadBytes(std::string_view, uint64_t) override {}
  void ForgetModel(std::string_view) override {}
  void SetStoreUsageSource(const StoreUsageSource* source) override { store = source; }
  void SetReady(bool now) override { ready = now; }
  void SetCrashes(uint64_t, uint64_t) override {}
  void AddOpenRequests(int64_t difference) override { open_requests += difference; }
  void SetCpuBudget(double cores) override { cpu_budget = cores; }
  std::string Render() const override { return ""; }

  // Made on first use; stays valid as long as this object.
  FakeVersionCounts& counts(std::string_view model, int64_t version) {
    MutexLock lock(&mutex_);
    return counts_[{std::string(model), version}];
  }

  FakeVersionCounts unknown;
  Executor fake_executor;
  std::atomic<int64_t> loads = 0;
  std::atomic<int64_t> load_failures = 0;
  std::atomic<int64_t> loads_in_progress = 0;
  std::atomic<int64_t> verifications = 0;
  std::atomic<int64_t> open_requests = 0;
  std::atomic<bool> ready = false;
  std::atomic<double> cpu_budget = 0;
  std::atomic<const StoreUsageSource*> store = nullptr;

 private:
  FakeVersionMetrics unknown_recorder_{&unknown};
  Mutex mutex_;
  std::vector<FailedVersion> failed_ ABSL_GUARDED_BY(mutex_);
  std::vector<NamedVersion> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, int64_t>, FakeVersionCounts> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FAKE_METRICS_H_
