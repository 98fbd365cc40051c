// UpgradePolicy: how one worker follows another without a failed request, as
// a pure sequence of steps.
//
//   Request -> kStartSuccessor; the successor loads while the old one serves
//   successor ready -> kRetireOld, kServeNew: only one accepts at a time; the old
//     one answers what is connected until its clients have moved
//   old one gone, or its time is up -> kDone
//   successor dead, or too late -> kKillSuccessor; the old one serves on: kFailed
//   old one dead while the successor comes up -> kServeNew at once: better late
//     answers than none
//
// Thread-safety: a value of one thread; the clock is the caller's.
#ifndef PARAMD_SERVER_KEEPER_UPGRADE_POLICY_H_
#define PARAMD_SERVER_KEEPER_UPGRADE_POLICY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/keeper/keeper_protocol.h"

namespace paramd {

enum class UpgradeStep {
  kStartSuccessor,
  kKillSuccessor,
  kRetireOld,
  kServeNew,  // The successor is the worker from now on.
  kKillOld,
};

struct UpgradePolicyOptions {
  absl::Duration ready_max = absl::Minutes(10);
  // Longer than clients keep a connection that is asked to close.
  absl::Duration drain_max = absl::Minutes(2);
};

class UpgradePolicy {
 public:
  using Phase = UpgradeStatus::Phase;

  explicit UpgradePolicy(const UpgradePolicyOptions& options) : options_(options) {}

  // FailedPrecondition: one is on its way, or no worker serves.
  absl::Status Request(absl::Time now, bool worker_serves);

  using Steps = std::vector<UpgradeStep>;
  // After Request was OK, and whenever something happened.
  Steps OnStart();
  Steps OnSuccessorReady(absl::Time now);
  // `why`: "it ended with status 1".
  Steps OnSuccessorGone(std::string_view why);
  // The retired one, as it should; or the one that still served.
  Steps OnOldGone();
  // When next_deadline() has come.
  Steps OnTime(absl::Time now);
  absl::Time next_deadline() const { return deadline_; }

  Phase phase() const { return phase_; }
  const std::string& message() const { return message_; }
  bool on_its_way() const { return phase_ == Phase::kStarting || phase_ == Phase::kDraining; }

  // For the keeper's next image.
  std::string Save() const;
  void Restore(std::string_view saved);

 private:
  const UpgradePolicyOptions options_;
  Phase phase_ = Phase::kNone;
  bool old_gone_ = false;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::string message_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_UPGRADE_POLICY_H_
