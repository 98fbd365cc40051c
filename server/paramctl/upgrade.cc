// paramctl upgrade: a worker from the program that is installed now takes over.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "runtime/base/mutex.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/proto_json.h"

namespace paramd {
namespace {

constexpr double kWaitDefaultS = 900;  // A successor may load gigabytes.
constexpr absl::Duration kPollInterval = absl::Milliseconds(200);
constexpr double kPollTimeoutS = 5;

struct UpgradeOptions {
  bool no_wait = false;
};

const char* PhaseText(v1::UpgradePhase phase) {
  switch (phase) {
    case v1::UPGRADE_PHASE_NONE:
      return "none";
    case v1::UPGRADE_PHASE_STARTING:
      return "the successor starts and loads";
    case v1::UPGRADE_PHASE_DRAINING:
      return "the successor serves, the old worker finishes what it has";
    case v1::UPGRADE_PHASE_DONE:
      return "done";
    case v1::UPGRADE_PHASE_FAILED:
      return "failed";
    default:
      return "unknown";
  }
}

// Nobody wakes it: it is how long to wait between two questions.
void WaitUntil(absl::Time time) {
  Mutex mutex;
  CondVar nobody;
  MutexLock lock(&mutex);
  while (absl::Now() < time) nobody.WaitUntil(&mutex, time);
}

// Each question on a connection of its own: the one before leads to the worker
// that goes.
absl::StatusOr<v1::UpgradeStatusResponse> Ask(const GlobalOptions& options) {
  return AdminClient(options).Call(&v1::ModelAdmin::Stub::UpgradeStatus, v1::UpgradeStatusRequest(),
                                   kPollTimeoutS);
}

absl::StatusOr<v1::UpgradeStatusResponse> Follow(const GlobalOptions& options, absl::Time start) {
  const absl::Time deadline =
      start + absl::Seconds(options.timeout_given ? options.timeout_s : kWaitDefaultS);
  v1::UpgradePhase shown = v1::UPGRADE_PHASE_UNSPECIFIED;
  while (true) {
    const absl::StatusOr<v1::UpgradeStatusResponse> status = Ask(options);
    // Between two workers a question may go unanswered; that is no failure yet.
    const bool ask_again =
        absl::IsUnavailable(status.status()) || absl::IsDeadlineExceeded(status.status());
    if (!status.ok() && !ask_again) return status.status();
    if (status.ok() && status->phase() != shown) {
      shown = status->phase();
      if (!options.json) {
        std::fprintf(stderr, "%6.2f s  %s%s%s\n", absl::ToDoubleSeconds(absl::Now() - start),
                     PhaseText(shown), status->message().empty() ? "" : ": ",
                     status->message().c_str());
      }
    }
    if (shown == v1::UPGRADE_PHASE_DONE) return status;
    if (shown == v1::UPGRADE_PHASE_FAILED) {
      return absl::FailedPreconditionError(
          StrCat("the old worker serves on: ", status.ok() ? status->message() : ""));
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          StrCat("waited long enough; the upgrade goes on: ", PhaseText(shown)));
    }
    WaitUntil(absl::Now() + kPollInterval);
  }
}

absl::Status Upgrade(const GlobalOptions& options, const UpgradeOptions& upgrade) {
  const absl::Time start = absl::Now();
  PARAMD_RETURN_IF_ERROR(
      AdminClient(options).Call(&v1::ModelAdmin::Stub::Upgrade, v1::UpgradeRequest()).status());
  absl::StatusOr<v1::UpgradeStatusResponse> status =
      upgrade.no_wait ? Ask(options) : Follow(options, start);
  if (!status.ok()) return status.status();
  if (options.json) return PrintJson(*status);
  if (upgrade.no_wait) {
    std::printf("asked for: %s\n", PhaseText(status->phase()));
  } else {
    std::printf("process %s serves, after %.2f s\n", StrCat(status->serving_pid()).c_str(),
                absl::ToDoubleSeconds(absl::Now() - start));
  }
  return absl::OkStatus();
}

}  // namespace

void AddUpgradeCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto upgrade = std::make_shared<UpgradeOptions>();
  CLI::App* command = app->add_subcommand(
      "upgrade", "Hand over to a worker of the paramd that is installed now; no request fails");
  command->add_flag("--no-wait", upgrade->no_wait, "Only ask for it");
  command->footer(
      "Install the new paramd-worker over the old one first. The successor takes the parameters "
      "over from\n"
      "memory; when it is ready it takes new connections, and the old one ends when its own have\n"
      "gone. If the successor does not become ready, the old one serves on and this fails.\n"
      "\n"
      "  paramctl upgrade\n"
      "  paramctl --timeout 60 upgrade --json");
  command->callback([=] { *work = [=] { return Upgrade(*options, *upgrade); }; });
}

}  // namespace paramd
