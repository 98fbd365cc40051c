// RepositoryIndex: every version there is or should be, in Triton's states.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_REPOSITORY_INDEX_H_
#define PARAMD_SERVER_RPC_KSERVE_REPOSITORY_INDEX_H_

#include "proto/inference/grpc_service.pb.h"
#include "server/versions/version_manager.h"

namespace paramd {

// With `ready` only versions that serve. A model of which no version is known is
// one entry with an empty version.
void FillRepositoryIndex(const ServingStatus& status, bool ready,
                         inference::RepositoryIndexResponse* response);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_REPOSITORY_INDEX_H_
