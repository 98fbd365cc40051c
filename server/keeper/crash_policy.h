// CrashPolicy: what the keeper does after its worker died: when to start the
// next one, and which versions not to load again.
//
// The first restart is immediate, so that a single crash costs as little as can
// be; the next ones wait longer and longer, until a worker has been ready for a
// while. A version that was being loaded, or run, in three crashes is
// quarantined: the others serve without it.
//
// Thread-safety: a value of one thread; the clock is the caller's.
#ifndef PARAMD_SERVER_KEEPER_CRASH_POLICY_H_
#define PARAMD_SERVER_KEEPER_CRASH_POLICY_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/keeper/breadcrumb.h"
#include "server/keeper/keeper_protocol.h"

namespace paramd {

struct CrashPolicyOptions {
  // Of the second restart in a row; doubles up to the maximum.
  absl::Duration backoff_first = absl::Milliseconds(100);
  absl::Duration backoff_max = absl::Seconds(30);
  // A worker that was ready that long begins a new row.
  absl::Duration healthy_after = absl::Seconds(5);
  int crashes_to_quarantine = 3;
  // Crashes while a version ran count that long; those of its loading until it
  // has loaded.
  absl::Duration running_memory = absl::Hours(1);
};

class CrashPolicy {
 public:
  explicit CrashPolicy(const CrashPolicyOptions& options = {}) : options_(options) {}

  struct Verdict {
    absl::Duration delay;                           // Until the next start.
    std::vector<KeeperWelcome::Quarantined> newly;  // Quarantined by this crash.
  };
  // A worker died that was ready since `ready_since` (infinite future: never was).
  Verdict OnCrash(absl::Time now, absl::Time ready_since, absl::Span<const Suspect> suspects);

  // The version loaded, or failed to in good order: crashes of its loading are
  // forgotten, and so is its quarantine, since somebody asked for it.
  void OnHealthy(std::string_view version);

  uint64_t crashes() const { return crashes_; }
  // Crashes in a row, without a worker that was ready for a while.
  int row() const { return row_; }
  std::vector<KeeperWelcome::Quarantined> quarantined() const;

  // For the keeper's next image.
  std::string Save() const;
  // What is damaged is left out.
  void Restore(std::string_view saved);

 private:
  struct History {
    int loading = 0;
    std::deque<absl::Time> running;
    std::string quarantined;  // Why; empty: it is not.
  };
  void ForgetSome();

  const CrashPolicyOptions options_;
  uint64_t crashes_ = 0;
  int row_ = 0;
  std::map<std::string, History, std::less<>> versions_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_CRASH_POLICY_H_
