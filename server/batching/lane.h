// Lane: what the executor keeps of one model version. Batch: rows that a stream
// is about to run, or runs.
//
// Thread-safety: a lane's first part is const; the second is guarded by the
// executor's mutex, except that a stream uses its own session without it while
// `running` counts its batch. A batch belongs to its stream.
#ifndef PARAMD_SERVER_BATCHING_LANE_H_
#define PARAMD_SERVER_BATCHING_LANE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/model.h"
#include "server/batching/batch_call.h"
#include "server/batching/batch_queue.h"
#include "server/batching/batcher.h"

namespace paramd {

// Versions of one model share their service time: a second version is no second share.
struct ModelAccount {
  std::string name;
  absl::Duration service;
  int64_t queued = 0;
  int running = 0;
  int lanes = 0;
};

struct Lane {
  const Model* model = nullptr;
  VersionMetrics* metrics = nullptr;
  uint32_t trail = 0;
  BatcherOptions options;
  // 1 where calls run one by one: `batches` is then false and a group's shapes are whole.
  int64_t rows_max = 1;
  bool batches = false;
  // Every call has the same shapes but for the rows: no key needs to be made.
  bool one_key = false;

  ModelAccount* account = nullptr;
  BatchQueue queue;
  std::vector<std::unique_ptr<Session>> sessions;  // One a stream, made on first use.
  // No queued call has an earlier deadline.
  absl::Time earliest_deadline = absl::InfiniteFuture();
  int running = 0;    // Batches.
  int compiling = 0;  // Shapes handed to the compile thread.
  int answering = 0;  // Calls taken out of the queue whose sinks are being called.
  bool closed = false;
  bool drained = false;  // Nothing may wait any more: what comes back is refused.
  bool active = false;   // In Executor::active_.
};

// Rows [first_row, first_row + rows) of a call.
struct BatchSlice {
  BatchCall* call = nullptr;
  int64_t first_row = 0;
  int64_t rows = 0;
  // The call's only slice: answered straight from the arena.
  bool whole = false;
  // Of a slice that is not whole: how its rows ended.
  absl::Status status;
};

struct Batch {
  Lane* lane = nullptr;
  ShapeGroup* group = nullptr;
  std::vector<Shape> shapes;  // Input shapes with the batch's rows.
  std::vector<BatchSlice> slices;
  int64_t rows = 0;
  absl::Time chosen_at;
  absl::Duration predicted;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_LANE_H_
