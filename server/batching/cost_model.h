// CostModel: how long a batch of so many rows will take, learned from those that
// ran: a moving average for each size, and a straight line through them for
// sizes that never ran.
//
// Thread-safety: a value; guarded by its owner.
#ifndef PARAMD_SERVER_BATCHING_COST_MODEL_H_
#define PARAMD_SERVER_BATCHING_COST_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace paramd {

class CostModel {
 public:
  void Observe(int64_t rows, absl::Duration took);

  // Zero while nothing was observed: unknown counts as short, once.
  absl::Duration Predict(int64_t rows) const;

 private:
  struct Size {
    int64_t rows = 0;
    double seconds = 0;
  };
  std::vector<Size> sizes_;  // Ascending by rows; at most kSizesMax.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_COST_MODEL_H_
