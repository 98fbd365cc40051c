// Directory: an open folder, and the only way to open what lies beneath it.
//
// Every name is resolved by the kernel with openat2(RESOLVE_BENEATH): symbolic
// links are followed as long as they stay inside (Hugging Face caches, git-sync
// and ConfigMaps are made of them), and "..", absolute links and races that
// would leave the folder are refused.
//
// Life: owns the descriptor; files opened through it may outlive it.
// Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_BASE_DIRECTORY_H_
#define PARAMD_RUNTIME_BASE_DIRECTORY_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/file_source.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

struct OpenFileOptions {
  // Refuse a file that has further names: a hard link reaches files that no
  // path check can see, so data named by an untrusted file asks for this.
  bool refuse_hard_links = false;
};

class Directory {
 public:
  // The path as the operator typed it; links in it are followed freely.
  static absl::StatusOr<std::unique_ptr<Directory>> Open(const std::string& path);

  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::string& name() const { return name_; }

  // Of one that Open opened: follows the path again, which may be a link that
  // leads elsewhere by now. What was opened through this before stays. Lookups at
  // the same time see the old folder or the new one. An error leaves the old one.
  absl::Status Reopen() const;

  // NotFound; PermissionDenied if the path leads outside; InvalidArgument if it
  // is no regular file (folder); Unimplemented on kernels before 5.6.
  absl::StatusOr<std::unique_ptr<FileSource>> OpenFile(std::string_view path,
                                                       OpenFileOptions options = {}) const;
  // A folder beneath this one; it becomes a root of its own: nothing opened
  // through it can lie outside of it, although it might still be inside `this`.
  absl::StatusOr<std::unique_ptr<Directory>> OpenDirectory(std::string_view path) const;

  struct Entry {
    std::string name;
    bool is_directory = false;  // After following a link that stays inside.
    bool is_file = false;
  };
  // What lies in this folder, by name in byte order, without "." and "..".
  // Entries that lead outside are left out. ResourceExhausted above
  // `entries_max`.
  absl::StatusOr<std::vector<Entry>> List(size_t entries_max = 100'000) const;
  // The same as names alone, with nothing left out: for callers that open each
  // entry from a root above this folder and report those that lead outside.
  absl::StatusOr<std::vector<std::string>> ListNames(size_t entries_max = 100'000) const;

 private:
  Directory(UniqueFd fd, std::string_view name) : fd_(std::move(fd)), name_(name) {}
  absl::StatusOr<UniqueFd> OpenBeneath(std::string_view path, int flags) const;
  // Name and d_type, sorted.
  absl::StatusOr<std::vector<std::pair<std::string, unsigned char>>> ReadEntries(
      size_t entries_max) const;

  const UniqueFd fd_;
  const std::string name_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_DIRECTORY_H_
