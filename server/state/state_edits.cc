#include "server/state/state_edits.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/repository/model_repository.h"

namespace paramd {
namespace {

std::string CutTo(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  return StrCat(text.substr(0, bytes_max - 3), "...");
}

// Memory first: a version that `default` will move to makes the one that it
// points at now give up its memory.
bool MakesRoom(const WantedModel& model) {
  if (!model.memory_first || !model.auto_promote) return false;
  return std::any_of(model.versions.begin(), model.versions.end(),
                     [&model](const WantedVersion& version) {
                       return version.number > model.highest_promoted && version.error.empty() &&
                              (version.selected || version.requested);
                     });
}

bool IsHeldByName(const WantedModel& model, int64_t number) {
  const bool makes_room = MakesRoom(model);
  return std::any_of(model.names.begin(), model.names.end(), [&](const NameEntry& name) {
    return name.version == number && !(makes_room && name.name == kDefaultName);
  });
}

// Drops what is neither wanted nor to be remembered.
void Prune(WantedModel* model) {
  std::erase_if(model->versions, [model](const WantedVersion& version) {
    return !IsWanted(*model, version) && !IsNamed(*model, version.number) && !version.unloaded &&
           version.error.empty();
  });
}

WantedModel* FindOrAdd(const ListedModel& listed, DesiredState* state) {
  if (WantedModel* const known = state->FindModel(listed.name)) return known;
  const auto at = std::lower_bound(
      state->models.begin(), state->models.end(), listed.name,
      [](const WantedModel& model, std::string_view wanted) { return model.name < wanted; });
  WantedModel model;
  model.name = listed.name;
  model.auto_promote = listed.auto_promote;
  return &*state->models.insert(at, std::move(model));
}

WantedVersion* FindOrAddVersion(int64_t number, WantedModel* model) {
  if (WantedVersion* const known = model->FindVersion(number)) return known;
  const auto at = std::lower_bound(
      model->versions.begin(), model->versions.end(), number,
      [](const WantedVersion& version, int64_t wanted) { return version.number < wanted; });
  WantedVersion version;
  version.number = number;
  return &*model->versions.insert(at, std::move(version));
}

// A document may hold so much and no more.
absl::Status CheckRoom(const ListedModel& listed, const WantedModel& model) {
  size_t versions = model.versions.size();
  for (const ListedVersion& version : listed.versions) {
    if (version.selected && model.FindVersion(version.number) == nullptr) ++versions;
  }
  // One more: a version that an operator asks for.
  if (versions + 1 > kStateVersionsMax) {
    return absl::ResourceExhaustedError(StrCat("model '", listed.name, "' would have ", versions,
                                               " versions, allowed are ", kStateVersionsMax - 1));
  }
  if (listed.config.size() > kStateTextBytesMax) {
    return absl::ResourceExhaustedError(StrCat("the configuration of model '", listed.name,
                                               "' has ", listed.config.size(),
                                               " bytes, allowed are ", kStateTextBytesMax));
  }
  return absl::OkStatus();
}

void ApplyVersion(const ListedVersion& listed, WantedModel* model) {
  WantedVersion* version = model->FindVersion(listed.number);
  const bool wanted = version != nullptr && IsWanted(*model, *version);
  if (!listed.error.empty()) {
    // What serves goes on from memory, as it was read.
    if (wanted || !listed.selected) return;
    version = FindOrAddVersion(listed.number, model);
    version->error = CutTo(listed.error, kStateErrorBytesMax);
    return;
  }
  if (version == nullptr && !listed.selected) return;
  version = FindOrAddVersion(listed.number, model);
  if (version->revision != listed.revision) version->unloaded = false;
  version->directory = listed.directory;
  version->revision = listed.revision;
  version->error.clear();
  version->selected = listed.selected && !version->unloaded;
}

bool AnyWanted(const WantedModel& model) {
  return std::any_of(model.versions.begin(), model.versions.end(),
                     [&model](const WantedVersion& version) { return IsWanted(model, version); });
}

// The model itself is well and is not unloaded.
void ApplyWell(const ListedModel& listed, WantedModel* model) {
  std::vector<int64_t> selected_before;
  for (const WantedVersion& version : model->versions) {
    if (version.selected) selected_before.push_back(version.number);
  }
  model->error.clear();
  model->config = listed.config;
  model->policy = CutTo(listed.policy, 1000);
  model->memory_first = listed.memory_first;
  for (WantedVersion& version : model->versions) {
    const auto still = std::find_if(
        listed.versions.begin(), listed.versions.end(),
        [&version](const ListedVersion& known) { return known.number == version.number; });
    if (still != listed.versions.end()) continue;
    version.selected = false;
    version.unloaded = false;
    version.error.clear();
  }
  for (const ListedVersion& version : listed.versions) ApplyVersion(version, model);
  if (!AnyWanted(*model)) {
    // All that the policy selects now was unloaded by an operator, or is broken:
    // that is no reason to take away what serves.
    for (const int64_t number : selected_before) {
      WantedVersion* const version = model->FindVersion(number);
      version->selected = !version->unloaded && version->error.empty();
    }
  }
  Prune(model);
}

absl::StatusOr<WantedModel*> Known(std::string_view name, DesiredState* state) {
  WantedModel* const model = state->FindModel(name);
  if (model == nullptr) {
    return absl::NotFoundError(StrCat("there is no model '", CutTo(name, 128), "'"));
  }
  return model;
}

std::string VersionNumbers(const WantedModel& model) {
  std::string text;
  for (const WantedVersion& version : model.versions) {
    if (IsWanted(model, version)) StrAppend(&text, text.empty() ? "" : ", ", version.number);
  }
  return text.empty() ? "none" : text;
}

void LeaveVersion(int64_t number, const EditTime& time, WantedModel* model) {
  WantedVersion* const left = model->FindVersion(number);
  if (left == nullptr || model->memory_first || time.keep_previous <= absl::ZeroDuration()) return;
  left->keep_until = time.now + time.keep_previous;
}

void Point(NameEntry* name, int64_t version, const EditTime& time, WantedModel* model) {
  const int64_t left = name->version;
  name->version = version;
  if (name->name == kDefaultName) {
    model->highest_promoted = std::max(model->highest_promoted, version);
  }
  if (left == version) return;
  name->previous = left;
  model->FindVersion(version)->keep_until.reset();
  if (left != 0) LeaveVersion(left, time, model);
}

// The version that a name is to point at, or why it cannot.
absl::Status CheckTarget(const WantedModel& model, int64_t number) {
  const WantedVersion* const version = model.FindVersion(number);
  if (version != nullptr && (IsWanted(model, *version) || IsFallback(model, *version))) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      StrCat("version ", number, " of model '", model.name,
             "' is not loaded; loaded or on their way: ", VersionNumbers(model)));
}

}  // namespace

