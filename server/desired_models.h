// What lies between the repository, the desired state and the version manager:
// what a scan found, as the edits want it (revisions included), and the document
// as the version manager wants it (configurations parsed, defaults of the daemon
// filled in).
//
// Thread-safety: pure but for the file system, of which only names, times and
// sizes are read.
#ifndef PARAMD_SERVER_DESIRED_MODELS_H_
#define PARAMD_SERVER_DESIRED_MODELS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/config/server_config.h"
#include "server/repository/model_repository.h"
#include "server/state/desired_state.h"
#include "server/state/state_edits.h"
#include "server/versions/version_manager.h"

namespace paramd {

// Folders are relative to `root`. A version's revision changes whenever a file in
// its folder or the model's configuration is written, replaced or touched.
std::vector<ListedModel> ListedModels(const RepositoryListing& listing, const std::string& root);
ListedModel ListedModelOf(const RepositoryModel& model, const std::string& root);

// What the listing would be with this text as the model's config.pbtxt: policy,
// selection and revisions follow. InvalidArgument, Unimplemented as ParseModelConfig.
absl::Status ReconfigureListed(const std::string& config, ListedModel* listed);

// "latest 1", "all", "specific 1, 3".
std::string PolicyText(const VersionPolicy& policy);

// DesiredModel::config is the ModelConfig.
std::vector<DesiredModel> DesiredModels(const DesiredState& state, const ServerConfig& server);
// Of a repository alone, without a stored document.
std::vector<DesiredModel> DesiredModels(const RepositoryListing& listing, const std::string& root,
                                        const ServerConfig& server);

}  // namespace paramd

#endif  // PARAMD_SERVER_DESIRED_MODELS_H_
