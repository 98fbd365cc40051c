#include "runtime/backends/quantized_specs.h"

#include <algorithm>

#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Of strides, dilations, pads, kernels and images: products of two stay in 64 bits.
constexpr int64_t kExtentMax = (int64_t{1} << 31) - 1;

struct QuantizedOp {
  std::string_view op;
  bool is_conv;
  QuantizedOperands at;
  DType result;  // kUndefined: 8 bits.
};

constexpr QuantizedOp kQuantizedSpecs[] = {
    {"matmul_integer", false, {.a = 0, .b = 1, .a_zero = 2, .b_zero = 3}, DType::kI32},
    {"matmul_integer_to_float",
     false,
     {.a = 0, .b = 1, .a_scale = 2, .a_zero = 4, .b_scale = 3, .b_zero = 5, .bias = 6},
     DType::kF32},
    {"qlinear_matmul",
     false,
     {.a = 0,
      .b = 3,
      .a_scale = 1,
      .a_zero = 2,
      .b_scale = 4,
      .b_zero = 5,
      .y_scale = 6,
      .y_zero = 7},
     DType::kUndefined},
    {"conv_integer", true, {.a = 0, .b = 1, .a_zero = 2, .b_zero = 3}, DType::kI32},
    {"qlinear_conv",
     true,
     {.a = 0,
      .b = 3,
      .a_scale = 1,
      .a_zero = 2,
      .b_scale = 4,
      .b_zero = 5,
      .y_scale = 6,
      .y_zero = 7,
      .bias = 8},
     DType::kUndefined},
};

