#include "server/repository/repository_check.h"

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

void CheckModel(const ModelRepository& repository, const RepositoryModel& model,
                const CheckOptions& options, CheckReport* report) {
  const auto add = [&](Finding::Severity severity, int64_t version, std::string message) {
    report->findings.push_back({.severity = severity,
                                .model = model.name,
                                .version = version,
                                .message = std::move(message)});
  };
  const auto is_selected = [&model](int64_t version) {
    return std::find(model.selected.begin(), model.selected.end(), version) != model.selected.end();
  };
  for (const std::string& warning : model.warnings) {
    add(Finding::Severity::kWarning, 0, warning);
  }
  bool model_error_is_told = false;
  for (const RepositoryVersion& version : model.versions) {
    absl::Status status = version.status;
    if (!status.ok() && status == model.status) model_error_is_told = true;
    const bool wanted = options.all_versions || is_selected(version.number);
    if (status.ok() && model.status.ok() && wanted && options.deep) {
      status = options.deep(repository, model, version);
    }
    if (!status.ok()) {
      add(Finding::Severity::kError, version.number, std::string(status.message()));
    }
  }
  if (!model.status.ok() && !model_error_is_told) {
    add(Finding::Severity::kError, 0, std::string(model.status.message()));
  }
  if (model.config.version_policy.kind != VersionPolicy::Kind::kSpecific) return;
  for (const int64_t wanted : model.config.version_policy.versions) {
    const bool is_there = std::any_of(
        model.versions.begin(), model.versions.end(),
        [wanted](const RepositoryVersion& version) { return version.number == wanted; });
    if (!is_there) {
      add(Finding::Severity::kWarning, wanted, "version_policy names it and it is not there");
    }
  }
}

}  // namespace

int64_t CheckReport::errors() const {
  return std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Finding::Severity::kError;
  });
}

int64_t CheckReport::warnings() const { return static_cast<int64_t>(findings.size()) - errors(); }

absl::StatusOr<CheckReport> CheckRepository(const std::string& root, const CheckOptions& options) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ModelRepository> repository,
                          ModelRepository::Open(root));
  PARAMD_ASSIGN_OR_RETURN(const RepositoryListing listing, repository->Scan());
  CheckReport report;
  for (const std::string& warning : listing.warnings) {
    report.findings.push_back({.severity = Finding::Severity::kWarning, .message = warning});
  }
  if (listing.models.empty()) {
    report.findings.push_back(
        {.severity = Finding::Severity::kError,
         .message = "there is no model: expected <model>/<version>/model.onnx"});
  }
  for (const RepositoryModel& model : listing.models) {
    ++report.models;
    report.versions += static_cast<int64_t>(model.selected.size());
    CheckModel(*repository, model, options, &report);
  }
  return report;
}

std::string CheckReportText(const CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.findings) {
    text += finding.severity == Finding::Severity::kError ? "error    " : "warning  ";
    if (!finding.model.empty()) {
      text += absl::CHexEscape(finding.model);  // A name that is not allowed may hold anything.
      if (finding.version != 0) StrAppend(&text, " ", finding.version);
      text += ": ";
    }
    StrAppend(&text, finding.message, "\n");
  }
  StrAppend(&text, report.models, " models, ", report.versions, " versions to serve, ",
            report.errors(), " errors, ", report.warnings(), " warnings\n");
  return text;
}

}  // namespace paramd
