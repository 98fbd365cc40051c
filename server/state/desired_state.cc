#include "server/state/desired_state.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/repository/model_repository.h"
#include "server/state/state_store.h"

namespace paramd {
namespace {

using nlohmann::ordered_json;

// Root, models, model, versions, version: nothing lies deeper.
constexpr int kDepthMax = 5;
constexpr size_t kPathBytesMax = 4 << 10;
constexpr size_t kRevisionBytesMax = 1 << 10;
constexpr size_t kPolicyBytesMax = 1 << 10;

// Elements of a list by a key, for const and other lists alike.
template <typename List, typename Key, typename Member>
auto* FindIn(List& list, const Key& key, Member member) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const auto& element) { return element.*member == key; });
  return found == list.end() ? nullptr : &*found;
}

// One JSON object, read key by key; the first thing that is wrong is kept.
class ObjectReader {
 public:
  ObjectReader(const ordered_json& json, std::string where, absl::Status* status)
      : json_(json), where_(std::move(where)), status_(status) {
    if (!json_.is_object()) Fail("is not an object");
  }

  void Only(std::initializer_list<std::string_view> keys) {
    if (!json_.is_object()) return;
    for (const auto& [key, value] : json_.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        Fail(StrCat("has '", absl::CHexEscape(key.substr(0, 64)), "', which is not known"));
      }
    }
  }

  // Absent: the default. Each checks type and range.
  std::string Text(const char* key, size_t bytes_max) {
    const ordered_json* const value = Find(key);
    if (value == nullptr) return "";
    if (!value->is_string()) return Fail(StrCat("'", key, "' is not a text")), "";
    const auto& text = value->get_ref<const std::string&>();
    if (text.size() > bytes_max) {
      return Fail(StrCat("'", key, "' has ", text.size(), " bytes, allowed are ", bytes_max)), "";
    }
    if (text.find('\0') != std::string::npos) {
      return Fail(StrCat("'", key, "' holds a zero byte")), "";
    }
    return text;
  }
  bool Bool(const char* key, bool otherwise) {
    const ordered_json* const value = Find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) return Fail(StrCat("'", key, "' is neither true nor false")), false;
    return value->get<bool>();
  }
  int64_t Integer(const char* key, int64_t otherwise, int64_t least) {
    const ordered_json* const value = Find(key);
    if (value == nullptr) return otherwise;
    const bool fits =
        value->is_number_unsigned()
            ? value->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
            : value->is_number_integer();
    if (!fits || value->get<int64_t>() < least) {
      return Fail(StrCat("'", key, "' is not a whole number from ", least, " to 2^63-1")), least;
    }
    return value->get<int64_t>();
  }
  // Empty when there is none.
  std::vector<const ordered_json*> List(const char* key, size_t count_max) {
    const ordered_json* const value = Find(key);
    if (value == nullptr) return {};
    if (!value->is_array())
      return Fail(StrCat("'", key, "' is not a list")), decltype(List("", 0)){};
    if (value->size() > count_max) {
      Fail(StrCat("'", key, "' has ", value->size(), " elements, allowed are ", count_max));
      return {};
    }
    std::vector<const ordered_json*> elements;
    for (const ordered_json& element : *value) elements.push_back(&element);
    return elements;
  }

  void Fail(std::string_view what) {
    if (status_->ok()) *status_ = absl::InvalidArgumentError(StrCat(where_, " ", what));
  }
  bool ok() const { return status_->ok(); }
  const std::string& where() const { return where_; }

 private:
  const ordered_json* Find(const char* key) {
    if (!status_->ok()) return nullptr;
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  const ordered_json& json_;
  const std::string where_;
  absl::Status* const status_;
};

bool IsBeneath(std::string_view path) {
  if (path.empty() || path.front() == '/') return false;
  return StrCat("/", path, "/").find("/../") == std::string::npos;
}

