#include "server/batching/warm_up.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/log/log.h"

namespace paramd {
namespace {

// Input shapes of a batch of `rows`, or nothing if they depend on the request.
std::optional<std::vector<Shape>> ShapesOf(const ModelDescription& description, int64_t rows) {
  const bool batches = description.batch_rows_max > 0;
  std::vector<Shape> shapes;
  for (const TensorSpec& spec : description.inputs) {
    Shape shape;
    for (size_t axis = 0; axis < spec.shape.size(); ++axis) {
      if (batches && axis == 0) {
        shape.push_back(rows);
      } else if (spec.shape[axis].known()) {
        shape.push_back(spec.shape[axis].size);
      } else {
        return std::nullopt;
      }
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

// Zeros are a valid value of every type; strings become empty.
absl::StatusOr<absl::Duration> RunZeros(Session* session, absl::Span<const Shape> shapes,
                                        const Clock& clock) {
  if (absl::Status status = session->Prepare(shapes); !status.ok()) return status;
  for (int i = 0; i < static_cast<int>(shapes.size()); ++i) {
    const MutableTensorView input = session->input(i);
    if (input.dtype == DType::kString) {
      for (std::string& text : input.as<std::string>()) text.clear();
    } else if (input.bytes() > 0) {
      std::memset(input.data, 0, input.bytes());
    }
  }
  const absl::Time start = clock.Now();
  if (absl::Status status = session->Run(); !status.ok()) return status;
  return clock.Now() - start;
}

}  // namespace

absl::StatusOr<std::vector<WarmSize>> WarmUp(const Model& model, Arena* arena, const Clock& clock,
                                             const WarmUpOptions& options) {
  const ModelDescription& description = model.description();
  std::vector<WarmSize> warm;
  if (!ShapesOf(description, 1)) return warm;
  const int64_t rows_max = std::max<int64_t>(description.batch_rows_max, 1);
  std::unique_ptr<Session> session;
  if (options.measure) session = model.NewSession(arena);
  const absl::Time runs_start = clock.Now();
  absl::Duration compiling;
  absl::Duration a_row;  // Of the last size that was measured.
  // 1, 2, 4 .. and rows_max itself, which need not be a power of two.
  for (int64_t rows = 1;; rows = std::min(rows * 2, rows_max)) {
    const std::vector<Shape> shapes = *ShapesOf(description, rows);
    absl::Status status;
    const absl::Time compile_start = clock.Now();
    if (!model.IsCompiled(shapes)) status = model.Compile(shapes);
    compiling += clock.Now() - compile_start;
    if (!status.ok()) {
      if (rows == 1) return status;
      LOG(WARNING) << "warm-up ends before " << rows << " rows: " << status;
      break;
    }
    WarmSize size{.rows = rows, .took = absl::ZeroDuration()};
    const absl::Duration spent = clock.Now() - runs_start - compiling;
    if (session != nullptr && (rows == 1 || spent < options.measure_time_max)) {
      absl::StatusOr<absl::Duration> took = RunZeros(session.get(), shapes, clock);
      // The first run touches memory; the second is what requests will see.
      if (took.ok() && *took < options.measure_time_max / 4) {
        took = RunZeros(session.get(), shapes, clock);
      }
      if (took.ok()) {
        size.took = *took;
        a_row = *took / rows;
      } else {
        // A model may dislike zeros (an index, a divisor); its requests may be fine.
        LOG(WARNING) << "warm-up run of " << rows << " rows failed: " << took.status();
      }
    }
    warm.push_back(size);
    if (rows == rows_max || a_row * rows > options.size_time_max) break;
  }
  return warm;
}

}  // namespace paramd
