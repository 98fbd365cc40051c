#include "server/stream_plan.h"

#include <algorithm>

#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr int kThreadsPerStreamDefaultMax = 4;
constexpr int kOversubscriptionMax = 4;

}  // namespace

absl::StatusOr<StreamPlan> PlanStreams(int cores, int streams, int threads_per_stream) {
  StreamPlan plan = {streams, threads_per_stream};
  if (plan.streams == 0 && plan.threads_per_stream == 0) {
    plan.threads_per_stream = std::clamp(cores / 2, 1, kThreadsPerStreamDefaultMax);
  }
  if (plan.streams == 0) plan.streams = std::max(1, cores / plan.threads_per_stream);
  if (plan.threads_per_stream == 0) plan.threads_per_stream = std::max(1, cores / plan.streams);
  if (plan.streams * plan.threads_per_stream > kOversubscriptionMax * cores) {
    return absl::InvalidArgumentError(
        StrCat("--streams ", plan.streams, " of --threads-per-stream ", plan.threads_per_stream,
               " are ", plan.streams * plan.threads_per_stream, " threads on ", cores,
               " cores; at most ", kOversubscriptionMax * cores, " are allowed"));
  }
  return plan;
}

}  // namespace paramd
