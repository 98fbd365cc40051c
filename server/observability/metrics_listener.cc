#include "server/observability/metrics_listener.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/base/unique_fd.h"
#include "server/config/host_port.h"
#include "server/observability/browser_page.h"

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
constexpr std::string_view kJson = "application/json";

struct Answer {
  int code = 200;
  std::string_view reason = "OK";
  std::string_view type = kText;
  std::string body;
  std::string_view content_security_policy = "default-src 'none'; frame-ancestors 'none'";
};

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// `address` is numeric.
SocketAddress ToSocketAddress(const HostPort& address) {
  SocketAddress result;
  auto* const four = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* const six = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(address.port);
    result.length = sizeof(*four);
  } else if (inet_pton(AF_INET6, address.host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address.port);
    result.length = sizeof(*six);
  }
  return result;
}

// Why nobody can listen there: civetweb only says that it could not.
int ListenErrno(const HostPort& address) {
  const SocketAddress where = ToSocketAddress(address);
  const UniqueFd fd(socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), where.get(), where.length) != 0) return errno;
  if (listen(fd.get(), 1) != 0) return errno;
  return 0;
}

class CivetMetricsListener final : public MetricsListener {
 public:
  explicit CivetMetricsListener(MetricsListenerOptions options) : options_(std::move(options)) {
    mg_init_library(0);
  }
  ~CivetMetricsListener() override;

  absl::Status Listen(const HostPort& numeric_address);
  uint16_t port() const override { return port_; }

 private:
  // Civetweb calls these with the object as user data.
  static int BeginRequest(mg_connection* connection);
  static int LogMessage(const mg_connection* connection, const char* message);

  Answer Answered(std::string_view method, std::string_view path) const;

  const MetricsListenerOptions options_;
  mg_context* context_ = nullptr;
  HostPort bound_;
  uint16_t port_ = 0;
};

CivetMetricsListener::~CivetMetricsListener() {
  if (context_ != nullptr) {
    // Civetweb's accepting thread looks up only every two seconds, or when
    // somebody connects: knock until it has seen that it should stop.
    std::atomic<bool> stopped = false;
    std::thread knocker([this, &stopped] {
      const SocketAddress where = ToSocketAddress(bound_);
      while (!stopped.load()) {
        const UniqueFd fd(
            socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd.valid()) static_cast<void>(connect(fd.get(), where.get(), where.length));
        constexpr int kKnockMs = 5;
        poll(nullptr, 0, kKnockMs);
      }
    });
    mg_stop(context_);
    stopped = true;
    knocker.join();
  }
  mg_exit_library();
}

absl::Status CivetMetricsListener::Listen(const HostPort& numeric_address) {
  const std::string address_text = numeric_address.ToString();
  // Requests are answered in begin_request, which civetweb has before it opens
  // the port; handlers that are added afterwards would miss the first requests.
  mg_callbacks callbacks = {};
  callbacks.begin_request = &BeginRequest;
  callbacks.log_message = &LogMessage;
  const char* settings[] = {"listening_ports",
                            address_text.c_str(),
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
    const int reason = ListenErrno(numeric_address);
    if (reason == EADDRINUSE) {
      return absl::AlreadyExistsError(
          StrCat("metrics address ", options_.address,
                 " is taken by another process; choose another with --metrics-address"));
    }
    return absl::InternalError(StrCat("cannot listen on ", options_.address, ": ",
                                      reason != 0 ? strerror(reason) : error_text));
  }
  mg_server_port ports[1] = {};
  if (mg_get_server_ports(context_, 1, ports) < 1) {
    return absl::InternalError(StrCat("no port was opened for ", options_.address));
  }
  port_ = static_cast<uint16_t>(ports[0].port);
  bound_ = {.host = numeric_address.host, .port = port_};
  return absl::OkStatus();
}

int CivetMetricsListener::LogMessage(const mg_connection* /*connection*/, const char* message) {
  VLOG(1) << "metrics listener: " << message;
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
  if (path == "/status.json") return {.type = kJson, .body = options_.render_status_json()};
  if (path == "/") {
    const BrowserPage& page = TheBrowserPage();
    return {.type = kHtml,
            .body = std::string(page.html),
            .content_security_policy = page.content_security_policy};
  }
  return {.code = 404, .reason = "Not Found", .body = "no such page\n"};
}

int CivetMetricsListener::BeginRequest(mg_connection* connection) {
  const mg_request_info* const request = mg_get_request_info(connection);
  const auto* const self = static_cast<const CivetMetricsListener*>(request->user_data);
  const std::string_view method = request->request_method;
  const char* const path = request->local_uri_raw;
  const Answer answer = self->Answered(method, path == nullptr ? "" : path);
  const std::string header =
      StrCat("HTTP/1.1 ", answer.code, " ", answer.reason, "\r\nContent-Type: ", answer.type,
             "\r\nContent-Length: ", answer.body.size(),
             "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"
             "\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: ",
             answer.content_security_policy, "\r\n",
             answer.code == 405 ? "Allow: GET, HEAD\r\n" : "", "Connection: close\r\n\r\n");
  mg_write(connection, header.data(), header.size());
  if (method != "HEAD") mg_write(connection, answer.body.data(), answer.body.size());
  return answer.code;  // Answered: civetweb does nothing more.
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsListener>> MetricsListener::Start(
    MetricsListenerOptions options) {
  if (!options.render_metrics || !options.readiness || !options.render_status ||
      !options.render_status_json) {
    return absl::InvalidArgumentError("the metrics listener needs all of its callbacks");
  }
  PARAMD_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(options.address));
  PARAMD_ASSIGN_OR_RETURN(const HostPort numeric, ResolveNumeric(address));
  auto listener = std::make_unique<CivetMetricsListener>(std::move(options));
  PARAMD_RETURN_IF_ERROR(listener->Listen(numeric));
  return listener;
}

}  // namespace paramd
