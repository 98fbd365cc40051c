// StateEdits: every way in which the desired state changes. Each is a pure
// function of a DesiredState and what happened; the controller puts
// compare-and-swap around them.
//
// A version is wanted while its policy selects it, an operator asked for it, a
// name points at it, or it is kept for going back. What is wanted for no reason
// any more is dropped from the document, and so unloaded.
//
//   ApplyListing, ApplyModel   the repository was read
//   LoadSelected, LoadVersion  an operator asks
//   UnloadVersion, UnloadModel
//   PointName, RollBackName, RemoveName, SetAutoPromote
//   VersionCameUp              a version serves: `default` may move to it
//   Expire                     time passed
//
// An edit that fails changes nothing. Errors: NotFound (no such model, version
// or name), FailedPrecondition (not in this state), InvalidArgument (a bad name),
// ResourceExhausted (more than a document may hold).
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_STATE_STATE_EDITS_H_
#define PARAMD_SERVER_STATE_STATE_EDITS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/state/desired_state.h"

namespace paramd {

// What a scan of the repository says of one model.
struct ListedVersion {
  int64_t number = 0;
  std::string directory;
  std::string revision;
  bool selected = false;  // The policy wants it; also one with an error.
  std::string error;      // The folder cannot be a version, and why.
};
struct ListedModel {
  std::string name;
  std::string config;
  std::string policy;
  std::string error;  // Nothing of the model can be loaded, and why.
  bool memory_first = false;
  bool auto_promote = true;             // Of a model that the document does not have yet.
  std::vector<ListedVersion> versions;  // Ascending by number.
};

// When an edit happens, and how long a version stays that a name has left.
struct EditTime {
  absl::Time now;
  absl::Duration keep_previous = absl::Minutes(10);
};

// ---- What the document says. ----

bool IsNamed(const WantedModel& model, int64_t number);
// Should be loaded.
bool IsWanted(const WantedModel& model, const WantedVersion& version);
// Memory first: `default` still points at it and it made room for a version that
// is coming; to be loaded again if that one fails.
bool IsFallback(const WantedModel& model, const WantedVersion& version);
// "latest 1, named by default, stable", "kept until 12:03:11", "asked for".
std::string WhyWanted(const WantedModel& model, const WantedVersion& version);
// Whether VersionCameUp would move `default`.
bool WouldPromote(const WantedModel& model, int64_t number);
// When Expire has something to do next; InfiniteFuture: never.
absl::Time NextExpiry(const DesiredState& state);

// ---- Edits. ----

// All models. One that is not listed any more goes, unless an operator asked for
// a version of it or made a name other than `default`. What is wrong with one
// model is its error and stops no other; those with names that are not allowed
// are left out.
void ApplyListing(const std::vector<ListedModel>& listing, DesiredState* state);
// One model; the others stay as they are. A model that an operator unloaded stays so.
absl::Status ApplyModel(const ListedModel& listed, DesiredState* state);
// A model whose folder is gone.
void ApplyMissing(std::string_view name, DesiredState* state);

// What the policy selects, whatever was unloaded or failed before.
absl::Status LoadSelected(const ListedModel& listed, DesiredState* state);
// This version as well. A model that was not served before gets only it.
absl::Status LoadVersion(const ListedModel& listed, int64_t number, DesiredState* state);

// Without `force` not one that a name points at, nor the only one; with it the
// names go too.
absl::Status UnloadVersion(std::string_view model, int64_t number, bool force, DesiredState* state);
absl::Status UnloadModel(std::string_view model, DesiredState* state);

absl::StatusOr<NameEntry> PointName(std::string_view model, std::string_view name, int64_t version,
                                    const EditTime& time, DesiredState* state);
absl::StatusOr<NameEntry> RollBackName(std::string_view model, std::string_view name,
                                       const EditTime& time, DesiredState* state);
// The entry as it was. `default` cannot be removed.
absl::StatusOr<NameEntry> RemoveName(std::string_view model, std::string_view name,
                                     const EditTime& time, DesiredState* state);
absl::Status SetAutoPromote(std::string_view model, bool on, DesiredState* state);

// True: `default` points at it now.
bool VersionCameUp(std::string_view model, int64_t number, const EditTime& time,
                   DesiredState* state);
// True: something changed.
bool Expire(absl::Time now, DesiredState* state);

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_STATE_EDITS_H_
