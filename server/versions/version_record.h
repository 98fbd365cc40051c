// VersionRecord: what the version manager's control thread knows of each load of
// each version, and of each model. Its table is made of these.
//
// Thread-safety: values; VersionManager guards them with its mutex.
#ifndef PARAMD_SERVER_VERSIONS_VERSION_RECORD_H_
#define PARAMD_SERVER_VERSIONS_VERSION_RECORD_H_

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/batcher.h"
#include "server/versions/model_version.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/version_manager.h"
#include "server/versions/version_policy.h"

namespace paramd {

// One load of one version, from the wish to the end.
struct VersionRecord {
  uint64_t id = 0;
  DesiredVersion version;
  BatcherOptions batching;
  std::any config;
  bool desired = false;
  bool fallback = false;
  VersionState state = VersionState::kPending;
  absl::Time not_before = absl::InfinitePast();  // Pending: files that just failed wait.
  std::string reason;
  absl::Status error;  // Of a load that failed.
  LoadNote progress;
  WeightsIdentity weights;
  absl::Time since;
  absl::Duration load_took;
  ModelHandle handle;  // While serving.
  HandleWatch watch;
};

// How often the loads of one number failed in a row.
struct FailureHistory {
  int count = 0;
  absl::Time last;
  uint64_t attempt = 0;  // DesiredVersion::attempt of the last.
  std::string reason;
};

struct ModelRecord {
  bool desired = false;  // In the last list.
  std::string error;
  SwapOrder swap_order = SwapOrder::kAvailabilityFirst;
  std::vector<DesiredName> names;
  std::vector<std::unique_ptr<VersionRecord>> versions;
  std::map<int64_t, FailureHistory> failures;  // By number; until it serves.
};

bool IsComing(VersionState state);
// Some version is on its way and does not wait for anything.
bool IsBeingLoaded(const ModelRecord& model, absl::Time now);

// What the policy sees.
std::vector<VersionView> ViewsOf(const ModelRecord& model, absl::Time now);

ModelStatus StatusOf(const std::string& name, const ModelRecord& model, absl::Time now);

// What requests see. `default` is a number here: the version that the name points
// at or, where it has none or that one has failed, what DefaultVersion says. One
// that is on its way is waited for: another version's answer would be wrong.
RoutingSnapshot::Routes RoutesOf(const std::string& name, const ModelRecord& model, absl::Time now);

// How long files wait that replace others which failed `failures` times in a row.
absl::Duration RetryDelay(int failures);

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_VERSION_RECORD_H_
