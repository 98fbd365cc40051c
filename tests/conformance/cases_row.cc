// Softmax, reductions and normalisations.
#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

OpSpec SameShape(OpParams params, DType dtype, const Shape& shape) {
  OpSpec spec;
  spec.params = std::move(params);
  spec.inputs = {Activation(dtype, shape)};
  spec.outputs = {Activation(dtype, shape)};
  return spec;
}

void AddSoftmax(std::vector<Case>* cases) {
  struct SoftmaxCase {
    std::string_view name;
    Shape shape;
    SoftmaxParams params;
    bool must = false;
  };
  const std::vector<SoftmaxCase> table = {
      {"last", {5, 10}, {.axis = -1}, true},
      {"thousand", {3, 1000}, {.axis = 1}, true},
      {"first", {6, 7}, {.axis = 0}},
      {"middle", {2, 5, 3, 4}, {.axis = 1}},
      {"flattened", {2, 5, 3, 4}, {.axis = 1, .flattened = true}},
      {"flattened_all", {3, 4}, {.axis = 0, .flattened = true}},
      {"log", {5, 10}, {.axis = -1, .log = true}},
      {"log_middle", {2, 5, 3}, {.axis = 1, .log = true}},
      {"one", {4, 1}, {.axis = 1}},
      {"empty", {0, 10}, {.axis = 1}},
  };
  for (const SoftmaxCase& c : table) {
    AddCases(cases, StrCat("softmax/", c.name), {.onednn_must_take = c.must},
             [&c](DType dtype) { return SameShape(c.params, dtype, c.shape); });
  }
}

void AddReduce(std::vector<Case>* cases) {
  struct ReduceCase {
    std::string_view name;
    Shape x, y;
    std::vector<int> axes;
  };
  const std::vector<ReduceCase> table = {
      {"last", {4, 6, 5}, {4, 6, 1}, {2}},
      {"first_dropped", {4, 6, 5}, {6, 5}, {0}},
      {"spatial", {2, 9, 4, 5}, {2, 9, 1, 1}, {2, 3}},
      {"outer_and_inner", {3, 4, 5}, {1, 4, 1}, {0, 2}},
      {"all", {3, 4, 5}, Shape{}, {0, 1, 2}},
      {"nothing", {3, 4}, {3, 4}, {}},
  };
  using enum ReduceKind;
  for (ReduceKind kind : {kSum, kMean, kMax, kMin, kProd, kL1, kL2, kSumSquare}) {
    for (const ReduceCase& c : table) {
      const auto make = [&](DType dtype) {
        OpSpec spec;
        spec.params = ReduceParams{.kind = kind, .axes = c.axes};
        spec.inputs = {Activation(dtype, c.x)};
        spec.outputs = {Activation(dtype, c.y)};
        return spec;
      };
      const std::string name = StrCat("reduce_", ReduceKindName(kind), "/", c.name);
      // One shape for each kind in every type; the other shapes in f32.
      const bool every_type = c.name == "outer_and_inner";
      AddCases(cases, name,
               {.dtypes = every_type ? std::vector<DType>{DType::kF32, DType::kBF16, DType::kF16,
                                                          DType::kF64}
                                     : std::vector<DType>{DType::kF32}},
               make);
      if (every_type && kind != kProd) {  // The product of fifteen integers passes 2^53.
        AddCases(cases, name, {.dtypes = {DType::kI32, DType::kI64, DType::kU64}}, make);
      }
    }
  }
  AddCases(cases, "reduce_mean/add_relu", {}, [](DType dtype) {
    OpSpec spec;
    spec.params = ReduceParams{.kind = kMean, .axes = {2, 3}};
    spec.inputs = {Activation(dtype, {2, 9, 4, 5}), Activation(dtype, {2, 9, 1, 1})};
    spec.outputs = {Activation(dtype, {2, 9, 1, 1})};
    spec.post_ops = {ThenAdd(1), Then(ActivationKind::kRelu)};
    return spec;
  });
  AddCases(cases, "reduce_max/bools", {.dtypes = {DType::kBool}}, [](DType dtype) {
    OpSpec spec;
    spec.params = ReduceParams{.kind = kMax, .axes = {1}};
    spec.inputs = {Activation(dtype, {7, 2})};
    spec.outputs = {Activation(dtype, {7, 1})};
    return spec;
  });
}

