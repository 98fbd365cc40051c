#include "runtime/graph/shape_inference.h"

#include "runtime/graph/evaluate_op.h"
#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Attrs = OnnxBuilder::Attrs;
using Ints = std::vector<int64_t>;

// One operator on an input x; what comes out, or the refusal.
struct Case {
  const char* name;
  int64_t opset;
  std::vector<std::string> x;
  const char* op;
  Attrs attrs;
  std::vector<Ints> more;  // Integer vectors, as further inputs.
  const char* want;        // Shape, or a part of the message after '!'.
};

std::string Infer(const Case& c) {
  OnnxBuilder builder(c.opset);
  builder.Input("x", DType::kF32, c.x);
  std::vector<std::string> inputs{"x"};
  for (size_t i = 0; i < c.more.size(); ++i) {
    inputs.push_back("c" + std::to_string(i));
    builder.Ints(inputs.back(), {static_cast<int64_t>(c.more[i].size())}, c.more[i]);
  }
  builder.Node(c.op, inputs, {"y"}, c.attrs).Output("y");
  auto model = ImportBytes(builder.Build());
  if (!model.ok()) return "!" + std::string(model.status().message());
  const Graph& graph = model->graph();
  const auto& shape = graph.value(graph.outputs[0]).type.shape;
  return shape.has_value() ? ToString(*shape) : "*";
}

class ShapeInferenceTable : public ::testing::TestWithParam<Case> {};

TEST_P(ShapeInferenceTable, GivesTheShapeOrTheRefusal) {
  const std::string got = Infer(GetParam());
  if (GetParam().want[0] == '!') {
    EXPECT_THAT(got, testing::StartsWith("!"));
    EXPECT_THAT(got, HasSubstr(GetParam().want + 1));
  } else {
    EXPECT_EQ(got, GetParam().want);
  }
}

