#include "server/desired_models.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_join.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/content_id.h"
#include "server/config/model_config.h"

namespace paramd {
namespace {

// Of a version's folder: a checkpoint in pieces, golden requests in a folder.
constexpr int kRevisionDepthMax = 2;
constexpr size_t kRevisionFilesMax = 10'000;

// Differs whenever the file was written, replaced or touched. What is not there
// has a revision as well: its load says what is wrong.
std::string FileRevision(const std::string& path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) return "absent";
  return StrCat(found.st_dev, ":", found.st_ino, ":", found.st_size, ":", found.st_mtim.tv_sec, ".",
                found.st_mtim.tv_nsec);
}

void AppendFiles(const std::filesystem::path& folder, const std::string& prefix, int depth,
                 std::vector<std::string>* lines) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (lines->size() >= kRevisionFilesMax) return;
    const std::string name = entry->path().filename().string();
    // Links of a ConfigMap ("..data") are followed where they are used.
    if (name.starts_with('.')) continue;
    std::error_code ignored;
    if (entry->is_directory(ignored)) {
      if (depth > 1) AppendFiles(entry->path(), StrCat(prefix, name, "/"), depth - 1, lines);
    } else {
      lines->push_back(StrCat(prefix, name, " ", FileRevision(entry->path().string())));
    }
  }
}

std::string DigestOfText(const std::string& text) {
  return DigestOf({reinterpret_cast<const std::byte*>(text.data()), text.size()})
      .ToHex()
      .substr(0, 32);
}

std::string FolderRevision(const std::string& folder, const std::string& config_revision) {
  std::vector<std::string> lines;
  AppendFiles(folder, "", kRevisionDepthMax, &lines);
  std::sort(lines.begin(), lines.end());
  lines.push_back(config_revision);
  return DigestOfText(absl::StrJoin(lines, "\n"));
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

DesiredVersion WishFor(const WantedModel& model, const WantedVersion& version) {
  DesiredVersion wish;
  wish.number = version.number;
  wish.directory = version.directory;
  wish.revision = version.revision;
  wish.attempt = version.attempt;
  wish.refusal = version.error;
  wish.fallback = IsFallback(model, version);
  wish.why = WhyWanted(model, version);
  return wish;
}

}  // namespace

std::string PolicyText(const VersionPolicy& policy) {
  switch (policy.kind) {
    case VersionPolicy::Kind::kAll:
      return "all";
    case VersionPolicy::Kind::kLatest:
      return StrCat("latest ", policy.latest_count);
    case VersionPolicy::Kind::kSpecific:
      return StrCat("specific ", absl::StrJoin(policy.versions, ", "));
  }
  return "";
}

ListedModel ListedModelOf(const RepositoryModel& model, const std::string& root) {
  ListedModel listed;
  listed.name = model.name;
  if (!model.usable) {
    listed.error = std::string(model.status.message());
    return listed;
  }
  listed.config = model.config_text;
  listed.policy = PolicyText(model.config.version_policy);
  listed.memory_first = model.config.memory_first;
  std::string config_revision = FileRevision(StrCat(root, "/", model.name, "/config.pbtxt"));
  for (const DeclaredTensor& output : model.config.outputs) {
    if (output.label_filename.empty()) continue;
    StrAppend(&config_revision,
              FileRevision(StrCat(root, "/", model.name, "/", output.label_filename)));
  }
  // What the policy would select if every folder were well: a folder that should
  // be served and cannot be is an error that somebody wants to read.
  std::vector<int64_t> numbers;
  for (const RepositoryVersion& version : model.versions) numbers.push_back(version.number);
  const std::vector<int64_t> would_select = SelectVersions(model.config.version_policy, numbers);
  for (const RepositoryVersion& version : model.versions) {
    ListedVersion& known = listed.versions.emplace_back();
    known.number = version.number;
    known.directory = version.folder;
    known.error = std::string(version.status.message());
    known.selected = std::ranges::binary_search(version.status.ok() ? model.selected : would_select,
                                                version.number);
    if (version.status.ok()) {
      known.revision = FolderRevision(StrCat(root, "/", version.folder), config_revision);
    }
  }
  // No version at all, or none that the policy names.
  if (model.selected.empty()) listed.error = std::string(model.status.message());
  return listed;
}

absl::Status ReconfigureListed(const std::string& text, ListedModel* listed) {
  PARAMD_ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(text));
  if (!config.name.empty() && config.name != listed->name) {
    return absl::InvalidArgumentError(
        StrCat("the configuration is of model '", config.name, "', expected '", listed->name, "'"));
  }
  listed->config = text;
  listed->policy = PolicyText(config.version_policy);
  listed->memory_first = config.memory_first;
  std::vector<int64_t> numbers;
  for (const ListedVersion& version : listed->versions) {
    if (version.error.empty()) numbers.push_back(version.number);
  }
  const std::vector<int64_t> selected = SelectVersions(config.version_policy, numbers);
  for (ListedVersion& version : listed->versions) {
    version.selected = std::ranges::binary_search(selected, version.number);
    if (!version.revision.empty()) version.revision = DigestOfText(version.revision + "\n" + text);
  }
  listed->error = selected.empty() ? StrCat("no version that the policy (", listed->policy,
                                            ") selects can be loaded")
                                   : "";
  return absl::OkStatus();
}

std::vector<ListedModel> ListedModels(const RepositoryListing& listing, const std::string& root) {
  std::vector<ListedModel> listed;
  for (const RepositoryModel& model : listing.models) {
    listed.push_back(ListedModelOf(model, root));
  }
  return listed;
}

std::vector<DesiredModel> DesiredModels(const DesiredState& state, const ServerConfig& server) {
  std::vector<DesiredModel> desired;
  for (const WantedModel& model : state.models) {
    if (model.unloaded) continue;
    DesiredModel& wish = desired.emplace_back();
    wish.name = model.name;
    wish.error = model.error;
    const absl::StatusOr<ModelConfig> config = ParseModelConfig(model.config);
    if (!config.ok()) {
      // Only a document of other hands, or of another build, holds such a text.
      wish.error = std::string(config.status().message());
      continue;
    }
    wish.swap_order = model.memory_first ? SwapOrder::kMemoryFirst : SwapOrder::kAvailabilityFirst;
    wish.batching = BatchingOf(*config, server);
    wish.config = *config;
    for (const NameEntry& name : model.names) wish.names.push_back({name.name, name.version});
    for (const WantedVersion& version : model.versions) {
      if (IsWanted(model, version) || IsFallback(model, version) || !version.error.empty()) {
        wish.versions.push_back(WishFor(model, version));
      }
    }
  }
  return desired;
}

std::vector<DesiredModel> DesiredModels(const RepositoryListing& listing, const std::string& root,
                                        const ServerConfig& server) {
  DesiredState state;
  ApplyListing(ListedModels(listing, root), &state);
  return DesiredModels(state, server);
}

}  // namespace paramd
