// Listening sockets: TCP for requests, a Unix socket for the operator. The keeper
// makes them and its workers inherit them; a worker without a keeper makes its own.
//
// All are non-blocking and close-on-exec. No SO_REUSEPORT: a second daemon on a
// taken port must fail and not take half of the requests.
//
// Thread-safety: functions; ListenOnUnix touches the file system.
#ifndef PARAMD_SERVER_KEEPER_LISTENING_SOCKET_H_
#define PARAMD_SERVER_KEEPER_LISTENING_SOCKET_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "server/config/server_config.h"

namespace paramd {

// "127.0.0.1:8001", "[::]:0". AlreadyExists when the port is taken or the address
// is not one of this machine's; `flag` is what the message advises to change.
absl::StatusOr<UniqueFd> ListenOnTcp(const std::string& address, std::string_view flag);

// Mode 0600 from its first moment on; a folder that is missing is made (0700, the
// last part of the path only). A file that is there is replaced if it is a socket
// that nobody listens on; AlreadyExists if somebody does.
absl::StatusOr<UniqueFd> ListenOnUnix(const std::string& path);

// The admin socket as configured. Invalid: there is none, because it is turned
// off, or because the default path is not to be had; then a warning says so.
absl::StatusOr<UniqueFd> ListenForAdmin(const ServerConfig& config);

// The port of a TCP socket; 0 for any other.
int PortOf(int fd);

// Whether it is a socket that listens, as one handed over by somebody else
// should be; sets what ListenOn... set.
absl::Status CheckListening(int fd);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_LISTENING_SOCKET_H_
