#include "server/keeper/crash_policy.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr size_t kVersionsMax = 1024;
constexpr uint32_t kSavedFormat = 1;

}  // namespace

CrashPolicy::Verdict CrashPolicy::OnCrash(absl::Time now, absl::Time ready_since,
                                          absl::Span<const Suspect> suspects) {
  Verdict verdict;
  ++crashes_;
  row_ = now - ready_since >= options_.healthy_after ? 1 : row_ + 1;
  if (row_ > 1) {
    verdict.delay = options_.backoff_first;
    for (int i = 2; i < row_ && verdict.delay < options_.backoff_max; ++i) verdict.delay *= 2;
    verdict.delay = std::min(verdict.delay, options_.backoff_max);
  }
  for (const Suspect& suspect : suspects) {
    History& history = versions_[suspect.version];
    int count = 0;
    if (suspect.activity == Activity::kLoading) {
      count = ++history.loading;
    } else {
      while (!history.running.empty() && now - history.running.front() > options_.running_memory) {
        history.running.pop_front();
      }
      history.running.push_back(now);
      count = static_cast<int>(history.running.size());
    }
    if (count < options_.crashes_to_quarantine || !history.quarantined.empty()) continue;
    history.quarantined = StrCat("the worker crashed ", count, " times while ",
                                 ActivityName(suspect.activity), " it");
    verdict.newly.push_back({suspect.version, history.quarantined});
  }
  ForgetSome();
  return verdict;
}

void CrashPolicy::OnHealthy(std::string_view version) {
  const auto found = versions_.find(version);
  if (found == versions_.end()) return;
  History& history = found->second;
  history.loading = 0;
  if (!history.quarantined.empty()) history.running.clear();
  history.quarantined.clear();
  if (history.running.empty()) versions_.erase(found);
}

// Names come from files: a folder that gets new ones every day must not grow this
// for ever. Those in quarantine stay.
void CrashPolicy::ForgetSome() {
  for (auto it = versions_.begin(); versions_.size() > kVersionsMax && it != versions_.end();) {
    it = it->second.quarantined.empty() ? versions_.erase(it) : std::next(it);
  }
}

std::vector<KeeperWelcome::Quarantined> CrashPolicy::quarantined() const {
  std::vector<KeeperWelcome::Quarantined> list;
  for (const auto& [version, history] : versions_) {
    if (!history.quarantined.empty()) list.push_back({version, history.quarantined});
  }
  return list;
}

std::string CrashPolicy::Save() const {
  ByteWriter out;
  out.U32(kSavedFormat);
  out.U64(crashes_);
  out.U32(static_cast<uint32_t>(versions_.size()));
  for (const auto& [version, history] : versions_) {
    out.Text32(version);
    out.U32(static_cast<uint32_t>(history.loading));
    out.U32(static_cast<uint32_t>(history.running.size()));
    for (const absl::Time time : history.running) out.I64(absl::ToUnixMicros(time));
    out.Text32(history.quarantined);
  }
  return std::move(out).Take();
}

void CrashPolicy::Restore(std::string_view saved) {
  const auto read = [&]() -> absl::Status {
    ByteReader in(saved);
    PARAMD_ASSIGN_OR_RETURN(const uint32_t format, in.ReadU32());
    if (format != kSavedFormat) return absl::UnimplementedError("another format");
    PARAMD_ASSIGN_OR_RETURN(crashes_, in.ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const uint32_t versions, in.ReadCount32(16));
    for (uint32_t i = 0; i < versions; ++i) {
      History history;
      PARAMD_ASSIGN_OR_RETURN(const std::string_view version, in.ReadText32());
      PARAMD_ASSIGN_OR_RETURN(const uint32_t loading, in.ReadU32());
      history.loading = static_cast<int>(std::min<uint32_t>(loading, 1'000'000));
      PARAMD_ASSIGN_OR_RETURN(const uint32_t running, in.ReadCount32(8));
      for (uint32_t j = 0; j < running; ++j) {
        PARAMD_ASSIGN_OR_RETURN(const int64_t time, in.ReadI64());
        history.running.push_back(absl::FromUnixMicros(time));
      }
      PARAMD_ASSIGN_OR_RETURN(const std::string_view quarantined, in.ReadText32());
      history.quarantined = std::string(quarantined);
      versions_.insert_or_assign(std::string(version), std::move(history));
    }
    return absl::OkStatus();
  };
  (void)read();
}

}  // namespace paramd
