// BatchQueue: the calls that wait for one model version, grouped by shape.
// ShapeGroup: the calls of one BatchKey, and what is known about running them.
//
// Groups outlive their calls, up to kGroupsMax, because they remember which
// sizes are compiled and how long they take. Calls are linked through
// themselves: queueing allocates nothing but the first group of a new shape.
//
// Thread-safety: none; guarded by the executor's mutex.
#ifndef PARAMD_SERVER_BATCHING_BATCH_QUEUE_H_
#define PARAMD_SERVER_BATCHING_BATCH_QUEUE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/tensor/shape.h"
#include "server/batching/batch_call.h"
#include "server/batching/batch_policy.h"
#include "server/batching/cost_model.h"

namespace paramd {

struct ShapeGroup {
  std::string key;
  // Input shapes of its calls. A batching model's first dimensions are set to
  // the rows of the batch.
  std::vector<Shape> shapes;

  // Ordered by priority, then arrival.
  BatchCall* head = nullptr;
  BatchCall* tail = nullptr;
  int64_t calls = 0;
  int64_t rows_waiting = 0;
  absl::Time oldest = absl::InfiniteFuture();  // Exact while calls > 0.

  std::vector<int64_t> warm;     // Ascending.
  std::vector<int64_t> refused;  // Ascending; sizes whose compilation failed.
  int64_t compiling = 0;         // The size that is being compiled, or 0.
  int batches_running = 0;
  CostModel cost;
  uint64_t used = 0;  // For dropping the least recently used.

  GroupView view() const;
  void AddWarm(int64_t rows);
  void DropWarm(int64_t rows);
  void Refuse(int64_t rows);
};

class BatchQueue {
 public:
  // Shapes that may wait or be remembered at once.
  static constexpr size_t kGroupsMax = 256;

  // The group of `key`, made if needed. Null when kGroupsMax shapes are in use.
  ShapeGroup* FindOrAdd(std::string_view key, absl::Span<const TensorView> views);

  // Behind all calls of its priority, or in front of all calls (one that goes back).
  void Push(ShapeGroup* group, BatchCall* call);
  void PushFront(ShapeGroup* group, BatchCall* call);
  // REQUIRES: the call is queued here.
  void Remove(BatchCall* call);
  // `rows` more of the queued call's rows were given to a batch (fewer than wait).
  void TakeRows(BatchCall* call, int64_t rows);

  int64_t calls() const { return calls_; }
  uint64_t bytes() const { return bytes_; }
  // Groups that have calls, in no order.
  absl::Span<ShapeGroup* const> waiting() const { return waiting_; }
  static BatchCall* Next(const BatchCall* call) { return call->q_.next; }

 private:
  void Link(ShapeGroup* group, BatchCall* call, BatchCall* behind);
  bool DropLeastUsed();

  std::map<std::string, std::unique_ptr<ShapeGroup>, std::less<>> groups_;
  std::vector<ShapeGroup*> waiting_;
  int64_t calls_ = 0;
  uint64_t bytes_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_BATCH_QUEUE_H_
