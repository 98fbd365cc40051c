// Elements picked and placed by indices: the gather and scatter families, tiles,
// triangles, reversals.
#include <algorithm>
#include <string>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

enum class Reduction : uint8_t { kNone, kAdd, kMul, kMax, kMin };

template <typename T>
void Combine(Reduction reduction, T update, T& into) {
  if constexpr (std::is_arithmetic_v<T>) {
    switch (reduction) {
      case Reduction::kNone:
        break;
      case Reduction::kAdd:
        into = Add(into, update);
        return;
      case Reduction::kMul:
        into = Mul(into, update);
        return;
      case Reduction::kMax:
        into = Max(into, update);
        return;
      case Reduction::kMin:
        into = Min(into, update);
        return;
    }
  }
  into = update;
}

// Moved as bits where nothing is computed.
template <typename Fn>
absl::StatusOr<KernelPlan> VisitScattered(DType dtype, Reduction reduction, std::string_view op,
                                          Fn&& fn) {
  if (reduction == Reduction::kNone) return VisitMovable(dtype, op, fn);
  return VisitNumber(dtype, op, fn);
}

absl::StatusOr<Reduction> ReductionOf(int64_t number) {
  PARAMD_RETURN_IF_ERROR(Require(number >= 0 && number <= 4, "reduction ", number));
  return static_cast<Reduction>(number);
}

// The loop over `dims` of the indices (dense) and of `data`, whose axis stands still.
StridedLoop<2> AlongIndices(const Shape& indices, const Shape& data, int axis) {
  Strides strides = DenseStrides(data);
  strides[static_cast<size_t>(axis)] = 0;
  return StridedLoop<2>(indices.dims(), {DenseStrides(indices), strides});
}

absl::Status CheckElements(const Shape& data, const Shape& indices, int axis) {
  PARAMD_RETURN_IF_ERROR(Require(data.rank() == indices.rank(), "ranks differ"));
  for (int i = 0; i < data.rank(); ++i) {
    PARAMD_RETURN_IF_ERROR(Require(i == axis || indices.dim(i) <= data.dim(i), "indices ",
                                   indices.ToString(), " reach beyond ", data.ToString()));
  }
  return absl::OkStatus();
}

// For each index its place among the indices and the one it means in the data,
// counted from the end where it is negative. Those outside are left out, and the
// last of them is the error.
template <typename Visit>
absl::Status ForEachIndex(const StridedLoop<2>& loop, DType type, const void* indices, int64_t size,
                          int64_t step, const Visit& visit) {
  absl::Status status;
  loop.ForEachRow([&](const std::array<int64_t, 2>& at, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t where = at[0] + i * loop.inner(0);
      int64_t index = IndexAt(type, indices, where);
      if (index < 0) index += size;
      if (index < 0 || index >= size) {
        status = OutsideError(index, size);
        continue;
      }
      visit(where, at[1] + i * loop.inner(1) + index * step);
    }
  });
  return status;
}

// {data, indices}; ints {axis}.
absl::StatusOr<KernelPlan> GatherElements(const OpSpec& spec, const NamedParams& params) {
  const Shape &data = In(spec, 0).shape, &indices = In(spec, 1).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], data));
  const auto axis = static_cast<int>(params.ints[0]);
  PARAMD_RETURN_IF_ERROR(CheckElements(data, indices, axis));
  const DType index_type = In(spec, 1).dtype;
  PARAMD_RETURN_IF_ERROR(CheckIndexType(index_type));
  PARAMD_RETURN_IF_ERROR(
      Require(Out(spec, 0).shape == indices, "the result is not as the indices"));
  const int64_t size = data.dim(axis), step = DenseStrides(data)[static_cast<size_t>(axis)];
  const StridedLoop<2> loop = AlongIndices(indices, data, axis);
  return VisitMovable(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const T* x = args.in<T>(0);
          T* y = args.out<T>(0);
          return ForEachIndex(loop, index_type, args.inputs[1], size, step,
                              [&](int64_t where, int64_t place) { y[where] = x[place]; });
        }};
      });
}

