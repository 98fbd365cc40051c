#include "server/rpc/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/log/log.h"

namespace paramd {
namespace {

// A burst on one socket must not keep the others and the events waiting.
constexpr int kConnectionsAtOnce = 64;
// Out of descriptors: as long as it takes until some connection may have ended.
constexpr int kPauseMs = 100;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(AcceptorParts parts) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(std::move(parts)));
  acceptor->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!acceptor->wake_.valid()) return absl::InternalError("eventfd is refused");
  acceptor->thread_ = std::thread([self = acceptor.get()] {
    if (self->parts_.on_thread_start) self->parts_.on_thread_start();
    self->Loop();
  });
  return acceptor;
}

Acceptor::~Acceptor() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
}

void Acceptor::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

void Acceptor::SetAccepting(bool accepting) {
  {
    MutexLock lock(&mutex_);
    accepting_ = accepting;
  }
  Wake();
  MutexLock lock(&mutex_);
  while (!stopping_ && !accepting_ && thread_accepting_) changed_.Wait(&mutex_);
}

void Acceptor::Loop() {
  std::vector<pollfd> polls;
  bool short_of = false;
  while (true) {
    bool accepting = false;
    {
      MutexLock lock(&mutex_);
      if (stopping_) break;
      accepting = thread_accepting_ = accepting_;
      changed_.SignalAll();
    }
    polls.assign(1, {.fd = wake_.get(), .events = POLLIN, .revents = 0});
    polls.push_back({.fd = parts_.events.get(), .events = POLLIN, .revents = 0});  // -1: skipped.
    for (const AcceptorParts::Listener& listener : parts_.listeners) {
      const bool listens = accepting && !short_of;
      polls.push_back({.fd = listens ? listener.fd.get() : -1, .events = POLLIN, .revents = 0});
    }
    const int ready = poll(polls.data(), polls.size(), short_of ? kPauseMs : -1);
    short_of = false;
    if (ready <= 0) continue;
    if (polls[0].revents != 0) {
      uint64_t count = 0;
      (void)!read(wake_.get(), &count, sizeof(count));
    }
    if (polls[1].revents != 0) ReadEvents();
    // Whether to accept is decided anew after an event or a wake-up.
    if (polls[0].revents != 0 || polls[1].revents != 0) continue;
    for (size_t i = 0; i < parts_.listeners.size(); ++i) {
      if (polls[i + 2].revents != 0 && !Accept(parts_.listeners[i])) short_of = true;
    }
  }
  MutexLock lock(&mutex_);
  thread_accepting_ = false;
  changed_.SignalAll();
}

bool Acceptor::Accept(const AcceptorParts::Listener& listener) {
  for (int i = 0; i < kConnectionsAtOnce; ++i) {
    UniqueFd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      const int error = errno;
      // The connection broke while it waited: the next one.
      if (error == EINTR || error == ECONNABORTED || error == EPROTO) continue;
      if (error == EAGAIN || error == EWOULDBLOCK) return true;
      LOG_EVERY_N_SEC(WARNING, 10) << "connections wait: accept says " << strerror(error);
      // Errors of the network (ENETDOWN, EHOSTUNREACH, ...) are the connection's.
      return !IsShortage(error);
    }
    // Refused for a Unix socket, which has no such delay.
    const int on = 1;
    (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    Remember(fd.get());
    listener.take(std::move(fd));
  }
  return true;
}

void Acceptor::Remember(int fd) {
  struct stat found = {};
  if (fstat(fd, &found) != 0) return;
  MutexLock lock(&mutex_);
  if (connections_.size() >= prune_at_) {
    PruneLocked();
    prune_at_ = std::max<size_t>(64, 2 * connections_.size());
  }
  connections_.push_back({.fd = fd, .inode = found.st_ino});
}

void Acceptor::PruneLocked() {
  std::erase_if(connections_, [](const Connection& connection) {
    struct stat found = {};
    return fstat(connection.fd, &found) != 0 || !S_ISSOCK(found.st_mode) ||
           found.st_ino != connection.inode;
  });
}

size_t Acceptor::open_connections() {
  MutexLock lock(&mutex_);
  PruneLocked();
  return connections_.size();
}

void Acceptor::ReadEvents() {
  std::array<uint8_t, 64> events;
  const ssize_t got = recv(parts_.events.get(), events.data(), events.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    parts_.events.Reset();
    if (parts_.on_events_end) parts_.on_events_end();
    return;
  }
  for (ssize_t i = 0; i < got; ++i) {
    if (parts_.on_event) parts_.on_event(events[static_cast<size_t>(i)]);
  }
}

}  // namespace paramd
