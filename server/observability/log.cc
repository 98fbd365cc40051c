#include "server/observability/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

thread_local const LogFields* current_fields = nullptr;

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

std::string_view SeverityName(char severity) {
  switch (severity) {
    case 'W':
      return "WARNING";
    case 'E':
      return "ERROR";
    case 'F':
      return "FATAL";
    default:
      return "INFO";
  }
}

// Severities that are written, as bits by absl::LogSeverity.
constexpr uint32_t Bit(absl::LogSeverity severity) { return 1u << static_cast<int>(severity); }
std::atomic<uint32_t> written_severities{~uint32_t{0}};
std::atomic<int> verbosity_now{0};

absl::LogSeverityAtLeast LeastOf(uint32_t severities) {
  if (severities & Bit(absl::LogSeverity::kInfo)) return absl::LogSeverityAtLeast::kInfo;
  if (severities & Bit(absl::LogSeverity::kWarning)) return absl::LogSeverityAtLeast::kWarning;
  if (severities & Bit(absl::LogSeverity::kError)) return absl::LogSeverityAtLeast::kError;
  return absl::LogSeverityAtLeast::kFatal;
}

// Everything that would start a new line or steer a terminal, as \xNN.
void AppendEscaped(std::string_view text, std::string* line) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\n') {
      line->append("\\n");
    } else if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
      line->append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    } else {
      line->push_back(c);
    }
  }
}

// One write a line in the normal case, so that lines of several threads do not mix.
void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

LogContext::LogContext(const LogFields& fields) : outer_(current_fields) {
  current_fields = &fields;
}
LogContext::~LogContext() { current_fields = outer_; }
const LogFields* LogContext::Current() { return current_fields; }

std::string CheckedTraceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" flags: 2, 32, 16 and 2 hex digits.
  constexpr size_t kBytes = 55;
  if (header.size() < kBytes) return "";
  const std::string_view fixed = header.substr(0, kBytes);
  // Version ff is forbidden; later versions may append more after a dash.
  const std::string_view version = fixed.substr(0, 2);
  if (version == "ff") return "";
  if (header.size() > kBytes && (version == "00" || header[kBytes] != '-')) return "";
  for (size_t i = 0; i < kBytes; ++i) {
    const bool dash = i == 2 || i == 35 || i == 52;
    if (dash ? fixed[i] != '-' : !IsLowerHex(fixed[i])) return "";
  }
  const auto all_zero = [](std::string_view digits) {
    return digits.find_first_not_of('0') == std::string_view::npos;
  };
  if (all_zero(fixed.substr(3, 32)) || all_zero(fixed.substr(36, 16))) return "";
  return std::string(fixed);
}

std::string CheckedRequestId(std::string_view id) {
  std::string checked(id.substr(0, kRequestIdBytesMax));
  for (char& c : checked) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return checked;
}

std::string TextLine(const LogLine& line, const LogFields* fields) {
  std::string text(1, line.severity);
  StrAppend(&text, absl::FormatTime("%m%d %H:%M:%E6S", line.time, absl::LocalTimeZone()), " ",
            line.thread, " ", line.file, ":", line.line, "] ");
  AppendEscaped(line.message, &text);
  if (fields != nullptr && !fields->empty()) {
    text += " [";
    if (!fields->request_id.empty()) {
      text += "request_id=";
      AppendEscaped(fields->request_id, &text);
    }
    if (!fields->traceparent.empty()) {
      if (!fields->request_id.empty()) text += " ";
      text += "traceparent=";
      AppendEscaped(fields->traceparent, &text);
    }
    text += "]";
  }
  text += "\n";
  return text;
}

std::string JsonLine(const LogLine& line, const LogFields* fields) {
  nlohmann::ordered_json json;
  json["time"] = absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", line.time, absl::UTCTimeZone());
  json["severity"] = SeverityName(line.severity);
  json["file"] = line.file;
  json["line"] = line.line;
  json["thread"] = line.thread;
  json["message"] = line.message;
  if (fields != nullptr && !fields->request_id.empty()) json["request_id"] = fields->request_id;
  if (fields != nullptr && !fields->traceparent.empty()) json["traceparent"] = fields->traceparent;
  // Bytes that are not UTF-8 are replaced: every line must be valid JSON.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

class LogWriter::Sink final : public absl::LogSink {
 public:
  explicit Sink(const LogOptions& options) : options_(options) {}

  void Send(const absl::LogEntry& entry) override {
    const uint32_t written = written_severities.load(std::memory_order_relaxed);
    if ((written & Bit(entry.log_severity())) == 0) return;
    if (!entry.stacktrace().empty()) {
      // A fatal line comes a second time, with the stack; the line is out already.
      WriteAll(options_.fd, FromAbsl(entry.stacktrace()));
      return;
    }
    const LogLine line = {.time = entry.timestamp(),
                          .severity = absl::LogSeverityName(entry.log_severity())[0],
                          .file = FromAbsl(entry.source_basename()),
                          .line = entry.source_line(),
                          .thread = static_cast<int64_t>(entry.tid()),
                          .message = FromAbsl(entry.text_message())};
    const LogFields* const fields = LogContext::Current();
    WriteAll(options_.fd,
             options_.format == LogFormat::kJson ? JsonLine(line, fields) : TextLine(line, fields));
  }

 private:
  const LogOptions options_;
};

LogChoice CurrentLogChoice() {
  const uint32_t written = written_severities.load(std::memory_order_relaxed);
  return {.info = (written & Bit(absl::LogSeverity::kInfo)) != 0,
          .warning = (written & Bit(absl::LogSeverity::kWarning)) != 0,
          .error = (written & Bit(absl::LogSeverity::kError)) != 0,
          .verbosity = verbosity_now.load(std::memory_order_relaxed)};
}

void SetLogChoice(const LogChoice& choice) {
  const uint32_t written = Bit(absl::LogSeverity::kFatal) |
                           (choice.info ? Bit(absl::LogSeverity::kInfo) : 0) |
                           (choice.warning ? Bit(absl::LogSeverity::kWarning) : 0) |
                           (choice.error ? Bit(absl::LogSeverity::kError) : 0);
  written_severities.store(written, std::memory_order_relaxed);
  verbosity_now.store(choice.verbosity, std::memory_order_relaxed);
  absl::SetMinLogLevel(LeastOf(written));
  absl::SetGlobalVLogLevel(choice.verbosity);
}

LogWriter::LogWriter(const LogOptions& options) : sink_(std::make_unique<Sink>(options)) {
  // absl/log writes to stderr by itself until it is initialized, which may be
  // done once in a process.
  static const bool initialized = [] {
    absl::InitializeLog();
    return true;
  }();
  static_cast<void>(initialized);
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfinity);
  SetLogChoice({.info = options.level == LogLevel::kInfo,
                .warning = options.level != LogLevel::kError,
                .verbosity = options.verbosity});
  absl::AddLogSink(sink_.get());
}

LogWriter::~LogWriter() {
  absl::RemoveLogSink(sink_.get());
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfo);
  SetLogChoice({});
}

}  // namespace paramd
