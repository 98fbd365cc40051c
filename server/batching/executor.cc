#include "server/batching/executor.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/strings.h"
#include "server/batching/assembled_outputs.h"
#include "server/batching/batch_policy.h"
#include "server/batching/batch_runner.h"
#include "server/batching/compile_thread.h"
#include "server/batching/executor_policy.h"
#include "server/batching/lane.h"
#include "server/batching/work_trail.h"
#include "server/observability/metrics.h"

namespace paramd {
namespace {

constexpr char kUnloading[] = "this version of the model is being unloaded";
constexpr char kShuttingDown[] = "the server is shutting down";

}  // namespace

struct Executor::Stream {
  Stream(int i, const Clock* clock, std::unique_ptr<Arena> a)
      : index(i), arena(std::move(a)), runner(clock) {}

  const int index;
  const std::unique_ptr<Arena> arena;
  BatchRunner runner;
  Batch batch;
  uint64_t arena_bytes_reported = 0;
  std::atomic<bool> trim{false};  // A model is gone: give memory back before the next batch.
  std::thread thread;
};

struct Executor::Todo {
  struct Answer {
    Lane* lane;
    BatchCall* call;
    absl::Status status;  // OK: from the assembled outputs.
  };
  std::vector<Answer> answers;
  std::vector<CompileRequest> compiles;
  bool wake = false;
};

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create(const ExecutorOptions& options,
                                                           ExecutorParts parts) {
  if (options.streams < 1 || options.streams > 1024) {
    return absl::InvalidArgumentError(
        StrCat("streams is ", options.streams, ", expected 1 to 1024"));
  }
  if (options.batch_time_max <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(StrCat("batch_time_max is ",
                                             absl::FormatDuration(options.batch_time_max),
                                             ", expected more than 0"));
  }
  if (options.queue_bytes_max == 0) {
    return absl::InvalidArgumentError("queue_bytes_max is 0, expected more");
  }
  CHECK(parts.clock != nullptr);
  CHECK(parts.arenas.empty() || parts.arenas.size() == static_cast<size_t>(options.streams));
  return std::unique_ptr<Executor>(new Executor(options, std::move(parts)));
}

Executor::Executor(const ExecutorOptions& options, ExecutorParts parts)
    : options_(options),
      clock_(parts.clock),
      metrics_(parts.metrics),
      trail_(parts.trail),
      on_thread_start_(std::move(parts.on_thread_start)) {
  parts.arenas.resize(static_cast<size_t>(options_.streams));
  for (int i = 0; i < options_.streams; ++i) {
    stream_states_.push_back(
        std::make_unique<Stream>(i, clock_, std::move(parts.arenas[static_cast<size_t>(i)])));
  }
  compile_thread_ = std::make_unique<CompileThread>(
      clock_, trail_,
      [this](const CompileRequest& request, absl::Status status, absl::Duration took) {
        Compiled(request, status, took);
      });
  if (metrics_ != nullptr) metrics_->SetStreams(options_.streams);
  if (!options_.start_threads) return;
  compile_thread_->Start([this] {
    if (on_thread_start_) on_thread_start_(-1);
  });
  for (const std::unique_ptr<Stream>& stream : stream_states_) {
    stream->thread = std::thread([this, index = stream->index] {
      if (on_thread_start_) on_thread_start_(index);
      StreamLoop(index);
    });
  }
}

Executor::~Executor() {
  {
    MutexLock lock(&mutex_);
    CHECK(lanes_.empty()) << "a Batcher outlives its Executor";
    stopping_ = true;
    work_.SignalAll();
  }
  for (const std::unique_ptr<Stream>& stream : stream_states_) {
    if (stream->thread.joinable()) stream->thread.join();
  }
  compile_thread_.reset();  // Its thread may still be leaving Compiled.
}

// ---- The front: Batcher's calls. ----

void Executor::Register(Lane* lane, const std::string& model_name) {
  lane->sessions.resize(static_cast<size_t>(options_.streams));
  MutexLock lock(&mutex_);
  std::unique_ptr<ModelAccount>& account = accounts_[model_name];
  if (account == nullptr) account = std::make_unique<ModelAccount>();
  ++account->lanes;
  lane->account = account.get();
  account->name = model_name;
  lanes_.push_back(lane);
}

void Executor::CompileSizes(Lane* lane, ShapeGroup* group, absl::Span<const int64_t> rows) {
  {
    MutexLock lock(&mutex_);
    lane->compiling += static_cast<int>(rows.size());
  }
  for (const int64_t count : rows) {
    CompileRequest request{lane, group, count, group->shapes};
    if (lane->batches) {
      for (Shape& shape : request.shapes) shape.set_dim(0, count);
    }
    compile_thread_->Post(std::move(request));
  }
}

void Executor::Unregister(Lane* lane) {
  CloseLane(lane);
  Todo todo;
  {
    MutexLock lock(&mutex_);
    lane->drained = true;
    FailAllQueued(lane, absl::UnavailableError(kUnloading), &todo);
  }
  Act(&todo);
  const int dropped = compile_thread_->Forget(lane);
  std::vector<std::unique_ptr<Session>> sessions;
  {
    MutexLock lock(&mutex_);
    lane->compiling -= dropped;
    WaitSettled({&lane, 1}, absl::InfiniteFuture());
    sessions = std::move(lane->sessions);
    std::erase(lanes_, lane);
    if (--lane->account->lanes == 0) accounts_.erase(std::string(lane->account->name));
    // Activations of the largest model may have gone with it.
    for (const std::unique_ptr<Stream>& stream : stream_states_) stream->trim = true;
    wakes_sent_ = sleeping_streams_;
    work_.SignalAll();
  }
  // Here, on the control thread, and not on a stream: it may take a while.
  sessions.clear();
}

absl::Status Executor::Admit(const Lane& lane, const BatchCall& call, absl::Time now) const {
  if (closed_) return absl::UnavailableError(kShuttingDown);
  if (lane.closed) return absl::UnavailableError(kUnloading);
  if (call.cancelled()) return absl::CancelledError("cancelled before it was queued");
  if (call.deadline <= now) {
    return absl::DeadlineExceededError("the deadline passed before the request was queued");
  }
  const uint64_t bytes = call.q_.bytes;
  if (lane.queue.calls() >= lane.options.queue_requests_max) {
    return absl::ResourceExhaustedError(StrCat("the model's queue is full: ", lane.queue.calls(),
                                               " requests wait, the limit is ",
                                               lane.options.queue_requests_max));
  }
  const uint64_t own_max = lane.options.queue_bytes_max;
  if (own_max != 0 && bytes > own_max - std::min(own_max, lane.queue.bytes())) {
    return absl::ResourceExhaustedError(StrCat("the model's queue is full: ", lane.queue.bytes(),
                                               " bytes wait and this request "
                                               "has ",
                                               bytes, ", the limit is ", own_max));
  }
  if (bytes > options_.queue_bytes_max - std::min(options_.queue_bytes_max, queued_bytes_)) {
    return absl::ResourceExhaustedError(StrCat("the server's queues are full: ", queued_bytes_,
                                               " bytes wait and this request "
                                               "has ",
                                               bytes, ", the limit is ", options_.queue_bytes_max));
  }
  return absl::OkStatus();
}

void Executor::Submit(Lane* lane, BatchCall* call, std::string_view key,
                      absl::Span<const TensorView> views) {
  // Once the call is queued, call and lane may be gone before this returns: all
  // that needs them comes first.
  VersionMetrics* const metrics = lane->metrics;
  const auto bytes = static_cast<int64_t>(call->q_.bytes);
  if (metrics != nullptr) metrics->AddToQueue(1, bytes);
  absl::Status refused;
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    refused = Admit(*lane, *call, call->q_.submitted);
    if (refused.ok()) {
      ShapeGroup* const group = lane->queue.FindOrAdd(key, views);
      if (group == nullptr) {
        refused = absl::ResourceExhaustedError(
            StrCat("requests of ", BatchQueue::kGroupsMax,
                   " different shapes wait for this model; try again later"));
      } else {
        Enqueue(lane, group, call, /*in_front=*/false);
        wake = ShouldWake();
      }
    }
  }
  if (wake) work_.Signal();
  if (!refused.ok()) {
    if (metrics != nullptr) metrics->AddToQueue(-1, -bytes);
    call->sink->OnDone(refused);
  }
}

