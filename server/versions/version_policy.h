// What the versions of one model should do next. Pure.
//
// Availability first (the default): a version that is not wanted any more serves
// until one that is wanted serves; if none of those loads, it goes on. Memory
// first, only where configured: the old version goes before the new one loads,
// requests get Unavailable meanwhile, and the old one is loaded again if no new
// one can be.
//
// Two loads of one number (its files changed) follow each other: the older goes
// when the newer serves, whatever other numbers serve, and stays if that fails.
#ifndef PARAMD_SERVER_VERSIONS_VERSION_POLICY_H_
#define PARAMD_SERVER_VERSIONS_VERSION_POLICY_H_

#include <cstdint>

#include "absl/types/span.h"
#include "server/versions/model_version.h"

namespace paramd {

enum class SwapOrder : uint8_t { kAvailabilityFirst, kMemoryFirst };

// One load of one version: a changed revision of the same number is another one.
struct VersionView {
  uint64_t instance = 0;
  int64_t number = 0;
  VersionState state = VersionState::kPending;
  bool desired = false;
  // It served and made room for a desired one: to be loaded again if those fail.
  bool fallback = false;
  // `default` points at it: it is loaded before the others.
  bool preferred = false;
  // Pending, and not to be loaded yet: it failed just now, as other files.
  bool waits = false;
};

enum class VersionStep : uint8_t {
  kNothing,  // Until a state changes.
  kLoad,     // pending -> loading
  kReload,   // unloaded fallback -> loading
  kUnload,   // serving -> draining
  kForget,   // Drop the record of a version that is not loaded and not wanted.
};

struct VersionAction {
  VersionStep step = VersionStep::kNothing;
  uint64_t instance = 0;
};

// `versions` are those of one model, in any order.
VersionAction NextAction(absl::Span<const VersionView> versions, SwapOrder order);

// The number that "default" stands for: the highest desired one that serves,
// else the highest that serves, else 0. For models that have no such name.
int64_t DefaultVersion(absl::Span<const VersionView> versions);

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_VERSION_POLICY_H_
