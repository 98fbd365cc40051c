// DesiredState: what should be served, as one document: the models, their
// versions and why each is wanted, and the names that point at versions. It
// holds all that a restarted worker needs, so that one opens no file of the
// repository: folders and configurations as they were read.
//
// Values only. state_edits.h changes them; EncodeState and DecodeState turn
// them into the bytes of a StateStore and back. What is decoded is as untrusted
// as any file (it may be one, --state-file): sizes, counts, depth, names and
// numbers are checked, and a document of another format is refused, not guessed.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_STATE_DESIRED_STATE_H_
#define PARAMD_SERVER_STATE_DESIRED_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace paramd {

// The name that requests without a version or label mean.
inline constexpr std::string_view kDefaultName = "default";

// Counts up with every change of the document's meaning; other formats are refused.
inline constexpr int kStateFormat = 1;

// More than a machine can serve; bounds of what a document may hold.
inline constexpr size_t kStateModelsMax = 10'000;
inline constexpr size_t kStateVersionsMax = 1'000;  // Of one model.
inline constexpr size_t kStateNamesMax = 100;       // Of one model.
inline constexpr size_t kStateTextBytesMax = 1 << 20;
inline constexpr size_t kStateErrorBytesMax = 4 << 10;

// A version that is wanted for at least one reason, or one that is remembered
// because it must not be loaded (`unloaded`, `error`).
struct WantedVersion {
  int64_t number = 0;
  std::string directory;  // Relative to the repository: "digits/3".
  std::string revision;   // DesiredVersion::revision.
  // Counts the times that somebody asked for it: a failed load is tried again.
  uint64_t attempt = 0;
  bool selected = false;   // By the model's version policy, at the last scan.
  bool requested = false;  // By an operator.
  // An operator unloaded it: the policy does not bring it back before its files
  // change or somebody asks.
  bool unloaded = false;
  // A name left it; until then it stays, so that going back is instant.
  std::optional<absl::Time> keep_until;
  // The folder cannot be a version, and this is why ("no model.onnx in it").
  std::string error;

  friend bool operator==(const WantedVersion&, const WantedVersion&) = default;
};

struct NameEntry {
  std::string name;  // "default", "stable", ...
  int64_t version = 0;
  int64_t previous = 0;  // Where Rollback goes; 0: nowhere.

  friend bool operator==(const NameEntry&, const NameEntry&) = default;
};

struct WantedModel {
  std::string name;
  std::string config;  // The text of config.pbtxt; empty: there is none.
  std::string policy;  // In words, for reports: "latest 2".
  std::string error;   // Why nothing new of it can be read, if so.
  bool memory_first = false;
  bool auto_promote = true;
  bool unloaded = false;  // By an operator, as a whole: until somebody asks for it.
  // The highest number that `default` ever pointed at; auto_promote goes up only.
  int64_t highest_promoted = 0;
  std::vector<WantedVersion> versions;  // Ascending by number.
  std::vector<NameEntry> names;         // By name.

  const WantedVersion* FindVersion(int64_t number) const;
  WantedVersion* FindVersion(int64_t number);
  const NameEntry* FindName(std::string_view name) const;
  NameEntry* FindName(std::string_view name);

  friend bool operator==(const WantedModel&, const WantedModel&) = default;
};

struct DesiredState {
  std::vector<WantedModel> models;  // By name.

  const WantedModel* FindModel(std::string_view name) const;
  WantedModel* FindModel(std::string_view name);

  friend bool operator==(const DesiredState&, const DesiredState&) = default;
};

// InvalidArgument when it would be larger than kStateBytesMax (state_store.h).
absl::StatusOr<std::string> EncodeState(const DesiredState& state);
// InvalidArgument says what is wrong and where; Unimplemented: another format.
absl::StatusOr<DesiredState> DecodeState(std::string_view bytes);

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_DESIRED_STATE_H_
