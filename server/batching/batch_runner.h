// BatchRunner: runs one batch on one stream: gathers rows straight from the
// request's fragments into the session's inputs, runs, and hands each call its
// rows of the outputs.
//
// A batch that fails is run again call by call, so that a bad request fails
// alone. Calls that lie in the batch as a whole are answered here, from the
// arena; rows of split calls are copied into the call's AssembledOutputs, and
// the executor answers it when all are there.
//
// Life and threads: of its stream's thread.
#ifndef PARAMD_SERVER_BATCHING_BATCH_RUNNER_H_
#define PARAMD_SERVER_BATCHING_BATCH_RUNNER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/model.h"
#include "server/batching/batch_call.h"
#include "server/batching/lane.h"

namespace paramd {

class BatchRunner {
 public:
  explicit BatchRunner(const Clock* clock) : clock_(clock) {}

  struct Report {
    // The shape was not compiled any more: nothing was done, no call was answered.
    bool cold = false;
    bool ok = false;  // Ran as one batch; the times below are those of it.
    absl::Duration gather;
    absl::Duration compute;
    absl::Time computed;
  };
  // Answers every whole slice, fills in `status` of every other.
  Report Run(Session* session, Batch* batch);

 private:
  struct Times {
    absl::Duration gather;  // From when the batch was chosen.
    absl::Duration compute;
    absl::Time computed;
  };
  absl::Status Prepare(Session* session, Batch* batch, int64_t rows);
  // An error is that of a call whose source cannot be read.
  absl::Status Gather(Session* session, absl::Span<const BatchSlice> slices, int64_t rows);
  absl::Status CheckOutputs(const Session& session, const Lane& lane, int64_t rows);
  void RunAlone(Session* session, Batch* batch, BatchSlice* slice);
  absl::Status RunRows(Session* session, Batch* batch, const BatchSlice& rows, Times* times);
  absl::Status StoreRows(const Session& session, const BatchSlice& slice, int64_t batch_row);
  // Answers a call from rows [batch_row, batch_row + its rows) of the outputs.
  void Answer(const Session& session, const Batch& batch, const BatchSlice& slice,
              int64_t batch_row, const Times& times);
  void AnswerError(const Batch& batch, const BatchSlice& slice, const absl::Status& status);

  const Clock* const clock_;
  std::vector<OutputTensor> outputs_;  // Scratch: an answer allocates nothing.
  std::vector<TensorView> views_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_BATCH_RUNNER_H_
