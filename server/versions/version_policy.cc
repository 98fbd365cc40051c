#include "server/versions/version_policy.h"

#include <algorithm>

namespace paramd {
namespace {

bool IsComing(const VersionView& v) {
  return v.state == VersionState::kPending || v.state == VersionState::kLoading ||
         v.state == VersionState::kWarming;
}

bool Any(absl::Span<const VersionView> versions, bool (*is)(const VersionView&)) {
  return std::any_of(versions.begin(), versions.end(), is);
}

// The newest of those that `is` holds for; of one number, the latest load.
const VersionView* Newest(absl::Span<const VersionView> versions, bool (*is)(const VersionView&)) {
  const VersionView* newest = nullptr;
  for (const VersionView& v : versions) {
    if (!is(v)) continue;
    if (newest == nullptr || v.number > newest->number ||
        (v.number == newest->number && v.instance > newest->instance)) {
      newest = &v;
    }
  }
  return newest;
}

}  // namespace

VersionAction NextAction(absl::Span<const VersionView> versions, SwapOrder order) {
  const auto desired_pending = [](const VersionView& v) {
    return v.desired && v.state == VersionState::kPending;
  };
  const auto extra_serving = [](const VersionView& v) {
    return !v.desired && v.state == VersionState::kServing;
  };
  const bool any_desired = Any(versions, [](const VersionView& v) { return v.desired; });
  const bool desired_serves = Any(versions, [](const VersionView& v) {
    return v.desired && v.state == VersionState::kServing;
  });
  const bool desired_comes =
      Any(versions, [](const VersionView& v) { return v.desired && IsComing(v); });

  // Records of what is gone and not wanted.
  for (const VersionView& v : versions) {
    const bool needed_back = v.fallback && any_desired && !desired_serves;
    if (v.desired || needed_back) continue;
    if (v.state == VersionState::kPending || v.state == VersionState::kFailed ||
        v.state == VersionState::kUnloaded) {
      return {VersionStep::kForget, v.instance};
    }
  }

  const VersionView* const extra = Newest(versions, extra_serving);
  if (extra != nullptr) {
    const bool successor_serves = desired_serves || !any_desired;
    const bool makes_room = order == SwapOrder::kMemoryFirst && desired_comes;
    if (successor_serves || makes_room) return {VersionStep::kUnload, extra->instance};
  }

  if (const VersionView* const next = Newest(versions, desired_pending); next != nullptr) {
    const bool room_is_being_made =
        order == SwapOrder::kMemoryFirst && Any(versions, [](const VersionView& v) {
          return !v.desired && v.state == VersionState::kDraining;
        });
    if (!room_is_being_made) return {VersionStep::kLoad, next->instance};
  }

  // Memory first, and nothing new can be loaded: the old version comes back.
  if (any_desired && !desired_serves && !desired_comes && extra == nullptr) {
    const bool returning =
        Any(versions, [](const VersionView& v) { return v.fallback && IsComing(v); });
    const VersionView* const fallback = Newest(versions, [](const VersionView& v) {
      return v.fallback && v.state == VersionState::kUnloaded;
    });
    if (!returning && fallback != nullptr) return {VersionStep::kReload, fallback->instance};
  }
  return {};
}

int64_t DefaultVersion(absl::Span<const VersionView> versions) {
  const VersionView* best = Newest(versions, [](const VersionView& v) {
    return v.desired && v.state == VersionState::kServing;
  });
  if (best == nullptr) {
    best = Newest(versions, [](const VersionView& v) { return v.state == VersionState::kServing; });
  }
  return best == nullptr ? 0 : best->number;
}

}  // namespace paramd
