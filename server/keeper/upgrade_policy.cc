#include "server/keeper/upgrade_policy.h"

#include <utility>

#include "absl/status/statusor.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

absl::Status UpgradePolicy::Request(absl::Time now, bool worker_serves) {
  if (phase_ == Phase::kStarting) {
    return absl::FailedPreconditionError("an upgrade is on its way: its worker is coming up");
  }
  if (phase_ == Phase::kDraining) {
    return absl::FailedPreconditionError(
        "an upgrade is on its way: the worker before it still has connections");
  }
  if (!worker_serves) {
    return absl::FailedPreconditionError(
        "no worker serves; the next one is started from the new binary anyway");
  }
  phase_ = Phase::kStarting;
  old_gone_ = false;
  deadline_ = now + options_.ready_max;
  message_ = "the new worker is coming up; the old one serves";
  return absl::OkStatus();
}

UpgradePolicy::Steps UpgradePolicy::OnStart() { return {UpgradeStep::kStartSuccessor}; }

UpgradePolicy::Steps UpgradePolicy::OnSuccessorReady(absl::Time now) {
  if (phase_ != Phase::kStarting) return {};
  if (old_gone_) {
    phase_ = Phase::kDone;
    deadline_ = absl::InfiniteFuture();
    message_ = "the new worker serves";
    return {};  // It accepts already.
  }
  phase_ = Phase::kDraining;
  deadline_ = now + options_.drain_max;
  message_ = "the new worker serves; the old one answers its last connections";
  return {UpgradeStep::kRetireOld, UpgradeStep::kServeNew};
}

UpgradePolicy::Steps UpgradePolicy::OnSuccessorGone(std::string_view why) {
  if (phase_ != Phase::kStarting) return {};
  phase_ = Phase::kFailed;
  deadline_ = absl::InfiniteFuture();
  message_ = StrCat("the new worker did not become ready: ", why,
                    old_gone_ ? "" : "; the old one serves on");
  return {};
}

UpgradePolicy::Steps UpgradePolicy::OnOldGone() {
  if (phase_ == Phase::kDraining) {
    phase_ = Phase::kDone;
    deadline_ = absl::InfiniteFuture();
    message_ = "the new worker serves; the old one has ended";
    return {};
  }
  if (phase_ != Phase::kStarting || std::exchange(old_gone_, true)) return {};
  message_ = "the old worker died; the new one serves as soon as it can";
  return {UpgradeStep::kServeNew};
}

UpgradePolicy::Steps UpgradePolicy::OnTime(absl::Time now) {
  if (now < deadline_) return {};
  if (phase_ == Phase::kDraining) {
    deadline_ = absl::InfiniteFuture();  // Its end comes as OnOldGone.
    return {UpgradeStep::kKillOld};
  }
  if (phase_ != Phase::kStarting) return {};
  if (old_gone_) {  // It is the only one: it may take its time.
    deadline_ = absl::InfiniteFuture();
    return {};
  }
  OnSuccessorGone(StrCat("it was not ready within ", absl::FormatDuration(options_.ready_max)));
  return {UpgradeStep::kKillSuccessor};
}

std::string UpgradePolicy::Save() const {
  ByteWriter out;
  out.U8(static_cast<uint8_t>(phase_));
  out.U8(old_gone_ ? 1 : 0);
  out.I64(absl::ToUnixMicros(deadline_));
  out.Text32(message_);
  return std::move(out).Take();
}

void UpgradePolicy::Restore(std::string_view saved) {
  const auto read = [&]() -> absl::Status {
    ByteReader in(saved);
    PARAMD_ASSIGN_OR_RETURN(const uint8_t phase, in.ReadU8());
    PARAMD_ASSIGN_OR_RETURN(const uint8_t old_gone, in.ReadU8());
    PARAMD_ASSIGN_OR_RETURN(const int64_t deadline, in.ReadI64());
    PARAMD_ASSIGN_OR_RETURN(const std::string_view message, in.ReadText32());
    if (phase > static_cast<uint8_t>(Phase::kFailed)) return absl::DataLossError("phase");
    phase_ = static_cast<Phase>(phase);
    old_gone_ = old_gone != 0;
    deadline_ = on_its_way() ? absl::FromUnixMicros(deadline) : absl::InfiniteFuture();
    message_ = std::string(message);
    return absl::OkStatus();
  };
  (void)read();
}

}  // namespace paramd
