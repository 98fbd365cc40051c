#include "server/crash_trail.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Of this thread; -1: nobody asked for one.
thread_local int slot = -1;

// FNV-1a: the same in every binary.
uint32_t ShortDigest(std::string_view text) {
  uint32_t hash = 2166136261;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619;
  return hash;
}

}  // namespace

std::string TrailName(const std::string& model, int64_t version, std::string_view revision) {
  return absl::StrFormat("%s/%d#%08x", model, version, ShortDigest(revision));
}

CrashTrail::CrashTrail(std::unique_ptr<BreadcrumbWriter> breadcrumbs,
                       std::vector<KeeperWelcome::Quarantined> quarantined)
    : breadcrumbs_(std::move(breadcrumbs)) {
  for (KeeperWelcome::Quarantined& version : quarantined) {
    quarantined_.emplace(std::move(version.version), std::move(version.reason));
  }
}

void CrashTrail::AddThread() { slot = breadcrumbs_->AddSlot(); }

uint32_t CrashTrail::Name(const std::string& model, int64_t version, std::string_view revision) {
  return breadcrumbs_->Name(TrailName(model, version, revision));
}

void CrashTrail::Loaded(uint32_t number, uint64_t generation) {
  MutexLock lock(&mutex_);
  numbers_[generation] = number;
}

void CrashTrail::Unloaded(uint64_t generation) {
  MutexLock lock(&mutex_);
  const auto found = numbers_.find(generation);
  if (found == numbers_.end()) return;
  breadcrumbs_->Forget(found->second);
  numbers_.erase(found);
}

void CrashTrail::Loading(uint32_t number) { breadcrumbs_->Mark(slot, Activity::kLoading, number); }

void CrashTrail::Running(uint32_t number) { breadcrumbs_->Mark(slot, Activity::kRunning, number); }

std::vector<std::string> CrashTrail::Acquit(const std::string& model, int64_t version,
                                            std::string_view revision) {
  std::vector<std::string> names = {TrailName(model, version, revision)};
  const std::string prefix = StrCat(model, "/", version, "#");
  MutexLock lock(&mutex_);
  for (auto it = quarantined_.begin(); it != quarantined_.end();) {
    if (!it->first.starts_with(prefix)) {
      ++it;
      continue;
    }
    if (it->first != names.front()) names.push_back(it->first);
    it = quarantined_.erase(it);
  }
  return names;
}

std::map<std::string, std::string> CrashTrail::Quarantined() const {
  MutexLock lock(&mutex_);
  std::map<std::string, std::string> versions;
  for (const auto& [name, reason] : quarantined_) {
    versions.emplace(name.substr(0, name.rfind('#')), reason);
  }
  return versions;
}

size_t CrashTrail::quarantined() const {
  MutexLock lock(&mutex_);
  return quarantined_.size();
}

}  // namespace paramd
