#include "server/observability/metrics.h"

#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "";
}

}  // namespace

std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kDecode:
      return "decode";
    case Stage::kQueue:
      return "queue";
    case Stage::kBatch:
      return "batch";
    case Stage::kCompute:
      return "compute";
    case Stage::kEncode:
      return "encode";
  }
  return "";
}

std::string MetricsTable() {
  std::string table =
      "| metric | type | unit | labels | what it says |\n"
      "|---|---|---|---|---|\n";
  for (const MetricSpec& spec : kMetricSpecs) {
    StrAppend(&table, "| `", spec.name, "` | ", TypeName(spec.type), " | ", spec.unit, " | ",
              spec.labels, " | ", spec.help, " |\n");
  }
  return table;
}

}  // namespace paramd