bool IsNamed(const WantedModel& model, int64_t number) {
  return std::any_of(model.names.begin(), model.names.end(),
                     [number](const NameEntry& name) { return name.version == number; });
}

bool IsWanted(const WantedModel& model, const WantedVersion& version) {
  if (!version.error.empty()) return false;
  return version.selected || version.requested || version.keep_until.has_value() ||
         IsHeldByName(model, version.number);
}

bool IsFallback(const WantedModel& model, const WantedVersion& version) {
  return version.error.empty() && !IsWanted(model, version) && IsNamed(model, version.number);
}

std::string WhyWanted(const WantedModel& model, const WantedVersion& version) {
  std::vector<std::string> reasons;
  if (!version.error.empty()) return "";
  if (version.unloaded) reasons.push_back("unloaded by an operator");
  if (version.selected) {
    reasons.push_back(model.policy.empty() ? "selected by the policy" : model.policy);
  }
  if (version.requested) reasons.push_back("asked for");
  std::string names;
  for (const NameEntry& name : model.names) {
    if (name.version == version.number) StrAppend(&names, names.empty() ? "" : ", ", name.name);
  }
  if (!names.empty()) reasons.push_back(StrCat("named by ", names));
  if (version.keep_until) {
    reasons.push_back(StrCat("kept until ",
                             absl::FormatTime("%H:%M:%S", *version.keep_until, absl::UTCTimeZone()),
                             " UTC"));
  }
  if (IsFallback(model, version)) reasons.push_back("makes room, comes back if the new one fails");
  return absl::StrJoin(reasons, "; ");
}

bool WouldPromote(const WantedModel& model, int64_t number) {
  if (number <= model.highest_promoted) return false;
  const WantedVersion* const version = model.FindVersion(number);
  if (version == nullptr || !(version->selected || version->requested)) return false;
  return model.auto_promote || model.FindName(kDefaultName) == nullptr;
}

absl::Time NextExpiry(const DesiredState& state) {
  absl::Time next = absl::InfiniteFuture();
  for (const WantedModel& model : state.models) {
    for (const WantedVersion& version : model.versions) {
      if (version.keep_until) next = std::min(next, *version.keep_until);
    }
  }
  return next;
}

void ApplyListing(const std::vector<ListedModel>& listing, DesiredState* state) {
  for (const ListedModel& listed : listing) {
    const absl::Status applied = ApplyModel(listed, state);
    WantedModel* const model = state->FindModel(listed.name);
    if (!applied.ok() && model != nullptr) {
      model->error = CutTo(FromAbsl(applied.message()), kStateErrorBytesMax);
    }
  }
  std::vector<std::string> missing;
  for (const WantedModel& model : state->models) {
    const bool is_listed =
        std::any_of(listing.begin(), listing.end(),
                    [&model](const ListedModel& listed) { return listed.name == model.name; });
    if (!is_listed) missing.push_back(model.name);
  }
  for (const std::string& name : missing) ApplyMissing(name, state);
}

