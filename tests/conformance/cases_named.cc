// Operations of NamedParams: 8-bit products, recurrent networks, transposed
// convolution, resize.
#include <string>
#include <utility>

#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"

// GCC 14 takes the inline storage of a moved Shape for uninitialised.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace paramd::conformance {
namespace {

// One value for all, or `count` of them.
Shape OneOr(bool many, int64_t count) {
  Shape shape;
  if (many) shape.push_back(count);
  return shape;
}

Operand OperandIf(bool there, Operand operand) {
  if (!there) operand.kind = OperandKind::kAbsent;
  return operand;
}

Shape WithBatch(int64_t batch, const Shape& shape) {
  Shape all{batch};
  for (const int64_t dim : shape.dims()) all.push_back(dim);
  return all;
}

// --- 8-bit products of matrices -------------------------------------------------

struct ProductCase {
  std::string_view name, op;
  DType a, b;
  int64_t rows, inner, columns;
  bool zeros_of_a = true, zeros_of_b = true;
  bool per_row = false, per_column = false;
  bool bias = false;
  bool stacked = false;  // a has one dimension more.
  bool must = true;
};

void AddProduct(const ProductCase& c, int64_t batch, std::vector<Case>* cases) {
  const int64_t rows = c.stacked ? c.rows : c.rows * batch;
  const Shape one_a{rows, c.inner}, one_y{rows, c.columns};
  const Shape a = c.stacked ? WithBatch(batch, one_a) : one_a;
  const Shape y = c.stacked ? WithBatch(batch, one_y) : one_y;
  const Shape per_row = OneOr(c.per_row, rows);
  const Shape per_column = OneOr(c.per_column, c.columns);
  const Operand a_zero = OperandIf(c.zeros_of_a, Activation(c.a, per_row));
  const Operand b_zero = OperandIf(c.zeros_of_b, Parameter(c.b, per_column));
  const Operand a_scale = Activation(DType::kF32, per_row);
  const Operand b_scale = Parameter(DType::kF32, per_column);
  using enum Data;
  Case added;
  added.name = StrCat(c.op, "/", c.name, "/", DTypeName(c.a), DTypeName(c.b));
  added.onednn_must_take = c.must;
  OpSpec& spec = added.spec;
  spec.params = NamedParams{.op = std::string(c.op), .ints = {}, .numbers = {}};
  if (c.op == "matmul_integer") {
    spec.inputs = {Activation(c.a, a), Parameter(c.b, {c.inner, c.columns}), a_zero, b_zero};
    spec.outputs = {Activation(DType::kI32, y)};
    added.data = {kBytes, kBytes, kBytes, kBytes};
  } else if (c.op == "matmul_integer_to_float") {
    spec.inputs = {Activation(c.a, a),
                   Parameter(c.b, {c.inner, c.columns}),
                   a_scale,
                   b_scale,
                   a_zero,
                   b_zero,
                   OperandIf(c.bias, Parameter(DType::kF32, {c.columns}))};
    spec.outputs = {Activation(DType::kF32, y)};
    added.data = {kBytes, kBytes, kSmall, kSmall, kBytes, kBytes, kNormal};
  } else {
    // Results of another type than a's, now and then.
    const DType result = c.bias ? DType::kI8 : c.a;
    spec.inputs = {Activation(c.a, a),
                   a_scale,
                   a_zero,
                   Parameter(c.b, {c.inner, c.columns}),
                   b_scale,
                   b_zero,
                   Parameter(DType::kF32, per_row),
                   Parameter(result, per_row)};
    spec.outputs = {Activation(result, y)};
    added.data = {kBytes, kSmall, kBytes, kBytes, kSmall, kBytes, kPositive, kSmallInts};
  }
  cases->push_back(std::move(added));
}

void AddProducts(int64_t batch, std::vector<Case>* cases) {
  constexpr DType kU = DType::kU8, kI = DType::kI8;
  for (const std::string_view op :
       {"matmul_integer", "matmul_integer_to_float", "qlinear_matmul"}) {
    const bool zeros_needed = op == "qlinear_matmul";
    const ProductCase table[] = {
        // name, op, a, b, rows, inner, columns, a's zeros, b's zeros, per row, per column
        {"usual", op, kU, kI, 7, 384, 37},
        {"signed", op, kI, kI, 7, 100, 37},
        {"unsigned_weights", op, kU, kU, 5, 65, 33},
        {"signed_by_unsigned", op, kI, kU, 5, 65, 33},
        {"per_column", op, kU, kI, 9, 64, 70, true, true, false, true},
        {"one_row", op, kU, kI, 1, 129, 16, true, true, false, true},
        {"one_column", op, kU, kI, 6, 31, 1},
        {"one_number", op, kU, kI, 3, 1, 5},
        {"stacked", op, kU, kI, 6, 48, 20, true, true, false, true, true, true},
    };
    for (const ProductCase& c : table) AddProduct(c, batch, cases);
    if (!zeros_needed) {
      AddProduct({"no_zeros", op, kU, kI, 4, 33, 17, false, false}, batch, cases);
      AddProduct({"no_zeros", op, kI, kU, 4, 33, 17, false, false}, batch, cases);
    }
    // A value a row is of one batch size only.
    AddProduct({"per_row", op, kU, kI, 11, 40, 24, true, true, true, true, true}, 1, cases);
  }
}

// --- 8-bit convolutions -------------------------------------------------------------

struct ConvCase {
  std::string_view name;
  DType x, w;
  Shape image;   // Without the batch: channels, spatial...
  Shape kernel;  // outputs, channels / groups, taps...
  Shape result;  // outputs, spatial...
  std::vector<int64_t> ints;
  bool zeros = true, per_column = false, bias = false;
  bool must = true;
};

void AddConv(const ConvCase& c, std::string_view op, int64_t batch, std::vector<Case>* cases) {
  const bool linear = op == "qlinear_conv";
  const Shape per_column = OneOr(c.per_column, c.kernel.dim(0));
  const Shape scalar = OneOr(false, 1);
  using enum Data;
  Case added;
  added.name = StrCat(op, "/", c.name, "/", DTypeName(c.x), DTypeName(c.w));
  added.onednn_must_take = c.must;
  OpSpec& spec = added.spec;
  spec.params = NamedParams{.op = std::string(op), .ints = c.ints, .numbers = {}};
  const Operand x = Activation(c.x, WithBatch(batch, c.image)), w = Parameter(c.w, c.kernel);
  if (linear) {
    const Operand one = Parameter(DType::kF32, scalar);
    spec.inputs = {x,
                   one,
                   Parameter(c.x, scalar),
                   w,
                   Parameter(DType::kF32, per_column),
                   Parameter(c.w, per_column),
                   one,
                   Parameter(c.x, scalar)};
    added.data = {kBytes, kSmall, kBytes, kBytes, kSmall, kBytes, kPositive, kSmallInts, kNormal};
    if (!c.zeros) added.data[5] = kIndices;  // -1 and 0: near to none.
    if (c.bias) spec.inputs.push_back(Parameter(DType::kI32, {c.kernel.dim(0)}));
    spec.outputs = {Activation(c.x, WithBatch(batch, c.result))};
  } else {
    spec.inputs = {x, w, OperandIf(c.zeros, Activation(c.x, scalar)),
                   OperandIf(c.zeros, Parameter(c.w, per_column))};
    added.data = {kBytes, kBytes, kBytes, kBytes};
    spec.outputs = {Activation(DType::kI32, WithBatch(batch, c.result))};
  }
  cases->push_back(std::move(added));
}

void AddConvs(int64_t batch, std::vector<Case>* cases) {
  constexpr DType kU = DType::kU8, kI = DType::kI8;
  const ConvCase table[] = {
      // name, x, w, image, kernel, result, {groups, strides, dilations, pads}
      {"3x3", kU, kI, {16, 9, 11}, {24, 16, 3, 3}, {24, 9, 11}, {1, 1, 1, 1, 1, 1, 1}},
      {"3x3",
       kI,
       kI,
       {16, 9, 11},
       {24, 16, 3, 3},
       {24, 9, 11},
       {1, 1, 1, 1, 1, 1, 1},
       true,
       true,
       true},
      {"3x3", kU, kU, {5, 6, 7}, {7, 5, 3, 3}, {7, 6, 7}, {1, 1, 1, 1, 1, 1, 1}},
      {"stride2",
       kU,
       kI,
       {3, 16, 16},
       {8, 3, 3, 3},
       {8, 8, 8},
       {1, 2, 2, 1, 1, 1, 1},
       true,
       true,
       true},
      {"pointwise",
       kU,
       kI,
       {32, 5, 7},
       {19, 32, 1, 1},
       {19, 5, 7},
       {1, 1, 1, 1, 1, 0, 0},
       false,
       true,
       true},
      {"no_padding", kU, kI, {8, 6, 6}, {8, 8, 3, 3}, {8, 4, 4}, {1, 1, 1, 1, 1, 0, 0}, false},
      {"dilated",
       kU,
       kI,
       {8, 9, 9},
       {8, 8, 3, 3},
       {8, 9, 9},
       {1, 1, 1, 2, 2, 2, 2},
       true,
       false,
       true},
      {"grouped",
       kU,
       kI,
       {32, 6, 6},
       {32, 16, 3, 3},
       {32, 6, 6},
       {2, 1, 1, 1, 1, 1, 1},
       true,
       true,
       true,
       false},
      {"depthwise",
       kU,
       kI,
       {32, 8, 8},
       {32, 1, 3, 3},
       {32, 8, 8},
       {32, 1, 1, 1, 1, 1, 1},
       true,
       true,
       true,
       false},
      {"depthwise",
       kI,
       kI,
       {32, 8, 8},
       {32, 1, 3, 3},
       {32, 4, 4},
       {32, 2, 2, 1, 1, 1, 1},
       false,
       true,
       false,
       false},
      {"1d", kU, kI, {16, 30}, {8, 16, 5}, {8, 30}, {1, 1, 1, 2}, true, false, true, false},
      {"3d",
       kU,
       kI,
       {8, 4, 5, 6},
       {8, 8, 3, 3, 3},
       {8, 4, 5, 6},
       {1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       true,
       false,
       false,
       false},
      {"cut_image",
       kU,
       kI,
       {8, 8, 8},
       {8, 8, 2, 2},
       {8, 3, 3},
       {1, 3, 3, 1, 1, 0, 0},
       true,
       false,
       true},
  };
  for (const ConvCase& c : table) {
    AddConv(c, "conv_integer", batch, cases);
    AddConv(c, "qlinear_conv", batch, cases);
  }
}

// --- Recurrent networks ---------------------------------------------------------------

struct RecurrentCase {
  std::string_view name, op;
  int64_t steps, inputs, hidden;
  int64_t direction = 0;
  bool bias = true, states = true;
  bool y = true, last = true;
  bool linear_before_reset = false;
  bool must = true;
};

void AddRecurrent(const RecurrentCase& c, int64_t batch, std::vector<Case>* cases) {
  const int64_t gates = c.op == "lstm" ? 4 : c.op == "gru" ? 3 : 1;
  const int64_t cells = c.op == "lstm" ? 3 : c.op == "gru" ? 2 : 1;
  const int64_t d = c.direction == 2 ? 2 : 1, h = c.hidden;
  NamedParams params{.op = std::string(c.op),
                     .ints = {c.direction, h, 0, 0, c.linear_before_reset ? 1 : 0},
                     .numbers = {0}};
  for (int64_t i = 0; i < d * cells; ++i) {
    params.ints.push_back(gates > 1 && i % cells == 0 ? 0 : 1);
    params.numbers.insert(params.numbers.end(), {0, 0});
  }
  constexpr DType kF = DType::kF32;
  const Operand state = OperandIf(c.states, Activation(kF, {d, batch, h}));
  Case added;
  added.name = StrCat(c.op, "/", c.name);
  added.onednn_must_take = c.must;
  added.spec.params = params;
  added.spec.inputs = {Activation(kF, {c.steps, batch, c.inputs}),
                       Parameter(kF, {d, gates * h, c.inputs}),
                       Parameter(kF, {d, gates * h, h}),
                       OperandIf(c.bias, Parameter(kF, {d, 2 * gates * h})),
                       Absent(),
                       state};
  if (c.op == "lstm") added.spec.inputs.push_back(state);
  const Operand last = OperandIf(c.last, Activation(kF, {d, batch, h}));
  added.spec.outputs = {OperandIf(c.y, Activation(kF, {c.steps, d, batch, h})), last};
  if (c.op == "lstm") added.spec.outputs.push_back(last);
  added.data = {Data::kNormal, Data::kSmall, Data::kSmall, Data::kNormal};
  cases->push_back(std::move(added));
}

void AddRecurrents(int64_t batch, std::vector<Case>* cases) {
  for (const std::string_view op : {"lstm", "gru", "rnn"}) {
    const RecurrentCase table[] = {
        // name, op, steps, inputs, hidden, direction, bias, states, y, last
        {"forward", op, 5, 12, 20},
        {"reverse", op, 5, 12, 20, 1},
        {"both", op, 6, 33, 17, 2},
        {"one_step", op, 1, 128, 128},
        {"no_bias", op, 4, 10, 16, 0, false},
        {"no_states", op, 4, 10, 16, 2, true, false},
        {"only_y", op, 4, 10, 16, 0, true, true, true, false},
        {"only_last", op, 7, 10, 16, 2, true, true, false, true},
        {"small", op, 3, 1, 1, 0, true, true, true, true, false, op != "gru"},
    };
    for (const RecurrentCase& c : table) AddRecurrent(c, batch, cases);
  }
  AddRecurrent({"before_reset", "gru", 5, 12, 20, 2, true, true, true, true, true}, batch, cases);
  AddRecurrent({"before_reset_no_bias", "gru", 5, 12, 20, 0, false, false, true, true, true}, batch,
               cases);
}

// --- Transposed convolution, resize ---------------------------------------------------

struct TransposedCase {
  std::string_view name;
  Shape image, kernel,
      result;  // As for convolutions; the kernel is [channels, outputs / groups, ...].
  std::vector<int64_t> ints;
  bool bias = true;
  bool must = true;
};

void AddTransposed(const TransposedCase& c, int64_t batch, std::vector<Case>* cases) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Case added;
    added.name = StrCat("conv_transpose/", c.name, "/", DTypeName(dtype));
    added.onednn_must_take = c.must && dtype == DType::kF32;
    added.spec.params = NamedParams{.op = "conv_transpose", .ints = c.ints, .numbers = {}};
    added.spec.inputs = {Activation(dtype, WithBatch(batch, c.image)), Parameter(dtype, c.kernel)};
    if (c.bias) added.spec.inputs.push_back(Parameter(dtype, {c.result.dim(0)}));
    added.spec.outputs = {Activation(dtype, WithBatch(batch, c.result))};
    cases->push_back(std::move(added));
  }
}

