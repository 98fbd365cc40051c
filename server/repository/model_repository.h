// ModelRepository: what lies in the model folder.
//
//   <root>/<model>/config.pbtxt            optional
//   <root>/<model>/<version>/model.onnx    versions are decimal, from 1
//
// Scan looks and reports, it loads nothing. A model whose name, configuration
// or versions are wrong is reported with its error and never hides the others.
// Folders and files are opened beneath the root: symbolic links that stay
// inside are followed (Hugging Face caches, git-sync and ConfigMaps are made of
// them), those that lead outside are refused.
//
// Life: the root is opened once; one that is moved away and replaced, or a link
// that is flipped, is seen by the next Reopen. Scan reads everything anew each time.
//
// Thread-safety: Scan may be called from any thread, also at the same time.
#ifndef PARAMD_SERVER_REPOSITORY_MODEL_REPOSITORY_H_
#define PARAMD_SERVER_REPOSITORY_MODEL_REPOSITORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/directory.h"
#include "server/config/model_config.h"

namespace paramd {

struct RepositoryVersion {
  int64_t number = 0;
  // Relative to the root: "digits/1" and "digits/1/model.onnx".
  std::string folder;
  std::string model_file;
  // Not OK: the folder is a version by its name and cannot be one by what is in it.
  absl::Status status;
};

struct RepositoryModel {
  std::string name;
  ModelConfig config;
  bool has_config = false;
  std::string config_text;  // Of config.pbtxt, as it was read.
  // Name and configuration are well: what is wrong, if anything, is in the versions.
  bool usable = false;
  // Ascending by number.
  std::vector<RepositoryVersion> versions;
  // The versions that config.version_policy wants, of those that are well;
  // ascending.
  std::vector<int64_t> selected;
  // Things that are odd and do no harm: unused fields, stray files.
  std::vector<std::string> warnings;
  // Not OK: nothing of this model can be loaded (bad name, bad configuration, no
  // version). A version's own error stands in the version.
  absl::Status status;
};

struct RepositoryListing {
  // By name. Names that are not allowed are listed too, with their error.
  std::vector<RepositoryModel> models;
  std::vector<std::string> warnings;
};

class ModelRepository {
 public:
  // NotFound or another error of the system when `root` is not a folder that
  // can be read.
  static absl::StatusOr<std::unique_ptr<ModelRepository>> Open(const std::string& root);

  ModelRepository(const ModelRepository&) = delete;
  ModelRepository& operator=(const ModelRepository&) = delete;

  // Follows the root's path again. An error leaves the old one.
  absl::Status Reopen() const { return root_->Reopen(); }

  // Fails only when the root itself cannot be listed.
  absl::StatusOr<RepositoryListing> Scan() const;
  // One model; NotFound when there is no such folder.
  absl::StatusOr<RepositoryModel> ScanModel(std::string_view name) const;

  // What model_file and folder are relative to: open them through it.
  const Directory& directory() const { return *root_; }

 private:
  explicit ModelRepository(std::unique_ptr<Directory> root) : root_(std::move(root)) {}

  void ReadConfig(RepositoryModel* model) const;
  void ReadVersions(const std::vector<std::string>& names, RepositoryModel* model) const;

  const std::unique_ptr<const Directory> root_;
};

// Entries that one folder may have; more is an error, not a slow start.
inline constexpr int64_t kRepositoryEntriesMax = 10'000;

// [A-Za-z0-9][A-Za-z0-9._-]{0,127}: models, labels, adapters. The error says
// what is wrong with the name.
absl::Status CheckModelName(std::string_view name);
// As a model's name, with at least one character that is not a digit.
absl::Status CheckLabel(std::string_view label);
// A decimal integer from 1 to 2^63-1 without leading zeros; nothing otherwise.
std::optional<int64_t> ParseVersionNumber(std::string_view text);

// The versions of `available` (any order) that the policy wants, ascending.
// Those of a "specific" policy that are not available are left out.
std::vector<int64_t> SelectVersions(const VersionPolicy& policy,
                                    absl::Span<const int64_t> available);

}  // namespace paramd

#endif  // PARAMD_SERVER_REPOSITORY_MODEL_REPOSITORY_H_
