#include "runtime/graph/onnx_import.h"

#include <array>
#include <fstream>
#include <iterator>
#include <limits>

#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Attrs = OnnxBuilder::Attrs;
using Ints = std::vector<int64_t>;
using TensorAttr = OnnxBuilder::TensorAttr;

std::string File(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// Elements by role: weight, bias, statistic, none.
std::array<int64_t, kParameterRoles> Counts(const Graph& graph) {
  std::array<int64_t, kParameterRoles> counts{};
  for (const Constant& constant : graph.constants()) {
    counts[static_cast<size_t>(constant.role)] += constant.shape.elements();
  }
  return counts;
}

const Constant& Named(const Graph& graph, std::string_view name) {
  for (const Constant& constant : graph.constants()) {
    if (constant.name == name) return constant;
  }
  ADD_FAILURE() << "no constant '" << name << "'";
  return graph.constants()[0];
}

TEST(OnnxImport, CountsTheParametersOfTheSampleModels) {
  ASSERT_OK_AND_ASSIGN(TestModel house,
                       ImportBytes(File("deploy/models/house-price/1/model.onnx")));
  EXPECT_EQ(Counts(house.graph()), (std::array<int64_t, 4>{2, 1, 0, 0}));
  ASSERT_OK_AND_ASSIGN(TestModel digits, ImportBytes(File("deploy/models/digits/1/model.onnx")));
  EXPECT_EQ(Counts(digits.graph()), (std::array<int64_t, 4>{9472, 138, 0, 0}));
  EXPECT_THAT(ToText(digits.graph()), HasSubstr("output %8 \"probabilities\" : f32[N,10]"));
  ASSERT_OK_AND_ASSIGN(TestModel net,
                       ImportBytes(File("tests/golden/efficientnet-lite0/model.onnx")));
  EXPECT_EQ(Counts(net.graph()), (std::array<int64_t, 4>{4630000, 22008, 42016, 2}));
}

TEST(OnnxImport, KeepsWhatTheFileSaysAboutItself) {
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder(13, 7)
                                                        .Name("little")
                                                        .Metadata("layers", "64,10")
                                                        .Metadata("bad \xff", "value")
                                                        .Input("x", DType::kF32, {"N"})
                                                        .Node("Relu", {"x"}, {"y"})
                                                        .Output("y")
                                                        .Build()));
  const auto& known = model.model.hyperparameters;
  const std::pair<std::string, std::string> want[] = {{"producer", "paramd tests"},
                                                      {"graph", "little"},
                                                      {"ir_version", "7"},
                                                      {"opset", "13"},
                                                      {"metadata.layers", "64,10"}};
  EXPECT_THAT(known, testing::ElementsAreArray(want));
}

TEST(OnnxImport, TakesInitializersThatAreInputsForConstants) {
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder(9, 3)
                                                        .Input("x", DType::kF32, {"N", "2"})
                                                        .Input("w", DType::kF32, {"2", "1"})
                                                        .Floats("w", {2, 1}, {1, 2})
                                                        .Node("MatMul", {"x", "w"}, {"y"})
                                                        .Output("y")
                                                        .Build()));
  EXPECT_EQ(model.graph().inputs.size(), 1u);
  EXPECT_EQ(Counts(model.graph())[0], 2);
}

TEST(OnnxImport, HoldsSmallTensorsAndRefersToLargeOnes) {
  ASSERT_OK_AND_ASSIGN(TestModel model,
                       ImportBytes(OnnxBuilder()
                                       .Input("x", DType::kF32, {"N", "64"})
                                       .RandomFloats("large", {64, 64}, 1)
                                       .RandomFloats("small", {64}, 2)
                                       .Node("Gemm", {"x", "large", "small"}, {"y"})
                                       .Output("y")
                                       .Build()));
  EXPECT_TRUE(Named(model.graph(), "large").in_checkpoint());
  EXPECT_NE(Named(model.graph(), "small").inline_tensor(), nullptr);
}

