// Convolution and pooling.
#include <utility>

#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

using Dims = std::vector<int64_t>;

struct ConvCase {
  std::string_view name;
  Shape x, w;
  Dims strides, pads_begin, pads_end, dilations;
  int64_t groups = 1;
  bool bias = true;
  std::vector<PostOp> post_ops = {};
  bool residual = false;  // Operand 3, as large as the output.
};

Shape ConvOutput(const ConvCase& c) {
  Shape y{c.x.dim(0), c.w.dim(0)};
  for (size_t i = 0; i < c.strides.size(); ++i) {
    const int s = static_cast<int>(i) + 2;
    const int64_t reach = c.dilations[i] * (c.w.dim(s) - 1) + 1;
    y.push_back((c.x.dim(s) + c.pads_begin[i] + c.pads_end[i] - reach) / c.strides[i] + 1);
  }
  return y;
}

OpSpec MakeConv(const ConvCase& c, DType dtype) {
  OpSpec spec;
  spec.params = ConvParams{.strides = c.strides,
                           .dilations = c.dilations,
                           .pads_begin = c.pads_begin,
                           .pads_end = c.pads_end,
                           .groups = c.groups};
  spec.inputs = {Activation(dtype, c.x), Parameter(dtype, c.w),
                 c.bias ? Parameter(dtype, {c.w.dim(0)}) : Absent()};
  if (c.residual) spec.inputs.push_back(Activation(dtype, ConvOutput(c)));
  spec.outputs = {Activation(dtype, ConvOutput(c))};
  spec.post_ops = c.post_ops;
  return spec;
}

struct PoolCase {
  std::string_view name;
  Shape x;
  Dims kernel, strides, pads_begin, pads_end, dilations;
  bool include_pad = false;
  bool ceil = false;
};

OpSpec MakePool(const PoolCase& c, PoolParams::Kind kind, DType dtype, bool indices) {
  Shape y{c.x.dim(0), c.x.dim(1)};
  for (size_t i = 0; i < c.kernel.size(); ++i) {
    const int64_t reach = c.dilations[i] * (c.kernel[i] - 1) + 1;
    const int64_t room = c.x.dim(static_cast<int>(i) + 2) + c.pads_begin[i] + c.pads_end[i] - reach;
    y.push_back((c.ceil ? room + c.strides[i] - 1 : room) / c.strides[i] + 1);
  }
  OpSpec spec;
  spec.params = PoolParams{.kind = kind,
                           .kernel = c.kernel,
                           .strides = c.strides,
                           .dilations = c.dilations,
                           .pads_begin = c.pads_begin,
                           .pads_end = c.pads_end,
                           .count_include_pad = c.include_pad};
  spec.inputs = {Activation(dtype, c.x)};
  spec.outputs = {Activation(dtype, y)};
  if (indices) spec.outputs.push_back(Activation(DType::kI64, y));
  return spec;
}

