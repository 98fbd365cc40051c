// CrashTrail: the worker's WorkTrail: breadcrumbs that its keeper reads after a
// crash; and which versions that keeper has put in quarantine.
//
// Life: one a process; outlives every thread that was added.
// Thread-safety: thread-safe; see WorkTrail.
#ifndef PARAMD_SERVER_CRASH_TRAIL_H_
#define PARAMD_SERVER_CRASH_TRAIL_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"
#include "server/batching/work_trail.h"
#include "server/keeper/breadcrumb.h"
#include "server/keeper/keeper_protocol.h"

namespace paramd {

// "digits/3#5e0b91c2": what the keeper counts crashes of. Only the digest of the
// revision: it is for comparing, and names files.
std::string TrailName(const std::string& model, int64_t version, std::string_view revision);

class CrashTrail final : public WorkTrail {
 public:
  CrashTrail(std::unique_ptr<BreadcrumbWriter> breadcrumbs,
             std::vector<KeeperWelcome::Quarantined> quarantined);

  // The calling thread, after it got its name, will load or run models.
  void AddThread();

  uint32_t Name(const std::string& model, int64_t version, std::string_view revision) override;
  void Loading(uint32_t number) override;
  void Running(uint32_t number) override;
  // The version that got this number has this generation; when that is unloaded,
  // its number is free for another one.
  void Loaded(uint32_t number, uint64_t generation);
  void Unloaded(uint64_t generation);

  // It loaded, or failed to in good order: the names that the keeper should hear
  // are healthy; with it those that stood for other files of the same version.
  std::vector<std::string> Acquit(const std::string& model, int64_t version,
                                  std::string_view revision);
  // "digits/3" and why.
  std::map<std::string, std::string> Quarantined() const;
  // For the metric.
  size_t quarantined() const;

 private:
  const std::unique_ptr<BreadcrumbWriter> breadcrumbs_;
  mutable Mutex mutex_;
  std::map<std::string, std::string> quarantined_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, uint32_t> numbers_ ABSL_GUARDED_BY(mutex_);  // By generation.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_CRASH_TRAIL_H_
