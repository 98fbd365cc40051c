#include "server/config/server_config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/host_port.h"
#include "server/config/server_options.h"

namespace paramd {
namespace {

constexpr size_t kConfigFileBytesMax = 1 << 20;

// One source's say: option name to text.
using Values = std::map<std::string, std::string>;

std::string EnvironmentName(const std::string& option) {
  return "PARAMD_" + absl::StrReplaceAll(absl::AsciiStrToUpper(option), {{"-", "_"}});
}

const ServerOption* FindOption(std::string_view name) {
  for (const ServerOption& option : ServerOptions()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// "; did you mean 'streams'?" when one option is close enough to be meant.
std::string Suggestion(std::string_view name) {
  constexpr size_t kNameBytesMax = 64;
  if (name.size() > kNameBytesMax) return "";
  const ServerOption* nearest = nullptr;
  size_t least = 4;
  for (const ServerOption& option : ServerOptions()) {
    const size_t distance = EditDistance(name, option.name);
    if (distance < least) {
      least = distance;
      nearest = &option;
    }
  }
  return nearest == nullptr ? "" : StrCat("; did you mean '", nearest->name, "'?");
}

absl::Status WithContext(const absl::Status& status, std::string_view name, std::string_view value,
                         std::string_view source) {
  return absl::Status(status.code(),
                      StrCat("option '", name, "' from ", source, ": '",
                             absl::CHexEscape(ToAbsl(value)), "': ", FromAbsl(status.message())));
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    const std::string message = StrCat("configuration file '", path, "': ", strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
  }
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() <= kConfigFileBytesMax && (got = read(fd, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  const int error = errno;
  close(fd);
  if (got < 0) {
    return absl::InvalidArgumentError(StrCat("configuration file '", path, "': ", strerror(error)));
  }
  if (text.size() > kConfigFileBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("configuration file '", path, "' has more than ", kConfigFileBytesMax, " bytes"));
  }
  return text;
}

// A flat JSON object of option names (with '-' or '_') and scalars.
absl::StatusOr<Values> ParseConfigFile(const std::string& path, const std::string& text) {
  const auto bad = [&path](std::string_view why) {
    return absl::InvalidArgumentError(StrCat("configuration file '", path, "': ", why));
  };
  // Values below the first level are never built; names are seen here, since an
  // object in memory would have forgotten the first of two equal ones.
  bool nested = false;
  std::set<std::string> names;
  std::string repeated;
  const auto callback = [&](int depth, nlohmann::json::parse_event_t event,
                            nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::key && depth == 1) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names.insert(name).second) repeated = name;
    }
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth > 0) nested = true;
    return depth <= 1;
  };
  const nlohmann::json json =
      nlohmann::json::parse(text, callback, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (nested) return bad("values are texts, numbers, true or false, not lists or objects");
  if (json.is_discarded()) return bad("it is not JSON");
  if (!json.is_object()) return bad("expected an object of options");
  if (!repeated.empty()) {
    return bad(StrCat("'", absl::CHexEscape(repeated), "' is there twice"));
  }
  Values values;
  for (const auto& [key, value] : json.items()) {
    const std::string name = absl::StrReplaceAll(key, {{"_", "-"}});
    if (FindOption(name) == nullptr) {
      return bad(StrCat("'", absl::CHexEscape(key), "' is not an option", Suggestion(name)));
    }
    std::string value_text;
    if (value.is_string()) {
      value_text = value.get<std::string>();
    } else if (value.is_boolean() || value.is_number()) {
      value_text = value.dump();
    } else {
      return bad(StrCat("'", key, "' is null"));
    }
    if (!values.try_emplace(name, std::move(value_text)).second) {
      return bad(StrCat("'", name, "' is there twice"));
    }
  }
  return values;
}

struct CommandLine {
  Values values;
  std::optional<std::string> config_file;
  bool print_config = false;
  std::optional<std::string> text;  // Of --help or --version.
};

// CLI11 reads the flags and writes the help text; values are read by our own
// table, so that a flag, a variable and a JSON key mean the same.
absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const char* const> args,
                                             std::string_view version_text) {
  CommandLine line;
  CLI::App app(
      "Serves ONNX models over gRPC from parameters held once in sealed memory.\n"
      "A flag wins over its environment variable (--grpc-address: PARAMD_GRPC_ADDRESS),\n"
      "which wins over the JSON file of --config.",
      "paramd");
  app.get_formatter()->column_width(44);
  app.set_version_flag("--version", std::string(version_text));
  app.add_option("--config", line.config_file, "JSON file of options, by the names below")
      ->type_name("FILE");
  app.add_flag("--print-config", line.print_config,
               "Print every option, its value and where it came from, and exit");
  const ServerConfig defaults;
  std::vector<std::pair<const ServerOption*, CLI::Option*>> flags;
  for (const ServerOption& option : ServerOptions()) {
    // Const, or CLI11 would take it for the variable that gets the value.
    const std::string help =
        option.range.empty() ? option.help : StrCat(option.help, " (", option.range, ")");
    const std::string names = StrCat(option.name == "verbosity" ? "-v," : "", "--", option.name);
    CLI::Option* const flag = app.add_option(names, help)->group(option.group);
    flag->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (option.value_name.empty()) {
      flag->expected(0, 1)->type_name("");
    } else {
      flag->type_name(option.value_name);
      const std::string shown = option.print(defaults);
      if (!shown.empty()) flag->default_str(shown);
    }
    flags.emplace_back(&option, flag);
  }
  // CLI11 would take what follows "--name=" for its value; an empty argument of
  // its own is what was meant. It wants the arguments last first.
  std::vector<std::string> reversed;
  for (const std::string_view arg : args) {
    const bool sets_empty = arg.starts_with("--") && arg.find('=') == arg.size() - 1;
    reversed.emplace_back(sets_empty ? arg.substr(0, arg.size() - 1) : arg);
    if (sets_empty) reversed.emplace_back();
  }
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::CallForVersion& version) {
    line.text = StrCat(version.what(), "\n");
  } catch (const CLI::ExtrasError& error) {
    std::string suggestion;
    for (const std::string& extra : app.remaining()) {
      if (suggestion.empty() && extra.starts_with("--")) {
        suggestion = Suggestion(std::string_view(extra).substr(2, extra.find('=') - 2));
      }
    }
    return absl::InvalidArgumentError(StrCat(error.what(), suggestion, " (--help lists them)"));
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }
  for (const auto& [option, flag] : flags) {
    if (flag->count() == 0) continue;
    const std::vector<std::string>& given = flag->results();
    const bool bare_switch = option->value_name.empty() && (given.empty() || given.back().empty());
    line.values[option->name] = bare_switch ? "true" : given.back();
  }
  return line;
}

