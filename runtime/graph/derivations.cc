#include "runtime/graph/derivations.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/tensor_values.h"
#include "runtime/tensor/half.h"

namespace paramd {
namespace {

using Parents = absl::Span<const TensorView>;
using Args = absl::Span<const double>;

// Elements as double, whatever float type they are stored in.
template <typename T>
struct Codec {
  static double Load(const void* data, int64_t i) { return static_cast<const T*>(data)[i]; }
  static void Store(void* data, int64_t i, double value) {
    static_cast<T*>(data)[i] = static_cast<T>(value);
  }
};
struct F16Codec {
  static double Load(const void* data, int64_t i) {
    return F16ToFloat(static_cast<const uint16_t*>(data)[i]);
  }
  static void Store(void* data, int64_t i, double value) {
    static_cast<uint16_t*>(data)[i] = FloatToF16(static_cast<float>(value));
  }
};
struct BF16Codec {
  static double Load(const void* data, int64_t i) {
    return BF16ToFloat(static_cast<const uint16_t*>(data)[i]);
  }
  static void Store(void* data, int64_t i, double value) {
    static_cast<uint16_t*>(data)[i] = FloatToBF16(static_cast<float>(value));
  }
};

// Calls `body` with the codec of `dtype`; Unimplemented for what is not a float.
template <typename Body>
absl::Status WithCodec(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(Codec<float>{});
    case DType::kF64:
      return body(Codec<double>{});
    case DType::kF16:
      return body(F16Codec{});
    case DType::kBF16:
      return body(BF16Codec{});
    default:
      return absl::UnimplementedError(StrCat("nothing is derived from ", DTypeName(dtype)));
  }
}

// The same for what a float is made of: 8 bits and i32 too.
template <typename Body>
absl::Status WithNumberCodec(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kI8:
      return body(Codec<int8_t>{});
    case DType::kU8:
      return body(Codec<uint8_t>{});
    case DType::kI32:
      return body(Codec<int32_t>{});
    default:
      return WithCodec(dtype, body);
  }
}

absl::Status Expect(bool good, std::string_view what) {
  return good ? absl::OkStatus() : absl::InvalidArgumentError(StrCat("expected ", what));
}

// The elements of a vector of n, or n copies of a single one.
absl::StatusOr<std::vector<double>> VectorOf(const TensorView& view, int64_t n) {
  std::optional<std::vector<double>> values = FloatValues(view);
  if (!values.has_value()) {
    return absl::UnimplementedError(StrCat("nothing is derived from ", DTypeName(view.dtype)));
  }
  if (values->size() == 1) values->assign(static_cast<size_t>(n), values->front());
  PARAMD_RETURN_IF_ERROR(Expect(static_cast<int64_t>(values->size()) == n,
                                StrCat(n, " elements, got ", view.shape.ToString())));
  return *std::move(values);
}

absl::Status SameTensor(const TensorView& x, const MutableTensorView& result) {
  return Expect(x.dtype == result.dtype && x.shape == result.shape,
                StrCat(DTypeName(result.dtype), result.shape.ToString(), ", got ",
                       DTypeName(x.dtype), x.shape.ToString()));
}

absl::StatusOr<int> AxisOf(double axis, const Shape& shape) {
  PARAMD_RETURN_IF_ERROR(Expect(axis >= 0 && axis < shape.rank(), "an axis of the tensor"));
  return static_cast<int>(axis);
}

// result = x * scale along the axis.
absl::Status ScaleAxis(const TensorView& x, const std::vector<double>& scale, int axis,
                       const MutableTensorView& result) {
  PARAMD_RETURN_IF_ERROR(SameTensor(x, result));
  const int64_t n = x.shape.dim(axis);
  int64_t inner = 1;
  for (int i = axis + 1; i < x.shape.rank(); ++i) inner *= x.shape.dim(i);
  const int64_t elements = x.shape.elements();
  return WithCodec(x.dtype, [&](auto codec) {
    for (int64_t start = 0, block = 0; start < elements; start += inner, ++block) {
      const double factor = scale[static_cast<size_t>(block % n)];
      for (int64_t i = start; i < start + inner; ++i) {
        codec.Store(result.data, i, codec.Load(x.data, i) * factor);
      }
    }
    return absl::OkStatus();
  });
}

absl::Status StoreVector(const std::vector<double>& values, const MutableTensorView& result) {
  return WithCodec(result.dtype, [&](auto codec) {
    for (size_t i = 0; i < values.size(); ++i) {
      codec.Store(result.data, static_cast<int64_t>(i), values[i]);
    }
    return absl::OkStatus();
  });
}

