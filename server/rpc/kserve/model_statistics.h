// ModelStatistics: a version's sums and memory as the protocol says them.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_MODEL_STATISTICS_H_
#define PARAMD_SERVER_RPC_KSERVE_MODEL_STATISTICS_H_

#include "proto/inference/grpc_service.pb.h"
#include "server/versions/model_version.h"

namespace paramd {

void FillModelStatistics(const ModelVersion& version, inference::ModelStatistics* statistics);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_MODEL_STATISTICS_H_
