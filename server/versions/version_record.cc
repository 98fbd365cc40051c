#include "server/versions/version_record.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// A fix is taken at once; who goes on writing what fails is read less and less
// often, down to once a minute.
constexpr absl::Duration kRetryDelaySecond = absl::Seconds(1);
constexpr absl::Duration kRetryDelayMax = absl::Minutes(1);

const DesiredName* FindName(const ModelRecord& model, std::string_view name) {
  const auto found = std::find_if(model.names.begin(), model.names.end(),
                                  [name](const DesiredName& known) { return known.name == name; });
  return found == model.names.end() ? nullptr : &*found;
}

struct DefaultRoute {
  int64_t number = 0;  // 0: nothing answers.
  bool coming = false;
};

DefaultRoute DefaultOf(const ModelRecord& model, absl::Time now) {
  const int64_t otherwise = DefaultVersion(ViewsOf(model, now));
  const DesiredName* const name = FindName(model, "default");
  if (name == nullptr) return {.number = otherwise};
  bool coming = false;
  for (const auto& version : model.versions) {
    if (version->version.number != name->version) continue;
    if (version->state == VersionState::kServing) return {.number = name->version};
    coming = coming || (version->desired && IsComing(version->state));
  }
  if (coming) return {.coming = true};
  return {.number = otherwise};
}

std::string ProgressText(const LoadNote& note) {
  if (note.bytes_total == 0) return note.stage;
  return absl::StrFormat("%s: %.1f of %.1f MB", note.stage,
                         static_cast<double>(note.bytes_done) / 1e6,
                         static_cast<double>(note.bytes_total) / 1e6);
}

VersionStatus StatusOf(const VersionRecord& record) {
  VersionStatus status;
  status.number = record.version.number;
  status.state = record.state;
  status.reason = record.reason;
  if (status.reason.empty() && IsComing(record.state))
    status.reason = ProgressText(record.progress);
  status.error = record.error;
  status.progress = record.progress;
  status.desired = record.desired;
  status.why = record.version.why;
  status.revision = record.version.revision;
  status.attempt = record.version.attempt;
  status.weights = record.weights;
  status.holders = record.watch.holders();
  status.since = record.since;
  status.load_took = record.load_took;
  return status;
}

}  // namespace

bool IsComing(VersionState state) {
  return state == VersionState::kPending || state == VersionState::kLoading ||
         state == VersionState::kWarming;
}

bool IsBeingLoaded(const ModelRecord& model, absl::Time now) {
  return std::any_of(model.versions.begin(), model.versions.end(), [now](const auto& record) {
    // Files that replace others which failed, and wait: that is a failure still.
    return IsComing(record->state) && record->not_before <= now;
  });
}

std::vector<VersionView> ViewsOf(const ModelRecord& model, absl::Time now) {
  const DesiredName* const name = FindName(model, "default");
  std::vector<VersionView> views;
  for (const auto& record : model.versions) {
    views.push_back({.instance = record->id,
                     .number = record->version.number,
                     .state = record->state,
                     .desired = record->desired,
                     .fallback = record->fallback,
                     .preferred = name != nullptr && name->version == record->version.number,
                     .waits = record->not_before > now});
  }
  return views;
}

ModelStatus StatusOf(const std::string& name, const ModelRecord& model, absl::Time now) {
  ModelStatus status;
  status.name = name;
  status.error = model.error;
  status.names = model.names;
  status.default_version = DefaultOf(model, now).number;
  for (const auto& record : model.versions) {
    status.coming =
        status.coming || IsComing(record->state) || record->state == VersionState::kDraining;
    status.ready = status.ready || record->state == VersionState::kServing;
    status.versions.push_back(StatusOf(*record));
  }
  status.failed = !status.ready && !IsBeingLoaded(model, now);
  std::stable_sort(
      status.versions.begin(), status.versions.end(),
      [](const VersionStatus& a, const VersionStatus& b) { return a.number < b.number; });
  return status;
}

RoutingSnapshot::Routes RoutesOf(const std::string& name, const ModelRecord& model,
                                 absl::Time now) {
  RoutingSnapshot::Routes routes;
  routes.model = name;
  const DefaultRoute by_default = DefaultOf(model, now);
  routes.default_number = by_default.number;
  routes.default_coming = by_default.coming;
  for (const DesiredName& entry : model.names) {
    if (entry.name != "default") routes.names.emplace_back(entry.name, entry.version);
  }
  for (const auto& record : model.versions) {
    if (record->state == VersionState::kServing) routes.serving.push_back(record->handle);
    const bool coming = IsComing(record->state) || record->fallback;
    routes.coming = routes.coming || coming;
    if (coming) routes.coming_numbers.push_back(record->version.number);
  }
  // By number; of one number the latest load last, where Find looks first.
  std::stable_sort(
      routes.serving.begin(), routes.serving.end(),
      [](const ModelHandle& a, const ModelHandle& b) { return a->id().number < b->id().number; });
  return routes;
}

absl::Duration RetryDelay(int failures) {
  if (failures <= 1) return absl::ZeroDuration();
  return std::min(kRetryDelayMax, kRetryDelaySecond * (int64_t{1} << std::min(failures - 2, 10)));
}

}  // namespace paramd