TEST(OnnxImport, CountsConstantsThatNodesMake) {
  const std::string filling(4, '\0');
  ASSERT_OK_AND_ASSIGN(
      TestModel model,
      ImportBytes(OnnxBuilder()
                      .Input("x", DType::kF32, {"N", "3", "9", "9"})
                      .Ints("shape", {4}, {16, 3, 5, 5})
                      .Node("ConstantOfShape", {"shape"}, {"w"},
                            {{"value", TensorAttr{DType::kF32, {1}, filling}}})
                      .Node("Constant", {}, {"b"},
                            {{"value", TensorAttr{DType::kF32, {16}, std::string(64, '\0')}}})
                      .Node("Conv", {"x", "w", "b"}, {"y"})
                      .Output("y")
                      .Build()));
  EXPECT_EQ(Counts(model.graph()), (std::array<int64_t, 4>{16 * 3 * 25, 16, 0, 4}));
  EXPECT_EQ(std::get<Derivation>(Named(model.graph(), "w").source).transform, "fill/1");
}

TEST(OnnxImport, FindsRolesByUse) {
  ASSERT_OK_AND_ASSIGN(TestModel model,
                       ImportBytes(OnnxBuilder()
                                       .Input("ids", DType::kI64, {"N", "4"})
                                       .RandomFloats("table", {100, 8}, 1)
                                       .RandomFloats("positions", {4, 8}, 2)
                                       .RandomFloats("w", {16, 8}, 3)
                                       .RandomFloats("b", {16}, 4)
                                       .RandomFloats("scale", {16}, 5)
                                       .RandomFloats("shift", {16}, 6)
                                       .Floats("two", {}, {2})
                                       .Node("Gather", {"table", "ids"}, {"e"})
                                       .Node("Add", {"e", "positions"}, {"p"})
                                       .Node("Transpose", {"w"}, {"wt"}, {{"perm", Ints{1, 0}}})
                                       .Node("MatMul", {"p", "wt"}, {"m"})
                                       .Node("Add", {"b", "m"}, {"h"})
                                       .Node("Mul", {"h", "two"}, {"d"})
                                       .Node("LayerNormalization", {"d", "scale", "shift"}, {"y"})
                                       .Output("y")
                                       .Build()));
  const Graph& graph = model.graph();
  EXPECT_EQ(Named(graph, "table").role, ParameterRole::kWeight);
  EXPECT_EQ(Named(graph, "positions").role, ParameterRole::kWeight);
  EXPECT_EQ(Named(graph, "w").role, ParameterRole::kWeight);
  EXPECT_EQ(Named(graph, "b").role, ParameterRole::kBias);
  EXPECT_EQ(Named(graph, "scale").role, ParameterRole::kWeight);
  EXPECT_EQ(Named(graph, "shift").role, ParameterRole::kBias);
  EXPECT_EQ(Named(graph, "two").role, ParameterRole::kNone);
}

TEST(OnnxImport, MakesAnOutputOfAnInputAndOfAConstant) {
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder()
                                                        .Input("x", DType::kF32, {"2"})
                                                        .Floats("c", {1}, {7})
                                                        .Output("x")
                                                        .Output("c")
                                                        .Build()));
  const Tensor x = Tensor::Of<float>(DType::kF32, Shape{2}, {{1, 2}});
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::CopyOf(x.view()));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> y,
                       RunGraph(model.graph(), *model.checkpoint, inputs));
  EXPECT_EQ(RelativeError(y[0].view(), x.view()), 0);
  EXPECT_EQ(y[1].view().as<float>()[0], 7);
}

TEST(OnnxImport, ExpandsManyOperandsSplitAndPRelu) {
  ASSERT_OK_AND_ASSIGN(TestModel model,
                       ImportBytes(OnnxBuilder(18)
                                       .Input("x", DType::kF32, {"N", "5"})
                                       .Floats("slope", {1}, {0.5})
                                       .Node("Split", {"x"}, {"a", "b"},
                                             {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}})
                                       .Node("Mean", {"x", "x", "x"}, {"m"})
                                       .Node("PRelu", {"x", "slope"}, {"p"})
                                       .Node("Max", {"m", "p", "x"}, {"y"})
                                       .Output("a")
                                       .Output("b")
                                       .Output("y")
                                       .Build()));
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{1, 5}, {{-4, 2, -6, 8, 10}}));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> y,
                       RunGraph(model.graph(), *model.checkpoint, inputs));
  EXPECT_THAT(y[0].view().as<float>(), testing::ElementsAre(-4, 2, -6));
  EXPECT_THAT(y[1].view().as<float>(), testing::ElementsAre(8, 10));
  EXPECT_THAT(y[2].view().as<float>(), testing::ElementsAre(-2, 2, -3, 8, 10));
}