const Case kCases[] = {
    {"relu", 17, {"N", "3"}, "Relu", {}, {}, "[N,3]"},
    {"flatten", 17, {"N", "3", "4"}, "Flatten", {}, {}, "[N,12]"},
    {"flatten_axis_0", 17, {"2", "3"}, "Flatten", {{"axis", int64_t{0}}}, {}, "[1,6]"},
    {"flatten_outside", 17, {"2", "3"}, "Flatten", {{"axis", int64_t{3}}}, {}, "!outside"},
    {"reshape_zero_copies", 17, {"N", "3", "4"}, "Reshape", {}, {{0, 12}}, "[N,12]"},
    {"reshape_minus_one", 17, {"N", "3", "4"}, "Reshape", {}, {{-1, 12}}, "[N,12]"},
    {"reshape_minus_one_behind", 17, {"N", "3", "4"}, "Reshape", {}, {{0, -1}}, "[N,12]"},
    {"reshape_allowzero",
     17,
     {"0", "3"},
     "Reshape",
     {{"allowzero", int64_t{1}}},
     {{3, 0}},
     "[3,0]"},
    {"reshape_wrong", 17, {"2", "3"}, "Reshape", {}, {{4, 2}}, "!cannot reshape"},
    {"reshape_indivisible", 17, {"2", "3"}, "Reshape", {}, {{4, -1}}, "!cannot reshape"},
    {"reshape_two_open", 17, {"2", "3"}, "Reshape", {}, {{-1, -1}}, "!two dimensions are -1"},
    {"reshape_negative", 17, {"2", "3"}, "Reshape", {}, {{-2, 3}}, "!is to be -2"},
    {"reshape_huge", 17, {"2", "3"}, "Reshape", {}, {{int64_t{1} << 62, 8}}, "!2^62"},
    {"squeeze_attribute", 11, {"N", "1", "4"}, "Squeeze", {{"axes", Ints{1}}}, {}, "[N,4]"},
    {"squeeze_input", 13, {"N", "1", "4"}, "Squeeze", {}, {{-2}}, "[N,4]"},
    {"squeeze_not_one", 13, {"N", "2", "4"}, "Squeeze", {}, {{1}}, "!is not 1"},
    {"unsqueeze_attribute", 11, {"N", "4"}, "Unsqueeze", {{"axes", Ints{1}}}, {}, "[N,1,4]"},
    {"unsqueeze_input", 13, {"N", "4"}, "Unsqueeze", {}, {{-1, 0}}, "[1,N,4,1]"},
    {"unsqueeze_twice", 13, {"N", "4"}, "Unsqueeze", {}, {{1, 1}}, "!named twice"},
    {"transpose", 17, {"N", "3", "4"}, "Transpose", {{"perm", Ints{0, 2, 1}}}, {}, "[N,4,3]"},
    {"transpose_default", 17, {"N", "3"}, "Transpose", {}, {}, "[3,N]"},
    {"transpose_short", 17, {"N", "3"}, "Transpose", {{"perm", Ints{0}}}, {}, "!perm has 1"},
    {"slice_attributes",
     9,
     {"N", "8"},
     "Slice",
     {{"starts", Ints{1}}, {"ends", Ints{-1}}, {"axes", Ints{1}}},
     {},
     "[N,6]"},
    {"slice_inputs", 13, {"N", "8"}, "Slice", {}, {{6}, {-100}, {1}, {-2}}, "[N,4]"},
    {"slice_empty", 13, {"N", "8"}, "Slice", {}, {{5}, {2}, {1}}, "[N,0]"},
    {"slice_step_0", 13, {"N", "8"}, "Slice", {}, {{0}, {2}, {1}, {0}}, "!step is 0"},
    {"slice_extremes",
     13,
     {"N", "8"},
     "Slice",
     {},
     {{INT64_MAX}, {INT64_MIN}, {1}, {INT64_MIN}},
     "[N,1]"},
    {"slice_lengths", 13, {"N", "8"}, "Slice", {}, {{0, 0}, {2}, {1}}, "!2 starts"},
    {"expand", 17, {"N", "1"}, "Expand", {}, {{2, 1, 5}}, "[2,N,5]"},
    {"pad_attribute", 2 + 8, {"N", "3"}, "Pad", {{"pads", Ints{0, 1, 0, 2}}}, {}, "[N,6]"},
    {"pad_input", 13, {"N", "3"}, "Pad", {}, {{0, -1, 0, -1}}, "[N,1]"},
    {"pad_away", 13, {"N", "3"}, "Pad", {}, {{0, -2, 0, -2}}, "!is padded by -4"},
    {"pad_huge", 13, {"N", "3"}, "Pad", {}, {{0, INT64_MAX, 0, INT64_MAX}}, "!beyond 2^31"},
    {"reduce_attribute", 13, {"N", "3", "4"}, "ReduceMean", {{"axes", Ints{-1}}}, {}, "[N,3,1]"},
    {"reduce_input",
     18,
     {"N", "3", "4"},
     "ReduceMean",
     {{"keepdims", int64_t{0}}},
     {{1, 2}},
     "[N]"},
    {"reduce_all", 13, {"N", "3"}, "ReduceMax", {{"keepdims", int64_t{0}}}, {}, "[]"},
    {"softmax_axis", 17, {"N", "3"}, "Softmax", {{"axis", int64_t{2}}}, {}, "!outside"},
    {"maxpool",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}},
     {},
     "[N,3,3,3]"},
    {"maxpool_ceil",
     17,
     {"N", "3", "8", "8"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", int64_t{1}}},
     {},
     "[N,3,4,4]"},
    {"maxpool_same",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}},
      {"strides", Ints{2, 2}},
      {"auto_pad", std::string("SAME_UPPER")}},
     {},
     "[N,3,4,4]"},
    {"maxpool_too_large",
     17,
     {"N", "3", "2", "2"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}},
     {},
     "!does not fit"},
    {"maxpool_negative_pads",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{-1, 0, 0, 0}}},
     {},
     "!pads -1"},
    {"maxpool_huge_kernel",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{int64_t{1} << 40, 3}}},
     {},
     "!is outside"},
    {"maxpool_stride_0",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{0, 1}}},
     {},
     "!strides 0"},
    {"maxpool_pads_count",
     17,
     {"N", "3", "7", "7"},
     "MaxPool",
     {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1}}},
     {},
     "!pads has 2"},
    {"global_pool", 17, {"N", "3", "H", "W"}, "GlobalAveragePool", {}, {}, "[N,3,1,1]"},
    {"shape", 17, {"N", "3"}, "Shape", {}, {}, "[2]"},
    {"shape_range", 17, {"N", "3", "4"}, "Shape", {{"start", int64_t{-2}}}, {}, "[2]"},
    {"cast_unknown", 17, {"N"}, "Cast", {{"to", int64_t{99}}}, {}, "!type number 99"},
};

