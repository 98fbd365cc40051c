#include "server/batching/cost_model.h"

#include <algorithm>

namespace paramd {
namespace {

constexpr size_t kSizesMax = 64;
// Four batches bring most of a change in, one outlier does not.
constexpr double kNewShare = 0.25;

}  // namespace

void CostModel::Observe(int64_t rows, absl::Duration took) {
  const double seconds = absl::ToDoubleSeconds(took);
  const auto at = std::lower_bound(sizes_.begin(), sizes_.end(), rows,
                                   [](const Size& size, int64_t r) { return size.rows < r; });
  if (at != sizes_.end() && at->rows == rows) {
    at->seconds += kNewShare * (seconds - at->seconds);
  } else if (sizes_.size() < kSizesMax) {
    sizes_.insert(at, {rows, seconds});
  } else {
    // Full: a neighbour says nearly the same. Its place keeps the order.
    (at == sizes_.end() ? sizes_.back() : *at) = {rows, seconds};
  }
}

absl::Duration CostModel::Predict(int64_t rows) const {
  if (sizes_.empty()) return absl::ZeroDuration();
  const auto at = std::lower_bound(sizes_.begin(), sizes_.end(), rows,
                                   [](const Size& size, int64_t r) { return size.rows < r; });
  if (at != sizes_.end() && at->rows == rows) return absl::Seconds(at->seconds);
  if (sizes_.size() == 1) {
    const Size& only = sizes_.front();
    return absl::Seconds(only.seconds * static_cast<double>(rows) /
                         static_cast<double>(std::max<int64_t>(only.rows, 1)));
  }
  // Between two measured sizes: on the line between them. Outside: along the
  // line of the two nearest, and never below a share of the nearest by rows.
  const auto right = at == sizes_.end() ? sizes_.end() - 1 : std::max(at, sizes_.begin() + 1);
  const auto left = right - 1;
  const double slope = (right->seconds - left->seconds) /
                       static_cast<double>(std::max<int64_t>(right->rows - left->rows, 1));
  double seconds = left->seconds + std::max(slope, 0.0) * static_cast<double>(rows - left->rows);
  if (rows < left->rows) {
    seconds = std::max(seconds,
                       left->seconds * static_cast<double>(rows) / static_cast<double>(left->rows));
  }
  return absl::Seconds(std::max(seconds, 0.0));
}

}  // namespace paramd