TEST(OnnxImport, PutsTheNodesOfAnExpansionWhereTheOldOneStood) {
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder()
                                                        .Input("x", DType::kF32, {"N", "4"})
                                                        .Node("Max", {"x", "x", "x"}, {"m"})
                                                        .Node("Exp", {"x"}, {"e"})
                                                        .Node("Add", {"m", "e"}, {"y"})
                                                        .Output("y")
                                                        .Build()));
  std::vector<std::string> ops;
  for (const Node& node : model.graph().nodes()) ops.push_back(node.op);
  EXPECT_THAT(ops, testing::ElementsAre("Max", "Max", "Exp", "Add"));
}

TEST(OnnxImport, SquaresWithoutRaisingToAPower) {
  // The exponent's type may then differ from the base's.
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder()
                                                        .Input("x", DType::kF32, {"N"})
                                                        .Ints("two", {}, {2})
                                                        .Node("Pow", {"x", "two"}, {"y"})
                                                        .Output("y")
                                                        .Build()));
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{3}, {{-3, 0, 0.5}}));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> y,
                       RunGraph(model.graph(), *model.checkpoint, inputs));
  EXPECT_THAT(y[0].view().as<float>(), testing::ElementsAre(9, 0, 0.25));
}

TEST(OnnxImport, NamesAllThatIsMissingAtOnce) {
  const auto model = ImportBytes(OnnxBuilder(17)
                                     .Domain("com.example", 3)
                                     .Input("x", DType::kF32, {"N"})
                                     .Node("Frobnicate", {"x"}, {"a"}, {}, "com.example")
                                     .Node("ImageDecoder", {"a"}, {"b"})
                                     .Node("ImageDecoder", {"b"}, {"c"})
                                     .Node("Other", {"c"}, {"d"}, {}, "unimported")
                                     .Node("MatMul", {"d", "x"}, {"y"}, {}, "paramd")
                                     .Output("y")
                                     .Build());
  EXPECT_THAT(
      model.status(),
      StatusIs(absl::StatusCode::kUnimplemented,
               AllOf(HasSubstr("Frobnicate (domain com.example, opset 3, first at node 'a')"),
                     HasSubstr("ImageDecoder (domain ai.onnx, opset 17, first at node 'b')"),
                     HasSubstr("Other (domain unimported, no opset imported"),
                     HasSubstr("MatMul (domain paramd"), Not(HasSubstr("'c'")))));
}

TEST(OnnxImport, NamesABoundedNumberOfWhatIsMissing) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N"});
  for (int i = 0; i < 500; ++i)
    builder.Node("Op" + std::to_string(i), {"x"}, {"v" + std::to_string(i)});
  const auto model = ImportBytes(builder.Output("v1").Build());
  EXPECT_THAT(model.status(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("484 more")));
  EXPECT_LT(model.status().message().size(), 4096u);
}

TEST(OnnxImport, RefusesOpsetsOutsideWithBothNumbers) {
  for (const int64_t opset : {1, 6, 23, 999}) {
    const auto model = ImportBytes(OnnxBuilder(opset)
                                       .Input("x", DType::kF32, {"N"})
                                       .Node("Add", {"x", "x"}, {"y"})
                                       .Output("y")
                                       .Build());
    EXPECT_THAT(model.status(),
                StatusIs(absl::StatusCode::kUnimplemented,
                         AllOf(HasSubstr("opset " + std::to_string(opset)), HasSubstr("7 to 22"))));
  }
}

TEST(OnnxImport, AnOldOpsetIsReadWhereItsOperatorsNeverChanged) {
  EXPECT_OK(ImportBytes(OnnxBuilder(6)
                            .Input("x", DType::kF32, {"N"})
                            .Node("Relu", {"x"}, {"y"})
                            .Output("y")
                            .Build())
                .status());
  const auto mixed = ImportBytes(OnnxBuilder(6)
                                     .Input("x", DType::kF32, {"N"})
                                     .Node("Relu", {"x"}, {"r"})
                                     .Node("Add", {"r", "x"}, {"y"})
                                     .Output("y")
                                     .Build());
  EXPECT_THAT(mixed.status(),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("Add (first at node 'y') changed in between")));
}

