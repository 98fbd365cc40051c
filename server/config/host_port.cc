#include "server/config/host_port.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("'", absl::CHexEscape(ToAbsl(text)), "' is not an address: ", why,
             "; expected host:port, such as 127.0.0.1:8001 or [::1]:8001"));
}

bool IsHostCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '-' || c == '_';
}

bool IsIpv6(const std::string& host) {
  in6_addr unused;
  return inet_pton(AF_INET6, host.c_str(), &unused) == 1;
}

}  // namespace

std::string HostPort::ToString() const {
  if (host.find(':') != std::string::npos) return StrCat("[", host, "]:", port);
  return StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  if (text.size() > 300) return Bad(text.substr(0, 40), "it is too long");
  HostPort address;
  std::string_view port_text;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return Bad(text, "']' is missing");
    address.host = std::string(text.substr(1, close - 1));
    if (!IsIpv6(address.host)) return Bad(text, "what is in brackets is no IPv6 address");
    const std::string_view rest = text.substr(close + 1);
    if (!rest.starts_with(':')) return Bad(text, "it has no port");
    port_text = rest.substr(1);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return Bad(text, "it has no port");
    address.host = std::string(text.substr(0, colon));
    port_text = text.substr(colon + 1);
    if (address.host.empty()) return Bad(text, "it has no host (0.0.0.0 means every interface)");
    if (address.host.find(':') != std::string::npos) {
      return Bad(text, "an IPv6 address needs brackets");
    }
    if (!std::all_of(address.host.begin(), address.host.end(), IsHostCharacter)) {
      return Bad(text, "the host has a character that no name has");
    }
  }
  if (port_text.empty() || port_text.size() > 5) return Bad(text, "the port is not 0 to 65535");
  uint32_t port = 0;
  for (const char c : port_text) {
    if (c < '0' || c > '9') return Bad(text, "the port is not a number");
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port > 65535) return Bad(text, "the port is not 0 to 65535");
  address.port = static_cast<uint16_t>(port);
  return address;
}

absl::StatusOr<HostPort> ResolveNumeric(const HostPort& address) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        StrCat("host '", address.host, "' has no address: ", gai_strerror(error)));
  }
  const addrinfo* chosen = found;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    if (at->ai_family == AF_INET) {
      chosen = at;
      break;
    }
  }
  char host[NI_MAXHOST];
  const int name_error = getnameinfo(chosen->ai_addr, chosen->ai_addrlen, host, sizeof(host),
                                     nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (name_error != 0) {
    return absl::InternalError(
        StrCat("address of '", address.host, "': ", gai_strerror(name_error)));
  }
  return HostPort{.host = host, .port = address.port};
}

}  // namespace paramd
