// RepositoryCheck: what `paramctl check DIR` says about a repository, without
// serving it: names, configurations, versions, and, through a callback, whether
// each model can be imported.
//
// Thread-safety: pure functions; the callback is called on the caller's thread.
#ifndef PARAMD_SERVER_REPOSITORY_REPOSITORY_CHECK_H_
#define PARAMD_SERVER_REPOSITORY_REPOSITORY_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/repository/model_repository.h"

namespace paramd {

struct Finding {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kError;
  std::string model;    // Empty: the repository itself.
  int64_t version = 0;  // 0: the model as a whole.
  std::string message;
};

struct CheckReport {
  int64_t models = 0;
  int64_t versions = 0;  // That the version policies select.
  std::vector<Finding> findings;

  int64_t errors() const;
  int64_t warnings() const;
};

// Whether one version can be imported; told of in the report when it cannot.
using DeepCheck =
    std::function<absl::Status(const ModelRepository& repository, const RepositoryModel& model,
                               const RepositoryVersion& version)>;

struct CheckOptions {
  // Null: only what lies in the folders is looked at.
  DeepCheck deep;
  // Versions that no policy selects are checked deeply as well.
  bool all_versions = false;
};

// Fails only when the repository cannot be opened or listed.
absl::StatusOr<CheckReport> CheckRepository(const std::string& root, const CheckOptions& options);

// One line a finding and a summary, for a terminal.
std::string CheckReportText(const CheckReport& report);

}  // namespace paramd

#endif  // PARAMD_SERVER_REPOSITORY_REPOSITORY_CHECK_H_
