#include "server/paramctl/top_view.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/observability/metrics.h"
#include "server/paramctl/http_get.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

using Json = nlohmann::json;
using Where = MetricsText::Where;

uint64_t Bytes(const MetricsText& metrics, std::string_view name, const Where& where = {}) {
  return static_cast<uint64_t>(std::max(0.0, metrics.Sum(name, where).value_or(0)));
}

// What a document says that may be anybody's: a value of another type is absent.
std::string TextAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}
double NumberAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : 0;
}
uint64_t CountAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}
bool FlagAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() && it->get<bool>();
}
Json ListAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_array() ? *it : Json::array();
}

TopTraffic Traffic(const TopReading& newer, const TopReading& older, double seconds,
                   const Where& where) {
  TopTraffic traffic;
  Where good = where;
  good.emplace_back("code", "OK");
  const double all = Growth(newer.metrics, older.metrics, "paramd_requests_total", where);
  const double answered = Growth(newer.metrics, older.metrics, "paramd_requests_total", good);
  traffic.requests_per_second = all / seconds;
  traffic.failed_share = all > 0 ? (all - answered) / all : 0;
  const HistogramGrowth whole =
      HistogramBetween(newer.metrics, older.metrics, "paramd_request_seconds", where);
  traffic.p50 = whole.Quantile(0.5);
  traffic.p95 = whole.Quantile(0.95);
  traffic.p99 = whole.Quantile(0.99);
  traffic.batch_rows =
      HistogramBetween(newer.metrics, older.metrics, "paramd_batch_rows", where).Mean();
  traffic.waiting = Bytes(newer.metrics, "paramd_queue_requests", where);
  double sum = 0;
  for (int i = 0; i < kStageCount; ++i) {
    const std::string stage(StageName(static_cast<Stage>(i)));
    Where of_stage = where;
    of_stage.emplace_back("stage", stage);
    const HistogramGrowth times =
        HistogramBetween(newer.metrics, older.metrics, "paramd_request_stage_seconds", of_stage);
    sum += times.sum;
    traffic.stages.push_back({.stage = stage,
                              .share = times.sum,
                              .mean = times.Mean(),
                              .p50 = times.Quantile(0.5),
                              .p95 = times.Quantile(0.95),
                              .p99 = times.Quantile(0.99)});
  }
  for (TopStage& stage : traffic.stages) stage.share = sum > 0 ? stage.share / sum : 0;
  return traffic;
}

std::string NamesOf(const Json& model, int64_t version) {
  std::string names;
  bool has_default = false;
  for (const Json& name : ListAt(model, "names")) {
    if (static_cast<int64_t>(CountAt(name, "version")) != version) continue;
    has_default = has_default || TextAt(name, "name") == "default";
    StrAppend(&names, names.empty() ? "" : " ", TextAt(name, "name"));
  }
  if (!has_default && static_cast<int64_t>(CountAt(model, "default_version")) == version) {
    names = StrCat("default", names.empty() ? "" : " ", names);
  }
  return names;
}

TopVersion VersionOf(const Json& model, const Json& version, const TopReading& newer,
                     const TopReading& older, double seconds) {
  TopVersion row;
  row.model = TextAt(model, "model");
  row.version = static_cast<int64_t>(CountAt(version, "version"));
  row.state = TextAt(version, "state");
  row.reason = TextAt(version, "reason");
  row.names = NamesOf(model, row.version);
  row.generation = TextAt(version, "generation");
  row.weights_id = TextAt(version, "weights_id");
  row.weights = CountAt(version, "weights");
  row.biases = CountAt(version, "biases");
  row.load_bytes_done = CountAt(version, "bytes_done");
  row.load_bytes_total = CountAt(version, "bytes_total");
  if (const std::string stage = TextAt(version, "stage"); !stage.empty()) row.reason = stage;
  const Where where = {{"model", row.model}, {"version", StrCat(row.version)}};
  const auto of_kind = [&](std::string_view name, const char* kind) {
    Where with_kind = where;
    with_kind.emplace_back("kind", kind);
    return Bytes(newer.metrics, name, with_kind);
  };
  row.unique_bytes = of_kind("paramd_parameter_bytes", "unique");
  row.shared_bytes = of_kind("paramd_parameter_bytes", "shared");
  row.packed_bytes = Bytes(newer.metrics, "paramd_parameter_packed_bytes", where);
  row.arena_bytes = Bytes(newer.metrics, "paramd_arena_bytes", where);
  row.traffic = Traffic(newer, older, seconds, where);
  return row;
}