void Executor::Enqueue(Lane* lane, ShapeGroup* group, BatchCall* call, bool in_front) {
  ModelAccount& account = *lane->account;
  if (account.queued == 0 && account.running == 0) {
    absl::InlinedVector<absl::Duration, 8> busy;
    for (const auto& [name, other] : accounts_) {
      if (other->queued > 0 || other->running > 0) busy.push_back(other->service);
    }
    account.service = ServiceAfterIdle(account.service, busy);
  }
  if (account.queued++ == 0) ++accounts_waiting_;
  if (in_front) {
    lane->queue.PushFront(group, call);
  } else {
    lane->queue.Push(group, call);
  }
  queued_bytes_ += call->q_.bytes;
  lane->earliest_deadline = std::min(lane->earliest_deadline, call->deadline);
  if (!lane->active) {
    lane->active = true;
    active_.push_back(lane);
  }
}

void Executor::Dequeue(Lane* lane, BatchCall* call) {
  lane->queue.Remove(call);
  queued_bytes_ -= call->q_.bytes;
  if (--lane->account->queued == 0) --accounts_waiting_;
  if (lane->queue.calls() > 0) return;
  lane->active = false;
  lane->earliest_deadline = absl::InfiniteFuture();
  std::erase(active_, lane);
}

void Executor::CloseLane(Lane* lane) {
  MutexLock lock(&mutex_);
  lane->closed = true;
  // Calls that wait for company wait in vain now.
  wakes_sent_ = sleeping_streams_;
  work_.SignalAll();
}

