#include "server/rpc/kserve/sequence_states.h"

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

uint64_t BytesOf(const std::vector<Tensor>& states) {
  uint64_t bytes = 0;
  for (const Tensor& state : states) bytes += state.view().bytes();
  return bytes;
}

std::string Named(const SequenceRequest& request) {
  return StrCat("sequence '", std::string_view(request.id).substr(0, 64), "' of model '",
                request.model, "'");
}

}  // namespace

SequenceStates::Lease& SequenceStates::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    entry_ = other.entry_;
    states_ = other.states_;
    end_ = other.end_;
    kept_ = other.kept_;
    fresh_ = other.fresh_;
  }
  return *this;
}

absl::Status SequenceStates::Lease::Keep(std::vector<Tensor> states) {
  const uint64_t bytes = BytesOf(states);
  MutexLock lock(&owner_->mutex_);
  const uint64_t others = owner_->bytes_ - entry_->bytes;
  if (!end_ &&
      (bytes > owner_->options_.bytes_max || others > owner_->options_.bytes_max - bytes)) {
    return absl::ResourceExhaustedError(StrCat("the states of all sequences have ", others,
                                               " bytes, ", bytes, " more would be beyond the ",
                                               owner_->options_.bytes_max, " that they may have"));
  }
  owner_->bytes_ = others + bytes;
  entry_->bytes = bytes;
  entry_->states = std::move(states);
  kept_ = true;
  return absl::OkStatus();
}

void SequenceStates::Lease::Release() {
  if (owner_ == nullptr) return;
  // A start that failed leaves nothing to go on with.
  std::exchange(owner_, nullptr)->Next(entry_, (end_ && kept_) || (fresh_ && !kept_));
}

SequenceStates::~SequenceStates() {
  MutexLock lock(&mutex_);
  for (const auto& [key, entry] : entries_) CHECK(!entry.busy) << "a lease outlives its sequences";
}

absl::Status SequenceStates::NotStarted(const SequenceRequest& request) const {
  return absl::InvalidArgumentError(
      StrCat("inference request for ", Named(request), " must specify the START flag: it was not ",
             "started, has ended, or was forgotten after ",
             absl::FormatDuration(request.idle_max.value_or(options_.idle_max)),
             " without a request"));
}

absl::StatusOr<SequenceStates::Entry*> SequenceStates::FindLocked(const SequenceRequest& request) {
  Key key(request.model, request.id);
  const auto it = entries_.find(key);
  if (it != entries_.end()) return &it->second;
  if (!request.start) return NotStarted(request);
  if (entries_.size() >= options_.sequences_max) {
    return absl::ResourceExhaustedError(StrCat("there are ", entries_.size(),
                                               " sequences, as many as may be: ", Named(request),
                                               " cannot start"));
  }
  Entry& entry = entries_[key];
  entry.key = std::move(key);
  entry.generation = request.generation;
  entry.idle_max = request.idle_max.value_or(options_.idle_max);
  SetIdleLocked(&entry);
  return &entry;
}

absl::StatusOr<SequenceStates::Lease> SequenceStates::LeaseLocked(Entry* entry,
                                                                  const SequenceRequest& request) {
  if (request.start) {
    bytes_ -= entry->bytes;
    entry->bytes = 0;
    entry->states.clear();
    entry->generation = request.generation;
    entry->idle_max = request.idle_max.value_or(options_.idle_max);
  } else if (entry->states.empty()) {
    return NotStarted(request);
  } else if (entry->generation != request.generation) {
    return absl::FailedPreconditionError(
        StrCat(Named(request), " was dropped: it was started with generation ", entry->generation,
               " of the weights, and generation ", request.generation,
               " answers now; start it again with sequence_start"));
  }
  entry->busy = true;
  Lease lease;
  lease.owner_ = this;
  lease.entry_ = entry;
  lease.states_ = &entry->states;
  lease.end_ = request.end;
  lease.fresh_ = request.start;
  return lease;
}

void SequenceStates::Begin(SequenceRequest request, Ready ready) {
  absl::StatusOr<Lease> lease;
  {
    MutexLock lock(&mutex_);
    SweepLocked(clock_->Now());
    const absl::StatusOr<Entry*> found = FindLocked(request);
    if (!found.ok()) {
      lease = found.status();
    } else if (Entry* const entry = *found; entry->busy) {
      if (entry->waiting.size() < options_.waiting_max) {
        entry->waiting.push_back({std::move(request), std::move(ready)});
        return;
      }
      lease = absl::ResourceExhaustedError(
          StrCat(entry->waiting.size(), " requests of ", Named(request), " wait, as many as may"));
    } else {
      idle_.erase(entry->place);
      lease = LeaseLocked(entry, request);
      // What cannot go on is over.
      if (!lease.ok()) {
        SetIdleLocked(entry);
        ForgetLocked(entry);
      }
    }
  }
  std::move(ready)(std::move(lease));
}

void SequenceStates::Next(Entry* entry, bool forget) {
  std::vector<std::pair<Ready, absl::StatusOr<Lease>>> answers;
  {
    MutexLock lock(&mutex_);
    entry->busy = false;
    if (forget) {
      bytes_ -= entry->bytes;
      entry->bytes = 0;
      entry->states.clear();
    }
    while (!entry->busy && !entry->waiting.empty()) {
      Waiting next = std::move(entry->waiting.front());
      entry->waiting.pop_front();
      answers.emplace_back(std::move(next.ready), LeaseLocked(entry, next.request));
    }
    if (!entry->busy) {
      SetIdleLocked(entry);
      if (entry->states.empty()) ForgetLocked(entry);
    }
  }
  for (auto& [ready, lease] : answers) std::move(ready)(std::move(lease));
}

void SequenceStates::SetIdleLocked(Entry* entry) {
  entry->place = idle_.emplace(clock_->Now() + entry->idle_max, entry);
}

void SequenceStates::ForgetLocked(Entry* entry) {
  CHECK(!entry->busy && entry->waiting.empty());
  idle_.erase(entry->place);
  bytes_ -= entry->bytes;
  entries_.erase(Key(entry->key));
}

void SequenceStates::SweepLocked(absl::Time now) {
  while (!idle_.empty() && idle_.begin()->first <= now) ForgetLocked(idle_.begin()->second);
}

absl::Time SequenceStates::Sweep() {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  SweepLocked(now);
  return idle_.empty() ? now + options_.idle_max : idle_.begin()->first;
}

size_t SequenceStates::sequences() const {
  MutexLock lock(&mutex_);
  return entries_.size();
}

uint64_t SequenceStates::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace paramd
