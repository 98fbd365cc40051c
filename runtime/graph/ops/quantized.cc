// Numbers of few bits: QuantizeLinear and back, products and convolutions of integers.
#include <utility>

#include "runtime/backends/quantized_specs.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/ops/window.h"

namespace paramd::ops {
namespace {

absl::Status RequireByte(const InferContext& context, int i) {
  if (IsByte(InputDType(context, i))) return absl::OkStatus();
  if (IsFloat(InputDType(context, i)) && DTypeBits(InputDType(context, i)) == 8) {
    return absl::UnimplementedError(
        StrCat("input ", i, " of ", DTypeName(InputDType(context, i)), " is not supported"));
  }
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", DTypeName(InputDType(context, i)), ", expected i8 or u8"));
}

// --- QuantizeLinear, DequantizeLinear ---------------------------------------------

absl::Status CheckScales(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 1));
  const SymbolicShape *x = InputShape(context, 0), *scale = InputShape(context, 1);
  if (context.node->GetInt("block_size", 0) < 0) {
    return absl::InvalidArgumentError("block_size is negative");
  }
  if (x == nullptr || scale == nullptr || scale->empty()) return absl::OkStatus();
  if (scale->size() == 1 && (*scale)[0] == Dim::Of(1)) return absl::OkStatus();
  return NormalizeAxis(context.node->GetInt("axis", 1), static_cast<int>(x->size())).status();
}

absl::StatusOr<Types> InferQuantize(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(CheckScales(context));
  DType dtype = DType::kU8;
  if (HasInput(context, 2)) {
    dtype = InputDType(context, 2);
  } else if (const int64_t number = context.node->GetInt("output_dtype", 0); number != 0) {
    const auto wanted = DTypeFromOnnx(static_cast<int32_t>(number));
    if (!wanted.has_value()) return absl::InvalidArgumentError("output_dtype names no type");
    dtype = *wanted;
  }
  if (context.node->GetInt("saturate", 1) == 0 && IsFloat(dtype)) {
    return absl::UnimplementedError(StrCat("saturate=0 for ", DTypeName(dtype)));
  }
  return Types{TensorType(dtype, context.inputs[0].shape)};
}