void Executor::DrainLane(Lane* lane, absl::Time deadline) {
  CloseLane(lane);
  Todo todo;
  {
    MutexLock lock(&mutex_);
    WaitSettled({&lane, 1}, deadline);
    lane->drained = true;
    FailAllQueued(lane, absl::UnavailableError(kUnloading), &todo);
  }
  Act(&todo);
  MutexLock lock(&mutex_);
  // A shape that still compiles holds no call any more.
  while (lane->running > 0 || lane->answering > 0) {
    ++settle_waiters_;
    settled_.Wait(&mutex_);
    --settle_waiters_;
  }
}

void Executor::Drain(absl::Time deadline) {
  Todo todo;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    wakes_sent_ = sleeping_streams_;
    work_.SignalAll();
    const std::vector<Lane*> lanes = lanes_;
    WaitSettled(lanes, deadline);
    for (Lane* lane : lanes_) {
      lane->drained = true;
      FailAllQueued(lane, absl::UnavailableError(kShuttingDown), &todo);
    }
  }
  Act(&todo);
  MutexLock lock(&mutex_);
  const auto busy = [](const Lane* lane) { return lane->running > 0 || lane->answering > 0; };
  while (std::any_of(lanes_.begin(), lanes_.end(), busy)) {
    ++settle_waiters_;
    settled_.Wait(&mutex_);
    --settle_waiters_;
  }
}

bool Executor::IsSettled(const Lane& lane) const {
  return lane.queue.calls() == 0 && lane.running == 0 && lane.answering == 0 && lane.compiling == 0;
}

bool Executor::AllSettled(absl::Span<Lane* const> lanes) const {
  for (const Lane* lane : lanes) {
    // A lane that was unregistered meanwhile is settled, and must not be touched.
    const bool here = std::find(lanes_.begin(), lanes_.end(), lane) != lanes_.end();
    if (here && !IsSettled(*lane)) return false;
  }
  return true;
}

void Executor::WaitSettled(absl::Span<Lane* const> lanes, absl::Time deadline) {
  ++settle_waiters_;
  while (!AllSettled(lanes) && clock_->Now() < deadline) settled_.WaitUntil(&mutex_, deadline);
  --settle_waiters_;
}

Batcher::QueueState Executor::StateOf(const Lane& lane) const {
  MutexLock lock(&mutex_);
  return {.requests = lane.queue.calls(),
          .bytes = lane.queue.bytes(),
          .batches_running = lane.running,
          .shapes_compiling = lane.compiling};
}

Executor::State Executor::state() const {
  State state;
  {
    MutexLock lock(&mutex_);
    state.streams_busy = busy_streams_;
    for (const Lane* lane : active_) state.requests += lane->queue.calls();
    state.bytes = queued_bytes_;
  }
  for (const std::unique_ptr<Stream>& stream : stream_states_) {
    if (stream->arena != nullptr) state.arena_bytes += stream->arena->reserved_bytes();
  }
  return state;
}

