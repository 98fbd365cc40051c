// ModelMetadata: what models are, as the protocol says it: names, types and
// shapes, and the configuration in force.
//
// Clients count on the two agreeing: with a max_batch_size above 0 a shape of the
// metadata begins with the batch dimension (-1), and one of the configuration
// leaves it out.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_MODEL_METADATA_H_
#define PARAMD_SERVER_RPC_KSERVE_MODEL_METADATA_H_

#include "proto/inference/grpc_service.pb.h"
#include "server/versions/model_version.h"
#include "server/versions/version_manager.h"

namespace paramd {

// `model` may be null: then only the version itself is listed.
void FillModelMetadata(const ModelVersion& version, const ModelStatus* model,
                       inference::ModelMetadataResponse* metadata);
void FillModelConfig(const ModelVersion& version, inference::ModelConfig* config);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_MODEL_METADATA_H_
