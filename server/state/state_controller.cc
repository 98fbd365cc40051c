#include "server/state/state_controller.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/state/state_report.h"

namespace paramd {

StateController::StateController(StateControllerOptions options, StateControllerParts parts)
    : options_(std::move(options)), parts_(std::move(parts)), active_(options_.active) {
  CHECK(parts_.clock != nullptr && parts_.store != nullptr && parts_.versions != nullptr);
  CHECK(parts_.routing != nullptr && parts_.list != nullptr && parts_.desired != nullptr);
}

StateController::~StateController() = default;

// ---- The document. ----

absl::StatusOr<StoredState> StateController::ReadStored(DesiredState* state) const {
  PARAMD_ASSIGN_OR_RETURN(StoredState stored, parts_.store->Read());
  *state = {};
  if (stored.revision == 0) return stored;
  {
    MutexLock lock(&mutex_);
    if (stored.revision == revision_) {
      *state = state_;
      return stored;
    }
  }
  PARAMD_ASSIGN_OR_RETURN(*state, DecodeState(stored.bytes));
  return stored;
}

absl::StatusOr<uint64_t> StateController::CommitAt(EditAt edit) {
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    DesiredState before;
    PARAMD_ASSIGN_OR_RETURN(const StoredState stored, ReadStored(&before));
    DesiredState after = before;
    PARAMD_RETURN_IF_ERROR(edit(&after, stored.revision));
    if (after == before) {
      Adopt(stored.revision, std::move(after));
      return stored.revision;
    }
    PARAMD_ASSIGN_OR_RETURN(std::string bytes, EncodeState(after));
    const absl::StatusOr<uint64_t> set =
        parts_.store->CompareAndSet(stored.revision, std::move(bytes));
    if (set.ok()) {
      Adopt(*set, std::move(after));
      return *set;
    }
    if (!absl::IsAborted(set.status())) return set.status();
  }
  return absl::AbortedError("the desired state is changed by others all the time");
}

absl::StatusOr<uint64_t> StateController::Commit(Edit edit) {
  return CommitAt([&edit](DesiredState* state, uint64_t) { return edit(state); });
}

absl::StatusOr<uint64_t> StateController::CommitIfActive(Edit edit) {
  PARAMD_RETURN_IF_ERROR(CheckActive());
  return Commit(edit);
}

absl::Status StateController::CheckActive() const {
  MutexLock lock(&mutex_);
  if (shut_down_) return absl::CancelledError("the daemon is stopping");
  if (!active_) {
    return absl::UnavailableError("another process of this daemon has taken over; try again");
  }
  return absl::OkStatus();
}

void StateController::Adopt(uint64_t revision, DesiredState state, Scope scope) {
  std::vector<DesiredModel> wishes = Wishes(state);
  if (scope == Scope::kHeld) LeaveOutUnheld(&wishes);
  const absl::Time expiry = NextExpiry(state);
  {
    MutexLock lock(&mutex_);
    if (revision >= revision_) {
      revision_ = revision;
      state_ = std::move(state);
      wishes_ = wishes;
    }
  }
  DesiredOptions options;
  options.revision = revision;
  options.on_published = [this, revision] {
    MutexLock lock(&mutex_);
    published_ = std::max(published_, revision);
    ++changes_;
    changed_.SignalAll();
  };
  parts_.versions->SetDesired(std::move(wishes), std::move(options));
  ArmExpiry(expiry);
}

std::vector<DesiredModel> StateController::Wishes(const DesiredState& state) const {
  std::vector<DesiredModel> wishes = parts_.desired(state);
  MutexLock lock(&mutex_);
  if (quarantine_.empty()) return wishes;
  for (DesiredModel& model : wishes) {
    for (DesiredVersion& version : model.versions) {
      const std::string name = StrCat(model.name, "/", version.number);
      const auto found = quarantine_.find(name);
      if (found == quarantine_.end()) continue;
      // Other files, or somebody asked: it gets another chance.
      if (found->second != std::pair(version.revision, version.attempt)) continue;
      version.refusal = options_.quarantined.at(name);
    }
  }
  return wishes;
}