// ---- The choice. ----

ShapeGroup* Executor::NextGroup(Lane* lane, absl::Time now, int64_t* rows, absl::Time* wake_at,
                                Todo* todo) {
  const int most = lane->options.concurrent_batches_max;
  if (most > 0 && lane->running >= most) return nullptr;
  BatchLimits limits;
  limits.rows_max = lane->rows_max;
  if (!closed_ && !lane->closed) limits.queue_delay_max = lane->options.queue_delay_max;
  limits.preferred = lane->options.preferred_rows;
  if (accounts_waiting_ > 1) limits.time_max = options_.batch_time_max;
  ShapeGroup* best = nullptr;
  for (ShapeGroup* group : lane->queue.waiting()) {
    const BatchStep step = NextBatch(group->view(), limits, now);
    if (step.compile_rows > 0) {
      group->compiling = step.compile_rows;
      ++lane->compiling;
      CompileRequest request{lane, group, step.compile_rows, group->shapes};
      if (lane->batches) {
        for (Shape& shape : request.shapes) shape.set_dim(0, step.compile_rows);
      }
      todo->compiles.push_back(std::move(request));
    }
    if (step.run_rows == 0) {
      *wake_at = std::min(*wake_at, step.wake_at);
      continue;
    }
    const auto rank = [](const ShapeGroup* g) {
      return std::make_pair(g->head->q_.priority, g->head->q_.submitted);
    };
    if (best == nullptr || rank(group) < rank(best)) {
      best = group;
      *rows = step.run_rows;
    }
  }
  return best;
}

bool Executor::Choose(Batch* batch, absl::Time* wake_at, Todo* todo) {
  struct Option {
    Lane* lane;
    ShapeGroup* group;
    int64_t rows;
  };
  const absl::Time now = clock_->Now();
  while (true) {
    *wake_at = absl::InfiniteFuture();
    absl::InlinedVector<Option, 8> options;
    absl::InlinedVector<Candidate, 8> candidates;
    for (size_t i = 0; i < active_.size();) {
      Lane* const lane = active_[i];
      if (lane->earliest_deadline <= now) Expire(lane, now, todo);
      if (!lane->active) continue;  // All its calls were too old: it left active_.
      ++i;
      *wake_at = std::min(*wake_at, lane->earliest_deadline);
      int64_t rows = 0;
      ShapeGroup* const group = NextGroup(lane, now, &rows, wake_at, todo);
      if (group == nullptr) continue;
      options.push_back({lane, group, rows});
      candidates.push_back({.priority = group->head->q_.priority,
                            .service = lane->account->service,
                            .one_row = group->cost.Predict(1),
                            .submitted = group->head->q_.submitted});
    }
    const StreamsView streams{options_.streams, options_.streams - busy_streams_};
    const int pick = PickNext(candidates, streams, options_.batch_time_max);
    if (pick < 0) return false;
    const Option& option = options[static_cast<size_t>(pick)];
    if (PurgeDead(option.lane, option.group, option.rows, now, todo)) continue;
    TakeBatch(option.lane, option.group, option.rows, now, batch);
    return true;
  }
}

bool Executor::PurgeDead(Lane* lane, ShapeGroup* group, int64_t rows, absl::Time now, Todo* todo) {
  bool purged = false;
  for (BatchCall* call = group->head; call != nullptr && rows > 0;) {
    BatchCall* const next = BatchQueue::Next(call);
    rows -= call->q_.rows - call->q_.rows_taken;
    if (call->cancelled()) {
      FailQueued(lane, call, absl::CancelledError("cancelled while it waited"), todo);
      purged = true;
    } else if (call->deadline <= now) {
      FailQueued(lane, call,
                 absl::DeadlineExceededError("the deadline passed while the request waited"), todo);
      purged = true;
    }
    call = next;
  }
  return purged;
}