INSTANTIATE_TEST_SUITE_P(Cases, ShapeInferenceTable, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ShapeInference, ProvesABatchThatAReshapeComputes) {
  // y = Reshape(x, [Shape(x)[0], -1]): the way that exporters write Flatten.
  auto model = ImportBytes(OnnxBuilder()
                               .Input("x", DType::kF32, {"N", "3", "4"})
                               .Ints("zero", {}, {0})
                               .Ints("axis", {1}, {0})
                               .Ints("rest", {1}, {-1})
                               .Node("Shape", {"x"}, {"s"})
                               .Node("Gather", {"s", "zero"}, {"n"})
                               .Node("Unsqueeze", {"n", "axis"}, {"n1"})
                               .Node("Concat", {"n1", "rest"}, {"target"}, {{"axis", int64_t{0}}})
                               .Node("Reshape", {"x", "target"}, {"y"})
                               .Output("y", DType::kF32, {"N", "12"})
                               .Build());
  ASSERT_OK(model.status());
  const Graph& graph = model->graph();
  EXPECT_EQ(ToString(*graph.value(graph.outputs[0]).type.shape), "[N,12]");
  // With a concrete shape everything is known, and only the Reshape is left to run.
  InferOptions options;
  options.evaluate = ReferenceEvaluator();
  ASSERT_OK_AND_ASSIGN(const Inferred inferred,
                       InferShapes(graph, ConcreteInputTypes(graph, {{Shape{5, 3, 4}}}), options));
  EXPECT_EQ(ToString(*inferred.type(graph.outputs[0]).shape), "[5,12]");
  int running = 0;
  for (const Node& node : graph.nodes()) running += inferred.Folded(node) ? 0 : 1;
  EXPECT_EQ(running, 1);
}

TEST(ShapeInference, LeavesResultsAboveTheLimitUnknown) {
  auto model = ImportBytes(
      OnnxBuilder()
          .Input("x", DType::kF32, {"N"})
          .Ints("shape", {2}, {1 << 20, 1 << 20})
          .Node("ConstantOfShape", {"shape"}, {"big"},
                {{"value", OnnxBuilder::TensorAttr{DType::kI64, {1}, std::string(8, '\0')}}})
          .Node("Cast", {"big"}, {"f"}, {{"to", int64_t{1}}})
          .Node("Add", {"x", "f"}, {"y"})
          .Output("y")
          .Build());
  ASSERT_OK(model.status());
  for (const Constant& constant : model->graph().constants()) {
    EXPECT_LT(constant.shape.elements(), 1000) << "held though it is huge";
  }
}

TEST(ShapeInference, NamesOpenDimensionsAfterTheirInput) {
  auto model = ImportBytes(OnnxBuilder()
                               .Input("x", DType::kF32, {"", "-1", "H"})
                               .Node("Relu", {"x"}, {"y"})
                               .Output("y")
                               .Build());
  ASSERT_OK(model.status());
  const Graph& graph = model->graph();
  EXPECT_EQ(ToString(*graph.value(graph.outputs[0]).type.shape), "[x.0,x.1,H]");
}

}  // namespace
}  // namespace paramd
