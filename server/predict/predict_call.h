// PredictCall: a Predict request without a protocol. Each front door (gRPC now,
// KServe V2 later) parses its messages into one of these, implements the sink,
// and hands both to PredictRouter.
//
//   class UnaryPredict : public PredictCall, public PredictSink { message bytes ... };
//   call->sink = call;  router.Predict(call);   // OnDone comes exactly once.
//
// Life and threads: as BatchCall says (batch_call.h): the owner keeps call,
// bytes and sink until OnDone. `version` is set by the router (or before, by the
// front door, with PredictRouter::Resolve, where decoding needs the declared
// types); it keeps the model loaded until the call is destroyed, and says which
// version, generation and weights answered.
#ifndef PARAMD_SERVER_PREDICT_PREDICT_CALL_H_
#define PARAMD_SERVER_PREDICT_PREDICT_CALL_H_

#include <string>
#include <vector>

#include "server/batching/batch_call.h"
#include "server/versions/model_version.h"
#include "server/versions/routing_snapshot.h"

namespace paramd {

class PredictCall : public BatchCall {
 public:
  std::string model;
  VersionChoice choice;
  // Names of the outputs wanted, in that order; empty: all, in the model's order.
  std::vector<std::string> outputs;
  std::string request_id;
  // Empty until resolved. Drop it (with the call) soon after OnDone.
  ModelHandle version;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_PREDICT_PREDICT_CALL_H_