// --- The rows ---------------------------------------------------------------

absl::Status Fill(Parents, Args args, const MutableTensorView& result) {
  const int64_t elements = result.shape.elements();
  return WithCodec(result.dtype, [&](auto codec) {
    for (int64_t i = 0; i < elements; ++i) codec.Store(result.data, i, args[0]);
    return absl::OkStatus();
  });
}

absl::Status Copy(Parents parents, Args, const MutableTensorView& result) {
  PARAMD_RETURN_IF_ERROR(Expect(parents[0].dtype == result.dtype &&
                                    result.dtype != DType::kString &&
                                    parents[0].bytes() == result.bytes(),
                                "as many bytes of the same type"));
  if (result.bytes() > 0) std::memcpy(result.data, parents[0].data, result.bytes());
  return absl::OkStatus();
}

absl::Status Transpose(Parents parents, Args args, const MutableTensorView& result) {
  const TensorView& x = parents[0];
  const int rank = x.shape.rank();
  PARAMD_RETURN_IF_ERROR(Expect(static_cast<int>(args.size()) == rank &&
                                    result.shape.rank() == rank && x.dtype == result.dtype,
                                "one axis per dimension"));
  const int bits = DTypeBits(x.dtype);
  if (bits < 8) return absl::UnimplementedError("4-bit tensors are not transposed");
  std::vector<int64_t> strides(static_cast<size_t>(rank), 1);
  for (int i = rank - 2; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = strides[static_cast<size_t>(i) + 1] * x.shape.dim(i + 1);
  }
  std::vector<int64_t> steps;  // Of x, per dimension of the result.
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (int i = 0; i < rank; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(args[static_cast<size_t>(i)], x.shape));
    PARAMD_RETURN_IF_ERROR(
        Expect(!seen[static_cast<size_t>(axis)] && x.shape.dim(axis) == result.shape.dim(i),
               "a permutation that gives the result's shape"));
    seen[static_cast<size_t>(axis)] = true;
    steps.push_back(strides[static_cast<size_t>(axis)]);
  }
  const auto size = static_cast<size_t>(bits) / 8;
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(result.data);
  std::vector<int64_t> at(static_cast<size_t>(rank), 0);
  int64_t offset = 0;
  const int64_t elements = result.shape.elements();
  for (int64_t i = 0; i < elements; ++i) {
    std::memcpy(to + static_cast<size_t>(i) * size, from + static_cast<size_t>(offset) * size,
                size);
    for (int d = rank - 1; d >= 0; --d) {
      const auto k = static_cast<size_t>(d);
      offset += steps[k];
      if (++at[k] < result.shape.dim(d)) break;
      offset -= steps[k] * at[k];
      at[k] = 0;
    }
  }
  return absl::OkStatus();
}

absl::Status Cast(Parents parents, Args, const MutableTensorView& result) {
  const TensorView& x = parents[0];
  PARAMD_RETURN_IF_ERROR(Expect(x.shape == result.shape, "the same shape"));
  const int64_t elements = x.shape.elements();
  return WithNumberCodec(x.dtype, [&](auto from) {
    return WithCodec(result.dtype, [&](auto to) {
      for (int64_t i = 0; i < elements; ++i) to.Store(result.data, i, from.Load(x.data, i));
      return absl::OkStatus();
    });
  });
}

absl::Status Dequantize(Parents parents, Args args, const MutableTensorView& result) {
  const TensorView& x = parents[0];
  PARAMD_RETURN_IF_ERROR(Expect(x.shape == result.shape, "the same shape"));
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(args[0], x.shape));
  const int64_t n = x.shape.dim(axis);
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> scale, VectorOf(parents[1], n));
  std::vector<double> zero(static_cast<size_t>(n), 0);
  if (parents.size() > 2) {
    const int64_t zeros = parents[2].shape.elements();
    PARAMD_RETURN_IF_ERROR(Expect(parents[2].dtype == x.dtype && (zeros == n || zeros == 1),
                                  "zero points of x's type, one or one a scale"));
    PARAMD_RETURN_IF_ERROR(WithNumberCodec(x.dtype, [&](auto codec) {
      for (int64_t i = 0; i < n; ++i) {
        zero[static_cast<size_t>(i)] = codec.Load(parents[2].data, zeros == 1 ? 0 : i);
      }
      return absl::OkStatus();
    }));
  }
  int64_t inner = 1;
  for (int i = axis + 1; i < x.shape.rank(); ++i) inner *= x.shape.dim(i);
  const int64_t elements = x.shape.elements();
  return WithNumberCodec(x.dtype, [&](auto from) {
    return WithCodec(result.dtype, [&](auto to) {
      for (int64_t start = 0, block = 0; start < elements; start += inner, ++block) {
        const auto at = static_cast<size_t>(block % n);
        for (int64_t i = start; i < start + inner; ++i) {
          to.Store(result.data, i, (from.Load(x.data, i) - zero[at]) * scale[at]);
        }
      }
      return absl::OkStatus();
    });
  });
}