absl::Status CheckTogether(const ServerConfig& config) {
  if (config.model_repository.empty()) {
    return absl::InvalidArgumentError(
        "no model repository: say --model-repository DIR (or PARAMD_MODEL_REPOSITORY)");
  }
  if (config.queue_bytes_max < config.message_bytes_max) {
    return absl::InvalidArgumentError(StrCat(
        "queue-bytes-max (", PrintBytes(config.queue_bytes_max), ") is below message-bytes-max (",
        PrintBytes(config.message_bytes_max), "): the largest request could never wait"));
  }
  if (!config.metrics_address.empty() && config.metrics_address == config.grpc_address &&
      !config.grpc_address.ends_with(":0")) {
    return absl::InvalidArgumentError(StrCat("grpc-address and metrics-address are both ",
                                             config.grpc_address, "; they need two ports"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateServerConfig(const ServerConfig& config) {
  for (const ServerOption& option : ServerOptions()) {
    if (const absl::Status status = option.check(config); !status.ok()) {
      return WithContext(status, option.name, option.print(config), "the configuration");
    }
  }
  return CheckTogether(config);
}

EnvironmentReader ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

std::string DefaultAdminSocket(const EnvironmentReader& environment, bool is_root) {
  if (is_root) return "/run/paramd/admin.sock";
  const std::optional<std::string> runtime = environment("XDG_RUNTIME_DIR");
  // The specification asks for an absolute path and says to ignore others.
  if (!runtime || !runtime->starts_with('/')) return "";
  return *runtime + "/paramd/admin.sock";
}

absl::StatusOr<ParsedServerConfig> ParseServerConfig(absl::Span<const char* const> args,
                                                     const EnvironmentReader& environment,
                                                     std::string_view version_text) {
  ParsedServerConfig parsed;
  PARAMD_ASSIGN_OR_RETURN(CommandLine line, ParseCommandLine(args, version_text));
  if (line.text) {
    parsed.action = ParsedServerConfig::Action::kPrint;
    parsed.text = *line.text;
    return parsed;
  }
  std::optional<std::string> file = line.config_file;
  if (!file) file = environment("PARAMD_CONFIG");
  Values file_values;
  if (file && !file->empty()) {
    PARAMD_ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(*file));
    PARAMD_ASSIGN_OR_RETURN(file_values, ParseConfigFile(*file, text));
  }

  parsed.config.admin_socket = DefaultAdminSocket(environment, geteuid() == 0);
  for (const ServerOption& option : ServerOptions()) {
    std::optional<std::string> value;
    std::string source = "default";
    const std::string variable = EnvironmentName(option.name);
    if (const auto it = line.values.find(option.name); it != line.values.end()) {
      value = it->second;
      source = "command line";
    } else if (auto from_environment = environment(variable);
               from_environment && (!from_environment->empty() || option.empty_means)) {
      value = std::move(from_environment);
      source = "environment " + variable;
    } else if (const auto it = file_values.find(option.name); it != file_values.end()) {
      value = it->second;
      source = "file " + *file;
    }
    if (value) {
      absl::Status status = option.read(*value, &parsed.config);
      if (status.ok()) status = option.check(parsed.config);
      if (!status.ok()) return WithContext(status, option.name, *value, source);
    }
    if (option.name == "admin-socket") parsed.config.admin_socket_is_default = !value.has_value();
    parsed.origins.push_back(
        {.name = option.name, .value = option.print(parsed.config), .source = source});
  }
  if (line.print_config) {
    parsed.action = ParsedServerConfig::Action::kPrintConfig;
    return parsed;
  }
  PARAMD_RETURN_IF_ERROR(CheckTogether(parsed.config));
  return parsed;
}

std::optional<int> ExitWithoutRunning(const absl::StatusOr<ParsedServerConfig>& parsed) {
  if (!parsed.ok()) {
    std::fprintf(stderr, "paramd: %s\n", std::string(parsed.status().message()).c_str());
    return 2;
  }
  switch (parsed->action) {
    case ParsedServerConfig::Action::kPrint:
      std::fputs(parsed->text.c_str(), stdout);
      return EXIT_SUCCESS;
    case ParsedServerConfig::Action::kPrintConfig:
      std::fputs(EffectiveConfig(parsed->origins).c_str(), stdout);
      return EXIT_SUCCESS;
    case ParsedServerConfig::Action::kRun:
      break;
  }
  return std::nullopt;
}

std::string EffectiveConfig(absl::Span<const OptionOrigin> origins) {
  size_t name_width = 0;
  size_t value_width = 0;
  for (const OptionOrigin& origin : origins) {
    name_width = std::max(name_width, origin.name.size());
    value_width = std::max(value_width, origin.value.size() + 2);
  }
  std::string text;
  for (const OptionOrigin& origin : origins) {
    const std::string value = origin.value.empty() ? "\"\"" : origin.value;
    StrAppend(&text, origin.name, std::string(name_width - origin.name.size() + 2, ' '), value,
              std::string(value_width - value.size() + 2, ' '), "(", origin.source, ")\n");
  }
  return text;
}

std::string ServerConfigTable() {
  const ServerConfig defaults;
  std::string table =
      "| flag | environment | default | allowed | what it does |\n|---|---|---|---|---|\n";
  for (const ServerOption& option : ServerOptions()) {
    StrAppend(&table, "| `--", option.name, option.value_name.empty() ? "" : " ", option.value_name,
              "` | `", EnvironmentName(option.name), "` | ", option.print(defaults), " | ",
              option.range, " | ", option.help, " |\n");
  }
  return table;
}

}  // namespace paramd
