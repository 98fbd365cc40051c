// ServerConfig: every option of the daemon, typed, with its default and range.
//
// A value comes from the command line, else from the environment (PARAMD_ and
// the flag's name in capitals), else from the JSON file of --config, else from
// the default here; `origins` of ParsedServerConfig says which. This is the only
// room that reads the environment.
//
// To add an option: a field here and a row in the table of server_options.cc;
// the help text, the environment variable, the JSON key and CONFIG.md follow.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_CONFIG_SERVER_CONFIG_H_
#define PARAMD_SERVER_CONFIG_SERVER_CONFIG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/config/precision.h"

namespace paramd {

enum class LogFormat { kText, kJson };
enum class LogLevel { kInfo, kWarning, kError };
// Who may load and unload models, and change traces and logs, through KServe V2 on
// grpc_address. On the admin socket everybody may who reaches it.
enum class ModelControl { kNone, kExplicit };

struct ServerConfig {
  // What is served, and where.
  std::string model_repository;  // Required.
  std::string grpc_address = "127.0.0.1:8001";
  std::string metrics_address = "127.0.0.1:8002";  // Empty: no listener.
  bool triton_metrics = true;                      // nv_inference_* as well.
  std::string admin_socket;                        // Filled in by ParseServerConfig.
  bool admin_socket_is_default = false;            // So is this: nobody named it.
  bool admin_on_tcp = false;                       // ModelAdmin on grpc_address as well.
  ModelControl model_control = ModelControl::kNone;
  bool allow_client_shm = false;  // Tensors in shared memory that clients register.
  bool watch = false;
  bool auto_promote = true;  // Of models whose state does not say.
  // How long a version that `default` left stays loaded.
  absl::Duration keep_previous = absl::Minutes(10);
  // Every version's bytes are hashed again that often; 0: only when asked.
  absl::Duration verify_interval = absl::ZeroDuration();
  std::string state_file;  // Of the desired state; empty: in memory only.
  bool strict_readiness = false;
  bool no_keeper = false;
  // How long a successor may take until it is ready (paramctl upgrade).
  absl::Duration upgrade_deadline = absl::Minutes(10);

  // Computing. 0 means: decided from the CPU budget at start.
  int64_t streams = 0;
  int64_t threads_per_stream = 0;
  int64_t loader_threads = 0;
  absl::Duration batch_time_max = absl::Milliseconds(50);
  int64_t compiled_shapes_max = 64;  // Of one model version.
  Precision default_precision = Precision::kF32;

  // Memory. 0 capacity: 80% of the memory limit that the process finds.
  uint64_t parameter_capacity_bytes = 0;
  uint64_t queue_bytes_max = uint64_t{256} << 20;
  int64_t queue_requests_max = 1024;  // Of one model.
  int64_t sequences_max = 4096;       // Whose states are kept.
  absl::Duration sequence_idle_max = absl::Minutes(1);
  uint64_t load_rate_max = 0;  // Bytes a second that loading reads; 0: no limit.

  // The wire.
  uint64_t message_bytes_max = uint64_t{64} << 20;
  uint64_t header_bytes_max = 16 << 10;
  int64_t concurrent_streams_max = 1024;  // Of one connection.
  absl::Duration keepalive_time = absl::Minutes(1);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration connection_age_max = absl::Seconds(60);
  absl::Duration connection_age_grace = absl::Seconds(30);

  // Stopping: readiness off, then work is still taken for drain_grace, then
  // what is queued may finish until drain_deadline has passed.
  absl::Duration drain_grace = absl::Seconds(2);
  absl::Duration drain_deadline = absl::Seconds(30);

  // Logs.
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  int64_t verbosity = 0;
};

// InvalidArgument names the option, its value and its range.
absl::Status ValidateServerConfig(const ServerConfig& config);

// Where one option's value came from.
struct OptionOrigin {
  std::string name;    // "grpc-address"
  std::string value;   // As it would be written on a command line.
  std::string source;  // "default", "environment PARAMD_...", "file ...", "command line"
};

struct ParsedServerConfig {
  enum class Action {
    kRun,
    kPrint,        // Print `text` and exit with 0: --help, --version.
    kPrintConfig,  // Print EffectiveConfig(origins) and exit with 0.
  };
  Action action = Action::kRun;
  std::string text;
  ServerConfig config;
  std::vector<OptionOrigin> origins;  // In the order of the help text.
};

using EnvironmentReader = std::function<std::optional<std::string>(const std::string& name)>;
// The process's own environment.
EnvironmentReader ProcessEnvironment();

// `args` without the program's name. `version_text` answers --version.
// InvalidArgument says which option, from where, and what is allowed; NotFound
// when the file of --config is not there.
absl::StatusOr<ParsedServerConfig> ParseServerConfig(absl::Span<const char* const> args,
                                                     const EnvironmentReader& environment,
                                                     std::string_view version_text);

// What a program's main does with the result before it runs: prints what was
// asked for, or what is wrong, and says with which code to exit; nothing: run.
std::optional<int> ExitWithoutRunning(const absl::StatusOr<ParsedServerConfig>& parsed);

// A table of option, value and source, for --print-config and the first log line.
std::string EffectiveConfig(absl::Span<const OptionOrigin> origins);

// The table of CONFIG.md, generated.
std::string ServerConfigTable();

// The admin socket's place when nothing is said: /run/paramd/admin.sock for
// root, else $XDG_RUNTIME_DIR/paramd/admin.sock; empty when neither is known.
std::string DefaultAdminSocket(const EnvironmentReader& environment, bool is_root);

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_SERVER_CONFIG_H_
