#include "server/keeper/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr int kFirstInheritedFd = 3;  // SD_LISTEN_FDS_START.
constexpr int kInheritedFdsMax = 1 << 20;

}  // namespace

ServiceManager::ServiceManager(std::string notify_socket) : path_(std::move(notify_socket)) {
  sockaddr_un address = {};
  if (path_.empty()) return;
  // '@' stands for the zero byte of an abstract socket.
  if ((path_[0] != '/' && path_[0] != '@') || path_.size() >= sizeof(address.sun_path)) {
    LOG(WARNING) << "NOTIFY_SOCKET is no socket's path";
    return;
  }
  socket_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // Its queue has room for ten messages, and a load makes hundreds.
  const timeval patience = {.tv_sec = 2, .tv_usec = 0};
  (void)setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void ServiceManager::Store(const std::string& name, int fd) {
  // FDPOLL=0: the manager must not drop it because poll() says something of it.
  Send(StrCat("FDSTORE=1\nFDPOLL=0\nFDNAME=", name), fd);
}

void ServiceManager::Remove(const std::string& name) {
  Send(StrCat("FDSTOREREMOVE=1\nFDNAME=", name), -1);
}

void ServiceManager::Send(std::string_view lines, int fd) {
  if (!socket_.valid()) return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (path_[0] == '@') address.sun_path[0] = '\0';
  iovec bytes = {.iov_base = const_cast<char*>(lines.data()), .iov_len = lines.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  // One that hangs is waited for once, not for each message.
  const int flags = MSG_NOSIGNAL | (absl::Now() < busy_until_ ? MSG_DONTWAIT : 0);
  if (sendmsg(socket_.get(), &message, flags) < 0) {
    if (errno == EAGAIN) busy_until_ = absl::Now() + absl::Seconds(30);
    LOG_EVERY_N_SEC(WARNING, 10) << "the service manager does not take '"
                                 << lines.substr(0, lines.find('\n')) << "': " << strerror(errno);
  }
}

std::vector<InheritedFd> TakeInheritedFds(const EnvironmentReader& environment) {
  static bool taken = false;
  int pid = 0;
  int count = 0;
  if (std::exchange(taken, true) ||
      !absl::SimpleAtoi(environment("LISTEN_PID").value_or(""), &pid) || pid != getpid() ||
      !absl::SimpleAtoi(environment("LISTEN_FDS").value_or(""), &count) || count <= 0 ||
      count > kInheritedFdsMax) {
    return {};
  }
  const std::string listed = environment("LISTEN_FDNAMES").value_or("");
  const std::vector<std::string> names = absl::StrSplit(listed, ':');
  std::vector<InheritedFd> inherited;
  for (int i = 0; i < count; ++i) {
    const int fd = kFirstInheritedFd + i;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;
    const auto index = static_cast<size_t>(i);
    inherited.push_back({.name = index < names.size() ? names[index] : "", .fd = UniqueFd(fd)});
  }
  return inherited;
}

}  // namespace paramd
