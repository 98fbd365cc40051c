#include "server/state/state_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/types/span.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/file_source.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/base/unique_fd.h"
#include "runtime/params/content_id.h"

namespace paramd {
namespace {

// The file: magic, version, revision, length, SHA-256 of all before and after
// it, then the bytes.
constexpr std::string_view kMagic = "PRMDSTAT";
constexpr uint32_t kFileVersion = 1;
constexpr uint64_t kHeaderBytes = 8 + 4 + 8 + 8 + Digest::kBytes;

// The digest covers the revision too: an edit under the wrong one is lost work.
Digest DigestOfState(uint64_t revision, std::string_view bytes) {
  ByteWriter head;
  head.U32(kFileVersion);
  head.U64(revision);
  head.U64(bytes.size());
  ContentHasher hasher;
  hasher.Update(AsBytes(head.bytes()));
  hasher.Update(AsBytes(bytes));
  return hasher.Finish();
}

std::string Serialize(const StoredState& state) {
  ByteWriter out;
  out.Text(kMagic);
  out.U32(kFileVersion);
  out.U64(state.revision);
  out.U64(state.bytes.size());
  out.Bytes(DigestOfState(state.revision, state.bytes).bytes());
  out.Text(state.bytes);
  return std::move(out).Take();
}

absl::StatusOr<StoredState> ParseFields(std::string_view file) {
  ByteReader reader(file);
  PARAMD_ASSIGN_OR_RETURN(const std::string_view magic, reader.ReadText(kMagic.size()));
  if (magic != kMagic) return absl::DataLossError("it does not start as a state of paramd does");
  PARAMD_ASSIGN_OR_RETURN(const uint32_t version, reader.ReadU32());
  if (version != kFileVersion) {
    return absl::DataLossError(
        StrCat("it has format ", version, ", this paramd reads ", kFileVersion));
  }
  StoredState state;
  PARAMD_ASSIGN_OR_RETURN(state.revision, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const uint64_t length, reader.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const auto digest, reader.ReadBytes(Digest::kBytes));
  if (length != reader.remaining()) {
    return absl::DataLossError(StrCat("it says ", length, " bytes, but has ", reader.remaining()));
  }
  PARAMD_ASSIGN_OR_RETURN(const std::string_view bytes, reader.ReadText(length));
  state.bytes = std::string(bytes);
  if (DigestOfState(state.revision, state.bytes) != Digest::FromBytes(digest)) {
    return absl::DataLossError("its bytes do not hash to what it says");
  }
  if (state.revision == 0) return absl::DataLossError("it has revision 0");
  return state;
}

absl::StatusOr<StoredState> ReadFile(const std::string& file) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<FileSource> source, FileSource::Open(file));
  if (source->size() > kHeaderBytes + kStateBytesMax) {
    return absl::DataLossError(StrCat("state file '", file, "' has ", source->size(),
                                      " bytes, more than any state: it is not one of paramd's"));
  }
  std::string content(source->size(), '\0');
  PARAMD_RETURN_IF_ERROR(source->ReadAt(
      0, absl::MakeSpan(reinterpret_cast<std::byte*>(content.data()), content.size())));
  absl::StatusOr<StoredState> state = ParseFields(content);
  if (state.ok()) return state;
  return absl::DataLossError(StrCat("state file '", file,
                                    "' cannot be used: ", FromAbsl(state.status().message()),
                                    "; move it away to start without one"));
}

absl::Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::ErrnoToStatus(errno, "cannot write the state");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status SyncFolderOf(const std::string& file) {
  const size_t slash = file.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder and say EINVAL: then the rename is
  // as safe as it gets there.
  if (!fd.valid() || (::fsync(fd.get()) != 0 && errno != EINVAL)) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot sync folder '", folder, "'")));
  }
  return absl::OkStatus();
}

// A reader, at any moment and after any crash, finds the old or the new one.
absl::Status WriteFile(const std::string& file, std::string_view content) {
  const std::string fresh = file + ".new";
  // A rest of a crash; and never through a link that somebody put there.
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot remove '", fresh, "'")));
  }
  UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot make '", fresh, "'")));
  absl::Status status = WriteAll(fd.get(), content);
  if (status.ok() && ::fsync(fd.get()) != 0) {
    status = absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot sync '", fresh, "'")));
  }
  fd.Reset();
  if (status.ok() && ::rename(fresh.c_str(), file.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot replace '", file, "'")));
  }
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  // It is there by now, for everybody but a power failure.
  if (const absl::Status synced = SyncFolderOf(file); !synced.ok()) {
    LOG(WARNING) << "the state is written, but might not outlive a power failure: " << synced;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryStateStore>> MemoryStateStore::Open(const std::string& file) {
  StoredState state;
  if (!file.empty()) {
    absl::StatusOr<StoredState> stored = ReadFile(file);
    if (stored.ok()) {
      state = *std::move(stored);
    } else if (!absl::IsNotFound(stored.status())) {
      return stored.status();
    }
  }
  return std::unique_ptr<MemoryStateStore>(new MemoryStateStore(file, std::move(state)));
}

absl::StatusOr<StoredState> MemoryStateStore::Read() const {
  MutexLock lock(&mutex_);
  return state_;
}

absl::Status MemoryStateStore::Replace(StoredState state) {
  // Under the lock although it waits for the disk: changes are rare, and two
  // writers of one file would need an order anyway.
  if (!file_.empty()) PARAMD_RETURN_IF_ERROR(WriteFile(file_, Serialize(state)));
  state_ = std::move(state);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryStateStore::CompareAndSet(uint64_t expected, std::string bytes) {
  if (bytes.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("a state of ", bytes.size(), " bytes is above the limit of ", kStateBytesMax));
  }
  MutexLock lock(&mutex_);
  if (state_.revision != expected) {
    return absl::AbortedError(
        StrCat("the state has revision ", state_.revision, ", not ", expected, " any more"));
  }
  if (expected == UINT64_MAX) return absl::InternalError("the state has no next revision");
  PARAMD_RETURN_IF_ERROR(Replace({.revision = expected + 1, .bytes = std::move(bytes)}));
  return expected + 1;
}

absl::Status MemoryStateStore::AdoptIfNewer(StoredState state) {
  if (state.bytes.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("a state of ", state.bytes.size(), " bytes is above the limit of ", kStateBytesMax));
  }
  MutexLock lock(&mutex_);
  if (state.revision <= state_.revision) return absl::OkStatus();
  return Replace(std::move(state));
}

}  // namespace paramd
