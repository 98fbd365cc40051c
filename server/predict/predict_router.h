// PredictRouter: from a request to the queue of the version that answers it. The
// one place that checks a request against the model's description, so that all
// front doors behave alike.
//
// Errors go to call->sink on the caller's thread, and say what was expected and
// what came:
//   NotFound         no such model, version or label, or none of them serves
//   Unavailable      the model is being loaded; the daemon is draining
//   InvalidArgument  inputs: missing, unknown, twice, type, shape, bytes, rows;
//                    outputs: unknown, twice
// and what Batcher::Submit refuses (ResourceExhausted, DeadlineExceeded, ...).
//
// Thread-safety: thread-safe, lock-free up to the queue.
#ifndef PARAMD_SERVER_PREDICT_PREDICT_ROUTER_H_
#define PARAMD_SERVER_PREDICT_PREDICT_ROUTER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "server/predict/predict_call.h"
#include "server/versions/model_version.h"
#include "server/versions/routing_snapshot.h"

namespace paramd {

class PredictRouter {
 public:
  // `routing` outlives the router.
  explicit PredictRouter(const RoutingTable* routing) : routing_(routing) {}

  // For front doors that need the description before they can decode, and for model info.
  absl::StatusOr<ModelHandle> Resolve(std::string_view model, const VersionChoice& choice) const {
    return routing_->Find(model, choice);
  }

  // Resolves unless call->version is set, checks, submits. Exactly one OnDone.
  void Predict(PredictCall* call) const;

 private:
  const RoutingTable* const routing_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_PREDICT_PREDICT_ROUTER_H_
