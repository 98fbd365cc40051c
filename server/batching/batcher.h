// Batcher: the queue of one model version. It has no thread: the executor's
// streams take batches from all queues.
//
// A batch has one BatchKey (trailing shapes never mix), at most batch_rows_max
// rows and a row count that is compiled. A stream that is idle runs what is
// there at once, unless queue_delay_max says to wait for company. Order is
// priority, then arrival. A call with more rows than a batch may have, or than
// the compiled sizes make up, runs in several batches of this same version, and
// its outputs are put together. With batch_rows_max 0 calls run one by one as they are.
//
// Life: registered with the executor from Create until the destructor.
// Thread-safety: Submit, Close and Drain may be called from any thread.
#ifndef PARAMD_SERVER_BATCHING_BATCHER_H_
#define PARAMD_SERVER_BATCHING_BATCHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/model.h"
#include "server/batching/batch_call.h"

namespace paramd {

class Executor;        // server/batching/executor.h
class VersionMetrics;  // server/observability/metrics.h
struct Lane;           // server/batching/lane.h

struct BatcherOptions {
  // How long a call may wait for company while a stream is idle.
  absl::Duration queue_delay_max = absl::ZeroDuration();
  // Ascending: a batch of exactly so many rows does not wait for more.
  std::vector<int64_t> preferred_rows;
  // Batches of this version that may run at the same time; 0: as many as there are streams.
  int concurrent_batches_max = 0;
  // Priorities are 1 .. priority_levels, anything else means the default; with
  // 0 levels any number is taken, and 0 means kPriorityUnset.
  uint32_t priority_levels = 0;
  uint32_t default_priority = 0;  // 0: the lowest level, or kPriorityUnset without levels.
  // A call without an earlier deadline gets this one, counted from Submit.
  absl::Duration default_timeout = absl::InfiniteDuration();
  int64_t queue_requests_max = 1024;  // Beyond either Submit refuses.
  uint64_t queue_bytes_max = 0;       // 0: only the executor's bound for all queues.
};

// The priority of calls that name none, where no levels are configured: there is
// room above and below it.
inline constexpr uint32_t kPriorityUnset = 100;

// InvalidArgument names the first option out of range and its bounds.
absl::Status Validate(const BatcherOptions& options);

// A batch size that was compiled and measured before serving (warm_up.h).
struct WarmSize {
  int64_t rows = 0;
  absl::Duration took;  // Zero: not measured.
};

struct BatcherParts {
  std::string model_name;             // Versions of one model share their service time.
  const Model* model = nullptr;       // Borrowed; outlives the batcher.
  VersionMetrics* metrics = nullptr;  // Borrowed, may be null.
  uint32_t trail = 0;                 // Its number in the executor's WorkTrail.
  std::vector<WarmSize> warm;
  // Sizes that the compile thread makes right after the batcher is there: of a
  // version that should answer before they are.
  std::vector<WarmSize> warm_later;
};

class Batcher {
 public:
  // `executor` outlives the batcher.
  static absl::StatusOr<std::unique_ptr<Batcher>> Create(Executor* executor,
                                                         const BatcherOptions& options,
                                                         BatcherParts parts);
  // Answers what is queued with Unavailable and waits for batches that run and
  // for the shape that is being compiled. No sink is called afterwards.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Returns without waiting for the model. Every outcome, refusal included, goes
  // to call->sink, possibly before Submit returns. REQUIRES: call->inputs are in
  // the model's order with types filled in, Model::CheckCall of `views` (their
  // types and shapes) was OK, and fragments have as many bytes as the shapes say.
  void Submit(BatchCall* call, CallInputs views);

  // From now on Submit refuses with Unavailable; what is queued goes on.
  void Close();

  // Close, then waits until everything is answered; at `deadline` the queue is
  // answered with Unavailable, and only running batches are waited for.
  void Drain(absl::Time deadline);

  // For status pages.
  struct QueueState {
    int64_t requests = 0;
    uint64_t bytes = 0;
    int batches_running = 0;
    int64_t shapes_compiling = 0;
  };
  QueueState queue_state() const;

 private:
  Batcher(Executor* executor, std::unique_ptr<Lane> lane);

  Executor* const executor_;
  const std::unique_ptr<Lane> lane_;  // Its mutable part is guarded by the executor's mutex.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_BATCHER_H_