const QuantizedOp* FindQuantizedOp(std::string_view op) {
  for (const QuantizedOp& row : kQuantizedSpecs) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

class QuantizedParser {
 public:
  QuantizedParser(const OpSpec& spec, const NamedParams& params, const QuantizedOp& row)
      : spec_(spec), params_(params), row_(row) {}

  absl::StatusOr<QuantizedSpec> Parse() {
    PARAMD_RETURN_IF_ERROR(FindOperands());
    PARAMD_RETURN_IF_ERROR(CheckTypes());
    parsed_.is_conv = row_.is_conv;
    PARAMD_RETURN_IF_ERROR(row_.is_conv ? ParseConv() : ParseProduct());
    const QuantizedOperands& at = parsed_.at;
    for (const int i : {at.a_scale, at.a_zero, at.y_scale, at.y_zero}) {
      PARAMD_RETURN_IF_ERROR(CheckCount(i, parsed_.is_conv ? 1 : parsed_.rows));
    }
    for (const int i : {at.b_scale, at.b_zero}) {
      PARAMD_RETURN_IF_ERROR(CheckCount(i, parsed_.columns));
    }
    if (at.bias >= 0 && In(at.bias).shape.elements() != parsed_.columns) {
      return Bad("the bias has ", In(at.bias).shape.elements(), " values, expected ",
                 parsed_.columns);
    }
    return std::move(parsed_);
  }

 private:
  template <typename... Pieces>
  absl::Status Bad(const Pieces&... pieces) const {
    return absl::InvalidArgumentError(StrCat(params_.op, ": ", pieces...));
  }
  const Operand& In(int i) const { return spec_.inputs[static_cast<size_t>(i)]; }
  const Operand& Out() const { return spec_.outputs[0]; }

  absl::Status FindOperands() {
    parsed_.at = row_.at;
    QuantizedOperands& at = parsed_.at;
    const bool requantizes = row_.result == DType::kUndefined;
    int last = 0;
    for (int* i : {&at.a, &at.b, &at.a_scale, &at.b_scale, &at.y_scale, &at.a_zero, &at.b_zero,
                   &at.y_zero, &at.bias}) {
      if (*i < 0) continue;
      last = std::max(last, *i);
      if (InputOrNull(spec_, *i) != nullptr) continue;
      const bool is_zero = i == &at.a_zero || i == &at.b_zero || i == &at.y_zero;
      const bool optional = i == &at.bias || (is_zero && !requantizes);
      if (!optional) return Bad("lacks input ", *i);
      *i = -1;
    }
    if (static_cast<int>(spec_.inputs.size()) > last + 1) {
      return Bad("has ", spec_.inputs.size(), " inputs, expected at most ", last + 1);
    }
    if (spec_.outputs.size() != 1 || Out().kind == OperandKind::kAbsent) {
      return Bad("has ", spec_.outputs.size(), " outputs, expected 1");
    }
    return absl::OkStatus();
  }

  absl::Status CheckByte(DType dtype, std::string_view what) const {
    if (IsByte(dtype)) return absl::OkStatus();
    return Bad(what, " is ", DTypeName(dtype), ", expected u8 or i8");
  }
  absl::Status CheckType(int i, DType want) const {
    if (i < 0 || In(i).dtype == want) return absl::OkStatus();
    return Bad("input ", i, " is ", DTypeName(In(i).dtype), ", expected ", DTypeName(want));
  }

  absl::Status CheckTypes() const {
    const QuantizedOperands& at = parsed_.at;
    PARAMD_RETURN_IF_ERROR(CheckByte(In(at.a).dtype, StrCat("input ", at.a)));
    PARAMD_RETURN_IF_ERROR(CheckByte(In(at.b).dtype, StrCat("input ", at.b)));
    PARAMD_RETURN_IF_ERROR(CheckType(at.a_zero, In(at.a).dtype));
    PARAMD_RETURN_IF_ERROR(CheckType(at.b_zero, In(at.b).dtype));
    for (const int i : {at.a_scale, at.b_scale, at.y_scale}) {
      const bool is_scale = i < 0 || In(i).dtype == DType::kF32 || In(i).dtype == DType::kF16 ||
                            In(i).dtype == DType::kBF16;
      if (!is_scale) return Bad("input ", i, " is ", DTypeName(In(i).dtype), ", expected a float");
    }
    if (row_.result == DType::kUndefined) {
      PARAMD_RETURN_IF_ERROR(CheckByte(Out().dtype, "the result"));
      PARAMD_RETURN_IF_ERROR(CheckType(at.y_zero, Out().dtype));
      return CheckType(at.bias, DType::kI32);
    }
    if (Out().dtype != row_.result) {
      return Bad("the result is ", DTypeName(Out().dtype), ", expected ", DTypeName(row_.result));
    }
    return CheckType(at.bias, DType::kF32);
  }

  absl::Status CheckCount(int i, int64_t count) const {
    if (i < 0) return absl::OkStatus();
    const int64_t elements = In(i).shape.elements();
    if (elements == 1 || elements == count) return absl::OkStatus();
    return Bad("input ", i, " has ", elements, " values, expected 1 or ", count);
  }

  absl::Status ParseProduct() {
    const Shape &a = In(parsed_.at.a).shape, &b = In(parsed_.at.b).shape, &y = Out().shape;
    if (a.rank() < 2 || b.rank() < 2) {
      return Bad(a.ToString(), " and ", b.ToString(), ": ranks below 2");
    }
    parsed_.rows = a.dim(a.rank() - 2);
    parsed_.inner = a.dim(a.rank() - 1);
    parsed_.columns = b.dim(b.rank() - 1);
    if (b.dim(b.rank() - 2) != parsed_.inner) {
      return Bad(a.ToString(), " and ", b.ToString(), ": inner dimensions differ");
    }
    const auto stack = [](const Shape& shape) {
      return Shape(shape.dims().subspan(0, static_cast<size_t>(shape.rank() - 2)));
    };
    PARAMD_ASSIGN_OR_RETURN(Shape want, BroadcastShapes(stack(a), stack(b)));
    want.push_back(parsed_.rows);
    want.push_back(parsed_.columns);
    if (y == want) return absl::OkStatus();
    return Bad("output shape is ", y.ToString(), ", the inputs imply ", want.ToString());
  }

  absl::Status ParseConv() {
    const Shape &x = In(parsed_.at.a).shape, &w = In(parsed_.at.b).shape, &y = Out().shape;
    const int spatial = x.rank() - 2;
    if (spatial < 1 || spatial > 3 || w.rank() != x.rank() || y.rank() != x.rank()) {
      return Bad("ranks of ", x.ToString(), ", ", w.ToString(), " and ", y.ToString(),
                 " do not fit");
    }
    const auto count = static_cast<size_t>(spatial);
    if (params_.ints.size() != 1 + 3 * count) {
      return Bad("has ", params_.ints.size(), " numbers, expected ", 1 + 3 * count);
    }
    ConvParams& conv = parsed_.conv;
    conv.groups = params_.ints[0];
    const auto* list = params_.ints.data() + 1;
    conv.strides.assign(list, list + count);
    conv.dilations.assign(list + count, list + 2 * count);
    conv.pads_begin.assign(list + 2 * count, list + 3 * count);
    const int64_t channels = x.dim(1), outputs = w.dim(0), groups = conv.groups;
    if (groups < 1 || channels % groups != 0 || outputs % groups != 0 ||
        w.dim(1) != channels / groups) {
      return Bad(groups, " groups do not fit ", x.ToString(), " and ", w.ToString());
    }
    if (y.dim(0) != x.dim(0) || y.dim(1) != outputs) {
      return Bad("output ", y.ToString(), " does not fit ", x.ToString(), " and ", w.ToString());
    }
    for (size_t i = 0; i < count; ++i) {
      const int d = static_cast<int>(i) + 2;
      const int64_t stride = conv.strides[i], dilation = conv.dilations[i];
      const int64_t pad = conv.pads_begin[i];
      const int64_t in = x.dim(d), kernel = w.dim(d), out = y.dim(d);
      if (stride < 1 || stride > kExtentMax || dilation < 1 || dilation > kExtentMax || pad < 0 ||
          pad > kExtentMax || kernel < 1 || kernel > kExtentMax || in > kExtentMax ||
          out > kExtentMax) {
        return Bad("dimension ", i, ": kernel ", kernel, ", stride ", stride, ", dilation ",
                   dilation, ", padding ", pad, ", from ", in, " to ", out, " is out of range");
      }
      conv.pads_end.push_back((out - 1) * stride + (kernel - 1) * dilation + 1 - in - pad);
    }
    parsed_.columns = outputs;
    return absl::OkStatus();
  }

  const OpSpec& spec_;
  const NamedParams& params_;
  const QuantizedOp& row_;
  QuantizedSpec parsed_;
};

}  // namespace

bool IsQuantizedOp(std::string_view op) { return FindQuantizedOp(op) != nullptr; }

absl::StatusOr<QuantizedSpec> ParseQuantizedSpec(const OpSpec& spec, const NamedParams& params) {
  const QuantizedOp* const row = FindQuantizedOp(params.op);
  if (row == nullptr) return absl::InvalidArgumentError(StrCat("no ", params.op));
  return QuantizedParser(spec, params, *row).Parse();
}

}  // namespace paramd