void Executor::TakeBatch(Lane* lane, ShapeGroup* group, int64_t rows, absl::Time now,
                         Batch* batch) {
  if (lane->batches && rows > 1) {
    absl::InlinedVector<int64_t, 64> call_rows;
    int64_t sum = 0;
    for (BatchCall* call = group->head; call != nullptr && sum < rows;
         call = BatchQueue::Next(call)) {
      call_rows.push_back(call->q_.rows - call->q_.rows_taken);
      sum += call_rows.back();
    }
    rows = RowsWithoutSplit(call_rows, rows, group->warm);
  }
  batch->lane = lane;
  batch->group = group;
  batch->shapes = group->shapes;
  batch->slices.clear();
  batch->rows = rows;
  batch->chosen_at = now;
  batch->predicted = group->cost.Predict(rows);
  while (rows > 0) {
    BatchCall* const call = group->head;
    BatchCall::Queueing& q = call->q_;
    const int64_t left = q.rows - q.rows_taken;
    const int64_t taken = std::min(left, rows);
    const bool whole = taken == q.rows;
    batch->slices.push_back({.call = call,
                             .first_row = q.rows_taken,
                             .rows = taken,
                             .whole = whole,
                             .status = absl::OkStatus()});
    if (!whole) {
      if (q.rows_taken == 0) {
        call->assembled_ = std::make_unique<AssembledOutputs>();
        q.times.queue = now - q.submitted;
      }
      ++q.parts_running;
    }
    if (taken == left) {
      Dequeue(lane, call);
      q.rows_taken = q.rows;
    } else {
      lane->queue.TakeRows(call, taken);
    }
    rows -= taken;
  }
  ++group->batches_running;
  ++lane->running;
  ++lane->account->running;
  ++busy_streams_;
  // Charged now, so that two streams do not both see the model as not served.
  lane->account->service += batch->predicted;
}

// ---- A stream. ----

bool Executor::RunOne(int index) {
  Stream* const stream = stream_states_[static_cast<size_t>(index)].get();
  if (stream->trim.load(std::memory_order_relaxed)) TrimArena(stream);
  Todo todo;
  bool chosen = false;
  {
    MutexLock lock(&mutex_);
    absl::Time wake_at;
    chosen = Choose(&stream->batch, &wake_at, &todo);
    if (chosen && !active_.empty()) todo.wake = ShouldWake();
  }
  Act(&todo);
  if (chosen) RunBatch(stream, &todo);
  return chosen;
}

void Executor::StreamLoop(int index) {
  Stream* const stream = stream_states_[static_cast<size_t>(index)].get();
  Todo todo;
  while (true) {
    if (stream->trim.load(std::memory_order_relaxed)) TrimArena(stream);
    bool chosen = false;
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
      absl::Time wake_at;
      chosen = Choose(&stream->batch, &wake_at, &todo);
      if (chosen) {
        // What is left may run on a stream that sleeps, or has its time to wake changed.
        if (!active_.empty()) todo.wake = ShouldWake();
      } else if (todo.answers.empty() && todo.compiles.empty()) {
        ++sleeping_streams_;
        work_.WaitUntil(&mutex_, wake_at);
        --sleeping_streams_;
        if (wakes_sent_ > 0) --wakes_sent_;
        continue;
      }
    }
    Act(&todo);
    if (chosen) RunBatch(stream, &todo);
  }
}

