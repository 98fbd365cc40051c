// Acceptor: the one thread that takes connections from listening sockets and
// hands them to gRPC servers, and that hears the keeper's events.
//
// The sockets outlive it: the keeper owns them, and while nobody accepts,
// connections wait in their backlog instead of being refused. Out of
// descriptors, it leaves them there for a moment and tries again.
//
// Life: Start begins with accepting off; the destructor ends the thread.
// Thread-safety: thread-safe; the callbacks are called on its thread.
#ifndef PARAMD_SERVER_RPC_ACCEPTOR_H_
#define PARAMD_SERVER_RPC_ACCEPTOR_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

struct AcceptorParts {
  struct Listener {
    UniqueFd fd;  // Listening, non-blocking.
    // Gets each connection: non-blocking, close-on-exec, without Nagle's delay.
    std::function<void(UniqueFd)> take;
  };
  std::vector<Listener> listeners;
  // One byte an event; may be invalid.
  UniqueFd events;
  std::function<void(uint8_t)> on_event;
  // The other end of `events` is gone; called once.
  std::function<void()> on_events_end;
  // Called first thing on the thread. May be empty.
  std::function<void()> on_thread_start;
};

class Acceptor {
 public:
  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(AcceptorParts parts);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // When it returns from false, no connection is taken any more; not from a callback.
  void SetAccepting(bool accepting);

  // Connections that were handed over and are still open.
  size_t open_connections();

 private:
  // A descriptor of ours that gRPC owns now. Its number alone says nothing: when
  // it was closed, the number goes to somebody else.
  struct Connection {
    int fd;
    ino_t inode;
  };

  explicit Acceptor(AcceptorParts parts) : parts_(std::move(parts)) {}
  void Loop();
  // False: out of descriptors or memory.
  bool Accept(const AcceptorParts::Listener& listener);
  void Remember(int fd);
  void Wake();
  void ReadEvents();
  void PruneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  AcceptorParts parts_;  // Of the thread, once it runs.
  UniqueFd wake_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool accepting_ ABSL_GUARDED_BY(mutex_) = false;         // Asked for.
  bool thread_accepting_ ABSL_GUARDED_BY(mutex_) = false;  // What the thread does.
  std::vector<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  size_t prune_at_ ABSL_GUARDED_BY(mutex_) = 64;
  std::thread thread_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_ACCEPTOR_H_