TEST(OnnxImport, HoldsSubgraphsAndInfersThroughThem) {
  OnnxBuilder then_branch, else_branch;
  then_branch.Name("then").Node("Relu", {"x"}, {"t"}).Output("t");
  else_branch.Name("else").Node("Add", {"x", "w"}, {"e"}).Output("e");
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N"})
      .Input("choose", DType::kBool, {})
      .RandomFloats("w", {1}, 1)
      .Node("If", {"choose"}, {"y"},
            {{"then_branch", then_branch.BuildGraph()}, {"else_branch", else_branch.BuildGraph()}})
      .Output("y");
  const std::string bytes = builder.Build();
  // Both branches give f32[N]; so does the If.
  ASSERT_OK_AND_ASSIGN(TestModel runnable, ImportBytes(bytes));
  const ValueType& type = runnable.graph().value(runnable.graph().outputs[0]).type;
  EXPECT_EQ(type.dtype, DType::kF32);
  EXPECT_EQ(type.shape, SymbolicShape{Dim::Named("N")});
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(bytes, /*require_runnable=*/false));
  EXPECT_THAT(ToText(model.graph()),
              AllOf(HasSubstr("then_branch:"), HasSubstr("capture %1 = outer %1"),
                    HasSubstr("Relu(%1)"), HasSubstr("Add(%")));
}

// --- Functions ----------------------------------------------------------------------

TEST(OnnxImport, ExpandsTheModelsOwnFunctions) {
  const std::string bytes = OnnxBuilder(17)
                                .Domain("local", 1)
                                .Function("Twice")
                                .FunctionNode("Add", {"a", "a"}, {"b"})
                                .Function("FourTimes")
                                .FunctionNode("Twice", {"a"}, {"b"}, "local")
                                .FunctionNode("Twice", {"b"}, {"c"}, "local")
                                .Input("x", DType::kF32, {"N"})
                                .Node("FourTimes", {"x"}, {"t"}, {}, "local")
                                .Node("FourTimes", {"t"}, {"y"}, {}, "local")
                                .Output("y")
                                .Build();
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(bytes));
  EXPECT_EQ(model.graph().nodes().size(), 4u);
  const std::vector<float> ones = {1, 2};
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{2}, ones));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs,
                       RunGraph(model.graph(), *model.checkpoint, inputs));
  EXPECT_EQ(outputs[0].view().as<float>()[0], 16);
  EXPECT_EQ(outputs[0].view().as<float>()[1], 32);
}

TEST(OnnxImport, RefusesAFunctionThatCallsItself) {
  const std::string bytes = OnnxBuilder(17)
                                .Domain("local", 1)
                                .Function("Forever")
                                .FunctionNode("Forever", {"a"}, {"b"}, "local")
                                .Input("x", DType::kF32, {"N"})
                                .Node("Forever", {"x"}, {"y"}, {}, "local")
                                .Output("y")
                                .Build();
  EXPECT_THAT(ImportBytes(bytes).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("call each other")));
}