absl::Status ScaleAxisRow(Parents parents, Args args, const MutableTensorView& result) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(args[0], parents[0].shape));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> scale,
                          VectorOf(parents[1], parents[0].shape.dim(axis)));
  return ScaleAxis(parents[0], scale, axis, result);
}

absl::Status AddVector(Parents parents, Args args, const MutableTensorView& result) {
  const int64_t n = result.shape.elements();
  PARAMD_ASSIGN_OR_RETURN(std::vector<double> a, VectorOf(parents[0], n));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> b, VectorOf(parents[1], n));
  for (size_t i = 0; i < a.size(); ++i) a[i] = a[i] * args[0] + b[i] * args[1];
  return StoreVector(a, result);
}

absl::Status BnWeight(Parents parents, Args args, const MutableTensorView& result) {
  PARAMD_ASSIGN_OR_RETURN(const int axis, AxisOf(args[1], parents[0].shape));
  const int64_t n = parents[0].shape.dim(axis);
  PARAMD_ASSIGN_OR_RETURN(std::vector<double> scale, VectorOf(parents[1], n));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> variance, VectorOf(parents[2], n));
  for (size_t i = 0; i < scale.size(); ++i) scale[i] /= std::sqrt(variance[i] + args[0]);
  return ScaleAxis(parents[0], scale, axis, result);
}

absl::Status BnBias(Parents parents, Args args, const MutableTensorView& result) {
  const int64_t n = result.shape.elements();
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> scale, VectorOf(parents[0], n));
  PARAMD_ASSIGN_OR_RETURN(std::vector<double> shift, VectorOf(parents[1], n));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> mean, VectorOf(parents[2], n));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> variance, VectorOf(parents[3], n));
  std::vector<double> bias(static_cast<size_t>(n), 0);
  if (parents.size() > 4) {
    PARAMD_ASSIGN_OR_RETURN(bias, VectorOf(parents[4], n));
  }
  for (size_t i = 0; i < shift.size(); ++i) {
    shift[i] += (bias[i] * args[1] - mean[i]) * scale[i] / std::sqrt(variance[i] + args[0]);
  }
  return StoreVector(shift, result);
}

struct DerivationRow {
  std::string_view transform;
  size_t parents_min, parents_max;
  size_t args_min;
  absl::Status (*run)(Parents parents, Args args, const MutableTensorView& result);
};

constexpr DerivationRow kRows[] = {
    {"fill/1", 0, 0, 1, Fill},
    {"copy/1", 1, 1, 0, Copy},
    {"transpose/1", 1, 1, 0, Transpose},
    {"cast/1", 1, 1, 0, Cast},
    {"dequantize/1", 2, 3, 1, Dequantize},
    {"scale-axis/1", 2, 2, 1, ScaleAxisRow},
    {"add-vector/1", 2, 2, 2, AddVector},
    {"bn-weight/1", 3, 3, 2, BnWeight},
    {"bn-bias/1", 4, 5, 2, BnBias},
};

}  // namespace

absl::Status Derive(std::string_view transform, absl::Span<const TensorView> parents,
                    absl::Span<const double> args, const MutableTensorView& result) {
  for (const DerivationRow& row : kRows) {
    if (row.transform != transform) continue;
    if (parents.size() < row.parents_min || parents.size() > row.parents_max ||
        args.size() < row.args_min) {
      return absl::InvalidArgumentError(
          StrCat(transform, ": ", parents.size(), " parents and ", args.size(), " arguments"));
    }
    const absl::Status status = row.run(parents, args, result);
    if (status.ok()) return status;
    return absl::Status(status.code(), ToAbsl(StrCat(transform, ": ", FromAbsl(status.message()))));
  }
  return absl::UnimplementedError(StrCat("no transform '", transform, "'"));
}

}  // namespace paramd