absl::Status ApplyModel(const ListedModel& listed, DesiredState* state) {
  PARAMD_RETURN_IF_ERROR(CheckModelName(listed.name));
  if (state->FindModel(listed.name) == nullptr && state->models.size() >= kStateModelsMax) {
    return absl::ResourceExhaustedError(
        StrCat("model '", listed.name, "' would be one of more than ", kStateModelsMax, " models"));
  }
  WantedModel* const model = FindOrAdd(listed, state);
  PARAMD_RETURN_IF_ERROR(CheckRoom(listed, *model));
  if (model->unloaded) return absl::OkStatus();
  if (!listed.error.empty()) {
    // Nothing new can be read: what serves goes on.
    model->error = CutTo(listed.error, kStateErrorBytesMax);
    return absl::OkStatus();
  }
  ApplyWell(listed, model);
  return absl::OkStatus();
}

void ApplyMissing(std::string_view name, DesiredState* state) {
  WantedModel* const model = state->FindModel(name);
  if (model == nullptr) return;
  const bool asked_for = std::any_of(model->versions.begin(), model->versions.end(),
                                     [](const WantedVersion& v) { return v.requested; });
  const bool labelled = std::any_of(model->names.begin(), model->names.end(),
                                    [](const NameEntry& n) { return n.name != kDefaultName; });
  if (!asked_for && !labelled) {
    std::erase_if(state->models, [name](const WantedModel& known) { return known.name == name; });
    return;
  }
  model->error.clear();
  for (WantedVersion& version : model->versions) {
    version.selected = false;
    version.unloaded = false;
    version.error.clear();
  }
  Prune(model);
}

absl::Status LoadSelected(const ListedModel& listed, DesiredState* state) {
  DesiredState next = *state;
  if (WantedModel* const known = next.FindModel(listed.name)) {
    known->unloaded = false;
    for (WantedVersion& version : known->versions) version.unloaded = false;
  }
  PARAMD_RETURN_IF_ERROR(ApplyModel(listed, &next));
  if (listed.error.empty()) {
    for (WantedVersion& version : next.FindModel(listed.name)->versions) {
      if (version.selected) ++version.attempt;
    }
  }
  *state = std::move(next);
  return absl::OkStatus();
}

absl::Status LoadVersion(const ListedModel& listed, int64_t number, DesiredState* state) {
  const auto found =
      std::find_if(listed.versions.begin(), listed.versions.end(),
                   [number](const ListedVersion& version) { return version.number == number; });
  if (found == listed.versions.end()) {
    std::string there;
    for (const ListedVersion& version : listed.versions) {
      StrAppend(&there, there.empty() ? "" : ", ", version.number);
    }
    return absl::NotFoundError(StrCat("model '", listed.name, "' has no version ", number,
                                      " in the repository; it has ",
                                      there.empty() ? "none" : there));
  }
  if (!found->error.empty()) return absl::FailedPreconditionError(found->error);
  DesiredState next = *state;
  const WantedModel* const before = next.FindModel(listed.name);
  const bool was_served = before != nullptr && !before->unloaded && !before->versions.empty();
  if (before != nullptr) next.FindModel(listed.name)->unloaded = false;
  // Its error may be another version's; this one's configuration was read.
  ListedModel well = listed;
  well.error.clear();
  PARAMD_RETURN_IF_ERROR(ApplyModel(well, &next));
  WantedModel* const model = next.FindModel(listed.name);
  WantedVersion* const version = FindOrAddVersion(number, model);
  version->directory = found->directory;
  version->revision = found->revision;
  version->requested = true;
  version->unloaded = false;
  version->error.clear();
  version->selected = found->selected;
  ++version->attempt;
  for (WantedVersion& other : model->versions) {
    if (was_served || other.number == number || !other.selected) continue;
    other.selected = false;
    other.unloaded = true;
  }
  Prune(model);
  *state = std::move(next);
  return absl::OkStatus();
}

