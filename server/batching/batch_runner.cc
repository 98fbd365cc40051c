#include "server/batching/batch_runner.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/batching/assembled_outputs.h"
#include "server/observability/metrics.h"

namespace paramd {
namespace {

// Copies bytes [skip, skip + count) of the fragments, seen as one, to `to`.
void CopyFragments(absl::Span<const absl::Span<const std::byte>> fragments, uint64_t skip,
                   uint64_t count, std::byte* to) {
  for (const absl::Span<const std::byte> fragment : fragments) {
    if (count == 0) return;
    if (skip >= fragment.size()) {
      skip -= fragment.size();
      continue;
    }
    const uint64_t piece = std::min<uint64_t>(fragment.size() - skip, count);
    std::memcpy(to, fragment.data() + skip, piece);
    to += piece;
    count -= piece;
    skip = 0;
  }
  CHECK_EQ(count, 0u);  // PredictRouter compared bytes and shape.
}

}  // namespace

absl::Status BatchRunner::Prepare(Session* session, Batch* batch, int64_t rows) {
  if (batch->lane->batches) {
    for (Shape& shape : batch->shapes) shape.set_dim(0, rows);
  }
  return session->Prepare(batch->shapes);
}

absl::Status BatchRunner::Gather(Session* session, absl::Span<const BatchSlice> slices,
                                 int64_t rows) {
  const int inputs = static_cast<int>(slices.front().call->inputs.size());
  for (int i = 0; i < inputs; ++i) {
    const MutableTensorView to = session->input(i);
    if (to.dtype == DType::kString) {
      const int64_t row_strings = to.shape.elements() / rows;
      auto* strings = static_cast<std::string*>(to.data);
      for (const BatchSlice& slice : slices) {
        const NamedTensor& input = slice.call->inputs[static_cast<size_t>(i)];
        for (int64_t s = 0; s < slice.rows * row_strings; ++s) {
          *strings++ = input.strings[static_cast<size_t>(slice.first_row * row_strings + s)];
        }
      }
      continue;
    }
    const uint64_t row_bytes = to.bytes() / static_cast<uint64_t>(rows);
    auto* bytes = static_cast<std::byte*>(to.data);
    for (const BatchSlice& slice : slices) {
      const NamedTensor& input = slice.call->inputs[static_cast<size_t>(i)];
      const uint64_t skip = static_cast<uint64_t>(slice.first_row) * row_bytes;
      const uint64_t count = static_cast<uint64_t>(slice.rows) * row_bytes;
      if (input.source != nullptr) {
        PARAMD_RETURN_IF_ERROR(input.source->Read(input.source_offset + skip, {bytes, count}));
      } else {
        CopyFragments(input.fragments, skip, count, bytes);
      }
      bytes += count;
    }
  }
  return absl::OkStatus();
}

absl::Status BatchRunner::CheckOutputs(const Session& session, const Lane& lane, int64_t rows) {
  if (!lane.batches) return absl::OkStatus();
  const int outputs = static_cast<int>(lane.model->description().outputs.size());
  for (int i = 0; i < outputs; ++i) {
    const Shape& shape = session.output(i).shape;
    if (shape.rank() < 1 || shape.dim(0) != rows) {
      return absl::InternalError(
          StrCat("output '", lane.model->description().outputs[static_cast<size_t>(i)].name,
                 "' of a batch of ", rows, " rows has shape ", shape.ToString()));
    }
  }
  return absl::OkStatus();
}

BatchRunner::Report BatchRunner::Run(Session* session, Batch* batch) {
  Report report;
  absl::Status status = Prepare(session, batch, batch->rows);
  const bool whole = std::all_of(batch->slices.begin(), batch->slices.end(),
                                 [](const BatchSlice& slice) { return slice.whole; });
  if (absl::IsUnavailable(status)) {
    // The model dropped this shape since the executor looked. Whole calls can go
    // back to the queue; the rows of a split call have no way back, and compile here.
    if (whole) {
      report.cold = true;
      return report;
    }
    status = batch->lane->model->Compile(batch->shapes);
    if (status.ok()) status = session->Prepare(batch->shapes);
  }
  if (status.ok()) {
    status = Gather(session, batch->slices, batch->rows);
    const absl::Time gathered = clock_->Now();
    if (status.ok()) status = session->Run();
    report.computed = clock_->Now();
    report.gather = gathered - batch->chosen_at;
    report.compute = report.computed - gathered;
    if (status.ok()) status = CheckOutputs(*session, *batch->lane, batch->rows);
  }
  if (!status.ok() && batch->slices.size() > 1) {
    for (BatchSlice& slice : batch->slices) RunAlone(session, batch, &slice);
    return report;
  }
  report.ok = status.ok();
  int64_t batch_row = 0;
  for (BatchSlice& slice : batch->slices) {
    const int64_t row = batch_row;
    batch_row += slice.rows;
    if (!slice.whole) {
      slice.status = status.ok() ? StoreRows(*session, slice, row) : status;
    } else if (status.ok()) {
      Answer(*session, *batch, slice, row, {report.gather, report.compute, report.computed});
    } else {
      AnswerError(*batch, slice, status);
    }
  }
  return report;
}

// The slow path after a failed batch: the slice by itself, in compiled sizes if
// there are any, so that the innocent calls of the batch get their answers.
void BatchRunner::RunAlone(Session* session, Batch* batch, BatchSlice* slice) {
  Times times;
  absl::Status status = RunRows(session, batch, *slice, &times);
  if (status.ok()) {
    if (slice->whole) {
      Answer(*session, *batch, *slice, 0, times);
    } else {
      slice->status = StoreRows(*session, *slice, 0);
    }
    return;
  }
  if (slice->whole) {
    AnswerError(*batch, *slice, status);
  } else {
    slice->status = std::move(status);
  }
}

absl::Status BatchRunner::RunRows(Session* session, Batch* batch, const BatchSlice& slice,
                                  Times* times) {
  absl::Status prepared = Prepare(session, batch, slice.rows);
  if (absl::IsUnavailable(prepared)) {
    // This many rows of one call were never compiled. It happens only behind a
    // failure, so the stream may pay for it.
    PARAMD_RETURN_IF_ERROR(batch->lane->model->Compile(batch->shapes));
    prepared = session->Prepare(batch->shapes);
  }
  PARAMD_RETURN_IF_ERROR(prepared);
  PARAMD_RETURN_IF_ERROR(Gather(session, {&slice, 1}, slice.rows));
  const absl::Time gathered = clock_->Now();
  PARAMD_RETURN_IF_ERROR(session->Run());
  times->computed = clock_->Now();
  times->gather = gathered - batch->chosen_at;
  times->compute = times->computed - gathered;
  return CheckOutputs(*session, *batch->lane, slice.rows);
}

absl::Status BatchRunner::StoreRows(const Session& session, const BatchSlice& slice,
                                    int64_t batch_row) {
  views_.clear();
  for (const int index : slice.call->output_indexes) {
    views_.push_back(RowsOf(session.output(index), batch_row, slice.rows));
  }
  return slice.call->assembled_->Store(views_, slice.first_row, slice.call->q_.rows);
}

void BatchRunner::Answer(const Session& session, const Batch& batch, const BatchSlice& slice,
                         int64_t batch_row, const Times& times) {
  BatchCall* const call = slice.call;
  const Lane& lane = *batch.lane;
  const std::vector<TensorSpec>& specs = lane.model->description().outputs;
  outputs_.clear();
  for (const int index : call->output_indexes) {
    const TensorView whole = session.output(index);
    outputs_.push_back({specs[static_cast<size_t>(index)].name,
                        lane.batches ? RowsOf(whole, batch_row, slice.rows) : whole});
  }
  PredictAnswer answer;
  answer.outputs = outputs_;
  answer.times = {.submitted = call->q_.submitted,
                  .queue = batch.chosen_at - call->q_.submitted,
                  .batch = times.gather,
                  .compute = times.compute,
                  .computed = times.computed};
  answer.rows = slice.rows;
  answer.batch_rows = batch.rows;
  call->sink->OnDone(answer);
}

void BatchRunner::AnswerError(const Batch& batch, const BatchSlice& slice,
                              const absl::Status& status) {
  if (batch.lane->metrics != nullptr) {
    batch.lane->metrics->RecordStage(Stage::kQueue, batch.chosen_at - slice.call->q_.submitted);
  }
  slice.call->sink->OnDone(status);
}

}  // namespace paramd
