#include "server/rpc/kserve/trace_settings.h"

#include <algorithm>

#include "absl/log/log.h"
#include "absl/strings/numbers.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/observability/log.h"

namespace paramd {
namespace {

constexpr uint32_t kRateDefault = 1000;
constexpr int64_t kNoEnd = -1;
constexpr size_t kModelsMax = 10'000;

absl::Status BadValue(std::string_view name, std::string_view value, std::string_view expected) {
  return absl::InvalidArgumentError(
      StrCat("trace setting '", name, "' is '", value.substr(0, 64), "', expected ", expected));
}

template <typename T>
absl::Status Number(const std::string& name, const std::vector<std::string>& values, T least,
                    std::optional<T>* number) {
  if (values.empty()) {
    number->reset();
    return absl::OkStatus();
  }
  T value = 0;
  if (values.size() != 1 || !absl::SimpleAtoi(values[0], &value) || value < least) {
    return BadValue(name, values[0], StrCat("one whole number of at least ", least));
  }
  *number = value;
  return absl::OkStatus();
}

}  // namespace

absl::Status TraceSettings::Set(const std::string& name, const std::vector<std::string>& values,
                                Settings* settings) {
  if (name == "trace_level") {
    settings->timestamps.reset();
    for (const std::string& value : values) {
      if (value == "TENSORS") {
        return absl::UnimplementedError(
            "trace_level TENSORS: what is in a request's tensors is never written down");
      }
      if (value != "OFF" && value != "TIMESTAMPS" && value != "MIN" && value != "MAX") {
        return BadValue(name, value, "OFF or TIMESTAMPS");
      }
      settings->timestamps = settings->timestamps.value_or(false) || value != "OFF";
    }
    return absl::OkStatus();
  }
  if (name == "trace_rate") return Number<uint32_t>(name, values, 1, &settings->rate);
  if (name == "trace_count") return Number<int64_t>(name, values, kNoEnd, &settings->count);
  if (name == "log_frequency") return Number<uint32_t>(name, values, 0, &settings->log_frequency);
  if (name == "trace_file") {
    if (values.empty() || (values.size() == 1 && values[0].empty())) return absl::OkStatus();
    return absl::UnimplementedError(
        "trace file location can not be updated through network protocol: traces are log lines");
  }
  if (name == "trace_mode" && values.size() == 1 && values[0] == "triton") return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("'", std::string_view(name).substr(0, 64), "' is no trace setting"));
}

absl::Status TraceSettings::Update(std::string_view model, const Values& values) {
  MutexLock lock(&mutex_);
  Settings changed;
  if (model.empty()) {
    changed = for_all_;
  } else if (const auto it = of_model_.find(model); it != of_model_.end()) {
    changed = it->second;
  } else if (of_model_.size() >= kModelsMax) {
    return absl::ResourceExhaustedError("too many models have trace settings of their own");
  }
  for (const auto& [name, list] : values) PARAMD_RETURN_IF_ERROR(Set(name, list, &changed));
  (model.empty() ? for_all_ : of_model_[std::string(model)]) = changed;
  bool any = for_all_.timestamps.value_or(false);
  for (const auto& [name, settings] : of_model_) any |= settings.timestamps.value_or(false);
  on_.store(any, std::memory_order_relaxed);
  return absl::OkStatus();
}

TraceSettings::Settings TraceSettings::InForceLocked(std::string_view model) const {
  Settings settings = for_all_;
  if (const auto it = of_model_.find(model); it != of_model_.end()) {
    const Settings& own = it->second;
    if (own.timestamps.has_value()) settings.timestamps = own.timestamps;
    if (own.rate.has_value()) settings.rate = own.rate;
    if (own.count.has_value()) settings.count = own.count;
    if (own.log_frequency.has_value()) settings.log_frequency = own.log_frequency;
  }
  return settings;
}

TraceSettings::Values TraceSettings::Get(std::string_view model) const {
  MutexLock lock(&mutex_);
  const Settings settings = InForceLocked(model);
  return {{"trace_level", {settings.timestamps.value_or(false) ? "TIMESTAMPS" : "OFF"}},
          {"trace_rate", {StrCat(settings.rate.value_or(kRateDefault))}},
          {"trace_count", {StrCat(settings.count.value_or(kNoEnd))}},
          {"log_frequency", {StrCat(settings.log_frequency.value_or(0))}},
          {"trace_file", {""}},
          {"trace_mode", {"triton"}}};
}

void TraceSettings::Trace(const TracedRequest& request) {
  {
    MutexLock lock(&mutex_);
    const Settings settings = InForceLocked(request.model);
    if (!settings.timestamps.value_or(false) || settings.count.value_or(kNoEnd) == 0) return;
    auto seen = seen_.find(request.model);
    if (seen == seen_.end()) seen = seen_.emplace(std::string(request.model), 0).first;
    if (++seen->second < settings.rate.value_or(kRateDefault)) return;
    seen->second = 0;
    const auto own = of_model_.find(request.model);
    Settings& counted =
        own != of_model_.end() && own->second.count.has_value() ? own->second : for_all_;
    if (counted.count.value_or(kNoEnd) > 0) --*counted.count;
  }
  const absl::Time chosen = request.submitted + request.queue;
  const absl::Time gathered = chosen + request.input;
  const auto ns = [](absl::Time time) { return absl::ToUnixNanos(time); };
  const LogFields fields = {.request_id = std::string(request.request_id)};
  LogContext context(fields);
  LOG(INFO) << "trace " << next_id_.fetch_add(1, std::memory_order_relaxed) << " model "
            << request.model << " version " << request.version << ": REQUEST_START "
            << ns(request.arrival) << ", QUEUE_START " << ns(request.submitted)
            << ", COMPUTE_START " << ns(chosen) << ", COMPUTE_INPUT_END " << ns(gathered)
            << ", COMPUTE_OUTPUT_START " << ns(request.computed) << ", COMPUTE_END "
            << ns(request.computed) << ", REQUEST_END " << ns(request.answered);
}

}  // namespace paramd