absl::StatusOr<Types> InferDequantize(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(CheckScales(context));
  if (HasInput(context, 2)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  return Types{TensorType(InputDType(context, 1), context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerScaled(const InferContext& context, const Types& outputs) {
  const int rank = static_cast<int>(InputShape(context, 0)->size());
  const Shape scale = ConcreteOf(*InputShape(context, 1));
  int axis = 0;
  if (scale.elements() != 1 || scale.rank() > 1) {
    PARAMD_ASSIGN_OR_RETURN(axis, NormalizeAxis(context.node->GetInt("axis", 1), rank));
  }
  const int64_t block =
      scale.rank() == rank && rank > 1 ? context.node->GetInt("block_size", 0) : 0;
  return MakeNamed(context, outputs,
                   context.node->op == "QuantizeLinear" ? "quantize" : "dequantize", {axis, block},
                   {}, {0, 1, 2});
}

absl::StatusOr<Types> InferDynamicQuantize(const InferContext& context) {
  if (InputDType(context, 0) != DType::kF32) {
    return absl::InvalidArgumentError(
        StrCat("x is ", DTypeName(InputDType(context, 0)), ", expected f32"));
  }
  return Types{TensorType(DType::kU8, context.inputs[0].shape),
               TensorType(DType::kF32, SymbolicShape()), TensorType(DType::kU8, SymbolicShape())};
}

absl::StatusOr<OpRow::Lowered> LowerDynamicQuantize(const InferContext& context,
                                                    const Types& outputs) {
  return MakeNamed(context, outputs, "dynamic_quantize", {}, {}, {0});
}

// --- Products -----------------------------------------------------------------------

absl::StatusOr<Types> InferProduct(const InferContext& context, int a, int b, DType result) {
  PARAMD_RETURN_IF_ERROR(RequireByte(context, a));
  PARAMD_RETURN_IF_ERROR(RequireByte(context, b));
  const SymbolicShape *left = InputShape(context, a), *right = InputShape(context, b);
  if (left == nullptr || right == nullptr) return Types{UnknownShape(result)};
  if (left->size() < 2 || right->size() < 2) {
    return absl::UnimplementedError("vectors are not supported");
  }
  PARAMD_RETURN_IF_ERROR(MergeDims(left->back(), (*right)[right->size() - 2]).status());
  const SymbolicShape outer_left(left->begin(), left->end() - 2);
  const SymbolicShape outer_right(right->begin(), right->end() - 2);
  PARAMD_ASSIGN_OR_RETURN(SymbolicShape y, BroadcastSymbolic(outer_left, outer_right));
  y.push_back((*left)[left->size() - 2]);
  y.push_back(right->back());
  return Types{TensorType(result, std::move(y))};
}

absl::StatusOr<Types> InferMatMulInteger(const InferContext& context) {
  return InferProduct(context, 0, 1, DType::kI32);
}

absl::StatusOr<OpRow::Lowered> LowerMatMulInteger(const InferContext& context,
                                                  const Types& outputs) {
  return MakeNamed(context, outputs, "matmul_integer", {}, {}, {0, 1, 2, 3});
}

// ONNX Runtime's: {a, b, a_scale, b_scale, a_zero?, b_zero?, bias?}.
absl::StatusOr<Types> InferMatMulIntegerToFloat(const InferContext& context) {
  for (const int i : {2, 3, 6}) {
    if (HasInput(context, i) && InputDType(context, i) != DType::kF32) {
      return absl::UnimplementedError(
          StrCat("input ", i, " is ", DTypeName(InputDType(context, i)), ", expected f32"));
    }
  }
  return InferProduct(context, 0, 1, DType::kF32);
}

absl::StatusOr<OpRow::Lowered> LowerMatMulIntegerToFloat(const InferContext& context,
                                                         const Types& outputs) {
  return MakeNamed(context, outputs, "matmul_integer_to_float", {}, {}, {0, 1, 2, 3, 4, 5, 6});
}

absl::StatusOr<Types> InferQLinearMatMul(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireByte(context, 7));
  return InferProduct(context, 0, 3, InputDType(context, 7));
}

absl::StatusOr<OpRow::Lowered> LowerQLinearMatMul(const InferContext& context,
                                                  const Types& outputs) {
  return MakeNamed(context, outputs, "qlinear_matmul", {}, {}, {0, 1, 2, 3, 4, 5, 6, 7});
}

// --- Convolutions ---------------------------------------------------------------------

absl::StatusOr<Window> WindowOf(const InferContext& context, int w_input) {
  const SymbolicShape &x = *InputShape(context, 0), &w = *InputShape(context, w_input);
  if (x.size() != w.size() || x.size() < 3 || x.size() > 5) {
    return absl::InvalidArgumentError(
        StrCat("weights ", ToString(w), " do not fit x ", ToString(x)));
  }
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < w.size(); ++i) {
    if (!w[i].known()) return absl::UnimplementedError("the kernel's size is not known");
    kernel.push_back(w[i].size);
  }
  return ParseWindow(*context.node, std::move(kernel));
}

absl::StatusOr<Types> InferQuantizedConv(const InferContext& context, int w_input, DType result) {
  PARAMD_RETURN_IF_ERROR(RequireByte(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireByte(context, w_input));
  const SymbolicShape *x = InputShape(context, 0), *w = InputShape(context, w_input);
  if (x == nullptr || w == nullptr) return Types{UnknownShape(result)};
  PARAMD_ASSIGN_OR_RETURN(const Window window, WindowOf(context, w_input));
  const int64_t groups = context.node->GetInt("group", 1);
  if (groups < 1) return absl::InvalidArgumentError(StrCat("group is ", groups));
  SymbolicShape y{(*x)[0], (*w)[0]};
  for (size_t i = 0; i + 2 < x->size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(Dim steps, WindowSteps(window, i, (*x)[i + 2]));
    y.push_back(std::move(steps));
  }
  return Types{TensorType(result, std::move(y))};
}

absl::StatusOr<std::vector<int64_t>> ConvInts(const InferContext& context, int w_input) {
  PARAMD_ASSIGN_OR_RETURN(Window window, WindowOf(context, w_input));
  bool overhang = false;
  const SymbolicShape& x = *InputShape(context, 0);
  PARAMD_RETURN_IF_ERROR(ResolvePads(window, absl::Span<const Dim>(x).subspan(2), &overhang));
  std::vector<int64_t> ints = {context.node->GetInt("group", 1)};
  for (const auto* list : {&window.strides, &window.dilations, &window.pads_begin}) {
    ints.insert(ints.end(), list->begin(), list->end());
  }
  return ints;
}

absl::StatusOr<Types> InferConvInteger(const InferContext& context) {
  return InferQuantizedConv(context, 1, DType::kI32);
}

absl::StatusOr<OpRow::Lowered> LowerConvInteger(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(std::vector<int64_t> ints, ConvInts(context, 1));
  return MakeNamed(context, outputs, "conv_integer", std::move(ints), {}, {0, 1, 2, 3});
}

absl::StatusOr<Types> InferQLinearConv(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireByte(context, 7));
  return InferQuantizedConv(context, 3, InputDType(context, 7));
}

absl::StatusOr<OpRow::Lowered> LowerQLinearConv(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(std::vector<int64_t> ints, ConvInts(context, 3));
  return MakeNamed(context, outputs, "qlinear_conv", std::move(ints), {},
                   {0, 1, 2, 3, 4, 5, 6, 7, 8});
}

constexpr OpRow kQuantizedOps[] = {
    {"", "QuantizeLinear", 10, kOpsetMax, 2, 3, 1, InferQuantize, LowerScaled},
    {"", "DequantizeLinear", 10, kOpsetMax, 2, 3, 1, InferDequantize, LowerScaled},
    {"", "DynamicQuantizeLinear", 11, kOpsetMax, 1, 1, 3, InferDynamicQuantize,
     LowerDynamicQuantize},
    {"com.microsoft", "MatMulIntegerToFloat", 1, kOpsetMax, 4, 7, 1, InferMatMulIntegerToFloat,
     LowerMatMulIntegerToFloat},
    {"", "MatMulInteger", 10, kOpsetMax, 2, 4, 1, InferMatMulInteger, LowerMatMulInteger},
    {"", "QLinearMatMul", 10, kOpsetMax, 8, 8, 1, InferQLinearMatMul, LowerQLinearMatMul},
    {"", "ConvInteger", 10, kOpsetMax, 2, 4, 1, InferConvInteger, LowerConvInteger},
    {"", "QLinearConv", 10, kOpsetMax, 8, 9, 1, InferQLinearConv, LowerQLinearConv},
};

}  // namespace

absl::Span<const OpRow> QuantizedOps() { return kQuantizedOps; }

}  // namespace paramd::ops
