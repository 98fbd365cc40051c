#include "server/batching/batcher.h"

#include <algorithm>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/strings.h"
#include "server/batching/executor.h"
#include "server/batching/lane.h"
#include "server/observability/metrics.h"

namespace paramd {
namespace {

constexpr int64_t kQueueRequestsLimit = 1 << 20;

bool TrailingDimsKnown(const TensorSpec& spec, bool batches) {
  for (size_t axis = batches ? 1 : 0; axis < spec.shape.size(); ++axis) {
    if (!spec.shape[axis].known()) return false;
  }
  return true;
}

// Rows of 4-bit elements need not begin at a byte.
bool RowsAreBytes(const std::vector<TensorSpec>& specs) {
  return std::all_of(specs.begin(), specs.end(), [](const TensorSpec& spec) {
    return spec.dtype == DType::kString || DTypeBits(spec.dtype) >= 8;
  });
}

uint32_t EffectivePriority(const BatcherOptions& options, uint32_t asked) {
  if (options.priority_levels == 0) {
    if (asked != 0) return asked;
    return options.default_priority != 0 ? options.default_priority : kPriorityUnset;
  }
  if (asked >= 1 && asked <= options.priority_levels) return asked;
  return options.default_priority != 0 ? options.default_priority : options.priority_levels;
}

}  // namespace

absl::Status Validate(const BatcherOptions& options) {
  if (options.queue_delay_max < absl::ZeroDuration() ||
      options.queue_delay_max > absl::Seconds(60)) {
    return absl::InvalidArgumentError(StrCat("queue_delay_max is ",
                                             absl::FormatDuration(options.queue_delay_max),
                                             ", expected 0 to 60 s"));
  }
  if (options.concurrent_batches_max < 0) {
    return absl::InvalidArgumentError(StrCat(
        "concurrent_batches_max is ", options.concurrent_batches_max, ", expected 0 or more"));
  }
  if (options.priority_levels != 0 && options.default_priority > options.priority_levels) {
    return absl::InvalidArgumentError(StrCat("default_priority is ", options.default_priority,
                                             ", expected 0 to priority_levels, ",
                                             options.priority_levels));
  }
  if (options.default_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(StrCat("default_timeout is ",
                                             absl::FormatDuration(options.default_timeout),
                                             ", expected more than 0"));
  }
  if (options.queue_requests_max < 1 || options.queue_requests_max > kQueueRequestsLimit) {
    return absl::InvalidArgumentError(StrCat("queue_requests_max is ", options.queue_requests_max,
                                             ", expected 1 to ", kQueueRequestsLimit));
  }
  return absl::OkStatus();
}

Batcher::Batcher(Executor* executor, std::unique_ptr<Lane> lane)
    : executor_(executor), lane_(std::move(lane)) {}

absl::StatusOr<std::unique_ptr<Batcher>> Batcher::Create(Executor* executor,
                                                         const BatcherOptions& options,
                                                         BatcherParts parts) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  CHECK(parts.model != nullptr);
  const ModelDescription& description = parts.model->description();
  auto lane = std::make_unique<Lane>();
  lane->model = parts.model;
  lane->metrics = parts.metrics;
  lane->trail = parts.trail;
  lane->options = options;
  lane->batches = description.batch_rows_max > 0 && RowsAreBytes(description.inputs) &&
                  RowsAreBytes(description.outputs);
  lane->rows_max = lane->batches ? description.batch_rows_max : 1;
  lane->one_key =
      std::all_of(description.inputs.begin(), description.inputs.end(),
                  [&](const TensorSpec& spec) { return TrailingDimsKnown(spec, lane->batches); });
  ShapeGroup* group = nullptr;
  std::vector<int64_t> rows_later;
  if (lane->one_key && !description.inputs.empty()) {
    // Warm sizes are known for the one shape there is.
    std::vector<TensorView> views;
    for (const TensorSpec& spec : description.inputs) {
      TensorView view{spec.dtype, {}, nullptr};
      for (const Dim& dim : spec.shape) view.shape.push_back(std::max<int64_t>(dim.size, 1));
      views.push_back(std::move(view));
    }
    group = lane->queue.FindOrAdd("", views);
    for (const WarmSize& size : parts.warm) {
      if (size.rows < 1 || size.rows > lane->rows_max) continue;
      group->AddWarm(size.rows);
      if (size.took > absl::ZeroDuration()) group->cost.Observe(size.rows, size.took);
    }
    for (const WarmSize& size : parts.warm_later) {
      if (size.rows < 1 || size.rows > lane->rows_max) continue;
      if (size.took > absl::ZeroDuration()) group->cost.Observe(size.rows, size.took);
      rows_later.push_back(size.rows);
    }
  }
  executor->Register(lane.get(), parts.model_name);
  // The one group of such a lane stays as long as the lane.
  if (!rows_later.empty()) executor->CompileSizes(lane.get(), group, rows_later);
  return std::unique_ptr<Batcher>(new Batcher(executor, std::move(lane)));
}

Batcher::~Batcher() { executor_->Unregister(lane_.get()); }

void Batcher::Submit(BatchCall* call, CallInputs views) {
  const Lane& lane = *lane_;
  call->q_ = {};  // A front door may use its object again after OnDone.
  BatchCall::Queueing& q = call->q_;
  q.submitted = executor_->clock().Now();
  q.priority = EffectivePriority(lane.options, call->priority);
  call->deadline = std::min(call->deadline, q.submitted + lane.options.default_timeout);
  for (const NamedTensor& input : call->inputs) q.bytes += input.bytes();
  q.rows = lane.batches ? lane.model->BatchCost(views) : 1;
  if (q.rows < 1) {
    call->sink->OnDone(absl::InvalidArgumentError(
        StrCat("the request has ", q.rows, " rows, expected at least 1")));
    return;
  }
  std::string key;
  if (!lane.one_key) {
    key = lane.model->BatchKey(views);
    if (!lane.batches) {
      // Each call is a batch of its own, so its program depends on every dimension.
      for (const TensorView& view : views) StrAppend(&key, "|", view.shape.ToString());
    }
  }
  executor_->Submit(lane_.get(), call, key, views);
}

void Batcher::Close() { executor_->CloseLane(lane_.get()); }

void Batcher::Drain(absl::Time deadline) { executor_->DrainLane(lane_.get(), deadline); }

Batcher::QueueState Batcher::queue_state() const { return executor_->StateOf(*lane_); }

}  // namespace paramd
