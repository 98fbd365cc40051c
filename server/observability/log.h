// Log lines of the daemon: text for people, JSON lines for collectors.
//
//   I1124 08:40:00.123456 1234 worker.cc:12] message [request_id=7f trace=...]
//   {"time":"2026-11-24T08:40:00.123456Z","severity":"INFO","file":"worker.cc",
//    "line":12,"thread":1234,"message":"...","request_id":"7f","traceparent":"..."}
//
// LOG and VLOG of absl/log are used everywhere; this room decides how a line
// looks and adds the request that the thread is working for. What is in a
// request's tensors is never logged, and control characters that came from
// outside (a model's name, a request id) cannot break a line.
//
// Thread-safety: thread-safe. A LogContext belongs to the thread that made it.
#ifndef PARAMD_SERVER_OBSERVABILITY_LOG_H_
#define PARAMD_SERVER_OBSERVABILITY_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "server/config/server_config.h"

namespace paramd {

// Who a line is about. Copied with a request across threads; cheap when empty.
struct LogFields {
  std::string request_id;
  std::string traceparent;
  bool empty() const { return request_id.empty() && traceparent.empty(); }
};

// Lines that this thread logs while it lives carry the fields. Nests: the
// innermost counts.
class LogContext {
 public:
  // Borrows `fields`.
  explicit LogContext(const LogFields& fields);
  ~LogContext();
  LogContext(const LogContext&) = delete;
  LogContext& operator=(const LogContext&) = delete;

  // Of this thread; null outside any context.
  static const LogFields* Current();

 private:
  const LogFields* const outer_;
};

inline constexpr size_t kRequestIdBytesMax = 128;

// `traceparent` as W3C Trace Context writes it, lower case; empty if it is not
// one (it is then dropped, not refused).
std::string CheckedTraceparent(std::string_view header);
// At most kRequestIdBytesMax bytes, printable ASCII; other characters become '?'.
std::string CheckedRequestId(std::string_view id);

// One line's facts; what LogEntry holds, in a form that tests can make.
struct LogLine {
  absl::Time time;
  char severity = 'I';  // I, W, E, F
  std::string_view file;
  int line = 0;
  int64_t thread = 0;
  std::string_view message;
};
// Both end in a newline and contain no other.
std::string TextLine(const LogLine& line, const LogFields* fields);
std::string JsonLine(const LogLine& line, const LogFields* fields);

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
  int verbosity = 0;
  int fd = 2;  // Borrowed. Lines that it does not take are lost.
};

// What is written, and what may be changed while the process runs.
struct LogChoice {
  bool info = true;
  bool warning = true;
  bool error = true;
  int verbosity = 0;  // 0 to 9; lines of it are INFO lines.
};
LogChoice CurrentLogChoice();
// REQUIRES: verbosity is in its range. Fatal lines are always written.
void SetLogChoice(const LogChoice& choice);

// Sends absl/log's lines to `fd` in this form while the object lives, in place
// of absl's own stderr output. At most one at a time.
class LogWriter {
 public:
  explicit LogWriter(const LogOptions& options);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

 private:
  class Sink;
  const std::unique_ptr<Sink> sink_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_LOG_H_