// {data, indices, updates}; ints {axis, reduction}.
absl::StatusOr<KernelPlan> ScatterElements(const OpSpec& spec, const NamedParams& params) {
  const Shape &data = In(spec, 0).shape, &indices = In(spec, 1).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], data));
  const auto axis = static_cast<int>(params.ints[0]);
  PARAMD_RETURN_IF_ERROR(CheckElements(data, indices, axis));
  const DType index_type = In(spec, 1).dtype;
  PARAMD_RETURN_IF_ERROR(CheckIndexType(index_type));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 2));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 2).shape == indices, "updates are not as the indices"));
  PARAMD_ASSIGN_OR_RETURN(const Reduction reduction, ReductionOf(params.ints[1]));
  const int64_t size = data.dim(axis), step = DenseStrides(data)[static_cast<size_t>(axis)];
  const int64_t elements = data.elements();
  const StridedLoop<2> loop = AlongIndices(indices, data, axis);
  return VisitScattered(
      In(spec, 0).dtype, reduction, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          const T* updates = args.in<T>(2);
          T* y = args.out<T>(0);
          if (y != args.in<T>(0)) std::copy_n(args.in<T>(0), elements, y);
          return ForEachIndex(
              loop, index_type, args.inputs[1], size, step,
              [&](int64_t where, int64_t place) { Combine(reduction, updates[where], y[place]); });
        }};
      });
}

// How the last dimension of `indices` names slices of `data` after `batch` dimensions.
struct Tuples {
  int64_t batches = 1, tuples = 1, inner = 1, batch_elements = 1;
  int depth = 0;
  std::array<int64_t, kRankMax> dims{}, strides{};
  DType index_type = DType::kI64;

  // The offset of tuple `at` in its batch's data, or -1.
  int64_t Offset(const void* indices, int64_t at) const {
    int64_t offset = 0;
    for (int d = 0; d < depth; ++d) {
      const auto i = static_cast<size_t>(d);
      int64_t index = IndexAt(index_type, indices, at * depth + d);
      if (index < 0) index += dims[i];
      if (index < 0 || index >= dims[i]) return -1;
      offset += index * strides[i];
    }
    return offset;
  }
};

absl::StatusOr<Tuples> TuplesOf(const Operand& data, const Operand& indices, int64_t batch) {
  PARAMD_RETURN_IF_ERROR(CheckIndexType(indices.dtype));
  const int rank = data.shape.rank(), index_rank = indices.shape.rank();
  PARAMD_RETURN_IF_ERROR(Require(
      index_rank > 0 && batch >= 0 && batch < index_rank && batch <= rank, "batch_dims ", batch));
  Tuples tuples;
  tuples.index_type = indices.dtype;
  const int64_t depth = indices.shape.dim(index_rank - 1);
  PARAMD_RETURN_IF_ERROR(Require(depth >= 0 && depth <= rank - batch, "indices ",
                                 indices.shape.ToString(), " are deeper than ",
                                 data.shape.ToString()));
  tuples.depth = static_cast<int>(depth);
  const Strides strides = DenseStrides(data.shape);
  for (int i = 0; i < rank; ++i) {
    if (i < batch) {
      PARAMD_RETURN_IF_ERROR(
          Require(data.shape.dim(i) == indices.shape.dim(i), "batch dimensions differ"));
      tuples.batches *= data.shape.dim(i);
      continue;
    }
    tuples.batch_elements *= data.shape.dim(i);
    const auto d = static_cast<size_t>(i - batch);
    if (i - batch < depth) {
      tuples.dims[d] = data.shape.dim(i);
      tuples.strides[d] = strides[static_cast<size_t>(i)];
    } else {
      tuples.inner *= data.shape.dim(i);
    }
  }
  for (int i = static_cast<int>(batch); i < index_rank - 1; ++i) {
    tuples.tuples *= indices.shape.dim(i);
  }
  return tuples;
}

// {data, indices}; ints {batch_dims}.
absl::StatusOr<KernelPlan> GatherND(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const Tuples t, TuplesOf(In(spec, 0), In(spec, 1), params.ints[0]));
  PARAMD_RETURN_IF_ERROR(Require(Out(spec, 0).shape.elements() == t.batches * t.tuples * t.inner,
                                 "the result has another size"));
  return VisitMovable(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) -> absl::Status {
          T* y = args.out<T>(0);
          for (int64_t b = 0; b < t.batches; ++b) {
            const T* x = args.in<T>(0) + b * t.batch_elements;
            for (int64_t i = 0; i < t.tuples; ++i) {
              const int64_t offset = t.Offset(args.inputs[1], b * t.tuples + i);
              if (offset < 0)
                return absl::InvalidArgumentError("an index is outside its dimension");
              y = std::copy_n(x + offset, t.inner, y);
            }
          }
          return absl::OkStatus();
        }};
      });
}

