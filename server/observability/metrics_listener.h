// MetricsListener: the HTTP port for Prometheus, probes and people.
//
//   /             a page for the browser (browser_page.h), which reads the next two
//   /metrics      Prometheus text format
//   /status.json  models, versions, states, names and loads
//   /healthz      200 "ready", or 503 and the reason: for load balancers
//   /livez        200 while this process can answer at all: for restarts
//   /statusz      a text page about versions, queues and segments
//
// Life: Start binds the port or says why not; the destructor closes it after
// the answers under way. The callbacks must live as long.
//
// Thread-safety: callbacks are called from the listener's own four threads, also
// at the same time; they must not block for long.
#ifndef PARAMD_SERVER_OBSERVABILITY_METRICS_LISTENER_H_
#define PARAMD_SERVER_OBSERVABILITY_METRICS_LISTENER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace paramd {

struct MetricsListenerOptions {
  std::string address = "127.0.0.1:8002";  // Port 0: any free one, see port().
  std::function<std::string()> render_metrics;
  // OK, or why requests should go elsewhere; the message is shown.
  std::function<absl::Status()> readiness;
  std::function<std::string()> render_status;
  std::function<std::string()> render_status_json;
};

class MetricsListener {
 public:
  // InvalidArgument for an address that is none, or a missing callback;
  // AlreadyExists when the port is taken; Internal for other refusals of the
  // system.
  static absl::StatusOr<std::unique_ptr<MetricsListener>> Start(MetricsListenerOptions options);

  virtual ~MetricsListener() = default;

  virtual uint16_t port() const = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_METRICS_LISTENER_H_
