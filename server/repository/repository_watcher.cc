#include "server/repository/repository_watcher.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/log/log.h"
#include "absl/strings/str_split.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/repository/model_repository.h"

namespace paramd {
namespace {

// Beneath a model's folder: version, then what a version may have in it (golden
// requests, external data).
constexpr int kDepthMax = 4;
// Entries of the root: see kRepositoryEntriesMax.
constexpr size_t kModelsMax = 10'000;

// Not IN_MODIFY: a copy of gigabytes would be reported thousands of times. That a
// file is still growing shows in its size.
constexpr uint32_t kMask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |
                           IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR;

struct Link {
  std::string folder;  // That it stands in.
  std::string name;
};

// Every symbolic link that resolving `path` goes through.
std::vector<Link> LinksOnTheWayTo(const std::string& path) {
  constexpr int kLinksMax = 40;  // As the kernel.
  std::vector<Link> links;
  std::string at = path.starts_with('/') ? "/" : ".";
  std::deque<std::string> ahead;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ahead.emplace_back(part);
  }
  while (!ahead.empty()) {
    const std::string name = ahead.front();
    ahead.pop_front();
    const std::string here = StrCat(at, at == "/" ? "" : "/", name);
    std::array<char, 4096> target;
    const ssize_t bytes = readlink(here.c_str(), target.data(), target.size());
    if (bytes <= 0) {
      at = here;
      continue;
    }
    if (links.size() == kLinksMax) return links;
    links.push_back({.folder = at, .name = name});
    const std::string_view text(target.data(), static_cast<size_t>(bytes));
    if (text.starts_with('/')) at = "/";
    const std::vector<std::string> parts = absl::StrSplit(ToAbsl(text), '/', absl::SkipEmpty());
    ahead.insert(ahead.begin(), parts.begin(), parts.end());
  }
  return links;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RepositoryWatcher>> RepositoryWatcher::Create(
    const std::string& root, const Clock* clock, const RepositoryWatcherOptions& options,
    OnChange on_change) {
  UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid()) {
    return absl::ResourceExhaustedError(
        StrCat("cannot watch the model repository: ", strerror(errno),
               "; fs.inotify.max_user_instances may be too small"));
  }
  std::unique_ptr<RepositoryWatcher> watcher(
      new RepositoryWatcher(root, std::move(inotify), clock, options, std::move(on_change)));
  PARAMD_RETURN_IF_ERROR(watcher->OpenRoot());
  watcher->Listen("");
  watcher->pending_[""] = {.due = clock->Now() + options.settle_time,
                           .fingerprint = watcher->Fingerprint("")};
  return watcher;
}

// Opened by name each time: the name may be a link that leads elsewhere by now.
absl::Status RepositoryWatcher::OpenRoot() {
  PARAMD_ASSIGN_OR_RETURN(root_, Directory::Open(root_path_));
  return absl::OkStatus();
}

int RepositoryWatcher::AddWatch(const std::string& path) {
  int watch = inotify_add_watch(inotify_.get(), path.c_str(), kMask);
  if (watch >= 0 && !watches_.contains(watch)) {
    if (watches_.size() < options_.watches_max) {
      watches_[watch];  // SetWatches says whose it is.
    } else {
      inotify_rm_watch(inotify_.get(), watch);
      watch = -1;
      errno = ENOSPC;
    }
  }
  // A folder that has just gone is reported by the one that it was in.
  if (watch >= 0 || errno == ENOENT || errno == ENOTDIR) return watch;
  if (!warned_) {
    LOG(WARNING) << "cannot listen to changes of " << path << ": " << strerror(errno)
                 << (errno == ENOSPC ? " (see fs.inotify.max_user_watches)" : "")
                 << "; the repository is looked at every " << options_.poll_interval << " as well";
    warned_ = true;
  }
  poll_at_ = clock_->Now() + options_.poll_interval;
  return -1;
}

void RepositoryWatcher::SetWatches(const std::string& model, std::set<int> found) {
  for (const int watch : found) watches_[watch].insert(model);
  std::set<int> before = std::exchange(watches_of_[model], std::move(found));
  const std::set<int>& now = watches_of_[model];
  for (const int watch : before) {
    const auto known = watches_.find(watch);
    if (now.contains(watch) || known == watches_.end()) continue;
    known->second.erase(model);
    if (!known->second.empty()) continue;
    inotify_rm_watch(inotify_.get(), watch);
    watches_.erase(known);
  }
  if (now.empty()) watches_of_.erase(model);
}

std::set<int> RepositoryWatcher::ListenToRoot() {
  std::set<int> found;
  link_names_.clear();
  for (const Link& link : LinksOnTheWayTo(root_path_)) {
    const int watch = AddWatch(link.folder);
    if (watch < 0) continue;
    link_names_[watch].insert(link.name);
    found.insert(watch);
  }
  root_watch_ = AddWatch(root_path_);
  if (root_watch_ >= 0) {
    found.insert(root_watch_);
  } else {
    poll_at_ = clock_->Now() + options_.poll_interval;  // It is gone; it may come back.
  }
  return found;
}

void RepositoryWatcher::Listen(const std::string& model) {
  if (!model.empty()) {
    std::set<int> found;
    size_t entries = 0;
    ListenToFolder(model, model, 0, &found, &entries);
    SetWatches(model, std::move(found));
    return;
  }
  SetWatches("", ListenToRoot());
  std::set<std::string> models;
  if (const auto listed = root_->List(kModelsMax); listed.ok()) {
    for (const Directory::Entry& entry : *listed) {
      if (entry.is_directory && CheckModelName(entry.name).ok()) models.insert(entry.name);
    }
  }
  std::vector<std::string> gone;
  for (const auto& [known, watches] : watches_of_) {
    if (!known.empty() && !models.contains(known)) gone.push_back(known);
  }
  for (const std::string& one : gone) SetWatches(one, {});
  for (const std::string& one : models) Listen(one);
}

void RepositoryWatcher::ListenToFolder(const std::string& folder, const std::string& model,
                                       int depth, std::set<int>* found, size_t* entries) {
  // First listen, then look: what comes in between is seen by one of them.
  const int watch = AddWatch(StrCat(root_path_, "/", folder));
  if (watch < 0) return;
  // A folder that was reached before, in another way or by a link in a circle.
  if (!found->insert(watch).second) return;
  const absl::StatusOr<std::unique_ptr<Directory>> opened = root_->OpenDirectory(folder);
  if (!opened.ok() || depth == kDepthMax) return;
  const absl::StatusOr<std::vector<Directory::Entry>> inside =
      (*opened)->List(options_.entries_max);
  if (!inside.ok()) return;
  for (const Directory::Entry& entry : *inside) {
    if (++*entries > options_.entries_max) return;
    if (!entry.is_directory) continue;
    ListenToFolder(StrCat(folder, "/", entry.name), model, depth + 1, found, entries);
  }
}

void RepositoryWatcher::HashFolder(const std::string& folder, int depth, size_t* entries,
                                   uint64_t* hash) const {
  const absl::StatusOr<std::unique_ptr<Directory>> opened = root_->OpenDirectory(folder);
  if (!opened.ok()) {
    *hash = absl::HashOf(*hash, folder);
    return;
  }
  const absl::StatusOr<std::vector<Directory::Entry>> inside =
      (*opened)->List(options_.entries_max);
  if (!inside.ok()) return;
  for (const Directory::Entry& entry : *inside) {
    if (++*entries > options_.entries_max) return;
    const std::string path = StrCat(folder, "/", entry.name);
    struct stat found = {};
    if (stat(StrCat(root_path_, "/", path).c_str(), &found) == 0) {
      *hash = absl::HashOf(*hash, path, found.st_dev, found.st_ino, found.st_size,
                           found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
    }
    if (entry.is_directory && depth < kDepthMax) HashFolder(path, depth + 1, entries, hash);
  }
}

// Changes when a file of the model does, also when nobody reports it.
uint64_t RepositoryWatcher::Fingerprint(const std::string& model) const {
  uint64_t hash = 0;
  size_t entries = 0;
  if (!model.empty()) {
    HashFolder(model, 0, &entries, &hash);
    return hash;
  }
  const absl::StatusOr<std::vector<Directory::Entry>> models = root_->List(kModelsMax);
  if (!models.ok()) return 0;
  for (const Directory::Entry& entry : *models) {
    if (!entry.is_directory || !CheckModelName(entry.name).ok()) continue;
    entries = 0;
    HashFolder(entry.name, 0, &entries, &hash);
  }
  return hash;
}

void RepositoryWatcher::Take(const Event& event, std::set<std::string>* changed) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    LOG(WARNING) << "the kernel dropped reports of changes: looking at the whole repository";
    changed->insert("");
    return;
  }
  const auto watch = watches_.find(event.watch);
  if (watch == watches_.end()) return;
  if (const auto links = link_names_.find(event.watch); links != link_names_.end()) {
    if (links->second.contains(std::string(event.name))) changed->insert("");
  }
  for (const std::string& model : watch->second) {
    if (!model.empty()) changed->insert(model);
  }
  if (event.watch == root_watch_) {
    // What is hidden is no model, but models may be links through it.
    if (event.name.empty() || event.name.starts_with('.')) {
      changed->insert("");
    } else if (CheckModelName(event.name).ok()) {
      changed->insert(std::string(event.name));
    }
  }
  // The kernel has dropped it: the folder is gone.
  if ((event.mask & IN_IGNORED) != 0) watches_.erase(watch);
}

