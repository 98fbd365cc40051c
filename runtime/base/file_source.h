// FileSource: one open regular file, read with pread.
//
// Never a memory map: a file that shrinks under a map is a SIGBUS in the whole
// daemon, while a pread that comes short is a Status. What the file was when it
// was opened (size, times, inode) is remembered, and CheckUnchanged says
// DataLoss once it is something else, so parameters are never a mix of two
// files that somebody copied over each other during the load.
//
// Life: owns the descriptor. Thread-safety: thread-safe (pread has no position).
#ifndef PARAMD_RUNTIME_BASE_FILE_SOURCE_H_
#define PARAMD_RUNTIME_BASE_FILE_SOURCE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

class FileSource {
 public:
  // Opens what the path names, wherever symbolic links lead: for paths that the
  // operator typed. Files found inside a repository go through Directory.
  static absl::StatusOr<std::unique_ptr<FileSource>> Open(const std::string& path);

  // Takes an open descriptor of a regular file (or memfd). `name` is what error
  // messages call it. InvalidArgument if it is not a regular file.
  static absl::StatusOr<std::unique_ptr<FileSource>> FromFd(UniqueFd fd, std::string_view name);

  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  const std::string& name() const { return name_; }
  // As of opening.
  uint64_t size() const { return seen_.size; }
  // Names of the file on its file system (hard links).
  uint64_t link_count() const { return link_count_; }

  // Fills all of `destination` from `offset`. OutOfRange if the range was never
  // in the file; DataLoss if it was and the file has become shorter.
  absl::Status ReadAt(uint64_t offset, absl::Span<std::byte> destination) const;

  // DataLoss if the file was written, truncated or extended since opening.
  absl::Status CheckUnchanged() const;

  // Bytes that ReadAt has delivered so far: tests hold loaders to reading each
  // byte once, and progress is counted with it.
  uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

 private:
  // What must stay the same while the file is read. The change time is in it
  // because tools that set the modification time back (cp -p, rsync) cannot set
  // that one.
  struct Seen {
    uint64_t size = 0;
    uint64_t inode = 0;
    uint64_t device = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    friend bool operator==(const Seen&, const Seen&) = default;
  };

  FileSource(UniqueFd fd, std::string_view name, const Seen& seen, uint64_t link_count)
      : fd_(std::move(fd)), name_(name), seen_(seen), link_count_(link_count) {}
  static absl::StatusOr<Seen> Look(int fd, std::string_view name, uint64_t* link_count);

  const UniqueFd fd_;
  const std::string name_;
  const Seen seen_;
  const uint64_t link_count_;
  mutable std::atomic<uint64_t> bytes_read_{0};
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_FILE_SOURCE_H_
