#include "server/keeper/listening_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/host_port.h"

namespace paramd {
namespace {

// Connections that wait while no worker lives; the kernel has a limit of its own
// (net.core.somaxconn).
constexpr int kBacklog = 4096;

absl::Status Failed(std::string_view what, int error) {
  return absl::InternalError(StrCat(what, ": ", strerror(error)));
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

absl::StatusOr<std::unique_ptr<addrinfo, FreeAddresses>> NumericAddress(
    const std::string& address) {
  PARAMD_ASSIGN_OR_RETURN(const HostPort named, ParseHostPort(address));
  PARAMD_ASSIGN_OR_RETURN(const HostPort numeric, ResolveNumeric(named));
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(numeric.host.c_str(), StrCat(numeric.port).c_str(), &hints, &list);
  if (error != 0 || list == nullptr) {
    return absl::InvalidArgumentError(StrCat("'", address, "': ", gai_strerror(error)));
  }
  return std::unique_ptr<addrinfo, FreeAddresses>(list);
}

// Whether somebody accepts on the socket at `path`.
bool SomebodyListens(const sockaddr_un& address) {
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return true;  // Better to refuse than to take its place.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return true;
  }
  return errno != ECONNREFUSED && errno != ENOENT;
}

absl::StatusOr<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(StrCat("the socket path '", path, "' has ", path.size(),
                                             " bytes, allowed are 1 to ",
                                             sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

void MakeFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return;
  // An error shows in bind().
  (void)mkdir(path.substr(0, slash).c_str(), 0700);
}

}  // namespace

absl::StatusOr<UniqueFd> ListenOnTcp(const std::string& address, std::string_view flag) {
  PARAMD_ASSIGN_OR_RETURN(const auto numeric, NumericAddress(address));
  UniqueFd fd(socket(numeric->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Failed(StrCat("a socket for ", address), errno);
  const int on = 1;
  const int off = 0;
  // Connections of an earlier process in TIME_WAIT do not keep the port.
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (numeric->ai_family == AF_INET6) {
    (void)setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));  // "[::]" is all.
  }
  if (bind(fd.get(), numeric->ai_addr, numeric->ai_addrlen) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    const std::string advice = StrCat("Stop the other process or choose another with ", flag);
    if (error == EADDRINUSE) {
      return absl::AlreadyExistsError(
          StrCat("cannot listen on ", address, ": the port is taken. ", advice));
    }
    if (error == EADDRNOTAVAIL) {
      return absl::AlreadyExistsError(StrCat("cannot listen on ", address,
                                             ": the address is not one of this machine's. Choose "
                                             "another with ",
                                             flag));
    }
    return absl::PermissionDeniedError(StrCat("cannot listen on ", address, ": ", strerror(error)));
  }
  return fd;
}

absl::StatusOr<UniqueFd> ListenOnUnix(const std::string& path) {
  PARAMD_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  MakeFolderOf(path);
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return absl::AlreadyExistsError(StrCat("'", path, "' is there and is no socket"));
    }
    if (SomebodyListens(address)) {
      return absl::AlreadyExistsError(
          StrCat("another process listens on '", path,
                 "'. Stop it or choose another path with --admin-socket"));
    }
  }
  // Under another name until its mode is right and it listens: nobody can connect
  // earlier, and who looks whether somebody listens never finds it half made.
  const std::string made = path + "~";
  PARAMD_ASSIGN_OR_RETURN(const sockaddr_un made_address, UnixAddress(made));
  (void)unlink(made.c_str());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Failed("a Unix socket", errno);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&made_address), sizeof(made_address)) != 0) {
    return absl::PermissionDeniedError(
        StrCat("cannot make the socket '", path, "': ", strerror(errno)));
  }
  if (chmod(made.c_str(), 0600) != 0 || listen(fd.get(), kBacklog) != 0 ||
      rename(made.c_str(), path.c_str()) != 0) {
    const int error = errno;
    (void)unlink(made.c_str());
    return absl::PermissionDeniedError(
        StrCat("cannot make the socket '", path, "': ", strerror(error)));
  }
  return fd;
}

absl::StatusOr<UniqueFd> ListenForAdmin(const ServerConfig& config) {
  if (config.admin_socket.empty()) return UniqueFd();
  absl::StatusOr<UniqueFd> socket = ListenOnUnix(config.admin_socket);
  // Nobody asked for it, and a daemon without it serves as well.
  if (!socket.ok() && config.admin_socket_is_default) {
    LOG(WARNING) << "there is no admin socket: " << socket.status().message()
                 << " (--admin-socket says where it should be)";
    return UniqueFd();
  }
  return socket;
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return 0;
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  }
  return 0;
}

absl::Status CheckListening(int fd) {
  int listening = 0;
  socklen_t bytes = sizeof(listening);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) != 0) {
    return Failed("an inherited descriptor", errno);
  }
  if (listening == 0) return absl::InvalidArgumentError("an inherited socket does not listen");
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    return Failed("an inherited socket", errno);
  }
  return absl::OkStatus();
}

}  // namespace paramd