const std::vector<ConvCase>& ConvTable() {
  using enum ActivationKind;
  static const std::vector<ConvCase> table = {
      // name, x, w, strides, pads begin, pads end, dilations, groups, bias, post-ops, residual
      {"3x3", {2, 3, 9, 11}, {16, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"3x3_no_bias", {1, 5, 8, 7}, {7, 5, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false},
      {"1x1", {2, 16, 7, 7}, {24, 16, 1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
      {"1x1_stride2", {1, 8, 9, 9}, {12, 8, 1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
      {"7x7_stride2", {1, 3, 31, 29}, {8, 3, 7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}},
      {"11x11_stride4", {1, 3, 35, 35}, {9, 3, 11, 11}, {4, 4}, {2, 2}, {2, 2}, {1, 1}},
      {"asymmetric_pads", {1, 4, 10, 10}, {8, 4, 3, 3}, {2, 2}, {0, 0}, {1, 1}, {1, 1}},
      {"dilated", {1, 4, 13, 12}, {8, 4, 3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}},
      {"depthwise", {2, 16, 9, 9}, {16, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 16},
      {"depthwise_5x5_stride2", {1, 17, 12, 12}, {17, 1, 5, 5}, {2, 2}, {1, 1}, {2, 2}, {1, 1}, 17},
      {"depthwise_twice", {1, 6, 8, 8}, {12, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 6},
      {"groups", {1, 8, 9, 9}, {12, 4, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 2},
      {"relu", {1, 8, 9, 9}, {16, 8, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, true, {Then(kRelu)}},
      {"clip",
       {1, 8, 9, 9},
       {16, 8, 1, 1},
       {1, 1},
       {0, 0},
       {0, 0},
       {1, 1},
       1,
       true,
       {Then(kClip, 0, 6)}},
      {"silu",
       {1, 8, 9, 9},
       {16, 8, 3, 3},
       {1, 1},
       {1, 1},
       {1, 1},
       {1, 1},
       1,
       true,
       {Then(kSilu, 1)}},
      {"add",
       {2, 8, 9, 9},
       {16, 8, 3, 3},
       {1, 1},
       {1, 1},
       {1, 1},
       {1, 1},
       1,
       true,
       {ThenAdd(3)},
       true},
      {"add_relu",
       {2, 8, 9, 9},
       {16, 8, 1, 1},
       {1, 1},
       {0, 0},
       {0, 0},
       {1, 1},
       1,
       true,
       {ThenAdd(3), Then(kRelu)},
       true},
      {"add_no_bias",
       {1, 8, 9, 9},
       {8, 8, 3, 3},
       {1, 1},
       {1, 1},
       {1, 1},
       {1, 1},
       1,
       false,
       {ThenAdd(3)},
       true},
      {"one_pixel", {3, 20, 1, 1}, {10, 20, 1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
      {"rectangular", {1, 4, 6, 17}, {6, 4, 1, 7}, {1, 2}, {0, 3}, {0, 3}, {1, 1}},
      {"1d", {2, 6, 25}, {8, 6, 5}, {2}, {2}, {2}, {1}},
      {"1d_depthwise", {1, 10, 19}, {10, 1, 3}, {1}, {1}, {1}, {1}, 10},
      {"3d", {1, 3, 5, 6, 7}, {4, 3, 3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {"3d_stride2", {2, 4, 5, 6, 7}, {6, 4, 2, 3, 1}, {2, 1, 2}, {0, 1, 0}, {1, 1, 0}, {1, 1, 1}},
      {"empty_batch", {0, 4, 6, 6}, {8, 4, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"padding_beyond_the_kernel", {1, 2, 3, 3}, {3, 2, 2, 2}, {1, 1}, {4, 3}, {3, 4}, {1, 1}},
  };
  return table;
}

const std::vector<PoolCase>& PoolTable() {
  static const std::vector<PoolCase> table = {
      // name, x, kernel, strides, pads begin, pads end, dilations, count_include_pad, ceil
      {"2x2", {2, 5, 8, 10}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
      {"3x3_stride2", {1, 16, 13, 13}, {3, 3}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
      {"padded", {1, 7, 12, 11}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
      {"padded_include", {1, 7, 12, 11}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, true},
      {"asymmetric", {1, 3, 9, 9}, {2, 2}, {1, 1}, {0, 1}, {1, 0}, {1, 1}},
      {"asymmetric_include", {1, 3, 9, 9}, {3, 3}, {2, 2}, {0, 1}, {1, 0}, {1, 1}, true},
      {"ceil", {1, 6, 12, 12}, {3, 3}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false, true},
      {"ceil_include", {1, 6, 12, 12}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, true, true},
      {"global", {2, 33, 7, 7}, {7, 7}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
      {"dilated", {1, 3, 11, 11}, {3, 2}, {1, 2}, {0, 0}, {0, 0}, {2, 3}},
      {"1d", {2, 4, 21}, {3}, {2}, {1}, {1}, {1}},
      {"3d", {1, 3, 5, 6, 7}, {2, 3, 2}, {1, 2, 2}, {0, 1, 0}, {0, 1, 0}, {1, 1, 1}},
      {"empty", {0, 3, 6, 6}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
  };
  return table;
}

}  // namespace

std::vector<Case> WindowCases() {
  std::vector<Case> cases;
  for (const ConvCase& c : ConvTable()) {
    AddCases(&cases, "conv/" + std::string(c.name),
             {.onednn_must_take =
                  c.strides.size() == 2 && c.x.dim(0) > 0 && c.name != "padding_beyond_the_kernel"},
             [&c](DType dtype) { return MakeConv(c, dtype); });
  }
  for (const PoolCase& c : PoolTable()) {
    const bool must =
        c.strides.size() == 2 && c.x.dim(0) > 0 && c.dilations[0] == 1 && c.name != "ceil_include";
    AddCases(&cases, "max_pool/" + std::string(c.name), {.onednn_must_take = must},
             [&c](DType dtype) { return MakePool(c, PoolParams::Kind::kMax, dtype, false); });
    AddCases(&cases, "average_pool/" + std::string(c.name), {.onednn_must_take = must},
             [&c](DType dtype) { return MakePool(c, PoolParams::Kind::kAverage, dtype, false); });
  }
  for (size_t i : {size_t{1}, size_t{2}, size_t{11}}) {
    const PoolCase& c = PoolTable()[i];
    AddCases(&cases, "max_pool_indices/" + std::string(c.name),
             {.dtypes = {DType::kF32, DType::kF64}},
             [&c](DType dtype) { return MakePool(c, PoolParams::Kind::kMax, dtype, true); });
  }
  for (PoolParams::Kind kind : {PoolParams::Kind::kMax, PoolParams::Kind::kAverage}) {
    const std::string name = kind == PoolParams::Kind::kMax ? "max_pool" : "average_pool";
    AddCases(&cases, name + "/add_relu", {}, [kind](DType dtype) {
      OpSpec spec = MakePool(PoolTable()[6], kind, dtype, false);
      spec.inputs.push_back(spec.outputs[0]);
      spec.post_ops = {ThenAdd(1), Then(ActivationKind::kRelu)};
      return spec;
    });
  }
  AddCases(&cases, "max_pool/integers", {.dtypes = {DType::kI8, DType::kU8}}, [](DType dtype) {
    return MakePool(PoolTable()[0], PoolParams::Kind::kMax, dtype, false);
  });
  return cases;
}

}  // namespace paramd::conformance