void AddNorms(std::vector<Case>* cases) {
  struct LrnCase {
    std::string_view name;
    Shape shape;
    LrnParams params;
  };
  const std::vector<LrnCase> lrn = {
      {"alexnet", {2, 24, 7, 9}, {.size = 5, .alpha = 1e-4f, .beta = 0.75f, .bias = 1}},
      {"strong", {1, 7, 5, 5}, {.size = 3, .alpha = 0.9f, .beta = 0.5f, .bias = 2}},
      {"even", {1, 9, 4, 4}, {.size = 4, .alpha = 0.7f, .beta = 0.75f, .bias = 1}},
      {"wide", {1, 3, 4, 4}, {.size = 9, .alpha = 0.7f, .beta = 0.75f, .bias = 1}},
  };
  for (const LrnCase& c : lrn) {
    // oneDNN's windows are odd.
    AddCases(cases, StrCat("lrn/", c.name), {.onednn_must_take = c.name == "alexnet"},
             [&c](DType dtype) { return SameShape(c.params, dtype, c.shape); });
  }
  for (const Shape& shape :
       {Shape{2, 6, 5, 7}, Shape{5, 6}, Shape{2, 3, 4}, Shape{1, 2, 3, 4, 5}}) {
    AddCases(cases, StrCat("batch_norm/rank", shape.rank()),
             {.data = {Data::kNormal, Data::kNormal, Data::kNormal, Data::kNormal, Data::kPositive},
              .onednn_must_take = shape.rank() == 4},
             [&shape](DType dtype) {
               OpSpec spec = SameShape(BatchNormParams{.epsilon = 1e-3f}, dtype, shape);
               for (int i = 0; i < 4; ++i) spec.inputs.push_back(Parameter(dtype, {shape.dim(1)}));
               return spec;
             });
  }
  AddCases(cases, "batch_norm/relu",
           {.data = {Data::kNormal, Data::kNormal, Data::kNormal, Data::kNormal, Data::kPositive}},
           [](DType dtype) {
             OpSpec spec = SameShape(BatchNormParams{}, dtype, {2, 6, 5, 7});
             for (int i = 0; i < 4; ++i) spec.inputs.push_back(Parameter(dtype, {6}));
             spec.post_ops = {Then(ActivationKind::kRelu)};
             return spec;
           });
  AddCases(cases, "batch_norm/add_relu",
           {.data = {Data::kNormal, Data::kNormal, Data::kNormal, Data::kNormal, Data::kPositive}},
           [](DType dtype) {
             OpSpec spec = SameShape(BatchNormParams{}, dtype, {2, 6, 5, 7});
             for (int i = 0; i < 4; ++i) spec.inputs.push_back(Parameter(dtype, {6}));
             spec.inputs.push_back(Activation(dtype, {2, 6, 5, 7}));
             spec.post_ops = {ThenAdd(5), Then(ActivationKind::kRelu)};
             return spec;
           });
  AddCases(cases, "softmax/add", {}, [](DType dtype) {
    OpSpec spec = SameShape(SoftmaxParams{}, dtype, {3, 4, 10});
    spec.inputs.push_back(Activation(dtype, {3, 4, 10}));
    spec.post_ops = {ThenAdd(1)};
    return spec;
  });
  struct LayerNormCase {
    std::string_view name;
    Shape x, scale;
    int axis;
    bool bias;
  };
  const std::vector<LayerNormCase> layer_norm = {
      {"last", {3, 4, 48}, {48}, -1, true},
      {"no_bias", {5, 33}, {33}, 1, false},
      {"two_dimensions", {3, 4, 6}, {4, 6}, 1, true},
      {"broadcast_scale", {3, 4, 6}, {1, 6}, 1, true},
      {"scalar_scale", {3, 6}, {1}, 1, true},
      {"everything", {4, 6}, {4, 6}, 0, true},
  };
  for (const LayerNormCase& c : layer_norm) {
    AddCases(cases, StrCat("layer_norm/", c.name), {}, [&c](DType dtype) {
      OpSpec spec = SameShape(LayerNormParams{.axis = c.axis, .epsilon = 1e-5f}, dtype, c.x);
      spec.inputs.push_back(Parameter(dtype, c.scale));
      if (c.bias) spec.inputs.push_back(Parameter(dtype, c.scale));
      return spec;
    });
  }
}

}  // namespace

std::vector<Case> RowCases() {
  std::vector<Case> cases;
  AddSoftmax(&cases);
  AddReduce(&cases);
  AddNorms(&cases);
  return cases;
}

}  // namespace paramd::conformance
