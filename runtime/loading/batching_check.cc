#include "runtime/loading/batching_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

// Different batch sizes may run different kernels, which sum in another order.
constexpr double kToleranceF32 = 1e-4;
constexpr double kToleranceBF16 = 2e-2;

// Floats as a trained model sees them; integers 0 and 1, which index anything.
absl::StatusOr<Tensor> RandomTensor(DType dtype, const Shape& shape, std::mt19937& random) {
  if (dtype == DType::kString) return absl::UnimplementedError("no random inputs of strings");
  PARAMD_RETURN_IF_ERROR(CheckedBytes(dtype, shape.dims()).status());
  Tensor tensor(dtype, shape);
  const auto count = static_cast<size_t>(shape.elements());
  void* const data = tensor.view().data;
  std::normal_distribution<float> normal;
  if (dtype == DType::kF32) {
    for (size_t i = 0; i < count; ++i) static_cast<float*>(data)[i] = normal(random);
    return tensor;
  }
  if (dtype == DType::kF64) {
    for (size_t i = 0; i < count; ++i) static_cast<double*>(data)[i] = normal(random);
    return tensor;
  }
  const int bits = DTypeBits(dtype);
  if ((IsInteger(dtype) && bits >= 8) || dtype == DType::kBool) {
    // Little-endian: the lowest byte of each element.
    const auto step = static_cast<size_t>(bits / 8);
    for (size_t i = 0; i < count; ++i) {
      static_cast<uint8_t*>(data)[i * step] = static_cast<uint8_t>(random() & 1);
    }
    return tensor;
  }
  return absl::UnimplementedError(StrCat("no random inputs of ", DTypeName(dtype)));
}

uint64_t RowBytes(const TensorView& view) {
  const int64_t rows = view.shape.rank() == 0 ? 1 : view.shape.dim(0);
  return rows == 0 ? 0 : view.bytes() / static_cast<uint64_t>(rows);
}

// The outputs of one run, copied.
absl::StatusOr<std::vector<Tensor>> RunOnce(Session& session, absl::Span<const Shape> shapes,
                                            absl::Span<const Tensor> inputs, size_t outputs) {
  PARAMD_RETURN_IF_ERROR(session.Prepare(shapes));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const MutableTensorView to = session.input(static_cast<int>(i));
    const TensorView from = inputs[i].view();
    if (from.bytes() > 0) std::memcpy(to.data, from.data, from.bytes());
  }
  PARAMD_RETURN_IF_ERROR(session.Run());
  std::vector<Tensor> results;
  for (size_t i = 0; i < outputs; ++i) {
    results.push_back(Tensor::CopyOf(session.output(static_cast<int>(i))));
  }
  return results;
}

// The largest difference of row `row` of `together` from `apart`, relative to
// the largest value of `apart`.
absl::StatusOr<double> Difference(const Tensor& together, int64_t row, const Tensor& apart) {
  const TensorView all = together.view();
  const TensorView one = apart.view();
  if (all.shape.rank() == 0 || all.shape.rank() != one.shape.rank() || all.shape.dim(0) != 2 ||
      RowBytes(all) != one.bytes()) {
    return absl::FailedPreconditionError(
        StrCat("two rows give ", all.shape.ToString(), ", one gives ", one.shape.ToString()));
  }
  TensorView mine = one;
  mine.data = static_cast<const std::byte*>(all.data) + static_cast<uint64_t>(row) * RowBytes(all);
  const auto a = FloatValues(mine);
  const auto b = FloatValues(one);
  if (!a.has_value() || !b.has_value()) {
    const bool same = one.bytes() == 0 || std::memcmp(mine.data, one.data, one.bytes()) == 0;
    return same ? 0.0 : 1.0;
  }
  double scale = 0, worst = 0;
  for (size_t i = 0; i < b->size(); ++i) {
    const double x = (*a)[i], y = (*b)[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) return HUGE_VAL;
    worst = std::max(worst, std::abs(x - y));
  }
  for (const double y : *b) {
    if (std::isfinite(y)) scale = std::max(scale, std::abs(y));
  }
  if (worst == 0) return 0.0;
  return scale == 0 ? HUGE_VAL : worst / scale;
}

}  // namespace

std::vector<Shape> WithRows(absl::Span<const Shape> shapes, int64_t rows) {
  std::vector<Shape> with(shapes.begin(), shapes.end());
  for (Shape& shape : with) {
    if (shape.rank() > 0) shape.set_dim(0, rows);
  }
  return with;
}

absl::Status CheckRowsAreIndependent(const GraphProgram& model, absl::Span<const Shape> one_row,
                                     uint32_t seed) {
  const ModelDescription& description = model.description();
  const std::vector<Shape> two_rows = WithRows(one_row, 2);
  PARAMD_RETURN_IF_ERROR(model.Compile(one_row));
  PARAMD_RETURN_IF_ERROR(model.Compile(two_rows));
  // Address space only; what it touches goes back when the check ends.
  uint64_t arena_bytes = uint64_t{64} << 20;
  for (const ProgramCache::Entry& entry : *model.cache().snapshot()) {
    arena_bytes = std::max(arena_bytes, entry.program->arena_bytes);
  }
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(arena_bytes));
  const std::unique_ptr<Session> session = model.NewSession(arena.get());

  std::mt19937 random(seed);
  std::vector<Tensor> first, second, both;
  for (size_t i = 0; i < one_row.size(); ++i) {
    const DType dtype = description.inputs[i].dtype;
    PARAMD_ASSIGN_OR_RETURN(Tensor a, RandomTensor(dtype, one_row[i], random));
    PARAMD_ASSIGN_OR_RETURN(Tensor b, RandomTensor(dtype, one_row[i], random));
    Tensor joined(dtype, two_rows[i]);
    const uint64_t bytes = a.view().bytes();
    if (bytes > 0) {
      std::memcpy(joined.view().data, a.view().data, bytes);
      std::memcpy(static_cast<std::byte*>(joined.view().data) + bytes, b.view().data, bytes);
    }
    first.push_back(std::move(a));
    second.push_back(std::move(b));
    both.push_back(std::move(joined));
  }
  const size_t outputs = description.outputs.size();
  PARAMD_ASSIGN_OR_RETURN(const auto alone_1, RunOnce(*session, one_row, first, outputs));
  PARAMD_ASSIGN_OR_RETURN(const auto alone_2, RunOnce(*session, one_row, second, outputs));
  PARAMD_ASSIGN_OR_RETURN(const auto together, RunOnce(*session, two_rows, both, outputs));
  const double tolerance = description.precision == "f32" ? kToleranceF32 : kToleranceBF16;
  for (size_t i = 0; i < outputs; ++i) {
    for (const auto& [row, apart] : {std::pair{0, &alone_1[i]}, std::pair{1, &alone_2[i]}}) {
      PARAMD_ASSIGN_OR_RETURN(const double difference, Difference(together[i], row, *apart));
      if (difference <= tolerance) continue;
      return absl::FailedPreconditionError(
          StrCat("output '", description.outputs[i].name, "' of row ", row, " is another one in ",
                 "company: difference ", difference, " of its largest value, at most ", tolerance,
                 " is rounding (seed ", seed, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace paramd