// A function that calls another twice, and so on: 2^30 nodes of thirty lines.
TEST(OnnxImport, RefusesFunctionsThatExpandWithoutBound) {
  OnnxBuilder builder(17);
  builder.Domain("local", 1).Function("F0").FunctionNode("Relu", {"a"}, {"b"});
  for (int i = 1; i <= 30; ++i) {
    const std::string inner = "F" + std::to_string(i - 1);
    builder.Function("F" + std::to_string(i))
        .FunctionNode(inner, {"a"}, {"b"}, "local")
        .FunctionNode(inner, {"b"}, {"c"}, "local");
  }
  builder.Input("x", DType::kF32, {"N"}).Node("F30", {"x"}, {"y"}, {}, "local").Output("y");
  EXPECT_THAT(ImportBytes(builder.Build()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 100000 nodes")));
}

// ONNX's own functions: here one whose body depends on the node's type.
TEST(OnnxImport, ExpandsOperatorsThatOnnxDefinesByOthers) {
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(OnnxBuilder(18)
                                                        .Input("x", DType::kF32, {"N", "4"})
                                                        .Node("Mish", {"x"}, {"m"})
                                                        .Node("CastLike", {"m", "x"}, {"y"})
                                                        .Output("y")
                                                        .Build()));
  for (const Node& node : model.graph().nodes()) {
    EXPECT_NE(node.op, "Mish");
    EXPECT_NE(node.op, "CastLike");
  }
}

// --- Hostile models: refused with a reason, or read for what they are ------------------

struct Hostile {
  const char* name;
  void (*make)(OnnxBuilder& builder);
  absl::StatusCode code;  // kOk: it must be read.
  const char* message;
};

class HostileModels : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileModels, AreRefusedWithAReasonOrRead) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "4"});
  GetParam().make(builder);
  const auto model = ImportBytes(builder.Build());
  if (GetParam().code == absl::StatusCode::kOk) {
    EXPECT_OK(model.status());
  } else {
    EXPECT_THAT(model.status(), StatusIs(GetParam().code, HasSubstr(GetParam().message)));
  }
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