void Executor::RunBatch(Stream* stream, Todo* todo) {
  Batch* const batch = &stream->batch;
  Lane* const lane = batch->lane;
  VersionMetrics* const metrics = lane->metrics;
  if (metrics_ != nullptr) metrics_->AddBusyStreams(1);
  if (metrics != nullptr) {
    for (const BatchSlice& slice : batch->slices) {
      // A split call leaves the queue with its last rows.
      if (slice.first_row + slice.rows < slice.call->q_.rows) continue;
      metrics->AddToQueue(-1, -static_cast<int64_t>(slice.call->q_.bytes));
    }
    metrics->RecordBatch(batch->rows, static_cast<int64_t>(batch->slices.size()));
  }
  if (trail_ != nullptr) trail_->Running(lane->trail);
  std::unique_ptr<Session>& session = lane->sessions[static_cast<size_t>(stream->index)];
  if (session == nullptr) session = lane->model->NewSession(stream->arena.get());
  const BatchRunner::Report report = stream->runner.Run(session.get(), batch);
  if (trail_ != nullptr) trail_->Running(0);
  const absl::Time end = clock_->Now();
  if (metrics_ != nullptr) {
    metrics_->AddBusyStreams(-1);
    metrics_->RecordBusy(end - batch->chosen_at);
    ReportArena(stream);
  }
  if (report.ok && metrics != nullptr) {
    const absl::Duration output = end - batch->chosen_at - report.gather - report.compute;
    metrics->statistics().RecordExecution(
        batch->rows, {.input = report.gather, .infer = report.compute, .output = output});
  }
  if (report.cold && metrics != nullptr) {
    for (const BatchSlice& slice : batch->slices) {
      metrics->AddToQueue(1, static_cast<int64_t>(slice.call->q_.bytes));
    }
  }
  {
    MutexLock lock(&mutex_);
    if (report.cold) {
      PutBack(batch);
      if (lane->drained) FailAllQueued(lane, absl::UnavailableError(kUnloading), todo);
    } else {
      FinishParts(batch, report.gather, report.computed, todo);
    }
    ShapeGroup* const group = batch->group;
    if (report.ok) group->cost.Observe(batch->rows, report.gather + report.compute);
    --group->batches_running;
    lane->account->service +=
        (report.cold ? absl::ZeroDuration() : end - batch->chosen_at) - batch->predicted;
    --lane->account->running;
    --lane->running;
    --busy_streams_;
    if (settle_waiters_ > 0) settled_.SignalAll();
  }
  Act(todo);
}

void Executor::FinishParts(Batch* batch, absl::Duration gather, absl::Time computed, Todo* todo) {
  for (const BatchSlice& slice : batch->slices) {
    if (slice.whole) continue;  // Answered; the call may be gone.
    BatchCall* const call = slice.call;
    BatchCall::Queueing& q = call->q_;
    --q.parts_running;
    q.rows_done += slice.rows;
    q.times.batch += gather;
    q.times.computed = std::max(q.times.computed, computed);
    q.batch_rows = std::max(q.batch_rows, batch->rows);
    if (!slice.status.ok()) {
      if (q.group != nullptr) {
        FailQueued(batch->lane, call, slice.status, todo);  // Its other rows are not needed.
        continue;
      }
      if (q.failure.ok()) q.failure = slice.status;
    }
    if (q.group == nullptr && q.parts_running == 0) {
      ++batch->lane->answering;
      todo->answers.push_back({batch->lane, call, q.failure});
    }
  }
}

void Executor::PutBack(Batch* batch) {
  batch->group->DropWarm(batch->rows);
  for (auto slice = batch->slices.rbegin(); slice != batch->slices.rend(); ++slice) {
    slice->call->q_.rows_taken = 0;
    Enqueue(batch->lane, batch->group, slice->call, /*in_front=*/true);
  }
}

// ---- Endings. ----

void Executor::FailQueued(Lane* lane, BatchCall* call, const absl::Status& status, Todo* todo) {
  Dequeue(lane, call);
  if (lane->metrics != nullptr) {
    lane->metrics->AddToQueue(-1, -static_cast<int64_t>(call->q_.bytes));
  }
  if (call->q_.failure.ok()) call->q_.failure = status;
  // Rows that run still write into the call; their stream answers it.
  if (call->q_.parts_running > 0) return;
  ++lane->answering;
  todo->answers.push_back({lane, call, call->q_.failure});
}

void Executor::FailAllQueued(Lane* lane, const absl::Status& status, Todo* todo) {
  while (!lane->queue.waiting().empty()) {
    FailQueued(lane, lane->queue.waiting().front()->head, status, todo);
  }
}

void Executor::Expire(Lane* lane, absl::Time now, Todo* todo) {
  absl::Time earliest = absl::InfiniteFuture();
  const absl::Span<ShapeGroup* const> waiting = lane->queue.waiting();
  const std::vector<ShapeGroup*> groups(waiting.begin(), waiting.end());
  for (ShapeGroup* group : groups) {
    for (BatchCall* call = group->head; call != nullptr;) {
      BatchCall* const next = BatchQueue::Next(call);
      if (call->cancelled()) {
        FailQueued(lane, call, absl::CancelledError("cancelled while it waited"), todo);
      } else if (call->deadline <= now) {
        FailQueued(lane, call,
                   absl::DeadlineExceededError("the deadline passed while the request waited"),
                   todo);
      } else {
        earliest = std::min(earliest, call->deadline);
      }
      call = next;
    }
  }
  lane->earliest_deadline = earliest;
}

