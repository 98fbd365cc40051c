#include "server/keeper/keeper_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/content_id.h"

namespace paramd {
namespace {

constexpr uint64_t kImageMagic = 0x314547414d494d50;  // "PMIMAGE1"
constexpr uint32_t kFormat = 1;
constexpr uint64_t kImageBytesMax = uint64_t{1} << 30;

int64_t TimeToMicros(absl::Time time) {
  return time == absl::InfiniteFuture() ? INT64_MAX : absl::ToUnixMicros(time);
}

absl::Time TimeFromMicros(int64_t micros) {
  return micros == INT64_MAX ? absl::InfiniteFuture() : absl::FromUnixMicros(micros);
}

absl::StatusOr<KeeperImage> Decode(std::string_view body) {
  ByteReader in(body);
  KeeperImage image;
  PARAMD_ASSIGN_OR_RETURN(image.sequence, in.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view core, in.ReadText64());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view crashes, in.ReadText64());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view upgrade, in.ReadText64());
  PARAMD_ASSIGN_OR_RETURN(const uint8_t ever_ready, in.ReadU8());
  image.core = std::string(core);
  image.crashes = std::string(crashes);
  image.upgrade = std::string(upgrade);
  image.ever_ready = ever_ready != 0;
  PARAMD_ASSIGN_OR_RETURN(const uint32_t fds, in.ReadCount32(8));
  for (uint32_t i = 0; i < fds; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const std::string_view name, in.ReadText32());
    PARAMD_ASSIGN_OR_RETURN(const uint32_t number, in.ReadU32());
    image.fds.push_back({std::string(name), static_cast<int>(number)});
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t workers, in.ReadCount32(41));
  for (uint32_t i = 0; i < workers; ++i) {
    KeeperImage::Worker worker;
    PARAMD_ASSIGN_OR_RETURN(worker.pid, in.ReadI64());
    PARAMD_ASSIGN_OR_RETURN(worker.id, in.ReadU64());
    PARAMD_ASSIGN_OR_RETURN(const uint8_t role, in.ReadU8());
    if (role > static_cast<uint8_t>(WorkerRole::kRetired)) return absl::DataLossError("role");
    worker.role = static_cast<WorkerRole>(role);
    PARAMD_ASSIGN_OR_RETURN(const int64_t ready_since, in.ReadI64());
    worker.ready_since = TimeFromMicros(ready_since);
    for (int* const number :
         {&worker.channel, &worker.events, &worker.worker_events, &worker.breadcrumbs}) {
      PARAMD_ASSIGN_OR_RETURN(const uint32_t value, in.ReadU32());
      *number = static_cast<int>(value);
    }
    image.workers.push_back(worker);
  }
  if (!in.done()) return absl::DataLossError("bytes are left over");
  return image;
}

}  // namespace

std::string EncodeImage(const KeeperImage& image) {
  ByteWriter body;
  body.U64(image.sequence);
  body.Text64(image.core);
  body.Text64(image.crashes);
  body.Text64(image.upgrade);
  body.U8(image.ever_ready ? 1 : 0);
  body.U32(static_cast<uint32_t>(image.fds.size()));
  for (const KeeperImage::Fd& fd : image.fds) {
    body.Text32(fd.name);
    body.U32(static_cast<uint32_t>(fd.number));
  }
  body.U32(static_cast<uint32_t>(image.workers.size()));
  for (const KeeperImage::Worker& worker : image.workers) {
    body.I64(worker.pid);
    body.U64(worker.id);
    body.U8(static_cast<uint8_t>(worker.role));
    body.I64(TimeToMicros(worker.ready_since));
    for (const int number :
         {worker.channel, worker.events, worker.worker_events, worker.breadcrumbs}) {
      body.U32(static_cast<uint32_t>(number));
    }
  }
  const Digest digest = DigestOf(AsBytes(body.bytes()));
  ByteWriter out;
  out.U64(kImageMagic);
  out.U32(kFormat);
  out.Bytes(digest.bytes());
  out.Text64(body.bytes());
  return std::move(out).Take();
}

absl::StatusOr<KeeperImage> DecodeImage(std::string_view bytes) {
  ByteReader in(bytes);
  const auto damaged = [](std::string_view why) {
    return absl::DataLossError(StrCat("the keeper's image is damaged: ", why));
  };
  const absl::StatusOr<uint64_t> magic = in.ReadU64();
  const absl::StatusOr<uint32_t> format = in.ReadU32();
  if (!magic.ok() || *magic != kImageMagic || !format.ok()) return damaged("it is none");
  if (*format != kFormat) {
    return absl::UnimplementedError(
        StrCat("the keeper's image has format ", *format, ", this build knows ", kFormat));
  }
  const absl::StatusOr<absl::Span<const std::byte>> digest = in.ReadBytes(Digest::kBytes);
  const absl::StatusOr<std::string_view> body = digest.ok() ? in.ReadText64() : std::string_view();
  if (!digest.ok() || !body.ok()) return damaged("it is cut off");
  if (DigestOf(AsBytes(*body)) != Digest::FromBytes(*digest)) return damaged("its digest differs");
  absl::StatusOr<KeeperImage> image = Decode(*body);
  if (!image.ok()) return damaged(FromAbsl(image.status().message()));
  return image;
}

absl::StatusOr<UniqueFd> MakeImageFile() {
  UniqueFd fd(memfd_create("paramd-keeper-image", MFD_CLOEXEC));
  if (!fd.valid()) return absl::InternalError(StrCat("memfd: ", strerror(errno)));
  return fd;
}

absl::Status WriteImageFile(int fd, std::string_view bytes) {
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t count =
        pwrite(fd, bytes.data() + written, bytes.size() - written, static_cast<off_t>(written));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return absl::InternalError(StrCat("the keeper's image: ", strerror(errno)));
    written += static_cast<size_t>(count);
  }
  if (ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) {
    return absl::InternalError(StrCat("the keeper's image: ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadImageFile(int fd) {
  struct stat found = {};
  if (fstat(fd, &found) != 0) return absl::InternalError(strerror(errno));
  if (found.st_size < 0 || static_cast<uint64_t>(found.st_size) > kImageBytesMax) {
    return absl::DataLossError("the keeper's image is too large");
  }
  std::string bytes(static_cast<size_t>(found.st_size), '\0');
  size_t read = 0;
  while (read < bytes.size()) {
    const ssize_t count =
        pread(fd, bytes.data() + read, bytes.size() - read, static_cast<off_t>(read));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return absl::DataLossError("the keeper's image is cut off");
    read += static_cast<size_t>(count);
  }
  return bytes;
}

}  // namespace paramd
