#include "server/config/server_options.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "runtime/base/strings.h"
#include "server/config/host_port.h"

namespace paramd {
namespace {

struct ByteUnit {
  std::string_view suffix;
  uint64_t bytes;
};
// Longest suffixes first within a power; binary before decimal for printing.
constexpr std::array<ByteUnit, 8> kByteUnits = {{{"TiB", uint64_t{1} << 40},
                                                 {"GiB", uint64_t{1} << 30},
                                                 {"MiB", uint64_t{1} << 20},
                                                 {"KiB", uint64_t{1} << 10},
                                                 {"TB", 1'000'000'000'000},
                                                 {"GB", 1'000'000'000},
                                                 {"MB", 1'000'000},
                                                 {"KB", 1'000}}};

// What every row needs before it gets its functions.
ServerOption Row(std::string_view group, std::string_view name, std::string_view value_name,
                 std::string_view help) {
  ServerOption option;
  option.name = std::string(name);
  option.value_name = std::string(value_name);
  option.group = std::string(group);
  option.help = std::string(help);
  option.check = [](const ServerConfig&) { return absl::OkStatus(); };
  return option;
}

ServerOption Text(ServerOption option, std::string ServerConfig::*field) {
  option.empty_means = true;
  option.read = [field](std::string_view text, ServerConfig* config) {
    if (text.find('\0') != std::string_view::npos) {
      return absl::InvalidArgumentError("it holds a zero byte");
    }
    config->*field = std::string(text);
    return absl::OkStatus();
  };
  option.print = [field](const ServerConfig& config) { return config.*field; };
  return option;
}

ServerOption Address(ServerOption option, std::string ServerConfig::*field, bool may_be_empty) {
  option = Text(std::move(option), field);
  option.range = may_be_empty ? "host:port, or empty for none" : "host:port";
  option.check = [field, may_be_empty](const ServerConfig& config) {
    if (may_be_empty && (config.*field).empty()) return absl::OkStatus();
    return ParseHostPort(config.*field).status();
  };
  return option;
}

ServerOption Switch(ServerOption option, bool ServerConfig::*field) {
  option.read = [field](std::string_view text, ServerConfig* config) {
    if (!absl::SimpleAtob(ToAbsl(text), &(config->*field))) {
      return absl::InvalidArgumentError("expected true or false");
    }
    return absl::OkStatus();
  };
  option.print = [field](const ServerConfig& config) {
    return std::string(config.*field ? "true" : "false");
  };
  return option;
}

absl::Status OutOfRange(const std::string& range) {
  return absl::InvalidArgumentError(StrCat("allowed is ", range));
}

ServerOption Integer(ServerOption option, int64_t ServerConfig::*field, int64_t least,
                     int64_t most) {
  option.range = StrCat(least, " to ", most);
  option.read = [field](std::string_view text, ServerConfig* config) {
    if (!absl::SimpleAtoi(ToAbsl(text), &(config->*field))) {
      return absl::InvalidArgumentError("expected a whole number");
    }
    return absl::OkStatus();
  };
  option.check = [field, least, most, range = option.range](const ServerConfig& config) {
    const int64_t value = config.*field;
    return value >= least && value <= most ? absl::OkStatus() : OutOfRange(range);
  };
  option.print = [field](const ServerConfig& config) { return StrCat(config.*field); };
  return option;
}

ServerOption Bytes(ServerOption option, uint64_t ServerConfig::*field, uint64_t least,
                   uint64_t most, bool zero_allowed = false) {
  option.range = StrCat(zero_allowed ? "0, or " : "", PrintBytes(least), " to ", PrintBytes(most));
  option.read = [field](std::string_view text, ServerConfig* config) {
    const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return bytes.status();
    config->*field = *bytes;
    return absl::OkStatus();
  };
  option.check = [field, least, most, zero_allowed,
                  range = option.range](const ServerConfig& config) {
    const uint64_t value = config.*field;
    if (zero_allowed && value == 0) return absl::OkStatus();
    return value >= least && value <= most ? absl::OkStatus() : OutOfRange(range);
  };
  option.print = [field](const ServerConfig& config) { return PrintBytes(config.*field); };
  return option;
}

ServerOption Time(ServerOption option, absl::Duration ServerConfig::*field, absl::Duration least,
                  absl::Duration most) {
  option.range = StrCat(absl::FormatDuration(least), " to ", absl::FormatDuration(most));
  option.read = [field](std::string_view text, ServerConfig* config) {
    if (!absl::ParseDuration(ToAbsl(text), &(config->*field))) {
      return absl::InvalidArgumentError("expected a time with its unit, such as 50ms or 1m30s");
    }
    return absl::OkStatus();
  };
  option.check = [field, least, most, range = option.range](const ServerConfig& config) {
    const absl::Duration value = config.*field;
    return value >= least && value <= most ? absl::OkStatus() : OutOfRange(range);
  };
  option.print = [field](const ServerConfig& config) {
    return absl::FormatDuration(config.*field);
  };
  return option;
}

template <typename Enum>
ServerOption Choice(ServerOption option, Enum ServerConfig::*field,
                    std::initializer_list<std::pair<std::string_view, Enum>> choices) {
  std::vector<std::pair<std::string, Enum>> named;
  for (const auto& [name, value] : choices) {
    if (!option.range.empty()) option.range += ", ";
    option.range += name;
    named.emplace_back(name, value);
  }
  option.read = [field, named, range = option.range](std::string_view text, ServerConfig* config) {
    for (const auto& [name, value] : named) {
      if (name == text) {
        config->*field = value;
        return absl::OkStatus();
      }
    }
    return absl::InvalidArgumentError(StrCat("expected one of ", range));
  };
  option.print = [field, named](const ServerConfig& config) {
    for (const auto& [name, value] : named) {
      if (value == config.*field) return name;
    }
    return std::string("?");
  };
  return option;
}

std::vector<ServerOption> BuildServerOptions() {
  using C = ServerConfig;
  constexpr std::string_view kServing = "Serving";
  constexpr std::string_view kComputing = "Computing";
  constexpr std::string_view kMemory = "Memory and queues";
  constexpr std::string_view kWire = "Connections";
  constexpr std::string_view kStopping = "Stopping";
  constexpr std::string_view kLogs = "Logs";
  constexpr absl::Duration kDay = absl::Hours(24);
  return {
      Text(Row(kServing, "model-repository", "DIR",
               "Folder of models: DIR/<model>/<version>/model.onnx. Required"),
           &C::model_repository),
      Address(Row(kServing, "grpc-address", "ADDRESS",
                  "Where requests are taken; port 0 picks a free one"),
              &C::grpc_address, false),
      Address(Row(kServing, "metrics-address", "ADDRESS",
                  "Where /metrics, /healthz and /statusz are; empty turns them off"),
              &C::metrics_address, true),
      Text(
          Row(kServing, "admin-socket", "PATH",
              "Unix socket of the operator, mode 0600; unless set /run/paramd/admin.sock for root, "
              "else $XDG_RUNTIME_DIR/paramd/admin.sock"),
          &C::admin_socket),
      Switch(Row(kServing, "admin-on-tcp", "",
                 "Take admin calls on the gRPC address too, from everybody who reaches it"),
             &C::admin_on_tcp),
      Choice<ModelControl>(Row(kServing, "model-control", "WHO",
                               "Who may load and unload models over KServe V2 on the gRPC address, "
                               "and change traces and logs: nobody, or explicit: everybody who "
                               "reaches it. The admin socket always may"),
                           &C::model_control,
                           {{"none", ModelControl::kNone}, {"explicit", ModelControl::kExplicit}}),
      Switch(Row(kServing, "allow-client-shm", "",
                 "Let clients register shared memory of this machine and leave tensors there"),
             &C::allow_client_shm),
      Switch(Row(kServing, "triton-metrics", "",
                 "Serve the sums of /metrics under Triton's names (nv_inference_*) too"),
             &C::triton_metrics),
      Switch(Row(kServing, "watch", "", "Follow changes of the model repository"), &C::watch),
      Switch(Row(kServing, "auto-promote", "",
                 "Move a model's default to a new version as soon as that has passed its gate"),
             &C::auto_promote),
      Time(Row(kServing, "keep-previous", "TIME",
               "How long the version that a name left stays loaded, so that rolling back is "
               "instant"),
           &C::keep_previous, absl::ZeroDuration(), 365 * kDay),
      Time(Row(kServing, "verify-interval", "TIME",
               "Hash the parameters in memory again that often, and report; 0 only when asked"),
           &C::verify_interval, absl::ZeroDuration(), 365 * kDay),
      Text(Row(kServing, "state-file", "PATH",
               "Keep the desired state in this file too; empty keeps it in memory"),
           &C::state_file),
      Switch(Row(kServing, "strict-readiness", "",
                 "Be ready only when every model serves; without it a model that failed to load "
                 "does not keep the others from serving"),
             &C::strict_readiness),
      Switch(Row(kServing, "no-keeper", "",
                 "Run the worker alone, with parameters held by this process only"),
             &C::no_keeper),
      Time(Row(kServing, "upgrade-deadline", "TIME",
               "How long the worker of a new binary may take until it is ready"),
           &C::upgrade_deadline, absl::Seconds(1), kDay),

      Integer(Row(kComputing, "streams", "N",
                  "Batches that run at the same time; 0 decides from the CPU budget"),
              &C::streams, 0, 4096),
      Integer(Row(kComputing, "threads-per-stream", "N",
                  "Threads that work on one batch; 0 decides from the CPU budget"),
              &C::threads_per_stream, 0, 1024),
      Integer(Row(kComputing, "loader-threads", "N",
                  "Threads that read models, at idle priority; 0: one, and all cores before "
                  "anything serves"),
              &C::loader_threads, 0, 1024),
      Time(Row(kComputing, "batch-time-max", "TIME",
               "Longest predicted time of a batch while another model waits"),
           &C::batch_time_max, absl::Milliseconds(1), absl::Minutes(10)),
      Integer(Row(kComputing, "compiled-shapes-max", "N",
                  "Input shapes that one model version keeps compiled"),
              &C::compiled_shapes_max, 1, 4096),
      Choice<Precision>(Row(kComputing, "default-precision", "TYPE",
                            "Arithmetic of models whose config.pbtxt does not say"),
                        &C::default_precision,
                        {{"f32", Precision::kF32}, {"bf16", Precision::kBF16}}),

      Bytes(Row(kMemory, "parameter-capacity-bytes", "BYTES",
                "Most parameter bytes held; a load that does not fit is refused. 0: 80% of the "
                "memory limit"),
            &C::parameter_capacity_bytes, 1 << 20, uint64_t{1} << 50, true),
      Bytes(Row(kMemory, "queue-bytes-max", "BYTES", "Input bytes that may wait in all queues"),
            &C::queue_bytes_max, 1 << 20, uint64_t{1} << 40),
      Integer(Row(kMemory, "queue-requests-max", "N", "Requests that may wait for one model"),
              &C::queue_requests_max, 1, 1'000'000),
      Integer(
          Row(kMemory, "sequences-max", "N", "Sequences of stateful models whose states are kept"),
          &C::sequences_max, 1, 1'000'000),
      Time(Row(kMemory, "sequence-idle-max", "TIME",
               "A sequence without a request for that long is forgotten"),
           &C::sequence_idle_max, absl::Milliseconds(1), kDay),
      Bytes(Row(kMemory, "load-rate-max", "BYTES",
                "Bytes a second that loading reads at most; 0 sets no limit"),
            &C::load_rate_max, 1 << 10, uint64_t{1} << 50, true),

      Bytes(Row(kWire, "message-bytes-max", "BYTES", "Largest request and answer"),
            &C::message_bytes_max, 1 << 10, std::numeric_limits<int32_t>::max()),
      Bytes(Row(kWire, "header-bytes-max", "BYTES", "Most header bytes of a call"),
            &C::header_bytes_max, 1 << 10, 1 << 20),
      Integer(Row(kWire, "concurrent-streams-max", "N", "Calls at the same time on a connection"),
              &C::concurrent_streams_max, 1, 1'000'000),
      Time(Row(kWire, "keepalive-time", "TIME", "A connection idle that long is asked for life"),
           &C::keepalive_time, absl::Seconds(1), kDay),
      Time(Row(kWire, "keepalive-timeout", "TIME", "How long it may take to answer"),
           &C::keepalive_timeout, absl::Seconds(1), absl::Hours(1)),
      Time(Row(kWire, "connection-age-max", "TIME",
               "Clients are asked to connect anew after that long, so that a new server gets its "
               "share"),
           &C::connection_age_max, absl::Seconds(1), 365 * kDay),
      Time(Row(kWire, "connection-age-grace", "TIME", "How long calls may go on after that"),
           &C::connection_age_grace, absl::Seconds(1), kDay),

      Time(Row(kStopping, "drain-grace", "TIME",
               "After SIGTERM: how long work is still taken while readiness is off"),
           &C::drain_grace, absl::ZeroDuration(), absl::Minutes(10)),
      Time(Row(kStopping, "drain-deadline", "TIME",
               "After that: how long work that was taken may go on"),
           &C::drain_deadline, absl::ZeroDuration(), absl::Hours(1)),

      Choice<LogFormat>(Row(kLogs, "log-format", "FORMAT", "Text for people, JSON for collectors"),
                        &C::log_format, {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}),
      Choice<LogLevel>(Row(kLogs, "log-level", "LEVEL", "Least severity that is written"),
                       &C::log_level,
                       {{"info", LogLevel::kInfo},
                        {"warning", LogLevel::kWarning},
                        {"error", LogLevel::kError}}),
      Integer(Row(kLogs, "verbosity", "N",
                  "More detail: 1 plans and refusals, 2 every load step, 3 every batch"),
              &C::verbosity, 0, 9),
  };
}

}  // namespace

const std::vector<ServerOption>& ServerOptions() {
  static const auto* const options = new std::vector<ServerOption>(BuildServerOptions());
  return *options;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  uint64_t unit = 1;
  for (const ByteUnit& candidate : kByteUnits) {
    if (text.ends_with(candidate.suffix)) {
      unit = candidate.bytes;
      text.remove_suffix(candidate.suffix.size());
      break;
    }
  }
  uint64_t count = 0;
  // SimpleAtoi takes blanks and signs; a size has neither.
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos ||
      !absl::SimpleAtoi(ToAbsl(text), &count)) {
    return absl::InvalidArgumentError(
        "expected bytes as a whole number, with KiB, MiB, GiB or TiB if you like");
  }
  if (count > std::numeric_limits<uint64_t>::max() / unit) {
    return absl::InvalidArgumentError("that many bytes do not fit into 64 bits");
  }
  return count * unit;
}

std::string PrintBytes(uint64_t bytes) {
  for (const ByteUnit& unit : kByteUnits) {
    if (unit.suffix.size() == 3 && bytes != 0 && bytes % unit.bytes == 0) {
      return StrCat(bytes / unit.bytes, unit.suffix);
    }
  }
  return StrCat(bytes);
}

}  // namespace paramd
