// ServiceManager: what paramd says to systemd (Type=notify), and what systemd
// kept for it: listening sockets and sealed memory survive even the keeper's own
// restart in systemd's store of descriptors (FileDescriptorStoreMax).
//
// The protocol is a datagram of lines to $NOTIFY_SOCKET and descriptors that are
// inherited from number 3 on ($LISTEN_FDS); no library is needed for it.
//
// Thread-safety: one thread. A manager that does not read holds it up for two
// seconds; then its messages are logged and lost.
#ifndef PARAMD_SERVER_KEEPER_SERVICE_MANAGER_H_
#define PARAMD_SERVER_KEEPER_SERVICE_MANAGER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/unique_fd.h"
#include "server/config/server_config.h"

namespace paramd {

class ServiceManager {
 public:
  // Empty `notify_socket` ($NOTIFY_SOCKET): there is none, and nothing is said.
  explicit ServiceManager(std::string notify_socket);

  bool present() const { return socket_.valid(); }

  // "READY=1\nSTATUS=...".
  void Notify(std::string_view lines) { Send(lines, -1); }
  // Keeps a duplicate of `fd` under the name until Remove: letters, digits, '-'.
  void Store(const std::string& name, int fd);
  void Remove(const std::string& name);

 private:
  void Send(std::string_view lines, int fd);

  const std::string path_;
  UniqueFd socket_;
  absl::Time busy_until_ = absl::InfinitePast();
};

struct InheritedFd {
  std::string name;
  UniqueFd fd;
};
// Those that $LISTEN_FDS and $LISTEN_FDNAMES announce to this process
// ($LISTEN_PID), now close-on-exec. Once a process.
std::vector<InheritedFd> TakeInheritedFds(const EnvironmentReader& environment);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_SERVICE_MANAGER_H_
