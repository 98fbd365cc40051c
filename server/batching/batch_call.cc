#include "server/batching/batch_call.h"

#include "server/batching/assembled_outputs.h"
#include "server/observability/metrics.h"

namespace paramd {

uint64_t NamedTensor::bytes() const {
  uint64_t sum = source_bytes;
  for (const absl::Span<const std::byte> fragment : fragments) sum += fragment.size();
  for (const std::string& text : strings) sum += text.size();
  return sum;
}

void RecordStages(const StageTimes& times, absl::Time arrival, absl::Time answered,
                  VersionMetrics* metrics) {
  metrics->RecordStage(Stage::kDecode, times.submitted - arrival);
  metrics->RecordStage(Stage::kQueue, times.queue);
  metrics->RecordStage(Stage::kBatch, times.batch);
  metrics->RecordStage(Stage::kCompute, times.compute);
  metrics->RecordStage(Stage::kEncode, answered - times.computed);
}

BatchCall::BatchCall() = default;
BatchCall::~BatchCall() = default;

}  // namespace paramd
