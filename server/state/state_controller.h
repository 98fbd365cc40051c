// StateController: the one place where the desired state of the machine changes
// and becomes what the version manager should serve.
//
//   read, edit (state_edits.h), compare-and-swap; when somebody else was faster,
//   again. Then VersionManager::SetDesired, under the document's revision.
//
// Who edits: an operator (ModelAdmin), the repository's watcher (Rescan), a
// version that came up (auto_promote), time (keep_previous). Promote, Rollback
// and RemoveName return when the routing snapshot with the new names is
// published: a request that starts afterwards sees nothing older.
//
// Two of these may share one store while a successor process takes over. Only
// the active one edits: the successor is activated when it begins to accept, and
// reads the document again; the one before is deactivated, and follows what the
// successor does to the document while it still answers connections.
//
// Life: Start once; Shutdown ends all waiting with Cancelled. The version manager
// must have been shut down, and nobody may call in, before the destructor.
// Thread-safety: thread-safe. OnChange is for the version manager's control
// thread; Load, Unload, Promote, Rollback and RemoveName block, so never call
// them from there.
#ifndef PARAMD_SERVER_STATE_STATE_CONTROLLER_H_
#define PARAMD_SERVER_STATE_STATE_CONTROLLER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"
#include "server/state/desired_state.h"
#include "server/state/model_admin.h"
#include "server/state/state_edits.h"
#include "server/state/state_store.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct StateControllerOptions {
  // How long a version stays loaded that a name has left.
  absl::Duration keep_previous = absl::Minutes(10);
  // How often what is in memory is hashed again; 0: only when asked.
  absl::Duration verify_interval = absl::ZeroDuration();
  // Not to be loaded until their files change or somebody asks: "digits/3" and
  // why. They count as failed.
  std::map<std::string, std::string> quarantined;
  // False: edits nothing before Activate.
  bool active = true;
};

// One load that might be made.
struct PlanRequest {
  LoadRequest load;
  // Memory first: what goes before it is loaded.
  std::vector<VersionId> goes_first;
};

struct StateControllerParts {
  const Clock* clock = nullptr;
  StateStore* store = nullptr;  // Borrowed, like all that follow.
  VersionManager* versions = nullptr;
  const RoutingTable* routing = nullptr;
  // Reads the repository: one model (NotFound: no such folder), or all if empty.
  std::function<absl::StatusOr<std::vector<ListedModel>>(const std::string& model)> list;
  // What the listing would be with this text as the model's config.pbtxt. Empty:
  // a Load that brings one is Unimplemented.
  std::function<absl::Status(const std::string& config, ListedModel* listed)> reconfigure;
  // The document as wishes, IsWanted and IsFallback applied.
  std::function<std::vector<DesiredModel>(const DesiredState&)> desired;
  // Whether the version is in memory at that revision, so that loading it opens no
  // file. Empty: none is.
  std::function<bool(const VersionId&, const std::string& revision)> held;
  // What a load would take. Empty: Plan and dry runs are Unimplemented.
  std::function<absl::StatusOr<LoadPlan>(const PlanRequest&)> plan;
  // Told of every version that was hashed again; may be empty.
  std::function<void(const VerifyReport&)> on_verified;
  // For a version manager without threads: called instead of waiting.
  std::function<void()> step;
};

class StateController final : public ModelAdmin {
 public:
  StateController(StateControllerOptions options, StateControllerParts parts);
  ~StateController() override;
  StateController(const StateController&) = delete;
  StateController& operator=(const StateController&) = delete;

  // Takes the stored document or, if there is none (or `rescan`), what the
  // repository holds. A document that cannot be read is replaced by the
  // repository's state, with a line in the log.
  absl::Status Start(bool rescan);
  // On the control thread, after anything changed.
  void OnChange(const ServingStatus& status);
  void Activate();
  void Deactivate();
  // After Deactivate: serves what the document says by now, as far as it is in
  // memory already. What is not is loaded by the successor alone; a later Follow
  // finds it held.
  void Follow();
  void Shutdown();

