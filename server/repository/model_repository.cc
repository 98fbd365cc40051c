#include "server/repository/model_repository.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "runtime/base/file_source.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr std::string_view kConfigFile = "config.pbtxt";
// Triton's folder for alternative configurations; it holds no versions.
constexpr std::string_view kConfigsFolder = "configs";
// Warnings of one kind that are kept; a folder full of rubbish needs no more.
constexpr size_t kWarningsMax = 20;

std::string Quoted(std::string_view name) {
  constexpr size_t kBytesMax = 140;
  return StrCat("'", absl::CHexEscape(ToAbsl(name.substr(0, kBytesMax))), "'");
}

void AddWarning(std::string warning, std::vector<std::string>* warnings) {
  if (warnings->size() < kWarningsMax) {
    warnings->push_back(std::move(warning));
  } else if (warnings->size() == kWarningsMax) {
    warnings->push_back("and more of the kind");
  }
}

absl::Status CheckName(std::string_view kind, std::string_view name) {
  constexpr size_t kBytesMax = 128;
  const auto letter_or_digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(StrCat(kind, " name ", Quoted(name), " ", why));
  };
  if (name.empty()) return bad("is empty");
  if (name.size() > kBytesMax) {
    return bad(StrCat("has ", name.size(), " bytes, allowed are ", kBytesMax));
  }
  if (!letter_or_digit(name[0])) return bad("does not start with a letter or digit");
  for (const char c : name) {
    if (!letter_or_digit(c) && c != '.' && c != '_' && c != '-') {
      return bad("has a character that is no letter, digit, '.', '_' or '-'");
    }
  }
  return absl::OkStatus();
}

// Whether an entry's name is hidden from people as well: ".git", ConfigMaps'
// "..data", editors' backups.
bool IsHidden(std::string_view name) { return name.starts_with('.') || name.ends_with('~'); }

bool AllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Read-me files and scripts may lie beside the model folders; a model that lies
// there was put into the wrong place.
bool LooksLikeAModel(std::string_view name) {
  return name.ends_with(".onnx") || name.ends_with(".safetensors") || name.ends_with(".gguf") ||
         name == "config.pbtxt";
}

}  // namespace

absl::Status CheckModelName(std::string_view name) { return CheckName("model", name); }

absl::Status CheckLabel(std::string_view label) {
  PARAMD_RETURN_IF_ERROR(CheckName("label", label));
  if (AllDigits(label)) {
    return absl::InvalidArgumentError(
        StrCat("label ", Quoted(label), " is a number; labels are told from versions by it"));
  }
  return absl::OkStatus();
}

std::optional<int64_t> ParseVersionNumber(std::string_view text) {
  constexpr size_t kDigitsMax = 19;
  if (!AllDigits(text) || text[0] == '0' || text.size() > kDigitsMax) return std::nullopt;
  // 19 digits fit into 64 bits without a sign.
  uint64_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<uint64_t>(c - '0');
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::vector<int64_t> SelectVersions(const VersionPolicy& policy,
                                    absl::Span<const int64_t> available) {
  std::vector<int64_t> selected(available.begin(), available.end());
  std::sort(selected.begin(), selected.end());
  selected.erase(std::unique(selected.begin(), selected.end()), selected.end());
  switch (policy.kind) {
    case VersionPolicy::Kind::kAll:
      break;
    case VersionPolicy::Kind::kLatest: {
      const auto wanted = static_cast<size_t>(std::max<int64_t>(policy.latest_count, 1));
      if (selected.size() > wanted) {
        selected.erase(selected.begin(), selected.end() - static_cast<ptrdiff_t>(wanted));
      }
      break;
    }
    case VersionPolicy::Kind::kSpecific:
      std::erase_if(selected, [&policy](int64_t version) {
        return std::find(policy.versions.begin(), policy.versions.end(), version) ==
               policy.versions.end();
      });
      break;
  }
  return selected;
}

absl::StatusOr<std::unique_ptr<ModelRepository>> ModelRepository::Open(const std::string& root) {
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<Directory> directory, Directory::Open(root));
  return std::unique_ptr<ModelRepository>(new ModelRepository(std::move(directory)));
}

absl::StatusOr<RepositoryListing> ModelRepository::Scan() const {
  PARAMD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          root_->ListNames(static_cast<size_t>(kRepositoryEntriesMax)));
  RepositoryListing listing;
  for (const std::string& name : names) {
    if (IsHidden(name)) continue;
    absl::StatusOr<RepositoryModel> model = ScanModel(name);
    if (model.ok()) {
      listing.models.push_back(std::move(model).value());
    } else if (absl::IsNotFound(model.status())) {
      AddWarning(StrCat(Quoted(name), " is a link to nothing, or was just removed"),
                 &listing.warnings);
    } else if (LooksLikeAModel(name)) {
      AddWarning(StrCat(model.status().message(), ": expected <model>/<version>/", name),
                 &listing.warnings);
    }
  }
  return listing;
}

