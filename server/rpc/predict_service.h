// PredictService: the wire on one side, PredictRouter on the other. It decodes,
// routes, and encodes; it knows nothing of models beyond their declared types.
//
//   [gRPC thread]    Predict: slices -> WireRequest -> PredictCall -> router
//   [stream thread]  OnDone: outputs -> one slice of the exact size -> Finish
//
// Errors: see proto/paramd/v1/predict.proto; every failure is an absl::Status
// until status_mapping.h turns it into gRPC's.
//
// Life: the objects it borrows outlive the grpc::Server.
// Thread-safety: gRPC calls it from many threads; all it holds is const.
#ifndef PARAMD_SERVER_RPC_PREDICT_SERVICE_H_
#define PARAMD_SERVER_RPC_PREDICT_SERVICE_H_

#include "proto/paramd/v1/predict.grpc.pb.h"
#include "server/rpc/wire_call.h"

namespace paramd {

class PredictService final
    : public v1::PredictService::WithRawCallbackMethod_Predict<v1::PredictService::Service> {
 public:
  explicit PredictService(const WireCallParts& parts) : parts_(parts) {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;

 private:
  const WireCallParts parts_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_PREDICT_SERVICE_H_
