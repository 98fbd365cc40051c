// Executor: the streams on which all models run, and the choice of what runs next.
//
//   Submit -> queue of the version -> (stream) choose, gather, run, scatter -> OnDone
//
// A stream is one thread with one activation arena and one session a version.
// Which model is next, and how many rows, say pure functions (executor_policy.h,
// batch_policy.h); this class keeps what they look at, and acts. A shape that is
// not compiled goes to the compile thread while others run.
//
// Life: created before any Batcher, destroyed after the last one.
//
// Thread-safety: thread-safe. One mutex guards all queues: it is held for a push
// or a choice, never while a model runs, a sink is called or a shape compiled.
// With start_threads false nothing runs by itself: a test calls RunOne and
// CompileOne from the threads it likes (one at a time for each stream).
#ifndef PARAMD_SERVER_BATCHING_EXECUTOR_H_
#define PARAMD_SERVER_BATCHING_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"
#include "runtime/graph/arena.h"
#include "server/batching/batch_call.h"
#include "server/batching/batcher.h"

namespace paramd {

class BatchRunner;      // server/batching/batch_runner.h
class CompileThread;    // server/batching/compile_thread.h
class ExecutorMetrics;  // server/observability/metrics.h
class WorkTrail;        // server/batching/work_trail.h
struct Batch;           // server/batching/lane.h
struct CompileRequest;  // server/batching/compile_thread.h
struct Lane;            // server/batching/lane.h
struct ModelAccount;    // server/batching/lane.h

struct ExecutorOptions {
  int streams = 1;  // >= 1
  // While another model waits, no batch of more than one row is predicted to
  // take longer than this; and a model whose single row takes longer never gets
  // the last free stream.
  absl::Duration batch_time_max = absl::Milliseconds(50);
  uint64_t queue_bytes_max = uint64_t{256} << 20;  // Input bytes in all queues together.
  bool start_threads = true;
};

struct ExecutorParts {
  const Clock* clock = nullptr;
  // One a stream, in order; empty: sessions get a null arena (tests).
  std::vector<std::unique_ptr<Arena>> arenas;
  ExecutorMetrics* metrics = nullptr;  // Borrowed, may be null.
  WorkTrail* trail = nullptr;          // Borrowed, may be null.
  // Called first thing on each stream's thread, and on the compile thread with
  // stream -1: sets kernel threads, names and priorities. May be empty.
  std::function<void(int stream)> on_thread_start;
};

class Executor {
 public:
  static absl::StatusOr<std::unique_ptr<Executor>> Create(const ExecutorOptions& options,
                                                          ExecutorParts parts);
  // REQUIRES: every Batcher is gone.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Answers with Unavailable whatever is submitted from now on, to any version;
  // finishes what is queued until `deadline`, then answers the rest with
  // Unavailable too and waits for running batches.
  void Drain(absl::Time deadline);

  // Runs at most one batch on `stream`. False: nothing was ready to run.
  bool RunOne(int stream);
  // Compiles at most one waiting shape. False: none waited.
  bool CompileOne();

  int streams() const { return options_.streams; }
  const Clock& clock() const { return *clock_; }

  // For status pages.
  struct State {
    int streams_busy = 0;
    int64_t requests = 0;
    uint64_t bytes = 0;
    uint64_t arena_bytes = 0;
  };
  State state() const;

 private:
  friend class Batcher;
  struct Stream;
  // What a decision under the lock leaves to do without it.
  struct Todo;

  Executor(const ExecutorOptions& options, ExecutorParts parts);

  // Of Batcher.
  // Asks the compile thread for batches of so many rows, in this order.
  void CompileSizes(Lane* lane, ShapeGroup* group, absl::Span<const int64_t> rows);
  void Register(Lane* lane, const std::string& model_name);
  void Unregister(Lane* lane);
  void Submit(Lane* lane, BatchCall* call, std::string_view key,
              absl::Span<const TensorView> views);
  void CloseLane(Lane* lane);
  void DrainLane(Lane* lane, absl::Time deadline);
  Batcher::QueueState StateOf(const Lane& lane) const;

  absl::Status Admit(const Lane& lane, const BatchCall& call, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(Lane* lane, ShapeGroup* group, BatchCall* call, bool in_front)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Dequeue(Lane* lane, BatchCall* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void StreamLoop(int index);
  // One look at the queues. True: `batch` is to be run. False: look again at
  // `wake_at`, when a call that waits for company, or a deadline, is due.
  bool Choose(Batch* batch, absl::Time* wake_at, Todo* todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The group that the lane would run next, and with how many rows; null: none.
  ShapeGroup* NextGroup(Lane* lane, absl::Time now, int64_t* rows, absl::Time* wake_at, Todo* todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool PurgeDead(Lane* lane, ShapeGroup* group, int64_t rows, absl::Time now, Todo* todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeBatch(Lane* lane, ShapeGroup* group, int64_t rows, absl::Time now, Batch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunBatch(Stream* stream, Todo* todo);
  void FinishParts(Batch* batch, absl::Duration gather, absl::Time computed, Todo* todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutBack(Batch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Takes the call out of its queue; it is answered once none of its rows runs.
  void FailQueued(Lane* lane, BatchCall* call, const absl::Status& status, Todo* todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailAllQueued(Lane* lane, const absl::Status& status, Todo* todo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Expire(Lane* lane, absl::Time now, Todo* todo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Compiled(const CompileRequest& request, const absl::Status& status, absl::Duration took);
  bool IsSettled(const Lane& lane) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AllSettled(absl::Span<Lane* const> lanes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitSettled(absl::Span<Lane* const> lanes, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A sleeping stream should look at the queues: true once for each that sleeps.
  bool ShouldWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Wakes, calls sinks, hands shapes to the compile thread.
  void Act(Todo* todo);
  void TrimArena(Stream* stream);
  void ReportArena(Stream* stream);

  const ExecutorOptions options_;
  const Clock* const clock_;
  ExecutorMetrics* const metrics_;
  WorkTrail* const trail_;
  const std::function<void(int)> on_thread_start_;
  std::vector<std::unique_ptr<Stream>> stream_states_;
  std::unique_ptr<CompileThread> compile_thread_;

  mutable Mutex mutex_;
  CondVar work_;     // Streams sleep here.
  CondVar settled_;  // Drain and Unregister wait here.
  std::vector<Lane*> lanes_ ABSL_GUARDED_BY(mutex_);
  std::vector<Lane*> active_ ABSL_GUARDED_BY(mutex_);  // Those with queued calls.
  std::map<std::string, std::unique_ptr<ModelAccount>> accounts_ ABSL_GUARDED_BY(mutex_);
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int accounts_waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // Models with queued calls.
  int busy_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  int sleeping_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  int wakes_sent_ ABSL_GUARDED_BY(mutex_) = 0;  // Signals whose stream has not run yet.
  int settle_waiters_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_EXECUTOR_H_