absl::Status UnloadVersion(std::string_view name, int64_t number, bool force, DesiredState* state) {
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(name, state));
  WantedVersion* const version = model->FindVersion(number);
  if (version == nullptr || version->unloaded) {
    return absl::NotFoundError(
        StrCat("version ", number, " of model '", model->name,
               "' is not loaded; loaded or on their way: ", VersionNumbers(*model)));
  }
  std::string names;
  for (const NameEntry& entry : model->names) {
    if (entry.version == number) StrAppend(&names, names.empty() ? "'" : ", '", entry.name, "'");
  }
  if (!names.empty() && !force) {
    return absl::FailedPreconditionError(StrCat(names, " of model '", model->name,
                                                "' points at version ", number,
                                                "; promote another version first, or force it"));
  }
  const bool is_last =
      IsWanted(*model, *version) &&
      std::count_if(model->versions.begin(), model->versions.end(),
                    [model](const WantedVersion& known) { return IsWanted(*model, known); }) == 1;
  if (is_last && !force) {
    return absl::FailedPreconditionError(StrCat("version ", number, " is the only one of model '",
                                                model->name, "'; unload the model, or force it"));
  }
  std::erase_if(model->names, [number](const NameEntry& entry) { return entry.version == number; });
  version->selected = false;
  version->requested = false;
  version->unloaded = true;
  version->keep_until.reset();
  version->error.clear();
  Prune(model);
  return absl::OkStatus();
}

absl::Status UnloadModel(std::string_view name, DesiredState* state) {
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(name, state));
  if (model->unloaded) {
    return absl::NotFoundError(StrCat("model '", model->name, "' is unloaded already"));
  }
  WantedModel rest;
  rest.name = model->name;
  rest.auto_promote = model->auto_promote;
  rest.unloaded = true;
  *model = std::move(rest);
  return absl::OkStatus();
}

absl::StatusOr<NameEntry> PointName(std::string_view model_name, std::string_view name,
                                    int64_t version, const EditTime& time, DesiredState* state) {
  PARAMD_RETURN_IF_ERROR(CheckLabel(name));
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(model_name, state));
  PARAMD_RETURN_IF_ERROR(CheckTarget(*model, version));
  NameEntry* entry = model->FindName(name);
  if (entry == nullptr) {
    if (model->names.size() >= kStateNamesMax) {
      return absl::ResourceExhaustedError(StrCat("model '", model->name, "' has ",
                                                 model->names.size(), " names, allowed are ",
                                                 kStateNamesMax));
    }
    const auto at = std::lower_bound(
        model->names.begin(), model->names.end(), name,
        [](const NameEntry& known, std::string_view wanted) { return known.name < wanted; });
    entry = &*model->names.insert(at, {.name = std::string(name)});
  }
  Point(entry, version, time, model);
  const NameEntry moved = *entry;
  Prune(model);
  return moved;
}

absl::StatusOr<NameEntry> RollBackName(std::string_view model_name, std::string_view name,
                                       const EditTime& time, DesiredState* state) {
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(model_name, state));
  NameEntry* const entry = model->FindName(name);
  if (entry == nullptr) {
    return absl::NotFoundError(
        StrCat("model '", model->name, "' has no name '", CutTo(name, 128), "'"));
  }
  if (entry->previous == 0) {
    return absl::FailedPreconditionError(StrCat("'", entry->name, "' of model '", model->name,
                                                "' has always pointed at version ", entry->version,
                                                "; there is nowhere to go back"));
  }
  PARAMD_RETURN_IF_ERROR(CheckTarget(*model, entry->previous));
  Point(entry, entry->previous, time, model);
  const NameEntry moved = *entry;
  Prune(model);
  return moved;
}

absl::StatusOr<NameEntry> RemoveName(std::string_view model_name, std::string_view name,
                                     const EditTime& time, DesiredState* state) {
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(model_name, state));
  const NameEntry* const entry = model->FindName(name);
  if (entry == nullptr) {
    return absl::NotFoundError(
        StrCat("model '", model->name, "' has no name '", CutTo(name, 128), "'"));
  }
  if (name == kDefaultName) {
    return absl::FailedPreconditionError(
        StrCat("'default' of model '", model->name, "' can be moved, not removed"));
  }
  const NameEntry removed = *entry;
  std::erase_if(model->names, [&removed](const NameEntry& known) { return known == removed; });
  LeaveVersion(removed.version, time, model);
  Prune(model);
  return removed;
}

absl::Status SetAutoPromote(std::string_view name, bool on, DesiredState* state) {
  PARAMD_ASSIGN_OR_RETURN(WantedModel* const model, Known(name, state));
  model->auto_promote = on;
  return absl::OkStatus();
}

bool VersionCameUp(std::string_view name, int64_t number, const EditTime& time,
                   DesiredState* state) {
  const WantedModel* const model = state->FindModel(name);
  if (model == nullptr || !WouldPromote(*model, number)) return false;
  return PointName(name, kDefaultName, number, time, state).ok();
}

bool Expire(absl::Time now, DesiredState* state) {
  bool changed = false;
  for (WantedModel& model : state->models) {
    for (WantedVersion& version : model.versions) {
      if (!version.keep_until || *version.keep_until > now) continue;
      version.keep_until.reset();
      // Time alone does not take a model's last version away.
      if (!AnyWanted(model)) version.requested = true;
      changed = true;
    }
    if (changed) Prune(&model);
  }
  return changed;
}

}  // namespace paramd
