#include "server/keeper/frame_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr size_t kLengthBytes = 4;
// A peer that never stops sending is left for the next turn of the loop.
constexpr size_t kReceiveTurnBytes = 4u << 20;
// The kernel's own limit a message, so that a hostile peer's are seen and
// refused, not cut off and taken for a shortage.
constexpr size_t kScmDescriptorsMax = 253;

absl::Status Gone() { return absl::UnavailableError("the other end has closed the socket"); }

bool IsGone(int error) { return error == EPIPE || error == ECONNRESET || error == ENOTCONN; }

absl::Status CheckFrame(const Frame& frame) {
  if (frame.body.size() > kFrameBytesMax - (kFrameHeaderBytes - kLengthBytes)) {
    return absl::InvalidArgumentError(
        StrCat("a message of ", frame.body.size(), " bytes is above the limit of a frame"));
  }
  if (frame.fds.size() > kFrameDescriptorsMax) {
    return absl::InvalidArgumentError(StrCat(frame.fds.size(), " descriptors are above the limit"));
  }
  return absl::OkStatus();
}

// A blocking call that came back with nothing: the socket may be non-blocking.
void WaitFor(int socket, short events) {
  pollfd entry{.fd = socket, .events = events, .revents = 0};
  static_cast<void>(::poll(&entry, 1, -1));
}

enum class Wait { kNo, kYes };
enum class Received { kBytes, kNothing, kClosed };

// Takes every descriptor that the kernel has given, whatever else it says.
std::vector<UniqueFd> TakeDescriptors(msghdr* message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

absl::StatusOr<Received> ReceiveOnce(int socket, Wait wait, absl::Span<std::byte> buffer,
                                     FrameReader* reader, size_t* count) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kScmDescriptorsMax * sizeof(int))> control;
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t bytes = 0;
  do {
    bytes = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait == Wait::kNo ? MSG_DONTWAIT : 0));
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::kNothing;
    if (IsGone(errno)) return Received::kClosed;
    return absl::ErrnoToStatus(errno, "cannot receive from the socket");
  }
  std::vector<UniqueFd> fds = TakeDescriptors(&message);
  if (bytes == 0) return Received::kClosed;
  *count = static_cast<size_t>(bytes);
  PARAMD_RETURN_IF_ERROR(reader->Append({buffer.data(), *count}, std::move(fds),
                                        (message.msg_flags & MSG_CTRUNC) != 0));
  return Received::kBytes;
}

// How much the socket took; 0: nothing now.
absl::StatusOr<size_t> SendOnce(int socket, Wait wait, std::string_view bytes,
                                absl::Span<const UniqueFd> fds) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFrameDescriptorsMax * sizeof(int))> control{};
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
    }
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | (wait == Wait::kNo ? MSG_DONTWAIT : 0));
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<size_t>(sent);
  // Too many descriptors of this user are on their way (ETOOMANYREFS): the
  // other end is about to take them.
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS) return size_t{0};
  if (IsGone(errno)) return Gone();
  return absl::ErrnoToStatus(errno, "cannot send on the socket");
}

}  // namespace

absl::Status FrameReader::Append(absl::Span<const std::byte> bytes, std::vector<UniqueFd> fds,
                                 bool fds_lost) {
  // What Next has handed out goes once it is most of the buffer.
  if (taken_ > 0 && taken_ >= buffer_.size() / 2) {
    buffer_.erase(0, taken_);
    for (Begun& frame : begun_) frame.start -= taken_;
    taken_ = 0;
  }
  size_t end = begun_.empty() || begun_.back().bytes == 0
                   ? buffer_.size()
                   : begun_.back().start + begun_.back().bytes;
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (true) {
    if (begun_.empty() || begun_.back().bytes != 0) {
      if (end >= buffer_.size()) break;
      begun_.push_back({.start = end});
    }
    Begun& last = begun_.back();
    if (buffer_.size() - last.start < kLengthBytes) break;
    ByteReader reader(std::string_view(buffer_).substr(last.start));
    PARAMD_ASSIGN_OR_RETURN(const uint32_t length, reader.ReadU32());
    if (length < kFrameHeaderBytes - kLengthBytes || length > kFrameBytesMax) {
      return absl::InvalidArgumentError(StrCat("a frame of ", length, " bytes, expected ",
                                               kFrameHeaderBytes - kLengthBytes, " to ",
                                               kFrameBytesMax));
    }
    last.bytes = kLengthBytes + length;
    end = last.start + last.bytes;
  }
  if (fds.empty() && !fds_lost) return absl::OkStatus();
  if (begun_.empty() || begun_.back().has_fds) {
    return absl::InvalidArgumentError("descriptors came twice with one frame");
  }
  Begun& owner = begun_.back();
  owner.has_fds = true;
  owner.fds_lost = fds_lost;
  // Some came and some did not: which ones is not known, so none is used.
  if (!fds_lost) owner.fds = std::move(fds);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Frame>> FrameReader::Next() {
  if (begun_.empty()) return std::nullopt;
  Begun& first = begun_.front();
  if (first.bytes == 0 || first.start + first.bytes > buffer_.size()) return std::nullopt;
  ByteReader reader(
      std::string_view(buffer_).substr(first.start + kLengthBytes, first.bytes - kLengthBytes));
  PARAMD_ASSIGN_OR_RETURN(const uint8_t type, reader.ReadU8());
  PARAMD_ASSIGN_OR_RETURN(const uint16_t descriptors, reader.ReadU16());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t request, reader.ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const std::string_view body, reader.ReadText(reader.remaining()));
  if (descriptors > kFrameDescriptorsMax ||
      (descriptors != first.fds.size() && !(first.fds_lost && descriptors > 0))) {
    return absl::InvalidArgumentError(
        StrCat("a frame announces ", descriptors, " descriptors, but ", first.fds.size(), " came"));
  }
  Frame frame{.type = static_cast<FrameType>(type),
              .request = request,
              .body = std::string(body),
              .fds = std::move(first.fds),
              .fds_lost = first.fds_lost};
  taken_ = first.start + first.bytes;
  begun_.pop_front();
  if (begun_.empty()) {
    buffer_.clear();
    // Not the 16 MiB of one large state forever.
    if (buffer_.capacity() > 4 * kReceiveBytes) buffer_.shrink_to_fit();
    taken_ = 0;
  }
  return frame;
}

