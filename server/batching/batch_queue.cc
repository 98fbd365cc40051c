#include "server/batching/batch_queue.h"

#include <algorithm>
#include <utility>

#include "absl/log/check.h"

namespace paramd {
namespace {

void Insert(std::vector<int64_t>* ascending, int64_t value) {
  const auto at = std::lower_bound(ascending->begin(), ascending->end(), value);
  if (at == ascending->end() || *at != value) ascending->insert(at, value);
}

void Erase(std::vector<int64_t>* ascending, int64_t value) {
  const auto at = std::lower_bound(ascending->begin(), ascending->end(), value);
  if (at != ascending->end() && *at == value) ascending->erase(at);
}

}  // namespace

GroupView ShapeGroup::view() const {
  return {.rows_waiting = rows_waiting,
          .oldest = oldest,
          .warm = warm,
          .refused = refused,
          .compiling = compiling != 0,
          .cost = &cost};
}

void ShapeGroup::AddWarm(int64_t rows) {
  Insert(&warm, rows);
  Erase(&refused, rows);
}

void ShapeGroup::DropWarm(int64_t rows) { Erase(&warm, rows); }

void ShapeGroup::Refuse(int64_t rows) {
  Insert(&refused, rows);
  Erase(&warm, rows);
}

ShapeGroup* BatchQueue::FindOrAdd(std::string_view key, absl::Span<const TensorView> views) {
  auto found = groups_.find(key);
  if (found == groups_.end()) {
    if (groups_.size() >= kGroupsMax && !DropLeastUsed()) return nullptr;
    auto group = std::make_unique<ShapeGroup>();
    group->key = std::string(key);
    for (const TensorView& view : views) group->shapes.push_back(view.shape);
    found = groups_.emplace(group->key, std::move(group)).first;
  }
  found->second->used = ++clock_;
  return found->second.get();
}

bool BatchQueue::DropLeastUsed() {
  auto least = groups_.end();
  for (auto it = groups_.begin(); it != groups_.end(); ++it) {
    const ShapeGroup& group = *it->second;
    if (group.calls > 0 || group.compiling != 0 || group.batches_running > 0) continue;
    if (least == groups_.end() || group.used < least->second->used) least = it;
  }
  if (least == groups_.end()) return false;
  groups_.erase(least);
  return true;
}

void BatchQueue::Link(ShapeGroup* group, BatchCall* call, BatchCall* behind) {
  BatchCall::Queueing& q = call->q_;
  CHECK(q.group == nullptr);
  q.group = group;
  q.previous = behind;
  q.next = behind == nullptr ? group->head : behind->q_.next;
  (q.previous == nullptr ? group->head : q.previous->q_.next) = call;
  (q.next == nullptr ? group->tail : q.next->q_.previous) = call;
  if (group->calls++ == 0) waiting_.push_back(group);
  group->rows_waiting += q.rows - q.rows_taken;
  group->oldest = std::min(group->oldest, q.submitted);
  ++calls_;
  bytes_ += q.bytes;
}

void BatchQueue::Push(ShapeGroup* group, BatchCall* call) {
  BatchCall* behind = group->tail;
  while (behind != nullptr && behind->q_.priority > call->q_.priority) behind = behind->q_.previous;
  Link(group, call, behind);
}

void BatchQueue::PushFront(ShapeGroup* group, BatchCall* call) { Link(group, call, nullptr); }

void BatchQueue::Remove(BatchCall* call) {
  BatchCall::Queueing& q = call->q_;
  ShapeGroup* const group = q.group;
  CHECK(group != nullptr);
  (q.previous == nullptr ? group->head : q.previous->q_.next) = q.next;
  (q.next == nullptr ? group->tail : q.next->q_.previous) = q.previous;
  group->rows_waiting -= q.rows - q.rows_taken;
  --calls_;
  bytes_ -= q.bytes;
  q.group = nullptr;
  q.previous = q.next = nullptr;
  if (--group->calls == 0) {
    group->oldest = absl::InfiniteFuture();
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), group));
    return;
  }
  if (q.submitted > group->oldest) return;
  if (group->head->q_.priority == group->tail->q_.priority) {
    group->oldest = group->head->q_.submitted;
    return;
  }
  group->oldest = absl::InfiniteFuture();
  uint32_t priority = 0;
  for (const BatchCall* other = group->head; other != nullptr; other = other->q_.next) {
    // Within one priority the first is the oldest.
    if (other->q_.priority == priority) continue;
    priority = other->q_.priority;
    group->oldest = std::min(group->oldest, other->q_.submitted);
  }
}

void BatchQueue::TakeRows(BatchCall* call, int64_t rows) {
  call->q_.rows_taken += rows;
  call->q_.group->rows_waiting -= rows;
}

}  // namespace paramd
