// AssembledOutputs: the answer of a call that runs in several batches, put
// together as its parts finish, in any order and on any stream.
//
// Life: of its call. Thread-safety: Store may be called from several threads as
// long as their rows differ; outputs() only when all of them are done.
#ifndef PARAMD_SERVER_BATCHING_ASSEMBLED_OUTPUTS_H_
#define PARAMD_SERVER_BATCHING_ASSEMBLED_OUTPUTS_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/base/mutex.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// Rows [first_row, first_row + rows) of a dense tensor. REQUIRES: rank >= 1 and
// rows that are whole bytes.
TensorView RowsOf(const TensorView& tensor, int64_t first_row, int64_t rows);

class AssembledOutputs {
 public:
  // `parts[i]`: some rows of wanted output i, which become rows first_row and up
  // of total_rows. InvalidArgument if a tensor of total_rows would be too large.
  absl::Status Store(absl::Span<const TensorView> parts, int64_t first_row, int64_t total_rows);

  const std::vector<Tensor>& outputs() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return outputs_; }

 private:
  // Guards the making of outputs_; rows are then written without it, each once.
  Mutex mutex_;
  std::vector<Tensor> outputs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_ASSEMBLED_OUTPUTS_H_
