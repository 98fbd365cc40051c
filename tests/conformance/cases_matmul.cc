// MatMul.
#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

struct MatMulCase {
  std::string_view name;
  Shape a, b, y;
  MatMulParams params = {};
  bool weights = true;  // b is a parameter.
  Shape bias = {};      // Where has_bias.
  bool has_bias = false;
  std::vector<PostOp> post_ops = {};
  bool residual = false;  // Operand 3.
  bool must = true;
};

OpSpec MakeMatMul(const MatMulCase& c, DType dtype) {
  OpSpec spec;
  spec.params = c.params;
  spec.inputs = {Activation(dtype, c.a), c.weights ? Parameter(dtype, c.b) : Activation(dtype, c.b),
                 c.has_bias ? Parameter(dtype, c.bias) : Absent()};
  if (c.residual) spec.inputs.push_back(Activation(dtype, c.y));
  spec.outputs = {Activation(dtype, c.y)};
  spec.post_ops = c.post_ops;
  return spec;
}

}  // namespace

std::vector<Case> MatMulCases() {
  using enum ActivationKind;
  const MatMulParams plain, ta{.trans_a = true}, tb{.trans_b = true},
      both{.trans_a = true, .trans_b = true}, scaled{.trans_b = true, .alpha = 0.5f, .beta = 2};
  const std::vector<MatMulCase> table = {
      // name, a, b, y, params, b is a parameter, bias, post-ops, residual, oneDNN must take it
      {"house_price", {3, 2}, {2, 1}, {3, 1}, plain, true, {1}, true},
      {"digits", {5, 64}, {64, 128}, {5, 128}, plain, true, {128}, true, {Then(kRelu)}},
      {"one_row", {1, 300}, {300, 37}, {1, 37}, plain, true, {37}, true},
      {"gemm_transposed", {4, 33}, {19, 33}, {4, 19}, tb, true, {19}, true},
      {"gemm_scaled", {4, 33}, {19, 33}, {4, 19}, scaled, true, {19}, true, {}, false, false},
      {"transposed_a", {33, 6}, {33, 20}, {6, 20}, ta, true, {}, false, {}, false, false},
      {"transposed_both", {33, 6}, {20, 33}, {6, 20}, both, true, {}, false, {}, false, false},
      {"no_bias", {9, 40}, {40, 24}, {9, 24}, plain},
      {"long_sum", {2, 5000}, {5000, 9}, {2, 9}, plain, true, {9}, true},
      {"relu", {7, 48}, {48, 17}, {7, 17}, plain, true, {17}, true, {Then(kRelu)}},
      {"gelu", {7, 48}, {48, 17}, {7, 17}, plain, true, {17}, true, {Then(kGeluErf)}, false, false},
      {"add", {7, 48}, {48, 17}, {7, 17}, plain, true, {17}, true, {ThenAdd(3)}, true},
      {"add_relu_no_bias",
       {7, 48},
       {48, 17},
       {7, 17},
       plain,
       true,
       {},
       false,
       {ThenAdd(3), Then(kRelu)},
       true},
      {"scalar_bias", {3, 8}, {8, 5}, {3, 5}, plain, true, {}, true, {}, false, false},
      {"row_bias", {3, 8}, {8, 5}, {3, 5}, plain, true, {3, 1}, true, {}, false, false},
      {"full_bias", {3, 8}, {8, 5}, {3, 5}, plain, true, {3, 5}, true, {}, false, false},
      {"batched_weights", {2, 5, 12}, {12, 10}, {2, 5, 10}, plain, true, {10}, true},
      {"batched",
       {2, 3, 5, 8},
       {2, 3, 8, 6},
       {2, 3, 5, 6},
       plain,
       false,
       {},
       false,
       {},
       false,
       false},
      {"broadcast_a", {5, 8}, {4, 8, 6}, {4, 5, 6}, plain, false, {}, false, {}, false, false},
      {"broadcast_both",
       {3, 1, 5, 8},
       {2, 8, 6},
       {3, 2, 5, 6},
       plain,
       false,
       {},
       false,
       {},
       false,
       false},
      {"attention_scores",
       {2, 4, 7, 16},
       {2, 4, 7, 16},
       {2, 4, 7, 7},
       {.trans_b = true, .alpha = 0.25f},
       false,
       {},
       false,
       {},
       false,
       false},
      {"no_rows", {0, 8}, {8, 5}, {0, 5}, plain, true, {5}, true, {}, false, false},
      {"no_sum", {3, 0}, {0, 5}, {3, 5}, plain, true, {5}, true, {}, false, false},
      {"no_columns", {3, 8}, {8, 0}, {3, 0}, plain, true, {}, false, {}, false, false},
  };
  std::vector<Case> cases;
  for (const MatMulCase& c : table) {
    AddCases(&cases, "matmul/" + std::string(c.name), {.onednn_must_take = c.must},
             [&c](DType dtype) { return MakeMatMul(c, dtype); });
  }
  AddCases(&cases, "matmul/integers",
           {.dtypes = {DType::kI32, DType::kU32, DType::kI64, DType::kU64}}, [&](DType dtype) {
             return MakeMatMul({"", {5, 13}, {11, 13}, {5, 11}, tb, false, {11}, true}, dtype);
           });
  return cases;
}

}  // namespace paramd::conformance