  // ModelAdmin.
  absl::StatusOr<std::vector<LoadPlan>> Load(
      const LoadCommand& command, const std::function<void(const LoadEvent&)>& progress) override;
  absl::Status Unload(const std::string& model, std::optional<int64_t> version,
                      bool force) override;
  absl::StatusOr<NameState> Promote(const std::string& model, const std::string& name,
                                    int64_t version) override;
  absl::StatusOr<NameState> Rollback(const std::string& model, const std::string& name) override;
  absl::StatusOr<NameState> RemoveName(const std::string& model, const std::string& name) override;
  absl::Status SetAutoPromote(const std::string& model, bool on) override;
  absl::StatusOr<StateReport> GetState() const override;
  absl::StatusOr<std::vector<VerifyReport>> Verify(const std::string& model) const override;
  absl::StatusOr<std::vector<LoadPlan>> Plan(const std::string& model) const override;
  absl::Status Rescan(const std::string& model) override;

 private:
  // Others edit seldom and briefly; who loses that often has met something else.
  static constexpr int kCommitAttemptsMax = 1000;

  using Edit = absl::FunctionRef<absl::Status(DesiredState*)>;
  // Is told which revision it edits.
  using EditAt = absl::FunctionRef<absl::Status(DesiredState*, uint64_t revision)>;

  absl::StatusOr<StoredState> ReadStored(DesiredState* state) const;
  // The revision at which the edit is in the document.
  absl::StatusOr<uint64_t> CommitAt(EditAt edit);
  absl::StatusOr<uint64_t> Commit(Edit edit);
  // Commit, for those who may edit only while this is active.
  absl::StatusOr<uint64_t> CommitIfActive(Edit edit);
  absl::Status CheckActive() const;
  // Whose wishes are served: all, or those that need no file.
  enum class Scope { kAll, kHeld };
  void Adopt(uint64_t revision, DesiredState state, Scope scope = Scope::kAll);
  void LeaveOutUnheld(std::vector<DesiredModel>* wishes) const;
  std::vector<DesiredModel> Wishes(const DesiredState& state) const;

  EditTime Now() const { return {parts_.clock->Now(), options_.keep_previous}; }
  uint64_t Changes() const;
  // Waits until something changed since Changes() was `seen`, or for `deadline`;
  // Cancelled once it is shut down.
  absl::Status WaitForChange(uint64_t seen, absl::Time deadline) const;
  absl::Status WaitUntilPublished(uint64_t revision) const;
  // Until each version serves, or one has failed and none is on its way.
  absl::Status WaitForLoad(const std::string& model, const std::vector<int64_t>& numbers,
                           const std::function<void(const LoadEvent&)>& progress);
  // Until the version, or the whole model, has given its memory back; not forever.
  void WaitUntilGone(const std::string& model, std::optional<int64_t> version);
  // Nothing: not yet. Else OK, or the first error.
  std::optional<absl::Status> OutcomeOf(const std::string& model,
                                        const std::vector<int64_t>& numbers) const;
  // Moves a name and returns when requests see it.
  absl::StatusOr<NameState> MoveName(
      const std::string& model, absl::FunctionRef<absl::StatusOr<NameEntry>(DesiredState*)> move);

  void PromoteNew(const ServingStatus& status);
  void ArmExpiry(absl::Time next);
  void ExpireNow();
  void ArmVerify();
  void VerifyNext(std::vector<std::string> models);
  absl::StatusOr<std::vector<LoadPlan>> PlanVersions(const DesiredState& state,
                                                     const std::string& model,
                                                     std::optional<int64_t> version) const;
  absl::StatusOr<LoadPlan> PlanOne(const DesiredModel& model, const DesiredVersion& version) const;

  const StateControllerOptions options_;
  const StateControllerParts parts_;

  mutable Mutex mutex_;
  mutable CondVar changed_;
  DesiredState state_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;   // Of state_.
  uint64_t published_ ABSL_GUARDED_BY(mutex_) = 0;  // Highest that requests see.
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;    // Counts wake-ups.
  absl::Time expiry_armed_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  // What SetDesired was given last.
  std::vector<DesiredModel> wishes_ ABSL_GUARDED_BY(mutex_);
  bool active_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  // Version -> revision and attempt at which it was quarantined.
  std::map<std::string, std::pair<std::string, uint64_t>> quarantine_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_STATE_CONTROLLER_H_
