// Attention.
#include <array>

#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

struct AttentionCase {
  std::string_view name;
  int64_t batch, heads, rows, keys, size, values;  // heads 0: operands of rank 3, batch is theirs.
  std::vector<int> q = {}, k = {}, v = {}, y = {};
  Shape mask = {};
  bool has_mask = false;
  Shape keep = {};
  bool has_keep = false, drop = false;
  bool parameter_mask = false;
};

std::vector<int> InOrder(const std::vector<int>& perm, int rank) {
  if (!perm.empty()) return perm;
  return rank == 3 ? std::vector<int>{0, 1, 2} : std::vector<int>{0, 1, 2, 3};
}

// Of the operand whose dimension perm[i] is dimension i.
Shape Inverse(const Shape& shape, const std::vector<int>& perm) {
  Shape own = shape;
  for (size_t i = 0; i < perm.size(); ++i) own.set_dim(perm[i], shape.dim(static_cast<int>(i)));
  return own;
}

OpSpec MakeAttention(const AttentionCase& c, DType dtype) {
  const int rank = c.heads == 0 ? 3 : 4;
  const auto full = [&](int64_t rows, int64_t columns) {
    return c.heads == 0 ? Shape{c.batch, rows, columns} : Shape{c.batch, c.heads, rows, columns};
  };
  AttentionParams params;
  params.scale = 0.25f;
  params.fill = -2;
  params.drop = c.drop;
  params.q_perm = InOrder(c.q, rank);
  params.k_perm = InOrder(c.k, rank);
  params.v_perm = InOrder(c.v, rank);
  params.y_perm = InOrder(c.y, rank);
  OpSpec spec;
  spec.inputs = {Activation(dtype, Inverse(full(c.rows, c.size), params.q_perm)),
                 Activation(dtype, Inverse(full(c.keys, c.size), params.k_perm)),
                 Activation(dtype, Inverse(full(c.keys, c.values), params.v_perm)), Absent(),
                 Absent()};
  if (c.has_mask) {
    spec.inputs[3] = c.parameter_mask ? Parameter(dtype, c.mask) : Activation(dtype, c.mask);
  }
  if (c.has_keep) spec.inputs[4] = Activation(DType::kBool, c.keep);
  const Shape y = full(c.rows, c.values);
  Shape output;
  for (const int axis : params.y_perm) output.push_back(y.dim(axis));
  spec.outputs = {Activation(dtype, output)};
  spec.params = std::move(params);
  return spec;
}

}  // namespace

std::vector<Case> AttentionCases() {
  const std::vector<int> inside = {0, 2, 1, 3}, turned = {0, 1, 3, 2};
  const std::vector<AttentionCase> table = {
      // name, batch, heads, rows, keys, size, values, q, k, v, y, mask, keep
      {"plain", 2, 3, 5, 7, 8, 6},
      {"one_key", 1, 2, 3, 1, 4, 4},
      {"one_row", 2, 2, 1, 40, 16, 16},
      {"wide", 1, 2, 37, 45, 65, 33},
      {"heads_inside", 2, 3, 19, 19, 32, 32, inside, inside, inside, inside},
      {"keys_turned", 1, 2, 9, 35, 32, 32, {}, turned},
      {"everything_turned", 1, 2, 9, 11, 5, 3, turned, turned, turned, turned},
      {"rank_three", 4, 0, 6, 33, 7, 9},
      {"rank_three_inside", 4, 0, 6, 5, 8, 8, {1, 0, 2}, {1, 0, 2}, {1, 0, 2}, {1, 0, 2}},
      {"key_mask", 3, 2, 9, 21, 8, 8, inside, inside, inside, inside, {3, 1, 1, 21}, true},
      {"full_mask", 2, 2, 9, 21, 8, 8, {}, {}, {}, {}, {2, 2, 9, 21}, true},
      {"row_mask", 2, 2, 9, 21, 8, 8, {}, {}, {}, {}, {9, 1}, true},
      {"constant_mask",
       2,
       2,
       6,
       6,
       8,
       8,
       {},
       {},
       {},
       {},
       {1, 1, 6, 6},
       true,
       {},
       false,
       false,
       true},
      {"keep", 2, 2, 9, 37, 8, 8, {}, {}, {}, {}, {}, false, {2, 1, 1, 37}, true},
      {"drop", 2, 2, 9, 37, 8, 8, {}, {}, {}, {}, {}, false, {9, 37}, true, true},
      {"keep_and_mask", 2, 2, 9, 5, 8, 8, {}, {}, {}, {}, {2, 1, 1, 5}, true, {9, 5}, true},
  };
  std::vector<Case> cases;
  for (const AttentionCase& c : table) {
    AddCases(&cases, std::string("attention/") + std::string(c.name), {},
             [&c](DType dtype) { return MakeAttention(c, dtype); });
  }
  // Batches and heads of one for all, of every operand.
  AddCases(&cases, "attention/broadcast", {}, [](DType dtype) {
    OpSpec spec = MakeAttention({"", 2, 3, 5, 7, 8, 6}, dtype);
    spec.inputs[0].shape = {1, 3, 5, 8};
    spec.inputs[1].shape = {2, 1, 7, 8};
    spec.inputs[2].shape = {1, 1, 7, 6};
    return spec;
  });
  // A block of rows is smaller than the rows, and its scores are bounded.
  AddCases(&cases, "attention/long", {.dtypes = {DType::kF32}}, [](DType dtype) {
    return MakeAttention({"", 1, 1, 40, 1100, 4, 3}, dtype);
  });
  return cases;
}

}  // namespace paramd::conformance