void StateController::LeaveOutUnheld(std::vector<DesiredModel>* wishes) const {
  std::map<std::pair<std::string, int64_t>, DesiredVersion> before;
  {
    MutexLock lock(&mutex_);
    for (const DesiredModel& model : wishes_) {
      for (const DesiredVersion& version : model.versions) {
        before.emplace(std::pair(model.name, version.number), version);
      }
    }
  }
  for (DesiredModel& model : *wishes) {
    std::vector<DesiredVersion> kept;
    for (DesiredVersion& version : model.versions) {
      const auto known = before.find(std::pair(model.name, version.number));
      const bool held = parts_.held && parts_.held({model.name, version.number}, version.revision);
      if (held) {
        kept.push_back(std::move(version));
      } else if (known != before.end()) {
        kept.push_back(known->second);  // As it is here, until the new one is held.
      }
    }
    model.versions = std::move(kept);
  }
}

absl::Status StateController::Start(bool rescan) {
  DesiredState stored_state;
  const absl::StatusOr<StoredState> stored = ReadStored(&stored_state);
  const bool unreadable = !stored.ok();
  if (unreadable) {
    LOG(ERROR) << "the stored desired state cannot be used: " << stored.status()
               << "; it is made anew from the repository, without names and explicit loads";
  }
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, reason] : options_.quarantined) {
      LOG(ERROR) << name << " is quarantined: " << reason;
      for (const WantedModel& model : stored_state.models) {
        for (const WantedVersion& version : model.versions) {
          if (StrCat(model.name, "/", version.number) != name) continue;
          quarantine_[name] = {version.revision, version.attempt};
        }
      }
    }
  }
  ArmVerify();
  if (!unreadable && stored->revision > 0 && !rescan) {
    Adopt(stored->revision, std::move(stored_state));
    return absl::OkStatus();
  }
  PARAMD_ASSIGN_OR_RETURN(const std::vector<ListedModel> listing, parts_.list(""));
  if (unreadable) {
    PARAMD_ASSIGN_OR_RETURN(const StoredState bad, parts_.store->Read());
    DesiredState state;
    ApplyListing(listing, &state);
    PARAMD_ASSIGN_OR_RETURN(std::string bytes, EncodeState(state));
    PARAMD_ASSIGN_OR_RETURN(const uint64_t revision,
                            parts_.store->CompareAndSet(bad.revision, std::move(bytes)));
    Adopt(revision, std::move(state));
    return absl::OkStatus();
  }
  return Commit([&listing](DesiredState* state) {
           ApplyListing(listing, state);
           return absl::OkStatus();
         })
      .status();
}

void StateController::Activate() {
  {
    MutexLock lock(&mutex_);
    if (active_) return;
    active_ = true;
  }
  // What the process before changed after this one had read it.
  const absl::StatusOr<uint64_t> read = Commit([](DesiredState*) { return absl::OkStatus(); });
  if (!read.ok()) LOG(ERROR) << "the desired state cannot be read: " << read.status();
  PromoteNew(parts_.versions->status());
}

void StateController::Deactivate() {
  MutexLock lock(&mutex_);
  active_ = false;
}

void StateController::Follow() {
  {
    MutexLock lock(&mutex_);
    if (active_ || shut_down_) return;
  }
  DesiredState state;
  const absl::StatusOr<StoredState> stored = ReadStored(&state);
  if (!stored.ok()) {
    LOG(ERROR) << "what the new worker changed cannot be read: " << stored.status();
    return;
  }
  Adopt(stored->revision, std::move(state), Scope::kHeld);
}

void StateController::Shutdown() {
  MutexLock lock(&mutex_);
  shut_down_ = true;
  ++changes_;
  changed_.SignalAll();
}

// ---- What happens by itself. ----

void StateController::OnChange(const ServingStatus& status) {
  PromoteNew(status);
  MutexLock lock(&mutex_);
  ++changes_;
  changed_.SignalAll();
}

