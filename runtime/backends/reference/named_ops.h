// The reference's kernels of NamedParams, one row an operation, one file a
// family. A row's comment says what its operands, ints and numbers are; shapes
// were worked out by the operator table (runtime/graph/ops), and a kernel still
// checks all that it indexes by.
//
// To add one: a row and a function in its family's file.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_NAMED_OPS_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_NAMED_OPS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/op_specs.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/base/strings.h"

namespace paramd::reference {

struct NamedOp {
  std::string_view op;
  int inputs_min, inputs_max, ints_min;
  absl::StatusOr<KernelPlan> (*compile)(const OpSpec& spec, const NamedParams& params);
};

absl::Span<const NamedOp> NamedElementwise();
absl::Span<const NamedOp> NamedIndexing();
absl::Span<const NamedOp> NamedSelection();
absl::Span<const NamedOp> NamedResampling();
absl::Span<const NamedOp> NamedWindow();
absl::Span<const NamedOp> NamedQuantized();
absl::Span<const NamedOp> NamedIntegerProducts();
absl::Span<const NamedOp> NamedRecurrent();
absl::Span<const NamedOp> NamedNormalization();
absl::Span<const NamedOp> NamedSignal();
absl::Span<const NamedOp> NamedDynamic();
absl::Span<const NamedOp> NamedMl();
absl::Span<const NamedOp> NamedRandom();
absl::Span<const NamedOp> NamedDeformConv();

// InvalidArgument unless `holds`.
template <typename... Pieces>
absl::Status Require(bool holds, const Pieces&... pieces) {
  return holds ? absl::OkStatus() : absl::InvalidArgumentError(StrCat(pieces...));
}

// A tensor as if it had three dimensions: those before an axis, the axis, those after.
struct Blocks {
  int64_t outer = 1, along = 1, inner = 1;
};
inline Blocks BlocksAt(const Shape& shape, int axis) {
  Blocks blocks;
  for (int i = 0; i < shape.rank(); ++i) {
    (i < axis ? blocks.outer : i == axis ? blocks.along : blocks.inner) *= shape.dim(i);
  }
  return blocks;
}
inline absl::Status CheckAxis(int64_t axis, const Shape& shape) {
  return Require(axis >= 0 && axis < shape.rank(), "axis ", axis, " is outside ", shape.ToString());
}

// Element i of an i32 or i64 operand.
inline int64_t IndexAt(DType dtype, const void* data, int64_t i) {
  return dtype == DType::kI32 ? static_cast<const int32_t*>(data)[i]
                              : static_cast<const int64_t*>(data)[i];
}
inline absl::Status CheckIndexType(DType dtype) {
  return Require(dtype == DType::kI32 || dtype == DType::kI64, "indices are ", DTypeName(dtype),
                 ", expected i32 or i64");
}
inline absl::Status OutsideError(int64_t index, int64_t size) {
  return absl::InvalidArgumentError(StrCat("index ", index, " is outside a dimension of ", size));
}

inline const Operand& In(const OpSpec& spec, int i) { return spec.inputs[static_cast<size_t>(i)]; }
inline const Operand& Out(const OpSpec& spec, int i) {
  return spec.outputs[static_cast<size_t>(i)];
}
inline bool HasIn(const OpSpec& spec, int i) {
  return static_cast<size_t>(i) < spec.inputs.size() && In(spec, i).kind != OperandKind::kAbsent;
}
inline bool HasOut(const OpSpec& spec, int i) {
  return static_cast<size_t>(i) < spec.outputs.size() && Out(spec, i).kind != OperandKind::kAbsent;
}
inline absl::Status SameType(const OpSpec& spec, int a, int b) {
  return Require(In(spec, a).dtype == In(spec, b).dtype, "inputs ", a, " and ", b, " are ",
                 DTypeName(In(spec, a).dtype), " and ", DTypeName(In(spec, b).dtype));
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_NAMED_OPS_H_
