// What is served now, for people: the text of /statusz, for whoever is at the
// machine at three in the morning, and /status.json, which the page in the browser
// and `paramctl top` read beside /metrics: versions and their states, who holds
// them, how far loads are, names, and what the loaded ones are made of.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_STATUS_PAGE_H_
#define PARAMD_SERVER_STATUS_PAGE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/params/memory_ledger.h"
#include "server/batching/batcher.h"
#include "server/batching/executor.h"
#include "server/versions/version_manager.h"

namespace paramd {

// Scalars of a loaded version, as GetModelInfo counts them.
struct VersionScalars {
  int64_t weights = 0;
  int64_t biases = 0;
};

struct StatusPageInput {
  std::string build;
  absl::Time now;
  absl::Time started;
  absl::Status readiness;
  ServingStatus serving;
  // Of the versions that serve, by model and number.
  std::map<std::pair<std::string, int64_t>, VersionScalars> scalars;
  uint64_t crashes = 0;  // Of workers, as the keeper counted them.
  size_t quarantined = 0;
  Executor::State executor;
  int streams = 0;
  int threads_per_stream = 0;
  MemoryLedger ledger;
};

std::string StatusPage(const StatusPageInput& input);

// One JSON object. Times are seconds since the Unix epoch; generations are
// strings, because they do not fit the numbers of every reader.
std::string StatusJson(const StatusPageInput& input);

}  // namespace paramd

#endif  // PARAMD_SERVER_STATUS_PAGE_H_