WantedVersion ReadVersion(const ordered_json& json, std::string where, absl::Status* status) {
  ObjectReader reader(json, std::move(where), status);
  reader.Only({"number", "directory", "revision", "attempt", "selected", "requested", "unloaded",
               "keep_until_us", "error"});
  WantedVersion version;
  version.number = reader.Integer("number", 0, 1);
  if (version.number == 0) reader.Fail("has no 'number'");
  version.directory = reader.Text("directory", kPathBytesMax);
  if (!version.directory.empty() && !IsBeneath(version.directory)) {
    reader.Fail("'directory' leads outside the repository");
  }
  version.revision = reader.Text("revision", kRevisionBytesMax);
  version.attempt = static_cast<uint64_t>(reader.Integer("attempt", 0, 0));
  version.selected = reader.Bool("selected", false);
  version.requested = reader.Bool("requested", false);
  version.unloaded = reader.Bool("unloaded", false);
  if (const int64_t micros = reader.Integer("keep_until_us", -1, 0); micros >= 0) {
    version.keep_until = absl::FromUnixMicros(micros);
  }
  version.error = reader.Text("error", kStateErrorBytesMax);
  return version;
}

NameEntry ReadName(const ordered_json& json, std::string where, absl::Status* status) {
  ObjectReader reader(json, std::move(where), status);
  reader.Only({"name", "version", "previous"});
  NameEntry name;
  name.name = reader.Text("name", 128);
  if (const absl::Status well = CheckLabel(name.name); reader.ok() && !well.ok()) {
    reader.Fail(FromAbsl(well.message()));
  }
  name.version = reader.Integer("version", 0, 1);
  if (name.version == 0) reader.Fail("has no 'version'");
  name.previous = reader.Integer("previous", 0, 0);
  return name;
}

WantedModel ReadModel(const ordered_json& json, const std::string& where, absl::Status* status) {
  ObjectReader reader(json, where, status);
  reader.Only({"name", "config", "policy", "error", "memory_first", "auto_promote", "unloaded",
               "highest_promoted", "versions", "names"});
  WantedModel model;
  model.name = reader.Text("name", 128);
  if (const absl::Status well = CheckModelName(model.name); reader.ok() && !well.ok()) {
    reader.Fail(FromAbsl(well.message()));
  }
  model.config = reader.Text("config", kStateTextBytesMax);
  model.policy = reader.Text("policy", kPolicyBytesMax);
  model.error = reader.Text("error", kStateErrorBytesMax);
  model.memory_first = reader.Bool("memory_first", false);
  model.auto_promote = reader.Bool("auto_promote", true);
  model.unloaded = reader.Bool("unloaded", false);
  model.highest_promoted = reader.Integer("highest_promoted", 0, 0);
  for (const ordered_json* element : reader.List("versions", kStateVersionsMax)) {
    model.versions.push_back(
        ReadVersion(*element, StrCat(where, ": version ", model.versions.size()), status));
    if (!status->ok()) return model;
    const size_t count = model.versions.size();
    if (count > 1 && model.versions[count - 2].number >= model.versions[count - 1].number) {
      reader.Fail("'versions' do not ascend");
    }
  }
  for (const ordered_json* element : reader.List("names", kStateNamesMax)) {
    model.names.push_back(ReadName(*element, StrCat(where, ": name ", model.names.size()), status));
    if (!status->ok()) return model;
    const size_t count = model.names.size();
    if (count > 1 && model.names[count - 2].name >= model.names[count - 1].name) {
      reader.Fail("'names' do not ascend");
    }
    if (model.FindVersion(model.names.back().version) == nullptr) {
      reader.Fail(StrCat("name '", model.names.back().name, "' points at version ",
                         model.names.back().version, ", which is not in 'versions'"));
    }
  }
  return model;
}

// What is not there is the default: small documents, and the same on every
// machine for the same state.
ordered_json VersionJson(const WantedVersion& version) {
  ordered_json json = {{"number", version.number}};
  if (!version.directory.empty()) json["directory"] = version.directory;
  if (!version.revision.empty()) json["revision"] = version.revision;
  if (version.attempt != 0) json["attempt"] = version.attempt;
  if (version.selected) json["selected"] = true;
  if (version.requested) json["requested"] = true;
  if (version.unloaded) json["unloaded"] = true;
  if (version.keep_until) {
    json["keep_until_us"] = std::max<int64_t>(0, absl::ToUnixMicros(*version.keep_until));
  }
  if (!version.error.empty()) json["error"] = version.error;
  return json;
}