// {data, indices, updates}; ints {reduction}.
absl::StatusOr<KernelPlan> ScatterND(const OpSpec& spec, const NamedParams& params) {
  PARAMD_ASSIGN_OR_RETURN(const Tuples t, TuplesOf(In(spec, 0), In(spec, 1), 0));
  PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 2));
  PARAMD_RETURN_IF_ERROR(
      Require(In(spec, 2).shape.elements() == t.tuples * t.inner, "updates have another size"));
  PARAMD_ASSIGN_OR_RETURN(const Reduction reduction, ReductionOf(params.ints[0]));
  const int64_t elements = In(spec, 0).shape.elements();
  return VisitScattered(
      In(spec, 0).dtype, reduction, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) -> absl::Status {
          const T* updates = args.in<T>(2);
          T* y = args.out<T>(0);
          if (y != args.in<T>(0)) std::copy_n(args.in<T>(0), elements, y);
          for (int64_t i = 0; i < t.tuples; ++i) {
            const int64_t offset = t.Offset(args.inputs[1], i);
            if (offset < 0) return absl::InvalidArgumentError("an index is outside its dimension");
            for (int64_t k = 0; k < t.inner; ++k) {
              Combine(reduction, updates[i * t.inner + k], y[offset + k]);
            }
          }
          return absl::OkStatus();
        }};
      });
}

// {x}; ints {upper, k}: the triangle of the last two dimensions, zeros elsewhere.
absl::StatusOr<KernelPlan> Trilu(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(shape.rank() >= 2, "x has rank ", shape.rank()));
  const int64_t columns = shape.dim(shape.rank() - 1), rows = shape.dim(shape.rank() - 2);
  const bool upper = params.ints[0] != 0;
  // Beyond the matrix all diagonals are alike.
  const int64_t k = std::clamp(params.ints[1], -rows - 1, columns + 1);
  const int64_t all = rows * columns == 0 ? 0 : shape.elements() / columns;
  return VisitMovable(In(spec, 0).dtype, params.op,
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[=](const KernelArgs& args) {
                          const T* x = args.in<T>(0);
                          T* y = args.out<T>(0);
                          for (int64_t r = 0; r < all; ++r) {
                            const int64_t diagonal = r % rows + k;
                            for (int64_t c = 0; c < columns; ++c) {
                              const bool kept = upper ? c >= diagonal : c <= diagonal;
                              y[r * columns + c] = kept ? x[r * columns + c] : T{};
                            }
                          }
                          return absl::OkStatus();
                        }};
                      });
}

// {x}: y's dimensions are multiples of x's.
absl::StatusOr<KernelPlan> Tile(const OpSpec& spec, const NamedParams& params) {
  const Shape &x_shape = In(spec, 0).shape, &y_shape = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(x_shape.rank() == y_shape.rank(), "ranks differ"));
  const int rank = x_shape.rank();
  for (int i = 0; i < rank; ++i) {
    PARAMD_RETURN_IF_ERROR(
        Require(x_shape.dim(i) == 0 ? y_shape.dim(i) == 0 : y_shape.dim(i) % x_shape.dim(i) == 0,
                "dimension ", i, " is no multiple"));
  }
  // Rows of x as they are; dimensions before are counted.
  const Strides strides = DenseStrides(x_shape);
  const int64_t row = rank == 0 ? 1 : x_shape.dim(rank - 1);
  const int64_t wide = rank == 0 ? 1 : y_shape.dim(rank - 1);
  const int64_t rows = wide == 0 ? 0 : y_shape.elements() / wide;
  return VisitMovable(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) {
          T* y = args.out<T>(0);
          for (int64_t r = 0; r < rows; ++r) {
            int64_t rest = r, offset = 0;
            for (int d = rank - 2; d >= 0; --d) {
              offset += rest % y_shape.dim(d) % x_shape.dim(d) * strides[static_cast<size_t>(d)];
              rest /= y_shape.dim(d);
            }
            for (int64_t at = 0; at < wide; at += row) {
              y = std::copy_n(args.in<T>(0) + offset, row, y);
            }
          }
          return absl::OkStatus();
        }};
      });
}