void FillMemory(const MetricsText& metrics, TopView* view) {
  const auto of_process = [&metrics](const char* kind) {
    return Bytes(metrics, "paramd_process_memory_bytes", {{"kind", kind}});
  };
  const uint64_t sealed = Bytes(metrics, "paramd_store_sealed_bytes");
  const uint64_t unique = Bytes(metrics, "paramd_parameter_bytes", {{"kind", "unique"}});
  const uint64_t shared = Bytes(metrics, "paramd_store_shared_bytes");
  const uint64_t arena = Bytes(metrics, "paramd_executor_arena_bytes");
  const uint64_t queues = Bytes(metrics, "paramd_queue_bytes");
  const uint64_t file = of_process("file");
  view->memory_bytes = of_process("anon") + file + std::max(of_process("memfd"), sealed);
  const uint64_t used = unique + shared;
  view->memory = {{"parameters of one version", unique},
                  {"parameters shared, once", shared},
                  {"parameters loading or kept", sealed > used ? sealed - used : 0},
                  {"activations (arenas)", arena},
                  {"inputs in queues", queues}};
  uint64_t known = file;
  for (const TopBytes& part : view->memory) known += part.bytes;
  view->memory.push_back(
      {"heap, stacks, the rest", view->memory_bytes > known ? view->memory_bytes - known : 0});
  view->memory.push_back({"programs and libraries", file});
  view->store_bytes = sealed + Bytes(metrics, "paramd_store_reserved_bytes");
  view->store_capacity_bytes = Bytes(metrics, "paramd_store_capacity_bytes");
}

}  // namespace

absl::StatusOr<TopReading> ReadTop(const std::string& metrics_address, double timeout_s) {
  TopReading reading;
  PARAMD_ASSIGN_OR_RETURN(const std::string page, HttpGet(metrics_address, "/metrics", timeout_s));
  reading.at = absl::Now();
  PARAMD_ASSIGN_OR_RETURN(reading.metrics, MetricsText::Parse(page));
  PARAMD_ASSIGN_OR_RETURN(const std::string status,
                          HttpGet(metrics_address, "/status.json", timeout_s));
  reading.status = Json::parse(status, nullptr, /*allow_exceptions=*/false);
  if (!reading.status.is_object() || !reading.status.contains("models")) {
    return absl::InternalError(StrCat("/status.json of ", metrics_address, " is no status"));
  }
  return reading;
}

TopView MakeTopView(const TopReading& newer, const TopReading& older) {
  TopView view;
  view.seconds = std::max(1e-3, absl::ToDoubleSeconds(newer.at - older.at));
  view.build = TextAt(newer.status, "build");
  view.ready = FlagAt(newer.status, "ready");
  view.not_ready = TextAt(newer.status, "not_ready");
  view.uptime_s = NumberAt(newer.status, "now") - NumberAt(newer.status, "started");
  view.traffic = Traffic(newer, older, view.seconds, {});
  const auto per_second = [&](std::string_view name) {
    return Growth(newer.metrics, older.metrics, name) / view.seconds;
  };
  view.streams = newer.metrics.Sum("paramd_executor_streams").value_or(0);
  view.streams_busy_share =
      view.streams > 0 ? per_second("paramd_executor_busy_seconds_total") / view.streams : 0;
  view.cpu_cores = per_second("process_cpu_seconds_total");
  view.cpu_budget = newer.metrics.Sum("paramd_cpu_budget_cores").value_or(0);
  if (newer.metrics.Sum("paramd_cpu_throttled_seconds_total")) {
    view.throttled_share = per_second("paramd_cpu_throttled_seconds_total");
  }
  view.crashes = Bytes(newer.metrics, "paramd_worker_crashes_total");
  view.quarantined = Bytes(newer.metrics, "paramd_quarantined_versions");
  FillMemory(newer.metrics, &view);
  for (const Json& model : ListAt(newer.status, "models")) {
    const Json versions = ListAt(model, "versions");
    if (versions.empty()) {
      TopVersion row;
      row.model = TextAt(model, "model");
      row.state = "failed";
      row.reason = TextAt(model, "error");
      view.versions.push_back(std::move(row));
    }
    for (const Json& version : versions) {
      view.versions.push_back(VersionOf(model, version, newer, older, view.seconds));
    }
  }
  return view;
}

