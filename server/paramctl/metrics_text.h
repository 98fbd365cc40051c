// MetricsText: one reading of /metrics, and what can be said from two.
//
// Life: a value. Thread-safety: a value.
#ifndef PARAMD_SERVER_PARAMCTL_METRICS_TEXT_H_
#define PARAMD_SERVER_PARAMCTL_METRICS_TEXT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace paramd {

class MetricsText {
 public:
  // Labels that a series must have; others it may.
  using Where = std::vector<std::pair<std::string, std::string>>;

  struct Sample {
    std::string key;  // "name{labels}", as it stood.
    std::map<std::string, std::string, std::less<>> labels;
    double value = 0;
  };

  // InvalidArgument names the line that is no sample.
  static absl::StatusOr<MetricsText> Parse(std::string_view text);

  std::vector<const Sample*> Matching(std::string_view name, const Where& where) const;
  // Nothing where there is no such series: the kernel did not tell.
  std::optional<double> Sum(std::string_view name, const Where& where = {}) const;
  // By the series' whole text; 0 if it is not there.
  double Value(const std::string& key) const;

 private:
  std::map<std::string, std::vector<Sample>, std::less<>> families_;
  std::map<std::string, double> by_key_;
};

// How much counters grew; one that fell began anew.
double Growth(const MetricsText& newer, const MetricsText& older, std::string_view name,
              const MetricsText::Where& where = {});

// What a histogram counted between two readings, summed over series.
struct HistogramGrowth {
  std::vector<double> bounds;  // Ascending; the last is infinite.
  std::vector<double> counts;  // One each, not cumulative.
  double count = 0;
  double sum = 0;

  std::optional<double> Mean() const;
  // As Prometheus' histogram_quantile: linear within the bucket.
  std::optional<double> Quantile(double share) const;
};
HistogramGrowth HistogramBetween(const MetricsText& newer, const MetricsText& older,
                                 const std::string& name, const MetricsText::Where& where);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_METRICS_TEXT_H_
