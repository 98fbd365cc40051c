// ServerOption: one row of the daemon's option table: how a value is read,
// checked and shown. server_config.cc turns the table into flags, environment
// variables, JSON keys and documentation.
//
// Thread-safety: the table is built once and never changes.
#ifndef PARAMD_SERVER_CONFIG_SERVER_OPTIONS_H_
#define PARAMD_SERVER_CONFIG_SERVER_OPTIONS_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config/server_config.h"

namespace paramd {

struct ServerOption {
  std::string name;        // "grpc-address"
  std::string value_name;  // "ADDRESS" in the help text; empty: an on/off switch.
  std::string group;
  std::string help;
  std::string range;         // "1 to 65536", for documentation and errors; may be empty.
  bool empty_means = false;  // "" is a value of its own and not "not set".

  // Reads the text into the field; says nothing of the range.
  std::function<absl::Status(std::string_view text, ServerConfig* config)> read;
  // Whether the field's value is allowed.
  std::function<absl::Status(const ServerConfig& config)> check;
  // The value as `read` would take it.
  std::function<std::string(const ServerConfig& config)> print;
};

// In the order of the help text.
const std::vector<ServerOption>& ServerOptions();

// "64MiB", "1.5GiB" is not one, "1000", "2GB" (decimal), "512KiB".
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);
// "64MiB" where it divides evenly, else plain digits.
std::string PrintBytes(uint64_t bytes);

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_SERVER_OPTIONS_H_
