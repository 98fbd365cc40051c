// ModelInfo: what is known of models, as paramd.v1's messages. Pure functions
// from the version manager's status and a version's description.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_MODEL_INFO_H_
#define PARAMD_SERVER_RPC_MODEL_INFO_H_

#include "proto/paramd/v1/model.pb.h"
#include "server/versions/model_version.h"
#include "server/versions/version_manager.h"

namespace paramd {

struct ModelInfoOptions {
  bool parameters = false;
  bool ops = false;
};

// The versions of `status`, and of `version` (if not empty) everything else.
void FillModelInfo(const ModelStatus& status, const ModelHandle& version,
                   const ModelInfoOptions& options, v1::GetModelInfoResponse* response);

void FillModelList(const ServingStatus& status, v1::ListModelsResponse* response);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_MODEL_INFO_H_