absl::StatusOr<RepositoryModel> ModelRepository::ScanModel(std::string_view name) const {
  // The name comes first: one that is not allowed is never part of a path.
  RepositoryModel model;
  model.name = std::string(name);
  const bool is_one_entry = !name.empty() && name != "." && name != ".." &&
                            name.find('/') == std::string_view::npos &&
                            name.find('\0') == std::string_view::npos;
  if (!is_one_entry) return CheckModelName(name);
  const absl::StatusOr<std::unique_ptr<Directory>> folder = root_->OpenDirectory(name);
  if (absl::IsNotFound(folder.status())) {
    return absl::NotFoundError(StrCat("model ", Quoted(name), " is not in the repository"));
  }
  if (absl::IsFailedPrecondition(folder.status())) {
    return absl::InvalidArgumentError(StrCat(Quoted(name), " is not a folder"));
  }
  model.status = CheckModelName(name);
  if (!model.status.ok()) return model;
  if (!folder.ok()) {
    model.status = folder.status();
    return model;
  }
  const absl::StatusOr<std::vector<std::string>> names =
      (*folder)->ListNames(static_cast<size_t>(kRepositoryEntriesMax));
  if (!names.ok()) {
    model.status = names.status();
    return model;
  }
  ReadConfig(&model);
  // Versions are listed even when the configuration is wrong, so that a report
  // is complete; they are not selected.
  ReadVersions(*names, &model);
  if (!model.status.ok()) return model;
  model.usable = true;

  std::vector<int64_t> well;
  for (const RepositoryVersion& version : model.versions) {
    if (version.status.ok()) well.push_back(version.number);
  }
  model.selected = SelectVersions(model.config.version_policy, well);
  if (model.versions.empty()) {
    model.status = absl::NotFoundError(StrCat("model ", Quoted(name), " has no version: expected ",
                                              name, "/1/", model.config.model_filename));
  } else if (model.selected.empty()) {
    const absl::Status& first = model.versions.back().status;
    model.status = first.ok() ? absl::NotFoundError(StrCat("model ", Quoted(name),
                                                           " has none of the versions that its "
                                                           "version_policy names"))
                              : first;
  }
  return model;
}

void ModelRepository::ReadConfig(RepositoryModel* model) const {
  const std::string path = StrCat(model->name, "/", kConfigFile);
  const absl::StatusOr<std::unique_ptr<FileSource>> file = root_->OpenFile(path);
  if (absl::IsNotFound(file.status())) return;
  model->has_config = true;
  const auto fail = [&](const absl::Status& status) {
    model->status = absl::Status(status.code(), StrCat(path, ": ", FromAbsl(status.message())));
  };
  if (!file.ok()) return fail(file.status());
  const uint64_t size = (*file)->size();
  if (size > static_cast<uint64_t>(kModelConfigBytesMax)) {
    return fail(absl::InvalidArgumentError(
        StrCat("the file has ", size, " bytes, allowed are ", kModelConfigBytesMax)));
  }
  std::string text(size, '\0');
  absl::Status read = absl::OkStatus();
  if (size > 0) {
    read = (*file)->ReadAt(0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
  }
  if (read.ok()) read = (*file)->CheckUnchanged();
  if (!read.ok()) return fail(read);
  absl::StatusOr<ModelConfig> config = ParseModelConfig(text);
  if (!config.ok()) return fail(config.status());
  if (!config->name.empty() && config->name != model->name) {
    return fail(absl::InvalidArgumentError(StrCat("name is ", Quoted(config->name),
                                                  ", the folder's is ", Quoted(model->name),
                                                  "; leave it out or make them equal")));
  }
  for (const std::string& field : config->unused_fields) {
    AddWarning(StrCat(path, ": '", field, "' is not used by paramd"), &model->warnings);
  }
  model->config = std::move(config).value();
  model->config_text = std::move(text);
}

void ModelRepository::ReadVersions(const std::vector<std::string>& names,
                                   RepositoryModel* model) const {
  for (const std::string& name : names) {
    if (IsHidden(name) || name == kConfigFile || name == kConfigsFolder) continue;
    const std::string folder = StrCat(model->name, "/", name);
    const std::optional<int64_t> number = ParseVersionNumber(name);
    if (!number) {
      // Label files and READMEs lie here too; only what looks like a version is odd.
      if (AllDigits(name)) {
        AddWarning(StrCat(Quoted(folder),
                          " is not a version: numbers go from 1 to 9223372036854775807, without "
                          "leading zeros"),
                   &model->warnings);
      }
      continue;
    }
    RepositoryVersion version = {.number = *number,
                                 .folder = folder,
                                 .model_file = StrCat(folder, "/", model->config.model_filename)};
    const auto opened = root_->OpenDirectory(folder);
    if (absl::IsNotFound(opened.status())) {
      version.status = absl::NotFoundError(StrCat(Quoted(folder), " is a link to nothing"));
    } else if (!opened.ok()) {
      version.status = opened.status();
    } else {
      version.status = root_->OpenFile(version.model_file).status();
      if (absl::IsNotFound(version.status)) {
        version.status =
            absl::NotFoundError(StrCat(Quoted(folder), " has no ", model->config.model_filename));
      }
    }
    model->versions.push_back(std::move(version));
  }
  std::sort(
      model->versions.begin(), model->versions.end(),
      [](const RepositoryVersion& a, const RepositoryVersion& b) { return a.number < b.number; });
}

}  // namespace paramd