std::string EncodeFrame(const Frame& frame) {
  ByteWriter out;
  out.U32(static_cast<uint32_t>(kFrameHeaderBytes - kLengthBytes + frame.body.size()));
  out.U8(static_cast<uint8_t>(frame.type));
  out.U16(static_cast<uint16_t>(frame.fds.size()));
  out.U32(frame.request);
  out.Text(frame.body);
  return std::move(out).Take();
}

short FrameChannel::poll_events() const {
  short events = 0;
  if (output_bytes_ <= kChannelOutputBytesHigh) events |= POLLIN;
  if (!output_.empty()) events |= POLLOUT;
  return events;
}

absl::StatusOr<bool> FrameChannel::Receive(std::vector<Frame>* frames) {
  bool open = true;
  size_t total = 0;
  while (open && total < kReceiveTurnBytes) {
    size_t count = 0;
    PARAMD_ASSIGN_OR_RETURN(
        const Received received,
        ReceiveOnce(socket_.get(), Wait::kNo, absl::MakeSpan(buffer_), &reader_, &count));
    if (received == Received::kNothing) break;
    if (received == Received::kClosed) open = false;
    total += count;
    while (true) {
      PARAMD_ASSIGN_OR_RETURN(std::optional<Frame> frame, reader_.Next());
      if (!frame.has_value()) break;
      frames->push_back(*std::move(frame));
    }
  }
  return open;
}

absl::Status FrameChannel::Send(Frame frame) {
  PARAMD_RETURN_IF_ERROR(CheckFrame(frame));
  std::string bytes = EncodeFrame(frame);
  if (output_bytes_ + bytes.size() > kChannelOutputBytesMax) {
    return absl::ResourceExhaustedError(
        StrCat("the worker leaves ", output_bytes_, " bytes unread"));
  }
  output_bytes_ += bytes.size();
  output_.push_back({.bytes = std::move(bytes), .fds = std::move(frame.fds)});
  return Flush();
}

absl::Status FrameChannel::Flush() {
  while (!output_.empty()) {
    Output& next = output_.front();
    PARAMD_ASSIGN_OR_RETURN(const size_t sent,
                            SendOnce(socket_.get(), Wait::kNo,
                                     std::string_view(next.bytes).substr(next.written), next.fds));
    if (sent == 0) return absl::OkStatus();
    next.fds.clear();
    next.written += sent;
    output_bytes_ -= sent;
    if (next.written == next.bytes.size()) output_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status FrameSocket::Send(const Frame& frame) {
  PARAMD_RETURN_IF_ERROR(CheckFrame(frame));
  const std::string bytes = EncodeFrame(frame);
  absl::Span<const UniqueFd> fds = frame.fds;
  for (size_t written = 0; written < bytes.size();) {
    PARAMD_ASSIGN_OR_RETURN(
        const size_t sent,
        SendOnce(socket_.get(), Wait::kYes, std::string_view(bytes).substr(written), fds));
    if (sent == 0) {
      WaitFor(socket_.get(), POLLOUT);
      continue;
    }
    written += sent;
    fds = {};
  }
  return absl::OkStatus();
}

absl::StatusOr<Frame> FrameSocket::Receive() {
  while (true) {
    PARAMD_ASSIGN_OR_RETURN(std::optional<Frame> frame, reader_.Next());
    if (frame.has_value()) return *std::move(frame);
    size_t count = 0;
    PARAMD_ASSIGN_OR_RETURN(
        const Received received,
        ReceiveOnce(socket_.get(), Wait::kYes, absl::MakeSpan(buffer_), &reader_, &count));
    if (received == Received::kClosed) return Gone();
    if (received == Received::kNothing) WaitFor(socket_.get(), POLLIN);
  }
}

absl::StatusOr<SocketPair> MakeSocketPair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a pair of sockets");
  }
  return SocketPair{.first = UniqueFd(ends[0]), .second = UniqueFd(ends[1])};
}

}  // namespace paramd