ordered_json ModelJson(const WantedModel& model) {
  ordered_json json = {{"name", model.name}};
  if (!model.config.empty()) json["config"] = model.config;
  if (!model.policy.empty()) json["policy"] = model.policy;
  if (!model.error.empty()) json["error"] = model.error;
  if (model.memory_first) json["memory_first"] = true;
  if (!model.auto_promote) json["auto_promote"] = false;
  if (model.unloaded) json["unloaded"] = true;
  if (model.highest_promoted != 0) json["highest_promoted"] = model.highest_promoted;
  json["versions"] = ordered_json::array();
  for (const WantedVersion& version : model.versions) {
    json["versions"].push_back(VersionJson(version));
  }
  json["names"] = ordered_json::array();
  for (const NameEntry& name : model.names) {
    ordered_json entry = {{"name", name.name}, {"version", name.version}};
    if (name.previous != 0) entry["previous"] = name.previous;
    json["names"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

const WantedVersion* WantedModel::FindVersion(int64_t number) const {
  return FindIn(versions, number, &WantedVersion::number);
}
WantedVersion* WantedModel::FindVersion(int64_t number) {
  return FindIn(versions, number, &WantedVersion::number);
}
const NameEntry* WantedModel::FindName(std::string_view wanted) const {
  return FindIn(names, wanted, &NameEntry::name);
}
NameEntry* WantedModel::FindName(std::string_view wanted) {
  return FindIn(names, wanted, &NameEntry::name);
}
const WantedModel* DesiredState::FindModel(std::string_view name) const {
  return FindIn(models, name, &WantedModel::name);
}
WantedModel* DesiredState::FindModel(std::string_view name) {
  return FindIn(models, name, &WantedModel::name);
}

absl::StatusOr<std::string> EncodeState(const DesiredState& state) {
  ordered_json json = {{"format", kStateFormat}, {"models", ordered_json::array()}};
  for (const WantedModel& model : state.models) json["models"].push_back(ModelJson(model));
  // Configurations and errors may hold any bytes; what is no UTF-8 is replaced.
  std::string bytes = json.dump(1, ' ', false, ordered_json::error_handler_t::replace);
  if (bytes.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(StrCat("the desired state would have ", bytes.size(),
                                             " bytes, allowed are ", kStateBytesMax));
  }
  return bytes;
}

absl::StatusOr<DesiredState> DecodeState(std::string_view bytes) {
  if (bytes.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("the desired state has ", bytes.size(), " bytes, allowed are ", kStateBytesMax));
  }
  bool deep = false;
  const auto callback = [&deep](int depth, ordered_json::parse_event_t event, ordered_json&) {
    using Event = ordered_json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth >= kDepthMax) {
      deep = true;
    }
    return !deep;
  };
  const ordered_json json =
      ordered_json::parse(bytes.begin(), bytes.end(), callback, /*allow_exceptions=*/false);
  if (deep) return absl::InvalidArgumentError("the desired state is nested too deeply");
  if (json.is_discarded() || !json.is_object()) {
    return absl::InvalidArgumentError("the desired state is not a JSON object");
  }
  absl::Status status;
  ObjectReader reader(json, "the desired state", &status);
  // Before anything else: what is unknown may be another format's.
  const int64_t format = reader.Integer("format", 0, 0);
  PARAMD_RETURN_IF_ERROR(status);
  if (format != kStateFormat) {
    return absl::UnimplementedError(
        StrCat("the desired state has format ", format, ", this build reads ", kStateFormat));
  }
  reader.Only({"format", "models"});
  DesiredState state;
  for (const ordered_json* element : reader.List("models", kStateModelsMax)) {
    state.models.push_back(ReadModel(*element, StrCat("model ", state.models.size()), &status));
    PARAMD_RETURN_IF_ERROR(status);
    const size_t count = state.models.size();
    if (count > 1 && state.models[count - 2].name >= state.models[count - 1].name) {
      reader.Fail("'models' do not ascend");
    }
  }
  PARAMD_RETURN_IF_ERROR(status);
  return state;
}

}  // namespace paramd
