// BatchCall: one request as the batching room sees it: input bytes, limits, and
// where the answer goes. PredictCall (server/predict) adds names and versions.
//
// Life: whoever answers the client owns the call, its bytes and its sink, and
// keeps all three until PredictSink::OnDone, which comes exactly once for every
// call that was submitted, whatever happens. From then on nothing below touches
// the call, so OnDone may destroy it. The request owns its bytes: tensors are
// fragments of the message as it came, and are read once, straight into the
// model's input.
//
// Thread-safety: a call belongs to one thread at a time: to its owner until it
// is submitted, then to the batching room. Only Cancel may be called meanwhile.
#ifndef PARAMD_SERVER_BATCHING_BATCH_CALL_H_
#define PARAMD_SERVER_BATCHING_BATCH_CALL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

class AssembledOutputs;  // server/batching/assembled_outputs.h
struct ShapeGroup;       // server/batching/batch_queue.h
class VersionMetrics;    // server/observability/metrics.h

// Bytes that are read when a batch is gathered and not before, because they may
// change or go until then: memory that a client shares with the daemon.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `to` with the bytes from `offset` on, or says why it cannot: the call is
  // answered with that error, and its batch is run without it. Any thread.
  virtual absl::Status Read(uint64_t offset, absl::Span<std::byte> to) const = 0;
};

// An input as it came. Little-endian elements as TensorView describes them.
struct NamedTensor {
  std::string name;
  // kUndefined: the sender left it out and means the model's declared type.
  DType dtype = DType::kUndefined;
  Shape shape;
  // The elements in order, in as many pieces as the transport delivered; one
  // piece needs no heap. Alignment does not matter. Unused for strings.
  absl::InlinedVector<absl::Span<const std::byte>, 1> fragments;
  absl::Span<const std::string> strings;  // Only for DType::kString.
  // Instead of fragments: `source_bytes` of it. Borrowed as they are.
  const ByteSource* source = nullptr;
  uint64_t source_offset = 0;
  uint64_t source_bytes = 0;

  // Bytes of all fragments, strings or the source.
  uint64_t bytes() const;
};

struct OutputTensor {
  std::string_view name;  // The model's own string: valid while the version lives.
  TensorView view;
};

// One after the other without a gap: what lies before `submitted` and after
// `computed` is the front door's.
struct StageTimes {
  absl::Time submitted;    // To the batching room.
  absl::Duration queue;    // Submitted until chosen for a batch.
  absl::Duration batch;    // Chosen until its batch's rows are gathered.
  absl::Duration compute;  // The model. Of a split call: the rest until `computed`.
  absl::Time computed;     // When the model was done with its last row.
};

struct PredictAnswer {
  // In the order wanted. The bytes lie in the stream's arena (or, for a call
  // that ran in several batches, in the call): valid only during OnDone.
  absl::Span<const OutputTensor> outputs;
  StageTimes times;
  int64_t rows = 0;        // Of this call.
  int64_t batch_rows = 0;  // Of the batch it rode in (the largest, if several).
};

// Every stage of a request that was answered at `answered`; they add up to the time
// since `arrival`.
void RecordStages(const StageTimes& times, absl::Time arrival, absl::Time answered,
                  VersionMetrics* metrics);

// Where one request's answer goes.
class PredictSink {
 public:
  virtual ~PredictSink() = default;

  // Exactly once. Called on a stream thread with an answer (that thread pays for
  // encoding: the one copy out of the arena is made here, and the next batch of
  // the stream waits for it; so copy, hand over, return) or with an error; an
  // error that is known at once comes on the caller's thread, before Submit
  // returns. Also from the compile thread or the thread that drains.
  //
  // InvalidArgument, NotFound, DeadlineExceeded, Cancelled, ResourceExhausted
  // (queue full), Unavailable (draining), or whatever the model returned.
  virtual void OnDone(absl::StatusOr<PredictAnswer> answer) = 0;
};

class BatchCall {
 public:
  BatchCall();
  virtual ~BatchCall();
  BatchCall(const BatchCall&) = delete;
  BatchCall& operator=(const BatchCall&) = delete;

  // Any thread, while the owner keeps the call. A call that is still queued is
  // answered with Cancelled and never computed; one that runs already finishes.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Any order when handed to PredictRouter; the model's order when handed to a Batcher.
  std::vector<NamedTensor> inputs;
  // Indexes of ModelDescription::outputs, in the order wanted. PredictRouter fills it.
  absl::InlinedVector<int, 4> output_indexes;
  PredictSink* sink = nullptr;  // Borrowed until OnDone.
  absl::Time arrival;           // When the first byte was parsed.
  absl::Time deadline = absl::InfiniteFuture();
  uint32_t priority = 0;  // 1 is the highest, larger waits longer; 0: the model's default.

 private:
  friend class BatchQueue;
  friend class BatchRunner;
  friend class Batcher;
  friend class Executor;

  // State of the batching room, guarded by the executor's mutex.
  struct Queueing {
    BatchCall* previous = nullptr;
    BatchCall* next = nullptr;
    ShapeGroup* group = nullptr;  // Null while not in a queue.
    absl::Time submitted;
    uint32_t priority = 0;  // The effective one, >= 1.
    uint64_t bytes = 0;     // Of the inputs.
    int64_t rows = 0;
    int64_t rows_taken = 0;  // Rows [0, rows_taken) were given to batches.
    int64_t rows_done = 0;
    int parts_running = 0;
    int64_t batch_rows = 0;
    StageTimes times;
    absl::Status failure;  // First error of a part.
  };
  Queueing q_;
  // Only for a call that runs in several batches.
  std::unique_ptr<AssembledOutputs> assembled_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_BATCH_CALL_H_