void RepositoryWatcher::ReadEvents(std::set<std::string>* changed) {
  alignas(inotify_event) std::array<char, 65536> buffer;
  while (true) {
    const ssize_t bytes = read(inotify_.get(), buffer.data(), buffer.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return;
    for (size_t at = 0; at < static_cast<size_t>(bytes);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* const name = buffer.data() + at + sizeof(event);
      Take({.watch = event.wd,
            .mask = event.mask,
            .name = std::string_view(name, event.len == 0 ? 0 : strnlen(name, event.len))},
           changed);
      at += sizeof(event) + event.len;
    }
  }
}

absl::Time RepositoryWatcher::Look() {
  std::set<std::string> changed;
  ReadEvents(&changed);
  const absl::Time now = clock_->Now();
  if (now >= poll_at_) {
    poll_at_ = absl::InfiniteFuture();  // Unless it still cannot listen to everything.
    changed.insert("");
  }
  if (changed.contains("")) {
    changed = {""};
    if (const absl::Status status = OpenRoot(); !status.ok()) {
      LOG(WARNING) << "the model repository cannot be read: " << status;
    }
  }
  for (const std::string& model : changed) {
    Listen(model);
    pending_[model] = {.due = now + options_.settle_time, .fingerprint = Fingerprint(model)};
  }
  absl::Time next = poll_at_;
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    auto& [model, state] = *pending;
    if (state.due <= now) {
      const uint64_t fingerprint = Fingerprint(model);
      if (fingerprint == state.fingerprint) {
        on_change_(model);
        pending = pending_.erase(pending);
        continue;
      }
      state = {.due = now + options_.settle_time, .fingerprint = fingerprint};
    }
    next = std::min(next, state.due);
    ++pending;
  }
  return next;
}

}  // namespace paramd
