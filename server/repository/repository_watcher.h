// RepositoryWatcher: tells which models changed on disk (--watch).
//
// It listens with inotify to the root, the model folders and everything beneath
// them, and reports a model once it has settled: nothing was reported of it for
// the settle time and, because not every writer is reported while it writes (a
// long copy, another machine's mount), its files' sizes and times are what they
// were when that time began. Links that are flipped (ConfigMap's ..data, git-sync's
// worktrees, also where the root itself is such a link) count as changes of what
// lies behind them. When the kernel drops events, or allows no more watches,
// everything is looked at instead.
//
// It reports too much rather than too little: who listens compares revisions.
//
// Life: the root must be there when it is created. Owns its inotify descriptor
// and no thread: wait until fd() is readable or Look's time has come, call Look.
// Thread-safety: one thread.
#ifndef PARAMD_SERVER_REPOSITORY_REPOSITORY_WATCHER_H_
#define PARAMD_SERVER_REPOSITORY_REPOSITORY_WATCHER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

struct RepositoryWatcherOptions {
  absl::Duration settle_time = absl::Seconds(1);
  // Where inotify does not reach, everything is reported that often.
  absl::Duration poll_interval = absl::Seconds(30);
  size_t watches_max = 65'536;  // Folders that are listened to.
  size_t entries_max = 10'000;  // That one look at one model takes in.
};

class RepositoryWatcher {
 public:
  // Called by Look with the model that changed (which may be gone, or a file that
  // only looks like one by its name); empty: any of them may have.
  using OnChange = std::function<void(const std::string& model)>;

  // Everything is reported once, settle_time after Create: what changed before
  // it listened.
  static absl::StatusOr<std::unique_ptr<RepositoryWatcher>> Create(
      const std::string& root, const Clock* clock, const RepositoryWatcherOptions& options,
      OnChange on_change);

  RepositoryWatcher(const RepositoryWatcher&) = delete;
  RepositoryWatcher& operator=(const RepositoryWatcher&) = delete;

  // Readable when there is something to look at.
  int fd() const { return inotify_.get(); }

  // Takes what the kernel reported, reports what has settled, and returns when to
  // be called again even if fd() stays silent.
  absl::Time Look();

  size_t watches() const { return watches_.size(); }

 private:
  // A model that changed and has not settled.
  struct Pending {
    absl::Time due;
    uint64_t fingerprint = 0;
  };
  struct Event {
    int watch = -1;
    uint32_t mask = 0;
    std::string_view name;
  };

  RepositoryWatcher(std::string root, UniqueFd inotify, const Clock* clock,
                    const RepositoryWatcherOptions& options, OnChange on_change)
      : root_path_(std::move(root)),
        inotify_(std::move(inotify)),
        clock_(clock),
        options_(options),
        on_change_(std::move(on_change)) {}

  absl::Status OpenRoot();
  // Empty: to everything.
  void Listen(const std::string& model);
  std::set<int> ListenToRoot();
  void ListenToFolder(const std::string& folder, const std::string& model, int depth,
                      std::set<int>* found, size_t* entries);
  int AddWatch(const std::string& path);
  // From now on the model has these watches and no others.
  void SetWatches(const std::string& model, std::set<int> found);
  // Empty: of everything.
  uint64_t Fingerprint(const std::string& model) const;
  void HashFolder(const std::string& folder, int depth, size_t* entries, uint64_t* hash) const;

  void ReadEvents(std::set<std::string>* changed);
  void Take(const Event& event, std::set<std::string>* changed);

  const std::string root_path_;
  const UniqueFd inotify_;
  const Clock* const clock_;
  const RepositoryWatcherOptions options_;
  const OnChange on_change_;

  std::unique_ptr<Directory> root_;
  // Watch -> models that have the folder: one folder may be reached in several
  // ways. Those of the root and of the links that lead to it have the empty name.
  std::map<int, std::set<std::string>> watches_;
  std::map<std::string, std::set<int>> watches_of_;  // The other way round.
  int root_watch_ = -1;
  std::map<int, std::set<std::string>> link_names_;  // Watch -> links to the root in it.
  bool warned_ = false;
  // Not infinite: there is a folder that could not be listened to.
  absl::Time poll_at_ = absl::InfiniteFuture();
  std::map<std::string, Pending> pending_;  // By model; empty: everything.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_REPOSITORY_REPOSITORY_WATCHER_H_