// {x, lengths i64}; ints {batch_axis, time_axis}, one of them 0 and the other 1.
absl::StatusOr<KernelPlan> ReverseSequence(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(shape.rank() >= 2, "x has rank ", shape.rank()));
  const auto batch_axis = static_cast<int>(params.ints[0]);
  PARAMD_RETURN_IF_ERROR(
      Require(batch_axis >= 0 && batch_axis <= 1 && params.ints[1] == 1 - batch_axis, "axes ",
              params.ints[0], " and ", params.ints[1], ", expected 0 and 1"));
  const int64_t batches = shape.dim(batch_axis), steps = shape.dim(1 - batch_axis);
  PARAMD_RETURN_IF_ERROR(CheckIndexType(In(spec, 1).dtype));
  PARAMD_RETURN_IF_ERROR(Require(In(spec, 1).shape.elements() == batches, "lengths for ",
                                 In(spec, 1).shape.elements(), " of ", batches));
  const DType index_type = In(spec, 1).dtype;
  const int64_t inner = batches * steps == 0 ? 0 : shape.elements() / (batches * steps);
  return VisitMovable(
      In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
        return KernelPlan{[=](const KernelArgs& args) -> absl::Status {
          for (int64_t b = 0; b < batches; ++b) {
            const int64_t length = IndexAt(index_type, args.inputs[1], b);
            if (length < 0 || length > steps) return OutsideError(length, steps + 1);
            for (int64_t t = 0; t < steps; ++t) {
              const int64_t from = t < length ? length - 1 - t : t;
              const auto at = [&](int64_t step) {
                return (batch_axis == 0 ? b * steps + step : step * batches + b) * inner;
              };
              std::copy_n(args.in<T>(0) + at(from), inner, args.out<T>(0) + at(t));
            }
          }
          return absl::OkStatus();
        }};
      });
}

// {}; ints {k}: ones on the diagonal of a matrix.
absl::StatusOr<KernelPlan> EyeLike(const OpSpec& spec, const NamedParams& params) {
  const Shape& shape = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(shape.rank() == 2, "the result has rank ", shape.rank()));
  const int64_t rows = shape.dim(0), columns = shape.dim(1);
  const int64_t k = std::clamp(params.ints[0], -rows - 1, columns + 1);
  const bool boolean = Out(spec, 0).dtype == DType::kBool;
  return VisitNumber(boolean ? DType::kU8 : Out(spec, 0).dtype, params.op,
                     [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                       return KernelPlan{[=](const KernelArgs& args) {
                         T* y = args.out<T>(0);
                         std::fill_n(y, rows * columns, T{0});
                         for (int64_t r = 0; r < rows; ++r) {
                           if (r + k >= 0 && r + k < columns) y[r * columns + r + k] = T{1};
                         }
                         return absl::OkStatus();
                       }};
                     });
}

// {x, indices}; ints {the dimensions that indices count in...}: y is zero but
// y[indices[i]] = x[i] (of a max pool, undone). y may be larger than what the
// pool had: the rest stays zero.
absl::StatusOr<KernelPlan> MaxUnpool(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(CheckIndexType(In(spec, 1).dtype));
  const int64_t count = In(spec, 0).shape.elements(), size = Out(spec, 0).shape.elements();
  PARAMD_RETURN_IF_ERROR(
      Require(In(spec, 1).shape.elements() == count, "as many indices as values"));
  const DType index_type = In(spec, 1).dtype;
  const Shape& shape = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(params.ints.size() == static_cast<size_t>(shape.rank()), "ranks"));
  PARAMD_ASSIGN_OR_RETURN(const int64_t counted, CheckedElements(params.ints));
  const Shape pooled(params.ints);
  const Strides strides = DenseStrides(shape);
  return VisitMovable(In(spec, 0).dtype, params.op,
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[=](const KernelArgs& args) -> absl::Status {
                          T* y = args.out<T>(0);
                          std::fill_n(y, size, T{});
                          for (int64_t i = 0; i < count; ++i) {
                            int64_t index = IndexAt(index_type, args.inputs[1], i);
                            if (index < 0 || index >= counted) return OutsideError(index, counted);
                            int64_t to = 0;
                            for (int d = pooled.rank() - 1; d >= 0; --d) {
                              const int64_t place = index % pooled.dim(d);
                              index /= pooled.dim(d);
                              if (place >= shape.dim(d)) return OutsideError(place, shape.dim(d));
                              to += place * strides[static_cast<size_t>(d)];
                            }
                            y[to] = args.in<T>(0)[i];
                          }
                          return absl::OkStatus();
                        }};
                      });
}

constexpr NamedOp kNamedIndexing[] = {
    {"gather_elements", 2, 2, 1, GatherElements},
    {"scatter_elements", 3, 3, 2, ScatterElements},
    {"gather_nd", 2, 2, 1, GatherND},
    {"scatter_nd", 3, 3, 1, ScatterND},
    {"trilu", 1, 1, 2, Trilu},
    {"tile", 1, 1, 0, Tile},
    {"reverse_sequence", 2, 2, 2, ReverseSequence},
    {"eye_like", 0, 0, 1, EyeLike},
    {"max_unpool", 2, 2, 1, MaxUnpool},
};

}  // namespace

absl::Span<const NamedOp> NamedIndexing() { return kNamedIndexing; }

}  // namespace paramd::reference