bool Executor::CompileOne() { return compile_thread_->RunOne(); }

void Executor::Compiled(const CompileRequest& request, const absl::Status& status,
                        absl::Duration took) {
  Lane* const lane = request.lane;
  if (status.ok() && lane->metrics != nullptr) lane->metrics->RecordShapeCompile(took);
  Todo todo;
  {
    MutexLock lock(&mutex_);
    ShapeGroup* const group = request.group;
    if (group->compiling == request.rows) group->compiling = 0;
    if (status.ok()) {
      group->AddWarm(request.rows);
    } else {
      group->Refuse(request.rows);
      if (group->calls > 0) {
        BatchLimits limits;
        limits.rows_max = lane->rows_max;
        const BatchStep step = NextBatch(group->view(), limits, clock_->Now());
        if (step.run_rows == 0 && step.compile_rows == 0) {
          // No smaller size is left to try: these calls cannot run. Later ones
          // of this shape may, when memory is there again.
          while (group->calls > 0) FailQueued(lane, group->head, status, &todo);
          group->refused.clear();
        }
      }
    }
    --lane->compiling;
    wakes_sent_ = sleeping_streams_;
    work_.SignalAll();
    if (settle_waiters_ > 0) settled_.SignalAll();
  }
  if (!status.ok()) {
    LOG(WARNING) << "compiling a shape of " << request.rows << " rows failed: " << status;
  }
  Act(&todo);
}

bool Executor::ShouldWake() {
  if (sleeping_streams_ <= wakes_sent_) return false;
  ++wakes_sent_;
  return true;
}

void Executor::Act(Todo* todo) {
  if (todo->wake) {
    todo->wake = false;
    work_.Signal();
  }
  for (CompileRequest& request : todo->compiles) compile_thread_->Post(std::move(request));
  todo->compiles.clear();
  if (todo->answers.empty()) return;
  std::vector<OutputTensor> outputs;
  for (const Todo::Answer& answer : todo->answers) {
    BatchCall* const call = answer.call;
    if (!answer.status.ok()) {
      call->sink->OnDone(answer.status);
      continue;
    }
    const ModelDescription& description = answer.lane->model->description();
    outputs.clear();
    for (size_t i = 0; i < call->output_indexes.size(); ++i) {
      outputs.push_back({description.outputs[static_cast<size_t>(call->output_indexes[i])].name,
                         call->assembled_->outputs()[i].view()});
    }
    PredictAnswer whole;
    whole.outputs = outputs;
    // Its batches may have run at the same time, or waited for each other: what was
    // neither waiting for the first nor gathering counts as computing.
    StageTimes& times = call->q_.times;
    times.submitted = call->q_.submitted;
    times.compute = std::max(absl::ZeroDuration(),
                             times.computed - times.submitted - times.queue - times.batch);
    whole.times = times;
    whole.rows = call->q_.rows;
    whole.batch_rows = call->q_.batch_rows;
    call->sink->OnDone(whole);
  }
  MutexLock lock(&mutex_);
  for (const Todo::Answer& answer : todo->answers) --answer.lane->answering;
  todo->answers.clear();
  if (settle_waiters_ > 0) settled_.SignalAll();
}

void Executor::TrimArena(Stream* stream) {
  stream->trim.store(false, std::memory_order_relaxed);
  if (stream->arena == nullptr) return;
  uint64_t keep = 0;
  {
    MutexLock lock(&mutex_);
    for (const Lane* lane : lanes_) {
      keep = std::max(keep, lane->model->description().arena_bytes);
    }
  }
  stream->arena->Trim(keep);
  ReportArena(stream);
}

void Executor::ReportArena(Stream* stream) {
  if (metrics_ == nullptr || stream->arena == nullptr) return;
  const uint64_t bytes = stream->arena->reserved_bytes();
  if (bytes == stream->arena_bytes_reported) return;
  metrics_->AddArenaBytes(static_cast<int64_t>(bytes) -
                          static_cast<int64_t>(stream->arena_bytes_reported));
  stream->arena_bytes_reported = bytes;
}

}  // namespace paramd