std::string_view TopSortName(TopSort sort) {
  switch (sort) {
    case TopSort::kName:
      return "name";
    case TopSort::kRate:
      return "rate";
    case TopSort::kP99:
      return "p99";
    case TopSort::kBytes:
      return "bytes";
    case TopSort::kWaiting:
      return "waiting";
  }
  return "";
}

std::optional<TopSort> ParseTopSort(std::string_view name) {
  for (const TopSort sort : kTopSorts) {
    if (TopSortName(sort) == name) return sort;
  }
  return std::nullopt;
}

void SortAndFilter(TopSort sort, std::string_view filter, std::vector<TopVersion>* versions) {
  std::erase_if(*versions, [filter](const TopVersion& version) {
    return version.model.find(filter) == std::string::npos;
  });
  // Descending by the number, then by name, so that rows do not dance.
  const auto key = [sort](const TopVersion& version) {
    double number = 0;
    if (sort == TopSort::kRate) number = version.traffic.requests_per_second;
    if (sort == TopSort::kP99) number = version.traffic.p99.value_or(0);
    if (sort == TopSort::kBytes) number = static_cast<double>(version.parameter_bytes());
    if (sort == TopSort::kWaiting) number = static_cast<double>(version.traffic.waiting);
    return std::make_tuple(-number, std::string_view(version.model), version.version);
  };
  std::sort(versions->begin(), versions->end(),
            [&key](const TopVersion& a, const TopVersion& b) { return key(a) < key(b); });
}

std::string MaybeSecondsText(const MaybeSeconds& seconds) {
  return seconds ? SecondsText(*seconds) : "-";
}
std::string RateText(double per_second) {
  return absl::StrFormat("%.*f", per_second >= 100 ? 0 : 1, per_second);
}
std::string ShareText(double share) { return absl::StrFormat("%.1f%%", 100 * share); }

std::string TopStateText(const TopVersion& version) {
  if (version.load_bytes_total > 0) {
    return StrCat(version.state, " ", version.reason, " ", BytesText(version.load_bytes_done),
                  " of ", BytesText(version.load_bytes_total));
  }
  if (version.reason.empty() || version.state == "serving") return version.state;
  return StrCat(version.state, ": ", version.reason);
}

namespace {

nlohmann::ordered_json TrafficJson(const TopTraffic& traffic) {
  const auto maybe = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json stages;
  for (const TopStage& stage : traffic.stages) {
    stages[stage.stage] = {{"share", stage.share},
                           {"mean", maybe(stage.mean)},
                           {"p50", maybe(stage.p50)},
                           {"p95", maybe(stage.p95)},
                           {"p99", maybe(stage.p99)}};
  }
  return {{"requests_per_second", traffic.requests_per_second},
          {"failed_share", traffic.failed_share},
          {"latency_seconds",
           {{"p50", maybe(traffic.p50)}, {"p95", maybe(traffic.p95)}, {"p99", maybe(traffic.p99)}}},
          {"batch_rows", maybe(traffic.batch_rows)},
          {"waiting", traffic.waiting},
          {"stages_seconds", std::move(stages)}};
}

}  // namespace

