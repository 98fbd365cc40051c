#include "server/rpc/kserve/model_statistics.h"

#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/observability/metrics.h"

namespace paramd {
namespace {

void Fill(uint64_t count, uint64_t ns, inference::StatisticDuration* duration) {
  duration->set_count(count);
  duration->set_ns(ns);
}

}  // namespace

void FillModelStatistics(const ModelVersion& version, inference::ModelStatistics* statistics) {
  StatisticsTotals totals;
  version.metrics().statistics().AddTo(&totals);
  statistics->set_name(version.id().model);
  statistics->set_version(StrCat(version.id().number));
  statistics->set_last_inference(static_cast<uint64_t>(totals.last_inference_ms));
  statistics->set_inference_count(totals.inferences);
  statistics->set_execution_count(totals.executions);
  inference::InferStatistics* const requests = statistics->mutable_inference_stats();
  Fill(totals.successes, totals.success_ns, requests->mutable_success());
  Fill(totals.failures, totals.failure_ns, requests->mutable_fail());
  Fill(totals.successes, totals.queue_ns, requests->mutable_queue());
  Fill(totals.successes, totals.input_ns, requests->mutable_compute_input());
  Fill(totals.successes, totals.infer_ns, requests->mutable_compute_infer());
  Fill(totals.successes, totals.output_ns, requests->mutable_compute_output());
  Fill(0, 0, requests->mutable_cache_hit());
  Fill(0, 0, requests->mutable_cache_miss());
  for (const StatisticsTotals::Batch& batch : totals.batches) {
    inference::InferBatchStatistics* const of_size = statistics->add_batch_stats();
    of_size->set_batch_size(static_cast<uint64_t>(batch.rows));
    Fill(batch.executions, batch.input_ns, of_size->mutable_compute_input());
    Fill(batch.executions, batch.infer_ns, of_size->mutable_compute_infer());
    Fill(batch.executions, batch.output_ns, of_size->mutable_compute_output());
  }
  // Parameters that others hold as well count in full: this version needs them.
  const SetBytes bytes = version.model().parameters().bytes();
  inference::MemoryUsage* const usage = statistics->add_memory_usage();
  usage->set_type("CPU");
  usage->set_byte_size(bytes.unique.total() + bytes.shared.total() +
                       version.model().description().arena_bytes);
}

}  // namespace paramd
