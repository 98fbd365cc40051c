// Frames over a Unix stream socket, descriptors included.
//
// FrameReader   bytes as they come -> frames. Pure but for descriptors.
// FrameChannel  the keeper's end: never blocks, bounded both ways
// FrameSocket   the worker's end: blocks
//
// A descriptor travels with the first byte of its frame, and a receive never
// reaches beyond a message that carries descriptors, so they belong to the
// frame that began last in what was received. Every descriptor is owned from
// the moment that the kernel hands it over (close-on-exec): a malformed frame
// closes what came with it.
//
// Life: a channel owns its socket. Thread-safety: not synchronised; one thread,
// or one lock.
#ifndef PARAMD_SERVER_KEEPER_FRAME_SOCKET_H_
#define PARAMD_SERVER_KEEPER_FRAME_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"
#include "server/keeper/keeper_protocol.h"

namespace paramd {

class FrameReader {
 public:
  // What one receive brought. InvalidArgument, for good: a length above the
  // limit, or descriptors that no frame announces.
  absl::Status Append(absl::Span<const std::byte> bytes, std::vector<UniqueFd> fds, bool fds_lost);
  // The next frame that is whole. InvalidArgument: it announced descriptors
  // that did not come.
  absl::StatusOr<std::optional<Frame>> Next();
  // Nothing begun is left.
  bool idle() const { return begun_.empty(); }

 private:
  struct Begun {
    size_t start = 0;  // In buffer_.
    size_t bytes = 0;  // With the length field; 0 until that is here.
    std::vector<UniqueFd> fds;
    bool has_fds = false;
    bool fds_lost = false;
  };

  std::string buffer_;
  size_t taken_ = 0;  // Bytes of buffer_ that Next has handed out.
  std::deque<Begun> begun_;
};

// One frame's bytes, as they are written.
std::string EncodeFrame(const Frame& frame);

// What one receive takes at most.
inline constexpr size_t kReceiveBytes = 128u << 10;
// At most this much waits to be written; a peer that reads none of it is closed.
inline constexpr size_t kChannelOutputBytesMax = 64u << 20;
// Above this nothing more is read from a peer until it has read.
inline constexpr size_t kChannelOutputBytesHigh = 4u << 20;

class FrameChannel {
 public:
  explicit FrameChannel(UniqueFd socket) : socket_(std::move(socket)), buffer_(kReceiveBytes) {}

  int fd() const { return socket_.get(); }
  // For poll(): POLLIN, POLLOUT, both or none.
  short poll_events() const;
  // Appends the frames that are whole now; false when the peer has closed. An
  // error is the end of this connection. Reads a bounded amount.
  absl::StatusOr<bool> Receive(std::vector<Frame>* frames);
  // Queues and writes what the socket takes. ResourceExhausted: the peer does
  // not read. Unavailable: it is gone.
  absl::Status Send(Frame frame);
  absl::Status Flush();
  // Nothing half read, nothing unwritten: the descriptor alone is all there is
  // of this connection, so it may be handed to another program.
  bool idle() const { return reader_.idle() && output_.empty(); }
  size_t output_bytes() const { return output_bytes_; }
  UniqueFd TakeSocket() { return std::move(socket_); }

 private:
  struct Output {
    std::string bytes;
    size_t written = 0;
    std::vector<UniqueFd> fds;  // Go with the first byte.
  };

  UniqueFd socket_;
  std::vector<std::byte> buffer_;
  FrameReader reader_;
  std::deque<Output> output_;
  size_t output_bytes_ = 0;
};

class FrameSocket {
 public:
  explicit FrameSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(kReceiveBytes) {}

  int fd() const { return socket_.get(); }
  // Unavailable: the peer is gone.
  absl::Status Send(const Frame& frame);
  absl::StatusOr<Frame> Receive();

 private:
  UniqueFd socket_;
  std::vector<std::byte> buffer_;
  FrameReader reader_;
};

// A connected pair of stream sockets, close-on-exec.
struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
absl::StatusOr<SocketPair> MakeSocketPair();

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_FRAME_SOCKET_H_