nlohmann::ordered_json TopJson(const TopView& view) {
  nlohmann::ordered_json memory;
  for (const TopBytes& part : view.memory) memory[part.what] = part.bytes;
  nlohmann::ordered_json versions = nlohmann::ordered_json::array();
  for (const TopVersion& version : view.versions) {
    versions.push_back({{"model", version.model},
                        {"version", version.version},
                        {"state", version.state},
                        {"reason", version.reason},
                        {"names", version.names},
                        {"generation", version.generation},
                        {"weights_id", version.weights_id},
                        {"weights", version.weights},
                        {"biases", version.biases},
                        {"unique_bytes", version.unique_bytes},
                        {"shared_bytes", version.shared_bytes},
                        {"packed_bytes", version.packed_bytes},
                        {"arena_bytes", version.arena_bytes},
                        {"traffic", TrafficJson(version.traffic)}});
  }
  return {{"build", view.build},
          {"ready", view.ready},
          {"not_ready", view.not_ready},
          {"uptime_seconds", view.uptime_s},
          {"seconds", view.seconds},
          {"traffic", TrafficJson(view.traffic)},
          {"streams", view.streams},
          {"streams_busy_share", view.streams_busy_share},
          {"cpu_cores", view.cpu_cores},
          {"cpu_budget_cores", view.cpu_budget},
          {"cpu_throttled_share", view.throttled_share.value_or(0)},
          {"worker_crashes", view.crashes},
          {"quarantined_versions", view.quarantined},
          {"memory_bytes", view.memory_bytes},
          {"memory", std::move(memory)},
          {"store_bytes", view.store_bytes},
          {"store_capacity_bytes", view.store_capacity_bytes},
          {"versions", std::move(versions)}};
}

std::string TopText(const TopView& view) {
  std::string text = StrCat(
      view.build, ", ", view.ready ? "ready" : StrCat("not ready: ", view.not_ready), ", up ",
      absl::FormatDuration(absl::Trunc(absl::Seconds(view.uptime_s), absl::Seconds(1))), "\n");
  absl::StrAppendFormat(&text,
                        "%s requests/s, %s failed, p50 %s, p99 %s, %d waiting; streams %s busy, CPU "
                        "%.2f of %g cores",
                        RateText(view.traffic.requests_per_second),
                        ShareText(view.traffic.failed_share), MaybeSecondsText(view.traffic.p50),
                        MaybeSecondsText(view.traffic.p99), view.traffic.waiting,
                        ShareText(view.streams_busy_share), view.cpu_cores, view.cpu_budget);
  if (view.throttled_share.value_or(0) > 0) {
    StrAppend(&text, ", throttled ", ShareText(*view.throttled_share));
  }
  StrAppend(&text, "\n", view.crashes, " crashes of workers, ", view.quarantined,
            " versions in quarantine\n\n");
  TextTable stages({"STAGE", "SHARE>", "MEAN>", "P50>", "P95>", "P99>"});
  for (const TopStage& stage : view.traffic.stages) {
    stages.Add({stage.stage, ShareText(stage.share), MaybeSecondsText(stage.mean),
                MaybeSecondsText(stage.p50), MaybeSecondsText(stage.p95),
                MaybeSecondsText(stage.p99)});
  }
  StrAppend(&text, stages.ToString(), "\n");
  TextTable memory({"MEMORY", "BYTES>", "SHARE>"});
  const auto share = [&view](uint64_t bytes) {
    return ShareText(view.memory_bytes > 0
                         ? static_cast<double>(bytes) / static_cast<double>(view.memory_bytes)
                         : 0);
  };
  for (const TopBytes& part : view.memory) {
    memory.Add({part.what, BytesText(part.bytes), share(part.bytes)});
  }
  memory.Add({"the process", BytesText(view.memory_bytes), share(view.memory_bytes)});
  StrAppend(&text, memory.ToString(), "parameters fill ", BytesText(view.store_bytes), " of ",
            BytesText(view.store_capacity_bytes), "\n\n");
  TextTable table({"MODEL", "VERSION>", "REQ/S>", "FAILED>", "P50>", "P99>", "ROWS/BATCH>",
                   "WAITING>", "PARAMETERS>", "SHARED>", "NAMES", "STATE"});
  for (const TopVersion& version : view.versions) {
    const TopTraffic& traffic = version.traffic;
    table.Add({version.model, version.version == 0 ? "" : StrCat(version.version),
               RateText(traffic.requests_per_second), ShareText(traffic.failed_share),
               MaybeSecondsText(traffic.p50), MaybeSecondsText(traffic.p99),
               traffic.batch_rows ? RateText(*traffic.batch_rows) : "-", StrCat(traffic.waiting),
               BytesText(version.parameter_bytes()), BytesText(version.shared_bytes),
               version.names, TopStateText(version)});
  }
  return StrCat(text, table.ToString());
}

}  // namespace paramd
