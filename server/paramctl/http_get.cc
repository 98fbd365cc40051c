#include "server/paramctl/http_get.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/base/unique_fd.h"
#include "server/config/host_port.h"

namespace paramd {
namespace {

// /metrics of a thousand versions is 20 MB.
constexpr size_t kAnswerBytesMax = size_t{256} << 20;

absl::Status WaitFor(int fd, short events, absl::Time deadline) {
  while (true) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return absl::UnavailableError("no answer in time");
    pollfd ready = {.fd = fd, .events = events, .revents = 0};
    const int got = poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (got > 0) return absl::OkStatus();
    if (got < 0 && errno != EINTR) return absl::UnavailableError(strerror(errno));
  }
}

absl::StatusOr<UniqueFd> Connect(const HostPort& address, absl::Time deadline) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  absl::Status last = absl::UnavailableError("no address");
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd fd(socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) continue;
    if (connect(fd.get(), one->ai_addr, one->ai_addrlen) != 0 && errno != EINPROGRESS) {
      last = absl::UnavailableError(strerror(errno));
      continue;
    }
    PARAMD_RETURN_IF_ERROR(WaitFor(fd.get(), POLLOUT, deadline));
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) return fd;
    last = absl::UnavailableError(strerror(error));
  }
  return last;
}

absl::StatusOr<std::string> Exchange(const UniqueFd& fd, const std::string& request,
                                     absl::Time deadline) {
  // Far smaller than any socket's buffer.
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return absl::UnavailableError(strerror(errno));
  }
  std::string answer;
  char buffer[1 << 16];
  while (answer.size() < kAnswerBytesMax) {
    PARAMD_RETURN_IF_ERROR(WaitFor(fd.get(), POLLIN, deadline));
    const ssize_t got = recv(fd.get(), buffer, sizeof(buffer), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return absl::UnavailableError(strerror(errno));
    if (got == 0) return answer;
    answer.append(buffer, static_cast<size_t>(got));
  }
  return absl::InternalError("the answer does not end");
}

absl::StatusOr<std::string> Get(const HostPort& address, const std::string& path,
                                double timeout_s) {
  const absl::Time deadline = absl::Now() + absl::Seconds(timeout_s);
  PARAMD_ASSIGN_OR_RETURN(const UniqueFd fd, Connect(address, deadline));
  PARAMD_ASSIGN_OR_RETURN(std::string answer,
                          Exchange(fd,
                                   StrCat("GET ", path, " HTTP/1.1\r\nHost: ", address.ToString(),
                                          "\r\nConnection: close\r\n\r\n"),
                                   deadline));
  const size_t line_end = answer.find("\r\n");
  const size_t body = answer.find("\r\n\r\n");
  const std::string_view first = std::string_view(answer).substr(0, line_end);
  if (body == std::string::npos || !first.starts_with("HTTP/1.") ||
      first.find(" 200 ") == std::string_view::npos) {
    return absl::InternalError(StrCat(path, " answers: ", first.substr(0, 80)));
  }
  answer.erase(0, body + 4);
  return answer;
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    double timeout_s) {
  PARAMD_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  absl::StatusOr<std::string> body = Get(parsed, path, timeout_s);
  if (body.ok() || !absl::IsUnavailable(body.status())) return body;
  return absl::UnavailableError(StrCat("no paramd answers at ", address, " (",
                                       FromAbsl(body.status().message()),
                                       "); is it running, and is --metrics-address right?"));
}

}  // namespace paramd
