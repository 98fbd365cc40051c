#include "server/versions/version_policy.h"

#include <algorithm>
#include <tuple>

namespace paramd {
namespace {

bool IsComing(const VersionView& v) {
  return (v.state == VersionState::kPending && !v.waits) || v.state == VersionState::kLoading ||
         v.state == VersionState::kWarming;
}

bool Any(absl::Span<const VersionView> versions, bool (*is)(const VersionView&)) {
  return std::any_of(versions.begin(), versions.end(), is);
}

// The newest of those that `is` holds for, a preferred one before the others; of
// one number, the latest load.
template <typename Is>
const VersionView* Newest(absl::Span<const VersionView> versions, Is is) {
  const auto rank = [](const VersionView& v) {
    return std::tuple(v.preferred, v.number, v.instance);
  };
  const VersionView* newest = nullptr;
  for (const VersionView& v : versions) {
    if (is(v) && (newest == nullptr || rank(v) > rank(*newest))) newest = &v;
  }
  return newest;
}

// What there is of those that take over from `old`: the desired loads of its
// number or, where its number is not desired, all that are.
struct Successors {
  bool wanted = false;
  bool serve = false;
  bool come = false;
};

Successors SuccessorsOf(const VersionView& old, absl::Span<const VersionView> versions) {
  const bool by_number = std::any_of(versions.begin(), versions.end(), [&](const VersionView& v) {
    return v.desired && v.number == old.number;
  });
  Successors found;
  for (const VersionView& v : versions) {
    if (!v.desired || (by_number && v.number != old.number)) continue;
    found.wanted = true;
    found.serve = found.serve || v.state == VersionState::kServing;
    found.come = found.come || IsComing(v);
  }
  return found;
}

// Serves, is not desired, and has done its duty.
bool MayGo(const VersionView& v, absl::Span<const VersionView> versions, SwapOrder order) {
  if (v.desired || v.state != VersionState::kServing) return false;
  const Successors successors = SuccessorsOf(v, versions);
  return !successors.wanted || successors.serve ||
         (order == SwapOrder::kMemoryFirst && successors.come);
}

bool IsNeededBack(const VersionView& v, absl::Span<const VersionView> versions) {
  if (!v.fallback) return false;
  const Successors successors = SuccessorsOf(v, versions);
  return successors.wanted && !successors.serve;
}

// Made room, and what it made room for cannot be loaded.
bool ComesBack(const VersionView& v, absl::Span<const VersionView> versions) {
  if (v.state != VersionState::kUnloaded || !IsNeededBack(v, versions)) return false;
  const bool by_number = std::any_of(versions.begin(), versions.end(), [&](const VersionView& o) {
    return o.desired && o.number == v.number;
  });
  // One is enough: another that serves or is coming back already.
  const bool is_covered = std::any_of(versions.begin(), versions.end(), [&](const VersionView& o) {
    if (o.desired || (by_number && o.number != v.number)) return false;
    return o.state == VersionState::kServing || (o.fallback && IsComing(o));
  });
  return !is_covered && !SuccessorsOf(v, versions).come;
}

}  // namespace

VersionAction NextAction(absl::Span<const VersionView> versions, SwapOrder order) {
  // Records of what is gone and not wanted.
  for (const VersionView& v : versions) {
    if (v.desired || IsNeededBack(v, versions)) continue;
    if (v.state == VersionState::kPending || v.state == VersionState::kFailed ||
        v.state == VersionState::kUnloaded) {
      return {VersionStep::kForget, v.instance};
    }
  }

  const VersionView* const leaving =
      Newest(versions, [&](const VersionView& v) { return MayGo(v, versions, order); });
  if (leaving != nullptr) return {VersionStep::kUnload, leaving->instance};

  const VersionView* const next = Newest(versions, [](const VersionView& v) {
    return v.desired && v.state == VersionState::kPending && !v.waits;
  });
  const bool room_is_being_made =
      order == SwapOrder::kMemoryFirst && Any(versions, [](const VersionView& v) {
        return !v.desired && v.state == VersionState::kDraining;
      });
  if (next != nullptr && !room_is_being_made) return {VersionStep::kLoad, next->instance};

  const VersionView* const back =
      Newest(versions, [&](const VersionView& v) { return ComesBack(v, versions); });
  if (back != nullptr) return {VersionStep::kReload, back->instance};
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
