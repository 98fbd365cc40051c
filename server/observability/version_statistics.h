// VersionStatistics: what KServe V2's ModelStatistics and Triton's metrics say of
// one version: whole sums where /metrics has histograms.
//
// A request is counted once, when it is answered; the times of its stages with it,
// so that all of them have one count. Executions are counted by the batching room,
// by the rows of the batch.
//
// Thread-safety: thread-safe; records take no lock and allocate nothing. A reader
// may see sums that are one request apart.
#ifndef PARAMD_SERVER_OBSERVABILITY_VERSION_STATISTICS_H_
#define PARAMD_SERVER_OBSERVABILITY_VERSION_STATISTICS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace paramd {

// Of a request that was answered, or of a batch (`queue` is then unused).
struct InferenceTimes {
  absl::Duration queue;
  absl::Duration input;   // Gathering the rows.
  absl::Duration infer;   // The model.
  absl::Duration output;  // Writing the answers.
};

struct StatisticsTotals {
  struct Batch {
    int64_t rows = 0;  // Of the batch.
    uint64_t executions = 0;
    uint64_t input_ns = 0;
    uint64_t infer_ns = 0;
    uint64_t output_ns = 0;
  };
  uint64_t successes = 0;  // Requests; the count of each stage too.
  uint64_t success_ns = 0;
  uint64_t failures = 0;
  uint64_t failure_ns = 0;
  uint64_t queue_ns = 0;
  uint64_t input_ns = 0;
  uint64_t infer_ns = 0;
  uint64_t output_ns = 0;
  uint64_t inferences = 0;        // Rows of the successful requests.
  uint64_t executions = 0;        // Batches.
  int64_t last_inference_ms = 0;  // Since the epoch; 0: none.
  std::vector<Batch> batches;     // By rows, ascending.
};

class VersionStatistics {
 public:
  void RecordSuccess(int64_t rows, absl::Duration whole, const InferenceTimes& times,
                     absl::Time now) {
    Add(&successes_, 1);
    Add(&success_ns_, whole);
    Add(&queue_ns_, times.queue);
    Add(&input_ns_, times.input);
    Add(&infer_ns_, times.infer);
    Add(&output_ns_, times.output);
    Add(&inferences_, static_cast<uint64_t>(rows));
    // A later one may be overtaken here: then the time is off by what lay between.
    last_inference_ms_.store(absl::ToUnixMillis(now), std::memory_order_relaxed);
  }

  void RecordFailure(absl::Duration whole) {
    Add(&failures_, 1);
    Add(&failure_ns_, whole);
  }

  void RecordExecution(int64_t rows, const InferenceTimes& times) {
    Add(&executions_, 1);
    if (Slot* slot = SlotOf(rows); slot != nullptr) {
      Add(&slot->executions, 1);
      Add(&slot->input_ns, times.input);
      Add(&slot->infer_ns, times.infer);
      Add(&slot->output_ns, times.output);
    }
  }

  // Adds to what is there: recorders of one version are summed.
  void AddTo(StatisticsTotals* totals) const {
    totals->successes += Get(successes_);
    totals->success_ns += Get(success_ns_);
    totals->failures += Get(failures_);
    totals->failure_ns += Get(failure_ns_);
    totals->queue_ns += Get(queue_ns_);
    totals->input_ns += Get(input_ns_);
    totals->infer_ns += Get(infer_ns_);
    totals->output_ns += Get(output_ns_);
    totals->inferences += Get(inferences_);
    totals->executions += Get(executions_);
    totals->last_inference_ms =
        std::max(totals->last_inference_ms, last_inference_ms_.load(std::memory_order_relaxed));
    for (const Slot& slot : slots_) AddSlot(slot, totals);
    std::sort(totals->batches.begin(), totals->batches.end(),
              [](const StatisticsTotals::Batch& a, const StatisticsTotals::Batch& b) {
                return a.rows < b.rows;
              });
  }

 private:
  using Sum = std::atomic<uint64_t>;
  struct Slot {
    std::atomic<int64_t> rows = 0;  // 0: free.
    Sum executions = 0;
    Sum input_ns = 0;
    Sum infer_ns = 0;
    Sum output_ns = 0;
  };
  // Batches have compiled sizes, and few of them: those beyond are in the sum only.
  static constexpr size_t kSlots = 64;

  static void Add(Sum* sum, uint64_t amount) { sum->fetch_add(amount, std::memory_order_relaxed); }
  static void Add(Sum* sum, absl::Duration amount) {
    Add(sum, static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(amount))));
  }
  static uint64_t Get(const Sum& sum) { return sum.load(std::memory_order_relaxed); }

  Slot* SlotOf(int64_t rows) {
    const auto first = static_cast<size_t>(rows) % kSlots;
    for (size_t i = 0; i < kSlots; ++i) {
      Slot& slot = slots_[(first + i) % kSlots];
      int64_t there = slot.rows.load(std::memory_order_relaxed);
      if (there == 0 && slot.rows.compare_exchange_strong(there, rows)) return &slot;
      if (there == rows) return &slot;
    }
    return nullptr;
  }

  static void AddSlot(const Slot& slot, StatisticsTotals* totals) {
    const int64_t rows = slot.rows.load(std::memory_order_relaxed);
    if (rows == 0) return;
    auto batch = std::find_if(totals->batches.begin(), totals->batches.end(),
                              [rows](const StatisticsTotals::Batch& b) { return b.rows == rows; });
    if (batch == totals->batches.end()) {
      batch = totals->batches.insert(totals->batches.end(), {.rows = rows});
    }
    batch->executions += Get(slot.executions);
    batch->input_ns += Get(slot.input_ns);
    batch->infer_ns += Get(slot.infer_ns);
    batch->output_ns += Get(slot.output_ns);
  }

  Sum successes_ = 0, success_ns_ = 0, failures_ = 0, failure_ns_ = 0;
  Sum queue_ns_ = 0, input_ns_ = 0, infer_ns_ = 0, output_ns_ = 0;
  Sum inferences_ = 0, executions_ = 0;
  std::atomic<int64_t> last_inference_ms_ = 0;
  std::array<Slot, kSlots> slots_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_VERSION_STATISTICS_H_