void StateController::PromoteNew(const ServingStatus& status) {
  std::vector<VersionId> came_up;
  {
    MutexLock lock(&mutex_);
    // What is not in force yet may unload what serves now; there will be news.
    if (!active_ || shut_down_ || status.revision < revision_) return;
    for (const ModelStatus& model : status.models) {
      const WantedModel* const wanted = state_.FindModel(model.name);
      if (wanted == nullptr) continue;
      for (const VersionStatus& version : model.versions) {
        if (version.state == VersionState::kServing && version.desired &&
            WouldPromote(*wanted, version.number)) {
          came_up.push_back({model.name, version.number});
        }
      }
    }
  }
  if (came_up.empty()) return;
  // In ascending order, so that `previous` is the one below the highest.
  bool overtaken = false;
  const absl::Status committed = CommitAt([&](DesiredState* state, uint64_t revision) {
                                   overtaken = revision > status.revision;
                                   for (const VersionId& id : came_up) {
                                     if (!overtaken)
                                       VersionCameUp(id.model, id.number, Now(), state);
                                   }
                                   return absl::OkStatus();
                                 }).status();
  if (committed.ok() && overtaken) return;
  for (const VersionId& id : came_up) {
    if (committed.ok()) {
      LOG(INFO) << id.model << "/" << id.number << " is the default now";
    } else {
      LOG(ERROR) << id.model << "/" << id.number << " does not become the default: " << committed;
    }
  }
}

void StateController::ArmExpiry(absl::Time next) {
  {
    MutexLock lock(&mutex_);
    if (next >= expiry_armed_) return;
    expiry_armed_ = next;
  }
  parts_.versions->RunAt(next, [this] { ExpireNow(); });
}

void StateController::ExpireNow() {
  bool active = false;
  {
    MutexLock lock(&mutex_);
    expiry_armed_ = absl::InfiniteFuture();
    active = active_ && !shut_down_;
  }
  if (!active) return;
  const absl::Time now = parts_.clock->Now();
  const absl::Status committed = CommitIfActive([now](DesiredState* state) {
                                   Expire(now, state);
                                   return absl::OkStatus();
                                 }).status();
  if (!committed.ok()) LOG(ERROR) << "versions that were kept stay loaded: " << committed;
}

void StateController::ArmVerify() {
  if (options_.verify_interval <= absl::ZeroDuration()) return;
  parts_.versions->RunAt(parts_.clock->Now() + options_.verify_interval, [this] {
    std::vector<std::string> models;
    for (const ModelStatus& model : parts_.versions->status().models) {
      if (model.ready) models.push_back(model.name);
    }
    VerifyNext(std::move(models));
  });
}

// One model at a time, so that a load does not wait for all of them.
void StateController::VerifyNext(std::vector<std::string> models) {
  if (models.empty()) {
    ArmVerify();
    return;
  }
  parts_.versions->RunOnLoader([this, models = std::move(models)]() mutable {
    const std::string model = std::move(models.back());
    models.pop_back();
    (void)Verify(model);  // It may be gone.
    VerifyNext(std::move(models));
  });
}

// ---- Waiting. ----

uint64_t StateController::Changes() const {
  MutexLock lock(&mutex_);
  return changes_;
}

absl::Status StateController::WaitForChange(uint64_t seen, absl::Time deadline) const {
  if (parts_.step) {
    parts_.step();
    return absl::OkStatus();
  }
  MutexLock lock(&mutex_);
  while (changes_ == seen && !shut_down_) {
    if (changed_.WaitUntil(&mutex_, deadline)) break;
  }
  return shut_down_ ? absl::CancelledError("the daemon is stopping") : absl::OkStatus();
}

absl::Status StateController::WaitUntilPublished(uint64_t revision) const {
  while (true) {
    const uint64_t seen = Changes();
    {
      MutexLock lock(&mutex_);
      if (published_ >= revision) return absl::OkStatus();
    }
    PARAMD_RETURN_IF_ERROR(WaitForChange(seen, absl::InfiniteFuture()));
  }
}

}  // namespace paramd
