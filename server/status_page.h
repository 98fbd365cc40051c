// The text of /statusz: versions and their states, who holds them, queues,
// streams and segments. For people at three in the morning.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_STATUS_PAGE_H_
#define PARAMD_SERVER_STATUS_PAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/params/memory_ledger.h"
#include "server/batching/batcher.h"
#include "server/batching/executor.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct StatusPageInput {
  std::string build;
  absl::Time now;
  absl::Time started;
  absl::Status readiness;
  ServingStatus serving;
  uint64_t crashes = 0;  // Of workers, as the keeper counted them.
  size_t quarantined = 0;
  Executor::State executor;
  int streams = 0;
  int threads_per_stream = 0;
  MemoryLedger ledger;
};

std::string StatusPage(const StatusPageInput& input);

}  // namespace paramd

#endif  // PARAMD_SERVER_STATUS_PAGE_H_
