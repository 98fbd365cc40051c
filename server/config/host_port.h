// HostPort: "127.0.0.1:8001", "[::1]:8002", "localhost:0".
//
// Thread-safety: values and pure functions; ResolveNumeric may ask the resolver.
#ifndef PARAMD_SERVER_CONFIG_HOST_PORT_H_
#define PARAMD_SERVER_CONFIG_HOST_PORT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace paramd {

struct HostPort {
  std::string host;  // Without brackets.
  uint16_t port = 0;

  // With brackets around an IPv6 address.
  std::string ToString() const;
};

// InvalidArgument says what is wrong. Both parts are required; an IPv6 address
// needs its brackets, since "::1:8002" could mean two things.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// The same with the host as a numeric address, for libraries that take no names.
// A name that has several addresses gives the first, IPv4 before IPv6.
absl::StatusOr<HostPort> ResolveNumeric(const HostPort& address);

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_HOST_PORT_H_
