#include "server/desired_models.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>

#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Differs whenever the file was written, replaced or touched. What is not there
// has a revision as well: its load says what is wrong.
std::string FileRevision(const std::string& path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) return "absent";
  return StrCat(found.st_dev, ":", found.st_ino, ":", found.st_size, ":", found.st_mtim.tv_sec, ".",
                found.st_mtim.tv_nsec);
}

BatcherOptions BatchingOf(const ModelConfig& config, const ServerConfig& server) {
  BatcherOptions options;
  options.queue_delay_max = config.queue_delay_max;
  options.concurrent_batches_max = static_cast<int>(config.concurrent_batches_max);
  options.priority_levels = static_cast<uint32_t>(config.priority_levels);
  options.default_priority = static_cast<uint32_t>(config.default_priority);
  options.default_timeout = config.request_timeout_default;
  options.queue_requests_max =
      config.queue_requests_max > 0 ? config.queue_requests_max : server.queue_requests_max;
  return options;
}

}  // namespace

std::vector<DesiredModel> DesiredModels(const RepositoryListing& listing, const std::string& root,
                                        const ServerConfig& server) {
  std::vector<DesiredModel> desired;
  for (const RepositoryModel& model : listing.models) {
    DesiredModel& wanted = desired.emplace_back();
    wanted.name = model.name;
    wanted.error = std::string(model.status.message());
    wanted.batching = BatchingOf(model.config, server);
    const std::string config_revision =
        FileRevision(StrCat(root, "/", model.name, "/config.pbtxt"));
    for (const RepositoryVersion& version : model.versions) {
      if (!std::ranges::binary_search(model.selected, version.number)) continue;
      wanted.versions.push_back(
          {.number = version.number,
           .directory = version.folder,
           .revision =
               StrCat(FileRevision(StrCat(root, "/", version.model_file)), " ", config_revision)});
    }
    wanted.config = model.config;
  }
  return desired;
}

}  // namespace paramd
