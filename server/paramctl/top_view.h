// TopView: what `paramctl top` shows, made from two readings of a daemon: rates and
// percentiles of the time between them, bytes and states as of the second.
//
// Life: a value. Thread-safety: pure functions.
#ifndef PARAMD_SERVER_PARAMCTL_TOP_VIEW_H_
#define PARAMD_SERVER_PARAMCTL_TOP_VIEW_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/paramctl/metrics_text.h"

namespace paramd {

// /metrics and /status.json at one moment.
struct TopReading {
  absl::Time at;
  MetricsText metrics;
  nlohmann::json status;
};
absl::StatusOr<TopReading> ReadTop(const std::string& metrics_address, double timeout_s);

// Absent: nothing was measured between the readings, or the kernel does not tell.
using MaybeSeconds = std::optional<double>;

struct TopStage {
  std::string stage;
  double share = 0;  // Of the time of all requests.
  MaybeSeconds mean, p50, p95, p99;
};

// Requests of one version, or of all.
struct TopTraffic {
  double requests_per_second = 0;
  double failed_share = 0;
  MaybeSeconds p50, p95, p99;
  std::optional<double> batch_rows;
  uint64_t waiting = 0;
  std::vector<TopStage> stages;
};

struct TopVersion {
  std::string model;
  int64_t version = 0;
  std::string state;
  std::string reason;  // Of a failure; how far a load is.
  std::string names;   // "default canary"
  std::string generation;
  std::string weights_id;
  uint64_t weights = 0, biases = 0;
  uint64_t unique_bytes = 0, shared_bytes = 0, packed_bytes = 0, arena_bytes = 0;
  uint64_t load_bytes_done = 0, load_bytes_total = 0;
  TopTraffic traffic;

  uint64_t parameter_bytes() const { return unique_bytes + shared_bytes; }
};

// A part of the process's memory; they add up to the whole.
struct TopBytes {
  std::string what;
  uint64_t bytes = 0;
};

struct TopView {
  std::string build;
  bool ready = false;
  std::string not_ready;
  double uptime_s = 0;
  double seconds = 0;  // Between the readings.
  TopTraffic traffic;
  double streams = 0, streams_busy_share = 0;
  double cpu_cores = 0, cpu_budget = 0;
  std::optional<double> throttled_share;
  uint64_t crashes = 0, quarantined = 0;
  std::vector<TopBytes> memory;
  uint64_t memory_bytes = 0;
  uint64_t store_bytes = 0, store_capacity_bytes = 0;  // Sealed and set aside; at most.
  std::vector<TopVersion> versions;
};

TopView MakeTopView(const TopReading& newer, const TopReading& older);

enum class TopSort { kName, kRate, kP99, kBytes, kWaiting };
inline constexpr TopSort kTopSorts[] = {TopSort::kName, TopSort::kRate, TopSort::kP99,
                                        TopSort::kBytes, TopSort::kWaiting};
std::string_view TopSortName(TopSort sort);  // "name", "rate", ...
std::optional<TopSort> ParseTopSort(std::string_view name);

// Keeps versions whose model has `filter` in its name; the largest first, except by
// name.
void SortAndFilter(TopSort sort, std::string_view filter, std::vector<TopVersion>* versions);

// For --once.
std::string TopText(const TopView& view);
nlohmann::ordered_json TopJson(const TopView& view);

// Cells that text and screen share. A dash for what was not measured.
std::string MaybeSecondsText(const MaybeSeconds& seconds);
std::string RateText(double per_second);
std::string ShareText(double share);  // "12.3%"
std::string TopStateText(const TopVersion& version);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_TOP_VIEW_H_
