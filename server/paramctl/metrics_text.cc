#include "server/paramctl/metrics_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Takes {a="x",b="y"} off the front of `rest`; false if it is malformed.
bool TakeLabels(std::string_view* rest, MetricsText::Sample* sample) {
  size_t at = 1;
  while (at < rest->size() && (*rest)[at] != '}') {
    const size_t equals = rest->find("=\"", at);
    if (equals == std::string_view::npos) return false;
    const std::string_view name = rest->substr(at, equals - at);
    std::string value;
    for (at = equals + 2; at < rest->size() && (*rest)[at] != '"'; ++at) {
      if ((*rest)[at] == '\\' && at + 1 < rest->size()) {
        ++at;
        value += (*rest)[at] == 'n' ? '\n' : (*rest)[at];
      } else {
        value += (*rest)[at];
      }
    }
    if (at >= rest->size()) return false;
    sample->labels.emplace(name, std::move(value));
    ++at;
    if (at < rest->size() && (*rest)[at] == ',') ++at;
  }
  if (at >= rest->size()) return false;
  rest->remove_prefix(at + 1);
  return true;
}

absl::StatusOr<double> Number(std::string_view text) {
  double value = 0;
  if (!absl::SimpleAtod(ToAbsl(text), &value)) {
    return absl::InvalidArgumentError(StrCat("'", text.substr(0, 40), "' is no number"));
  }
  return value;
}

}  // namespace

absl::StatusOr<MetricsText> MetricsText::Parse(std::string_view text) {
  MetricsText result;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const size_t name_end = line.find_first_of("{ ");
    if (name_end == std::string_view::npos) {
      return absl::InvalidArgumentError(StrCat("no sample: ", line.substr(0, 80)));
    }
    Sample sample;
    std::string_view rest = line.substr(name_end);
    if (rest.front() == '{' && !TakeLabels(&rest, &sample)) {
      return absl::InvalidArgumentError(StrCat("labels are malformed: ", line.substr(0, 80)));
    }
    sample.key = std::string(line.substr(0, line.size() - rest.size()));
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    PARAMD_ASSIGN_OR_RETURN(sample.value, Number(rest.substr(0, rest.find(' '))));
    result.by_key_[sample.key] = sample.value;
    result.families_[std::string(line.substr(0, name_end))].push_back(std::move(sample));
  }
  return result;
}

std::vector<const MetricsText::Sample*> MetricsText::Matching(std::string_view name,
                                                              const Where& where) const {
  std::vector<const Sample*> found;
  const auto family = families_.find(name);
  if (family == families_.end()) return found;
  for (const Sample& sample : family->second) {
    const bool fits = std::all_of(where.begin(), where.end(), [&sample](const auto& wanted) {
      const auto label = sample.labels.find(wanted.first);
      return label != sample.labels.end() && label->second == wanted.second;
    });
    if (fits) found.push_back(&sample);
  }
  return found;
}

std::optional<double> MetricsText::Sum(std::string_view name, const Where& where) const {
  const std::vector<const Sample*> found = Matching(name, where);
  if (found.empty()) return std::nullopt;
  double sum = 0;
  for (const Sample* sample : found) sum += sample->value;
  return sum;
}

double MetricsText::Value(const std::string& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? 0 : it->second;
}

namespace {

double GrowthOf(const MetricsText::Sample& sample, const MetricsText& older) {
  const double before = older.Value(sample.key);
  return sample.value < before ? sample.value : sample.value - before;
}

}  // namespace

double Growth(const MetricsText& newer, const MetricsText& older, std::string_view name,
              const MetricsText::Where& where) {
  double sum = 0;
  for (const MetricsText::Sample* sample : newer.Matching(name, where)) {
    sum += GrowthOf(*sample, older);
  }
  return sum;
}

HistogramGrowth HistogramBetween(const MetricsText& newer, const MetricsText& older,
                                 const std::string& name, const MetricsText::Where& where) {
  std::map<double, double> cumulative;
  for (const MetricsText::Sample* sample : newer.Matching(name + "_bucket", where)) {
    const auto bound = sample->labels.find("le");
    if (bound == sample->labels.end()) continue;
    const absl::StatusOr<double> value = Number(bound->second);
    if (value.ok()) cumulative[*value] += GrowthOf(*sample, older);
  }
  HistogramGrowth growth;
  double before = 0;
  for (const auto& [bound, count] : cumulative) {
    growth.bounds.push_back(bound);
    growth.counts.push_back(count - before);
    before = count;
  }
  growth.count = before;
  growth.sum = Growth(newer, older, name + "_sum", where);
  return growth;
}

std::optional<double> HistogramGrowth::Mean() const {
  if (count <= 0) return std::nullopt;
  return sum / count;
}

std::optional<double> HistogramGrowth::Quantile(double share) const {
  if (count <= 0) return std::nullopt;
  double left = share * count;
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (left > counts[i]) {
      left -= counts[i];
      continue;
    }
    const double low = i == 0 ? 0 : bounds[i - 1];
    if (std::isinf(bounds[i])) return low;
    return low + (bounds[i] - low) * (counts[i] > 0 ? left / counts[i] : 0);
  }
  return std::nullopt;
}

}  // namespace paramd
