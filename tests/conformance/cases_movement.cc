// Concat, Transpose, Reshape, Slice, Gather, Pad, Expand and Reorder.
#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"

namespace paramd::conformance {
namespace {

// One of each size that elements are moved in.
const std::vector<DType> kMoved = {DType::kF32, DType::kBF16, DType::kF16,   DType::kF64,
                                   DType::kI64, DType::kI16,  DType::kU8,    DType::kBool,
                                   DType::kI4,  DType::kU4,   DType::kF8E5M2};

OpSpec Move(OpParams params, DType dtype, const Shape& x, const Shape& y) {
  OpSpec spec;
  spec.params = std::move(params);
  spec.inputs = {Activation(dtype, x)};
  spec.outputs = {Activation(dtype, y)};
  return spec;
}

void AddConcat(std::vector<Case>* cases) {
  struct ConcatCase {
    std::string_view name;
    std::vector<Shape> inputs;
    int axis;
    Shape y;
    bool must = false;
  };
  const std::vector<ConcatCase> table = {
      {"channels", {{2, 3, 4, 5}, {2, 6, 4, 5}}, 1, {2, 9, 4, 5}, true},
      {"three", {{1, 16, 3, 3}, {1, 8, 3, 3}, {1, 24, 3, 3}}, 1, {1, 48, 3, 3}, true},
      {"batch", {{2, 5}, {3, 5}}, 0, {5, 5}},
      {"last_negative", {{2, 3}, {2, 1}, {2, 4}}, -1, {2, 8}},
      {"one", {{2, 3}}, 1, {2, 3}},
      {"with_empty", {{2, 3}, {2, 0}}, 1, {2, 3}},
  };
  for (const ConcatCase& c : table) {
    AddCases(cases, StrCat("concat/", c.name), {.dtypes = kMoved, .onednn_must_take = c.must},
             [&c](DType dtype) {
               OpSpec spec;
               spec.params = ConcatParams{.axis = c.axis};
               for (const Shape& shape : c.inputs) spec.inputs.push_back(Activation(dtype, shape));
               spec.outputs = {Activation(dtype, c.y)};
               return spec;
             });
  }
  AddCases(cases, "concat/relu", {}, [](DType dtype) {
    OpSpec spec;
    spec.params = ConcatParams{.axis = 1};
    spec.inputs = {Activation(dtype, {2, 3, 4}), Activation(dtype, {2, 2, 4})};
    spec.outputs = {Activation(dtype, {2, 5, 4})};
    spec.post_ops = {Then(ActivationKind::kRelu)};
    return spec;
  });
}

void AddPermutations(std::vector<Case>* cases) {
  struct TransposeCase {
    std::string_view name;
    Shape x;
    std::vector<int> perm;
  };
  const std::vector<TransposeCase> table = {
      {"matrix", {5, 9}, {1, 0}},
      {"to_channels_last", {2, 3, 4, 5}, {0, 2, 3, 1}},
      {"heads", {2, 7, 3, 4}, {0, 2, 1, 3}},
      {"same", {2, 3, 4}, {0, 1, 2}},
      {"reversed", {2, 3, 1, 4, 5}, {4, 3, 2, 1, 0}},
      {"scalar", {}, {}},
      {"empty", {2, 0, 3}, {2, 1, 0}},
  };
  for (const TransposeCase& c : table) {
    AddCases(cases, StrCat("transpose/", c.name), {.dtypes = kMoved}, [&c](DType dtype) {
      Shape y;
      for (int axis : c.perm) y.push_back(c.x.dim(axis));
      return Move(TransposeParams{c.perm}, dtype, c.x, y);
    });
  }
  AddCases(cases, "reshape/flatten", {.dtypes = kMoved}, [](DType dtype) {
    return Move(ReshapeParams{}, dtype, {2, 3, 5}, {2, 15});
  });
  AddCases(cases, "reshape/empty", {}, [](DType dtype) {
    return Move(ReshapeParams{}, dtype, {2, 0}, {0, 7});
  });
  AddCases(cases, "reshape/rank16", {}, [](DType dtype) {
    return Move(ReshapeParams{}, dtype, {2, 3}, {1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1});
  });
}

void AddSlices(std::vector<Case>* cases) {
  struct SliceCase {
    std::string_view name;
    Shape x, y;
    SliceParams params;
  };
  const std::vector<SliceCase> slices = {
      {"middle", {4, 8, 5}, {2, 3, 5}, {{1, 2, 0}, {1, 1, 1}}},
      {"steps", {4, 9, 5}, {2, 3, 2}, {{1, 1, 0}, {2, 3, 4}}},
      {"backwards", {4, 9}, {4, 4}, {{3, 7}, {-1, -2}}},
      {"nothing", {4, 9}, {0, 9}, {{4, 0}, {1, 1}}},
      {"great_step", {4, 9}, {1, 1}, {{2, 8}, {INT64_MAX, INT64_MIN}}},
      {"scalar", {}, {}, {}},
  };
  for (const SliceCase& c : slices) {
    AddCases(cases, StrCat("slice/", c.name), {.dtypes = kMoved},
             [&c](DType dtype) { return Move(c.params, dtype, c.x, c.y); });
  }
  struct GatherCase {
    std::string_view name;
    Shape x, indices;
    int axis;
    Shape y;
    DType index_type = DType::kI64;
  };
  const std::vector<GatherCase> gathers = {
      {"rows", {7, 5}, {4}, 0, {4, 5}},
      {"columns", {7, 5}, {2, 3}, -1, {7, 2, 3}, DType::kI32},
      {"scalar", {7, 5, 2}, {}, 1, {7, 2}},
      {"embedding", {20, 8}, {2, 6}, 0, {2, 6, 8}},
      {"no_indices", {7, 5}, {0}, 0, {0, 5}},
  };
  for (const GatherCase& c : gathers) {
    const int axis = c.axis < 0 ? c.axis + c.x.rank() : c.axis;
    AddCases(
        cases, StrCat("gather/", c.name),
        {.dtypes = kMoved, .data = {Data::kNormal, Data::kIndices}, .index_range = c.x.dim(axis)},
        [&c](DType dtype) {
          OpSpec spec = Move(GatherParams{c.axis}, dtype, c.x, c.y);
          spec.inputs.push_back(Activation(c.index_type, c.indices));
          return spec;
        });
  }
}

void AddPads(std::vector<Case>* cases) {
  using Mode = PadParams::Mode;
  struct PadCase {
    std::string_view name;
    Shape x, y;
    PadParams params;
  };
  const std::vector<PadCase> table = {
      {"constant", {2, 3, 4}, {2, 6, 8}, {Mode::kConstant, {0, 1, 1}, {0, 2, 3}, 1.5}},
      {"image", {1, 2, 3, 3}, {1, 2, 5, 5}, {Mode::kConstant, {0, 0, 1, 1}, {0, 0, 1, 1}, 0}},
      {"negative", {5, 6}, {4, 5}, {Mode::kConstant, {-2, 1}, {1, -2}, -1}},
      {"reflect", {3, 4}, {7, 10}, {Mode::kReflect, {2, 3}, {2, 3}}},
      {"reflect_twice", {1, 3}, {1, 14}, {Mode::kReflect, {0, 5}, {0, 6}}},
      {"edge", {3, 4}, {6, 9}, {Mode::kEdge, {1, 3}, {2, 2}}},
      {"wrap", {3, 4}, {8, 13}, {Mode::kWrap, {2, 5}, {3, 4}}},
      {"wrap_of_what_is_left", {6}, {9}, {Mode::kWrap, {-2}, {5}}},
      {"of_nothing", {0, 2}, {3, 2}, {Mode::kConstant, {1, 0}, {2, 0}, 1}},
      {"to_nothing", {3, 2}, {0, 2}, {Mode::kConstant, {-1, 0}, {-2, 0}, 1}},
      {"scalar", {}, {}, {}},
  };
  for (const PadCase& c : table) {
    // The constant 1.5 is for floats only.
    const bool fraction = c.params.value == 1.5;
    AddCases(
        cases, StrCat("pad/", c.name),
        {.dtypes = fraction || c.params.value < 0
                       ? std::vector<DType>{DType::kF32, DType::kBF16, DType::kF16, DType::kF64}
                       : kMoved},
        [&c](DType dtype) { return Move(c.params, dtype, c.x, c.y); });
  }
  const std::vector<std::pair<Shape, Shape>> expands = {{{3, 1}, {3, 4}},
                                                        {{1}, {2, 3, 5}},
                                                        {{2, 1, 5}, {2, 3, 5}},
                                                        {Shape{}, {2, 2}},
                                                        {{1, 3}, {0, 3}}};
  for (size_t i = 0; i < expands.size(); ++i) {
    AddCases(cases, StrCat("expand/", i), {.dtypes = kMoved}, [&](DType dtype) {
      return Move(ExpandParams{}, dtype, expands[i].first, expands[i].second);
    });
  }
}

void AddReorders(std::vector<Case>* cases) {
  const std::vector<std::pair<Layout, Layout>> layouts = {
      {Layout::kPlain, Layout::kChannelsLast},
      {Layout::kChannelsLast, Layout::kPlain},
      {Layout::kPlain, Layout::kPlain},
      {Layout::kChannelsLast, Layout::kChannelsLast}};
  const std::vector<std::pair<DType, DType>> types = {{DType::kF32, DType::kF32},
                                                      {DType::kF32, DType::kBF16},
                                                      {DType::kBF16, DType::kF32},
                                                      {DType::kBF16, DType::kBF16},
                                                      {DType::kI64, DType::kI64}};
  for (const Shape& shape :
       {Shape{2, 3, 5, 7}, Shape{3, 4, 9}, Shape{1, 5, 2, 3, 4}, Shape{6, 5}}) {
    for (const auto& [from, to] : layouts) {
      for (const auto& [x, y] : types) {
        OpSpec spec;
        spec.params = ReorderParams{};
        spec.inputs = {Activation(x, shape)};
        spec.outputs = {Activation(y, shape)};
        spec.inputs[0].layout = from;
        spec.outputs[0].layout = to;
        cases->push_back({.name = StrCat("reorder/rank", shape.rank(), "_", LayoutName(from), "_",
                                         DTypeName(x), "_to_", LayoutName(to), "_", DTypeName(y)),
                          .spec = std::move(spec),
                          .onednn_must_take = shape.rank() == 4 && from != to && x == DType::kF32 &&
                                              y == DType::kF32});
      }
    }
  }
}

}  // namespace

std::vector<Case> MovementCases() {
  std::vector<Case> cases;
  AddConcat(&cases);
  AddPermutations(&cases);
  AddSlices(&cases);
  AddPads(&cases);
  AddReorders(&cases);
  return cases;
}

}  // namespace paramd::conformance
