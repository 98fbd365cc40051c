#include "server/observability/metrics_listener.h"

#include <civetweb.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/mutex.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/host_port.h"

namespace paramd {
namespace {

// One thread a connection: without keep-alive, so that an idle scraper cannot
// hold a thread that a probe needs, and with a limit on how long a client may
// take to send its request.
constexpr char kThreads[] = "4";
constexpr char kRequestTimeoutMs[] = "5000";
constexpr char kRequestBytesMax[] = "16384";

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kExposition = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kHtml = "text/html; charset=utf-8";

constexpr std::string_view kIndex =
    "<!doctype html><title>paramd</title><h1>paramd</h1><ul>"
    "<li><a href=\"/metrics\">metrics</a><li><a href=\"/healthz\">healthz</a>"
    "<li><a href=\"/livez\">livez</a><li><a href=\"/statusz\">statusz</a></ul>\n";

struct Answer {
  int code = 200;
  std::string_view reason = "OK";
  std::string_view type = kText;
  std::string body;
};

class CivetMetricsListener final : public MetricsListener {
 public:
  explicit CivetMetricsListener(MetricsListenerOptions options) : options_(std::move(options)) {
    mg_init_library(0);
  }
  ~CivetMetricsListener() override {
    if (context_ != nullptr) mg_stop(context_);
    mg_exit_library();
  }

  absl::Status Listen(const std::string& numeric_address);
  uint16_t port() const override { return port_; }

 private:
  // Civetweb calls these with the object as user data.
  static int BeginRequest(mg_connection* connection);
  static int LogMessage(const mg_connection* connection, const char* message);

  Answer Answered(std::string_view method, std::string_view path) const;

  const MetricsListenerOptions options_;
  mg_context* context_ = nullptr;
  uint16_t port_ = 0;

  Mutex mutex_;
  // What civetweb said last; the reason when it does not start.
  std::string last_message_ ABSL_GUARDED_BY(mutex_);
};

absl::Status CivetMetricsListener::Listen(const std::string& numeric_address) {
  // Requests are answered in begin_request, which civetweb has before it opens
  // the port; handlers that are added afterwards would miss the first requests.
  mg_callbacks callbacks = {};
  callbacks.begin_request = &BeginRequest;
  callbacks.log_message = &LogMessage;
  const char* settings[] = {"listening_ports",
                            numeric_address.c_str(),
                            "num_threads",
                            kThreads,
                            "request_timeout_ms",
                            kRequestTimeoutMs,
                            "max_request_size",
                            kRequestBytesMax,
                            "enable_keep_alive",
                            "no",
                            nullptr};
  mg_init_data init = {
      .callbacks = &callbacks, .user_data = this, .configuration_options = settings};
  char error_text[256] = "";
  mg_error_data error = {};
  error.text = error_text;
  error.text_buffer_size = sizeof(error_text);
  context_ = mg_start2(&init, &error);
  if (context_ == nullptr) {
    MutexLock lock(&mutex_);
    const std::string why = last_message_.empty() ? error_text : last_message_;
    if (why.find(strerror(EADDRINUSE)) != std::string::npos) {
      return absl::AlreadyExistsError(
          StrCat("metrics address ", options_.address,
                 " is taken by another process; choose another with --metrics-address"));
    }
    return absl::InternalError(StrCat("cannot listen on ", options_.address, ": ", why));
  }
  mg_server_port ports[1] = {};
  if (mg_get_server_ports(context_, 1, ports) < 1) {
    return absl::InternalError(StrCat("no port was opened for ", options_.address));
  }
  port_ = static_cast<uint16_t>(ports[0].port);
  return absl::OkStatus();
}

int CivetMetricsListener::LogMessage(const mg_connection* connection, const char* message) {
  auto* const self =
      static_cast<CivetMetricsListener*>(mg_get_user_data(mg_get_context(connection)));
  VLOG(1) << "metrics listener: " << message;
  if (self != nullptr) {
    MutexLock lock(&self->mutex_);
    self->last_message_ = message;
  }
  return 1;  // Not to its own error log as well.
}

Answer CivetMetricsListener::Answered(std::string_view method, std::string_view path) const {
  if (method != "GET" && method != "HEAD") {
    return {.code = 405, .reason = "Method Not Allowed", .body = "only GET and HEAD\n"};
  }
  if (path == "/metrics") return {.type = kExposition, .body = options_.render_metrics()};
  if (path == "/healthz") {
    const absl::Status ready = options_.readiness();
    if (ready.ok()) return {.body = "ready\n"};
    return {.code = 503,
            .reason = "Service Unavailable",
            .body = StrCat("not ready: ", FromAbsl(ready.message()), "\n")};
  }
  if (path == "/livez") return {.body = "alive\n"};
  if (path == "/statusz") return {.body = options_.render_status()};
  if (path == "/") return {.type = kHtml, .body = std::string(kIndex)};
  return {.code = 404, .reason = "Not Found", .body = "no such page\n"};
}

int CivetMetricsListener::BeginRequest(mg_connection* connection) {
  const mg_request_info* const request = mg_get_request_info(connection);
  const auto* const self = static_cast<const CivetMetricsListener*>(request->user_data);
  const std::string_view method = request->request_method;
  const char* const path = request->local_uri;
  const Answer answer = self->Answered(method, path == nullptr ? "" : path);
  const std::string header =
      StrCat("HTTP/1.1 ", answer.code, " ", answer.reason, "\r\nContent-Type: ", answer.type,
             "\r\nContent-Length: ", answer.body.size(),
             "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
             answer.code == 405 ? "Allow: GET, HEAD\r\n" : "", "Connection: close\r\n\r\n");
  mg_write(connection, header.data(), header.size());
  if (method != "HEAD") mg_write(connection, answer.body.data(), answer.body.size());
  return answer.code;  // Answered: civetweb does nothing more.
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsListener>> MetricsListener::Start(
    MetricsListenerOptions options) {
  if (!options.render_metrics || !options.readiness || !options.render_status) {
    return absl::InvalidArgumentError("the metrics listener needs all of its callbacks");
  }
  PARAMD_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(options.address));
  PARAMD_ASSIGN_OR_RETURN(const HostPort numeric, ResolveNumeric(address));
  auto listener = std::make_unique<CivetMetricsListener>(std::move(options));
  PARAMD_RETURN_IF_ERROR(listener->Listen(numeric.ToString()));
  return listener;
}

}  // namespace paramd