struct ResizeCase {
  std::string_view name;
  Shape x, y;                 // Without the batch.
  std::vector<int64_t> ints;  // mode, transform, rounding, antialias, exclude_outside
  bool must = true;
};

void AddResize(const ResizeCase& c, int64_t batch, std::vector<Case>* cases) {
  NamedParams params{.op = "resize", .ints = c.ints, .numbers = {-0.75, 0}};
  const Shape x = WithBatch(batch, c.x), y = WithBatch(batch, c.y);
  for (int i = 0; i < x.rank(); ++i) {
    params.numbers.push_back(static_cast<double>(y.dim(i)) / static_cast<double>(x.dim(i)));
  }
  for (int i = 0; i < x.rank(); ++i) params.numbers.push_back(0);
  for (int i = 0; i < x.rank(); ++i) params.numbers.push_back(1);
  Case added;
  added.name = StrCat("resize/", c.name);
  added.onednn_must_take = c.must;
  added.spec.params = params;
  added.spec.inputs = {Activation(DType::kF32, x)};
  added.spec.outputs = {Activation(DType::kF32, y)};
  cases->push_back(std::move(added));
}

void AddImages(int64_t batch, std::vector<Case>* cases) {
  const TransposedCase transposed[] = {
      {"2x2_stride2", {24, 5, 7}, {24, 16, 2, 2}, {16, 10, 14}, {1, 2, 2, 1, 1, 0, 0}},
      {"one_output", {24, 5, 7}, {24, 1, 2, 2}, {1, 10, 14}, {1, 2, 2, 1, 1, 0, 0}},
      {"3x3_padded", {8, 5, 5}, {8, 12, 3, 3}, {12, 10, 10}, {1, 2, 2, 1, 1, 1, 1}, false},
      {"4x4", {16, 4, 4}, {16, 16, 4, 4}, {16, 8, 8}, {1, 2, 2, 1, 1, 1, 1}},
      {"grouped", {16, 4, 4}, {16, 8, 3, 3}, {16, 6, 6}, {2, 1, 1, 1, 1, 0, 0}, true, false},
      {"dilated", {8, 4, 4}, {8, 8, 3, 3}, {8, 8, 8}, {1, 1, 1, 2, 2, 0, 0}, true, false},
      {"1d", {16, 9}, {16, 8, 4}, {8, 18}, {1, 2, 1, 1}, true, false},
      {"3d",
       {8, 3, 4, 4},
       {8, 8, 2, 2, 2},
       {8, 6, 8, 8},
       {1, 2, 2, 2, 1, 1, 1, 0, 0, 0},
       true,
       false},
      {"output_padding", {8, 4, 4}, {8, 8, 3, 3}, {8, 10, 10}, {1, 2, 2, 1, 1, 0, 0}, true, false},
  };
  for (const TransposedCase& c : transposed) AddTransposed(c, batch, cases);
  const ResizeCase resized[] = {
      {"nearest_twice", {8, 5, 6}, {8, 10, 12}, {0, 4, 2, 0, 0}},
      {"nearest_eightfold", {3, 2, 3}, {3, 16, 24}, {0, 4, 2, 0, 0}},
      {"nearest_half_pixel", {8, 5, 6}, {8, 15, 12}, {0, 0, 0, 0, 0}},
      {"nearest_uneven", {8, 5, 6}, {8, 7, 9}, {0, 4, 2, 0, 0}, false},
      {"nearest_ceil", {8, 5, 6}, {8, 10, 12}, {0, 4, 3, 0, 0}, false},
      {"linear_twice", {8, 5, 6}, {8, 10, 12}, {1, 0, 0, 0, 0}},
      {"linear_uneven", {8, 5, 6}, {8, 8, 17}, {1, 0, 0, 0, 0}},
      {"linear_smaller", {8, 15, 16}, {8, 8, 5}, {1, 0, 0, 0, 0}},
      {"linear_pytorch", {8, 5, 6}, {8, 10, 9}, {1, 2, 0, 0, 0}},
      {"linear_align_corners", {8, 5, 6}, {8, 10, 12}, {1, 3, 0, 0, 0}, false},
      {"linear_antialias", {8, 15, 16}, {8, 8, 5}, {1, 0, 0, 1, 0}, false},
      {"linear_1d", {8, 9}, {8, 20}, {1, 0, 0, 0, 0}, false},
      {"linear_3d", {8, 3, 4, 5}, {8, 6, 8, 10}, {1, 0, 0, 0, 0}, false},
      {"cubic", {8, 5, 6}, {8, 10, 12}, {2, 0, 0, 0, 0}, false},
  };
  for (const ResizeCase& c : resized) AddResize(c, batch, cases);
}

}  // namespace

std::vector<Case> NamedCases(int64_t batch) {
  std::vector<Case> cases;
  AddProducts(batch, &cases);
  AddConvs(batch, &cases);
  AddRecurrents(batch, &cases);
  AddImages(batch, &cases);
  return cases;
}

}  // namespace paramd::conformance
