#include "server/rpc/kserve/kserve_control.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/config/model_config.h"
#include "server/observability/log.h"
#include "server/repository/model_repository.h"

namespace paramd {
namespace {

constexpr int kVerbosityMax = 9;

absl::Status CheckRepository(const std::string& name) {
  if (name.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("there is one repository, and its name is empty");
}

absl::Status MemoryIsOff() {
  return absl::UnavailableError(
      "registration of shared-memory regions is off; start paramd with --allow-client-shm");
}

}  // namespace

absl::Status KServeControl::CheckControl() const {
  return parts_.control_refusal.empty() ? absl::OkStatus()
                                        : absl::UnavailableError(parts_.control_refusal);
}

absl::Status KServeControl::Load(const inference::RepositoryModelLoadRequest& request) const {
  PARAMD_RETURN_IF_ERROR(CheckControl());
  PARAMD_RETURN_IF_ERROR(CheckRepository(request.repository_name()));
  PARAMD_RETURN_IF_ERROR(CheckModelName(request.model_name()));
  LoadCommand command = {.model = request.model_name()};
  for (const auto& [name, value] : request.parameters()) {
    if (name == "config") {
      if (value.parameter_choice_case() != inference::ModelRepositoryParameter::kStringParam) {
        return absl::InvalidArgumentError("load parameter 'config' is to be a string_param");
      }
      PARAMD_ASSIGN_OR_RETURN(command.config, ModelConfigFromJson(value.string_param()));
    } else if (name.starts_with("file:")) {
      return absl::UnimplementedError(
          "load parameter 'file:': models are read from the repository, not taken over the wire");
    } else {
      return absl::InvalidArgumentError(StrCat(
          "load parameter '", std::string_view(name).substr(0, 64), "' is not known; 'config' is"));
    }
  }
  const absl::Status loaded = parts_.admin->Load(command, nullptr).status();
  LOG(INFO) << "admin: load " << command.model << " (V2): " << loaded;
  return loaded;
}

absl::Status KServeControl::Unload(const inference::RepositoryModelUnloadRequest& request) const {
  PARAMD_RETURN_IF_ERROR(CheckControl());
  PARAMD_RETURN_IF_ERROR(CheckRepository(request.repository_name()));
  PARAMD_RETURN_IF_ERROR(CheckModelName(request.model_name()));
  const absl::Status unloaded =
      parts_.admin->Unload(request.model_name(), std::nullopt, /*force=*/false);
  LOG(INFO) << "admin: unload " << request.model_name() << " (V2): " << unloaded;
  return unloaded;
}

absl::Status KServeControl::MemoryStatus(
    const inference::SystemSharedMemoryStatusRequest& request,
    inference::SystemSharedMemoryStatusResponse* response) const {
  if (parts_.calls.regions == nullptr) return MemoryIsOff();
  PARAMD_ASSIGN_OR_RETURN(const std::vector<RegionInfo> regions,
                          parts_.calls.regions->List(request.name()));
  for (const RegionInfo& region : regions) {
    auto& status = (*response->mutable_regions())[region.name];
    status.set_name(region.name);
    status.set_key(region.key);
    status.set_offset(region.offset);
    status.set_byte_size(region.bytes);
  }
  return absl::OkStatus();
}

absl::Status KServeControl::RegisterMemory(
    const inference::SystemSharedMemoryRegisterRequest& request) const {
  if (parts_.calls.regions == nullptr) return MemoryIsOff();
  return parts_.calls.regions->Register({.name = request.name(),
                                         .key = request.key(),
                                         .offset = request.offset(),
                                         .bytes = request.byte_size()});
}

absl::Status KServeControl::UnregisterMemory(
    const inference::SystemSharedMemoryUnregisterRequest& request) const {
  if (parts_.calls.regions != nullptr) return parts_.calls.regions->Unregister(request.name());
  return request.name().empty() ? absl::OkStatus() : MemoryIsOff();
}

absl::Status KServeControl::TraceSetting(const inference::TraceSettingRequest& request,
                                         inference::TraceSettingResponse* response) const {
  const std::string& model = request.model_name();
  if (!model.empty()) PARAMD_RETURN_IF_ERROR(CheckModelName(model));
  if (!request.settings().empty()) {
    PARAMD_RETURN_IF_ERROR(CheckControl());
    TraceSettings::Values values;
    for (const auto& [name, value] : request.settings()) {
      values[name] = {value.value().begin(), value.value().end()};
    }
    PARAMD_RETURN_IF_ERROR(parts_.calls.traces->Update(model, values));
  }
  for (auto& [name, values] : parts_.calls.traces->Get(model)) {
    auto& setting = (*response->mutable_settings())[name];
    for (const std::string& value : values) setting.add_value(value);
  }
  return absl::OkStatus();
}

absl::Status KServeControl::LogSettings(const inference::LogSettingsRequest& request,
                                        inference::LogSettingsResponse* response) const {
  using Value = inference::LogSettingsRequest::SettingValue;
  LogChoice choice = CurrentLogChoice();
  if (!request.settings().empty()) PARAMD_RETURN_IF_ERROR(CheckControl());
  for (const auto& [name, value] : request.settings()) {
    const bool is_switch = name == "log_info" || name == "log_warning" || name == "log_error";
    if (is_switch) {
      if (value.parameter_choice_case() != Value::kBoolParam) {
        return absl::InvalidArgumentError(StrCat("log setting '", name, "' is to be a bool_param"));
      }
      (name == "log_info"      ? choice.info
       : name == "log_warning" ? choice.warning
                               : choice.error) = value.bool_param();
    } else if (name == "log_verbose_level") {
      if (value.parameter_choice_case() != Value::kUint32Param ||
          value.uint32_param() > kVerbosityMax) {
        return absl::InvalidArgumentError(StrCat(
            "log setting 'log_verbose_level' is to be a uint32_param of 0 to ", kVerbosityMax));
      }
      choice.verbosity = static_cast<int>(value.uint32_param());
    } else if (name == "log_file") {
      return absl::UnimplementedError(
          "log file location can not be updated through network protocol");
    } else if (name == "log_format") {
      if (value.string_param() != "default") {
        return absl::UnimplementedError(
            "log_format cannot be changed while the daemon runs; see --log-format");
      }
    } else {
      return absl::InvalidArgumentError(
          StrCat("'", std::string_view(name).substr(0, 64), "' is no log setting"));
    }
  }
  if (!request.settings().empty()) SetLogChoice(choice);
  auto& settings = *response->mutable_settings();
  settings["log_file"].set_string_param("");
  settings["log_info"].set_bool_param(choice.info);
  settings["log_warning"].set_bool_param(choice.warning);
  settings["log_error"].set_bool_param(choice.error);
  settings["log_verbose_level"].set_uint32_param(static_cast<uint32_t>(choice.verbosity));
  settings["log_format"].set_string_param("default");
  return absl::OkStatus();
}

}  // namespace paramd
