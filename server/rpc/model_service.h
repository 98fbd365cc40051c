// ModelService: GetModelInfo and ListModels. Rare calls: they may allocate and
// look into the version manager.
//
// Life: the objects it borrows outlive the grpc::Server.
// Thread-safety: gRPC calls it from many threads; all it holds is const.
#ifndef PARAMD_SERVER_RPC_MODEL_SERVICE_H_
#define PARAMD_SERVER_RPC_MODEL_SERVICE_H_

#include "proto/paramd/v1/model.grpc.pb.h"
#include "server/predict/predict_router.h"
#include "server/versions/version_manager.h"

namespace paramd {

class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(const PredictRouter* router, const VersionManager* versions)
      : router_(router), versions_(versions) {}

  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::GetModelInfoResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

 private:
  absl::Status Inform(const v1::GetModelInfoRequest& request,
                      v1::GetModelInfoResponse* response) const;

  const PredictRouter* const router_;
  const VersionManager* const versions_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_MODEL_SERVICE_H_
