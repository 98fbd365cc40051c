// What the repository holds, as what the version manager should serve. Reads
// the files' times and sizes (for revisions), nothing else.
//
// Thread-safety: pure but for the file system.
#ifndef PARAMD_SERVER_DESIRED_MODELS_H_
#define PARAMD_SERVER_DESIRED_MODELS_H_

#include <string>
#include <vector>

#include "server/config/server_config.h"
#include "server/repository/model_repository.h"
#include "server/versions/version_manager.h"

namespace paramd {

// DesiredModel::config is the ModelConfig; folders are relative to `root`.
std::vector<DesiredModel> DesiredModels(const RepositoryListing& listing, const std::string& root,
                                        const ServerConfig& server);

}  // namespace paramd

#endif  // PARAMD_SERVER_DESIRED_MODELS_H_