const Hostile kHostile[] = {
    {"cycle",
     [](OnnxBuilder& b) {
       b.Node("Add", {"x", "c"}, {"a"}).Node("Relu", {"a"}, {"c"}).Node("Exp", {"c"}, {"y"});
       b.Output("y");
     },
     kInvalid, "cycle through node"},
    {"reads_itself", [](OnnxBuilder& b) { b.Node("Relu", {"y"}, {"y"}).Output("y"); }, kInvalid,
     "cycle through node 'y'"},
    {"unsorted_is_sorted",
     [](OnnxBuilder& b) { b.Node("Exp", {"a"}, {"y"}).Node("Relu", {"x"}, {"a"}).Output("y"); },
     absl::StatusCode::kOk, ""},
    {"value_made_twice",
     [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"y"}).Node("Exp", {"x"}, {"y"}).Output("y"); },
     kInvalid, "two values named 'y'"},
    {"value_like_an_input", [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"x"}).Output("x"); },
     kInvalid, "two values named 'x'"},
    {"value_like_an_initializer",
     [](OnnxBuilder& b) { b.Floats("w", {1}, {1}).Node("Relu", {"x"}, {"w"}).Output("w"); },
     kInvalid, "two values named 'w'"},
    {"input_twice",
     [](OnnxBuilder& b) {
       b.Input("x", DType::kF32, {"N"}).Node("Relu", {"x"}, {"y"}).Output("y");
     },
     kInvalid, "two graph inputs are named 'x'"},
    {"output_twice", [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"y"}).Output("y").Output("y"); },
     kInvalid, "two graph outputs are named 'y'"},
    {"reads_nothing", [](OnnxBuilder& b) { b.Node("Relu", {"ghost"}, {"y"}).Output("y"); },
     kInvalid, "reads 'ghost', which nothing makes"},
    {"output_of_nothing", [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"y"}).Output("ghost"); },
     kInvalid, "'ghost' is made by nothing"},
    {"no_outputs", [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"y"}); }, kInvalid,
     "has no outputs"},
    {"node_without_outputs", [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {}).Output("x"); },
     kInvalid, "has no outputs"},
    {"required_input_left_out",
     [](OnnxBuilder& b) {
       b.Node("Add", {"x", ""}, {"y"}).Output("y");
     },
     kInvalid, "inputs"},
    {"too_many_inputs",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x", "x"}, {"y"}).Output("y");
     },
     kInvalid, "2 inputs"},
    {"too_many_outputs",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x"}, {"y", "z"}).Output("y").Output("z");
     },
     kInvalid, "2 outputs"},
    {"wrong_declared_shape_is_only_a_hint",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x"}, {"y"}).Output("y", DType::kF32, {"7", "7", "7"});
     },
     absl::StatusCode::kOk, ""},
    {"wrong_declared_type",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x"}, {"y"}).Output("y", DType::kI64, {"N", "4"});
     },
     kInvalid, "declared as i64 and computed as f32"},
    {"attribute_of_another_kind",
     [](OnnxBuilder& b) {
       b.Node("Softmax", {"x"}, {"y"}, {{"axis", std::string("one")}}).Output("y");
     },
     kInvalid, "is of the kind STRING, expected INT"},
    {"attribute_that_is_not",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x"}, {"y"}, {{"paramd.checkpoint", int64_t{0}}}).Output("y");
     },
     kInvalid, "has no attribute 'paramd.checkpoint'"},
    {"constant_that_claims_a_checkpoint_tensor",
     [](OnnxBuilder& b) {
       b.Node("Constant", {}, {"y"}, {{"paramd.checkpoint", int64_t{1 << 20}}}).Output("y");
     },
     kInvalid, "has no attribute"},
    {"attribute_twice",
     [](OnnxBuilder& b) {
       b.Node("Softmax", {"x"}, {"y"}, {{"axis", int64_t{1}}, {"axis", int64_t{0}}}).Output("y");
     },
     kInvalid, "comes twice"},
    {"required_attribute_left_out",
     [](OnnxBuilder& b) { b.Node("Cast", {"x"}, {"y"}).Output("y"); }, kInvalid,
     "lacks the attribute 'to'"},
    {"attribute_nan",
     [](OnnxBuilder& b) {
       b.Node("Elu", {"x"}, {"y"}, {{"alpha", std::numeric_limits<float>::quiet_NaN()}});
       b.Output("y");
     },
     kInvalid, "is not a number"},
    {"attribute_huge",
     [](OnnxBuilder& b) {
       b.Node("Softmax", {"x"}, {"y"}, {{"axis", std::numeric_limits<int64_t>::min()}});
       b.Output("y");
     },
     kInvalid, "outside"},
    {"shapes_that_contradict",
     [](OnnxBuilder& b) {
       b.Floats("w", {3, 1}, {1, 2, 3}).Node("MatMul", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "dimensions 4 and 3 must be equal"},
    {"types_that_contradict",
     [](OnnxBuilder& b) {
       b.Ints("w", {4}, {1, 2, 3, 4}).Node("Add", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "are f32 and i64"},
    {"ranks_that_contradict",
     [](OnnxBuilder& b) {
       b.Floats("w", {1}, {1}).Node("Gemm", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "expected rank 2"},
    {"tensor_with_too_little_data",
     [](OnnxBuilder& b) {
       b.RawTensor("w", 1, {4}, "0123").Node("Add", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "w"},
    {"tensor_with_a_negative_dimension",
     [](OnnxBuilder& b) {
       b.RawTensor("w", 1, {-1}, "").Node("Add", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "negative"},
    {"tensor_with_too_many_elements",
     [](OnnxBuilder& b) {
       b.RawTensor("w", 1, {int64_t{1} << 40, int64_t{1} << 40}, "");
       b.Node("Add", {"x", "w"}, {"y"}).Output("y");
     },
     kInvalid, "2^62"},
    {"attribute_tensor_with_too_little_data",
     [](OnnxBuilder& b) {
       b.Node("Constant", {}, {"y"}, {{"value", TensorAttr{DType::kF32, {1 << 20}, "1234"}}});
       b.Output("y");
     },
     kInvalid, ""},
    {"fill_of_more_than_there_is",
     [](OnnxBuilder& b) {
       b.Ints("s", {3}, {1 << 30, 1 << 30, 1 << 30}).Node("ConstantOfShape", {"s"}, {"y"});
       b.Output("y");
     },
     kInvalid, "2^62"},
    {"fill_of_negative_size",
     [](OnnxBuilder& b) {
       b.Ints("s", {1}, {-5}).Node("ConstantOfShape", {"s"}, {"y"}).Output("y");
     },
     kInvalid, "negative"},
    {"rank_beyond_the_limit",
     [](OnnxBuilder& b) {
       b.Input("deep", DType::kF32, std::vector<std::string>(64, "1"));
       b.Node("Relu", {"deep"}, {"y"}).Output("y");
     },
     kInvalid, "rank 64"},
    {"name_that_is_not_text",
     [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"\xc3\x28"}).Output("\xc3\x28"); }, kInvalid,
     "not UTF-8"},
    {"name_without_end",
     [](OnnxBuilder& b) {
       b.Node("Relu", {"x"}, {std::string(100'000, 'n')}).Output(std::string(100'000, 'n'));
     },
     kInvalid, "has a name of 100000 bytes"},
    {"function_without_inputs",
     [](OnnxBuilder& b) { b.Function("Relu").Node("Relu", {"x"}, {"y"}).Output("y"); }, kInvalid,
     "has 1 inputs and 1 outputs, its function 0 and 0"},
    {"training_dropout",
     [](OnnxBuilder& b) {
       b.Input("t", DType::kBool, {});
       b.Node("Dropout", {"x", "", "t"}, {"y"}).Output("y");
     },
     absl::StatusCode::kOk, ""},
    {"training_dropout_of_all",
     [](OnnxBuilder& b) {
       b.Floats("r", {}, {1}).RawTensor("t", 9, {}, std::string(1, '\1'));
       b.Node("Dropout", {"x", "r", "t"}, {"y"}).Output("y");
     },
     kInvalid, "the ratio is 1"},
    {"split_that_does_not_fit",
     [](OnnxBuilder& b) {
       b.Ints("s", {2}, {3, 3});
       b.Node("Split", {"x", "s"}, {"y", "z"}, {{"axis", int64_t{1}}}).Output("y").Output("z");
     },
     kInvalid, "do not add up to dimension 4"},
    {"conv_groups_that_do_not_fit",
     [](OnnxBuilder& b) {
       b.Input("i", DType::kF32, {"N", "3", "8", "8"}).RandomFloats("w", {4, 3, 3, 3}, 1);
       b.Node("Conv", {"i", "w"}, {"y"}, {{"group", int64_t{2}}}).Output("y");
     },
     kInvalid, "do not fit 3 channels"},
    {"conv_kernel_shape_that_contradicts",
     [](OnnxBuilder& b) {
       b.Input("i", DType::kF32, {"N", "3", "8", "8"}).RandomFloats("w", {4, 3, 3, 3}, 1);
       b.Node("Conv", {"i", "w"}, {"y"}, {{"kernel_shape", Ints{5, 5}}}).Output("y");
     },
     kInvalid, "kernel_shape contradicts"},
};

INSTANTIATE_TEST_SUITE_P(Models, HostileModels, ::testing::ValuesIn(kHostile),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(HostileModel, OfAHundredThousandNodesIsReadAndOneMoreIsRefused) {
  const auto chain = [](int nodes) {
    OnnxBuilder builder;
    builder.Input("v0", DType::kF32, {"N"});
    for (int i = 0; i < nodes; ++i) {
      builder.Node("Relu", {"v" + std::to_string(i)}, {"v" + std::to_string(i + 1)});
    }
    return builder.Output("v" + std::to_string(nodes)).Build();
  };
  EXPECT_OK(ImportBytes(chain(100'000)).status());
  EXPECT_THAT(ImportBytes(chain(100'001)).status(),
              StatusIs(kInvalid, HasSubstr("more than 100000 nodes")));
}

TEST(HostileModel, NestedTooDeepIsRefused) {
  OnnxBuilder::GraphAttr graph;
  for (int i = 0; i < 40; ++i) {
    OnnxBuilder builder;
    Attrs attrs;
    if (i > 0) attrs = {{"then_branch", graph}, {"else_branch", graph}};
    // Doubling in size each time would be 2^40 graphs: one branch is enough.
    if (i > 0) attrs.pop_back();
    builder.Node(i > 0 ? "If" : "Constant", {}, {"y"}, attrs).Output("y");
    graph = builder.BuildGraph();
  }
  OnnxBuilder outer;
  outer.Input("c", DType::kBool, {}).Node("If", {"c"}, {"y"}, {{"then_branch", graph}});
  EXPECT_FALSE(ImportBytes(outer.Output("y").Build()).ok());
  EXPECT_FALSE(ImportBytes(outer.Build(), /*require_runnable=*/false).ok());
}

TEST(HostileModel, CutAnywhereIsRefusedOrRead) {
  const std::string whole = File("deploy/models/digits/1/model.onnx");
  for (size_t bytes = 0; bytes < whole.size(); bytes += 97) {
    (void)ImportBytes(std::string_view(whole).substr(0, bytes)).status();
  }
}

}  // namespace
}  // namespace paramd
