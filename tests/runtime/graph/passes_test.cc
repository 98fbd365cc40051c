#include "runtime/graph/passes/pass_list.h"
#include "tests/runtime/graph/pass_testing.h"
#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;

constexpr int32_t kOnnxU8 = 2, kOnnxI8 = 3, kOnnxI32 = 6;

std::string RawBytes(int64_t count, uint32_t seed) {
  std::string raw;
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    raw += static_cast<char>(seed >> 24);
  }
  return raw;
}

// x -> 8 bits -> Conv of 8-bit weights, and with a bias of 32 bits -> Relu? -> 8 bits.
// Scales are powers of two, so that both ways round alike.
std::string QdqConv(bool relu, float bias_scale, std::string_view y_zero) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "3", "6", "6"})
      .Floats("sx", {}, {0.125f})
      .RawTensor("zx", kOnnxU8, {}, std::string(1, 100))
      .RawTensor("w", kOnnxI8, {4, 3, 3, 3}, RawBytes(4 * 27, 5))
      .Floats("sw", {4}, {0.25f, 0.5f, 0.125f, 0.25f})
      .RawTensor("zw", kOnnxI8, {4}, std::string(4, 0))
      .RawTensor("b", kOnnxI32, {4}, std::string({9, 0, 0, 0, 3, 0, 0, 0, 5, 1, 0, 0, 7, 0, 0, 0}))
      .Floats("sb", {4},
              {bias_scale * 0.25f, bias_scale * 0.5f, bias_scale * 0.125f, bias_scale * 0.25f})
      .Floats("sy", {}, {2})
      .RawTensor("zy", kOnnxU8, {}, y_zero)
      .Node("QuantizeLinear", {"x", "sx", "zx"}, {"xq"})
      .Node("DequantizeLinear", {"xq", "sx", "zx"}, {"xd"})
      .Node("DequantizeLinear", {"w", "sw", "zw"}, {"wd"}, {{"axis", int64_t{0}}})
      .Node("DequantizeLinear", {"b", "sb"}, {"bd"}, {{"axis", int64_t{0}}})
      .Node("Conv", {"xd", "wd", "bd"}, {"c"}, {{"pads", Ints{1, 1, 1, 1}}});
  if (relu) builder.Node("Relu", {"c"}, {"r"});
  builder.Node("QuantizeLinear", {relu ? "r" : "c", "sy", "zy"}, {"yq"})
      .Node("DequantizeLinear", {"yq", "sy", "zy"}, {"y"})
      .Output("y");
  return builder.Build();
}

TEST(FuseQdq, ConvolutionsBetweenBytesAreOfBytes) {
  const std::vector<Shape> shapes{Shape{2, 3, 6, 6}};
  const PassOutcome plain = RunOne(QdqConv(false, 0.125f, "\x40"), "fuse-qdq", shapes);
  EXPECT_EQ(plain.changes, 1);
  EXPECT_THAT(plain.text, HasSubstr("QLinearConv"));
  EXPECT_THAT(plain.text, testing::Not(HasSubstr(" Conv")));
  const PassOutcome relu = RunOne(QdqConv(true, 0.125f, std::string(1, 0)), "fuse-qdq", shapes);
  EXPECT_EQ(relu.changes, 1);
  EXPECT_THAT(relu.text, testing::Not(HasSubstr("Relu")));
  // A Relu before a zero point that is not the lowest, a bias of other steps.
  EXPECT_EQ(RunOne(QdqConv(true, 0.125f, "\x40"), "fuse-qdq", shapes).changes, 0);
  EXPECT_EQ(RunOne(QdqConv(false, 0.25f, "\x40"), "fuse-qdq", shapes).changes, 0);
}

TEST(FuseQdq, ProductsBetweenBytesAreOfBytes) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "8"})
                                         .Floats("s", {}, {0.125f})
                                         .Floats("sy", {}, {4})
                                         .RawTensor("w", kOnnxI8, {8, 5}, RawBytes(40, 6))
                                         .Node("QuantizeLinear", {"x", "s"}, {"xq"})
                                         .Node("DequantizeLinear", {"xq", "s"}, {"xd"})
                                         .Node("DequantizeLinear", {"w", "s"}, {"wd"})
                                         .Node("MatMul", {"xd", "wd"}, {"c"})
                                         .Node("QuantizeLinear", {"c", "sy"}, {"yq"})
                                         .Node("DequantizeLinear", {"yq", "sy"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fuse-qdq", {Shape{3, 8}});
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, HasSubstr("QLinearMatMul"));
}

// 8-bit weights that are widened: once, when they are loaded.
TEST(FoldConstants, WidensWeightsWhenTheyAreLoaded) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "64"})
      .RawTensor("wq", kOnnxI8, {64, 48}, RawBytes(64 * 48, 7))
      .RandomFloats("s", {1, 48}, 8)
      .RandomFloats("s2", {48}, 9)
      .RawTensor("z", kOnnxI8, {48}, RawBytes(48, 10))
      .Node("Cast", {"wq"}, {"wf"}, {{"to", int64_t{1}}})
      .Node("Mul", {"s", "wf"}, {"w"})
      .Node("DequantizeLinear", {"wq", "s2", "z"}, {"v"}, {{"axis", int64_t{-1}}})
      .Node("MatMul", {"x", "w"}, {"a"})
      .Node("MatMul", {"x", "v"}, {"b"})
      .Node("Add", {"a", "b"}, {"y"})
      .Output("y");
  const PassOutcome outcome = RunOne(builder.Build(), "fold-constants", {Shape{3, 64}});
  EXPECT_EQ(outcome.changes, 3);
  EXPECT_THAT(outcome.text, testing::Not(HasSubstr("Cast")));
  EXPECT_THAT(outcome.text, testing::Not(HasSubstr("Dequantize")));
}

TEST(FoldConstants, ComputesWhatNodesMakeOfConstants) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "2"})
                                         .Floats("a", {2}, {1, 2})
                                         .Floats("b", {2}, {10, 20})
                                         .Node("Mul", {"a", "b"}, {"c"})
                                         .Node("Add", {"x", "c"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fold-constants", {Shape{3, 2}});
  EXPECT_EQ(outcome.text, "%4 \"y\" = Add(%2, \"c\" f32[2]{10,40}) : f32[N,2]\n");
}

TEST(FoldConstants, DescribesWhatIsMovedInTheCheckpoint) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "20"})
                                         .RandomFloats("w", {30, 20}, 1)
                                         .Ints("s", {2}, {20, 30})
                                         .Node("Transpose", {"w"}, {"wt"}, {{"perm", Ints{1, 0}}})
                                         .Node("Reshape", {"wt", "s"}, {"wr"})
                                         .Node("MatMul", {"x", "wr"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fold-constants", {Shape{3, 20}});
  EXPECT_EQ(outcome.text, "%5 \"y\" = MatMul(%2, weight copy/1(\"wt\") f32[20,30]) : f32[N,30]\n");
}

TEST(FoldConstants, LeavesAnOutputToANode) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N"})
                                         .Floats("a", {2}, {1, 2})
                                         .Node("Exp", {"a"}, {"y"})
                                         .Node("Relu", {"x"}, {"z"})
                                         .Output("y")
                                         .Output("z")
                                         .Build(),
                                     "fold-constants", {Shape{3}});
  EXPECT_EQ(outcome.changes, 0);
}

TEST(RemoveIdentities, DropsWhatHandsOnItsInput) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "4"})
                                         .Ints("same", {2}, {0, 4})
                                         .Node("Dropout", {"x"}, {"a"})
                                         .Node("Identity", {"a"}, {"b"})
                                         .Node("Relu", {"b"}, {"c"})
                                         .Node("Reshape", {"c", "same"}, {"d"})
                                         .Node("Cast", {"d"}, {"e"}, {{"to", int64_t{1}}})
                                         .Node("Flatten", {"e"}, {"f"})
                                         .Node("Transpose", {"f"}, {"g"}, {{"perm", Ints{0, 1}}})
                                         .Node("Sum", {"g"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "remove-identities", {Shape{3, 4}});
  EXPECT_EQ(outcome.text, "%9 \"c\" = Relu(%1) : f32[N,4]\n");
}

TEST(RemoveIdentities, KeepsCopiesThatAreHandedOut) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N"})
                                         .Node("Identity", {"x"}, {"y"})
                                         .Node("Relu", {"x"}, {"r"})
                                         .Node("Identity", {"r"}, {"z"})
                                         .Output("y")
                                         .Output("r")
                                         .Output("z")
                                         .Build(),
                                     "remove-identities", {Shape{3}});
  EXPECT_EQ(outcome.changes, 0);
}

TEST(FusePadIntoConv, AddsZerosToTheConvolutionsOwnPads) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
      .RandomFloats("w", {3, 2, 3, 3}, 1)
      .Ints("pads", {8}, {0, 0, 1, 2, 0, 0, 0, 1})
      .Node("Pad", {"x", "pads"}, {"p"})
      .Node("Conv", {"p", "w"}, {"y"}, {{"pads", Ints{1, 0, 0, 0}}})
      .Output("y");
  const PassOutcome outcome = RunOne(builder.Build(), "fuse-pad-into-conv", {Shape{2, 2, 6, 6}});
  EXPECT_EQ(outcome.text,
            "%4 \"y\" = Conv(%2, weight \"w\" f32[3,2,3,3]) {pads=[2,2,0,1]} : f32[N,3,6,7]\n");
}

TEST(FusePadIntoConv, LeavesPadsThatAreNotZerosAroundSpatialDimensions) {
  for (const Ints& pads : {Ints{0, 1, 0, 0, 0, 0, 0, 0}, Ints{0, 0, -1, 0, 0, 0, 0, 0}}) {
    OnnxBuilder builder;
    builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
        .RandomFloats("w", {3, pads[1] == 1 ? 3 : 2, 3, 3}, 1)
        .Ints("pads", {8}, pads)
        .Node("Pad", {"x", "pads"}, {"p"})
        .Node("Conv", {"p", "w"}, {"y"})
        .Output("y");
    EXPECT_EQ(RunOne(builder.Build(), "fuse-pad-into-conv", {Shape{2, 2, 6, 6}}).changes, 0);
  }
}

OnnxBuilder& AddNorm(OnnxBuilder& builder, const std::string& from, const std::string& to,
                     int64_t channels) {
  std::vector<float> variance;
  for (int64_t i = 0; i < channels; ++i) variance.push_back(0.5f + 0.25f * static_cast<float>(i));
  return builder.RandomFloats("scale", {channels}, 11)
      .RandomFloats("shift", {channels}, 12)
      .RandomFloats("mean", {channels}, 13)
      .Floats("var", {channels}, variance)
      .Node("BatchNormalization", {from, "scale", "shift", "mean", "var"}, {to},
            {{"epsilon", 0.125f}});
}

TEST(FoldBatchNorm, DerivesTheConvolutionsWeightsAndBias) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
      .RandomFloats("w", {3, 2, 3, 3}, 1)
      .RandomFloats("b", {3}, 2)
      .Node("Conv", {"x", "w", "b"}, {"c"});
  AddNorm(builder, "c", "y", 3).Output("y");
  const PassOutcome outcome = RunOne(builder.Build(), "fold-batch-norm", {Shape{2, 2, 6, 6}});
  EXPECT_EQ(outcome.text,
            "%8 \"c\" = Conv(%6, weight bn-weight/1(\"w\", \"scale\", \"var\"; 0.125,0) "
            "f32[3,2,3,3], bias bn-bias/1(\"scale\", \"shift\", \"mean\", \"var\", \"b\"; 0.125,1) "
            "f32[3]) : f32[N,3,4,4]\n");
}

TEST(FoldBatchNorm, KnowsGemmsTransposeAlphaAndBeta) {
  for (const int64_t transposed : {0, 1}) {
    OnnxBuilder builder;
    builder.Input("x", DType::kF32, {"N", "4"})
        .RandomFloats("w", transposed != 0 ? Ints{3, 4} : Ints{4, 3}, 1)
        .RandomFloats("b", {1, 3}, 2)
        .Node("Gemm", {"x", "w", "b"}, {"g"},
              {{"transB", transposed}, {"alpha", 0.5f}, {"beta", 2.0f}});
    AddNorm(builder, "g", "y", 3).Output("y");
    const PassOutcome outcome = RunOne(builder.Build(), "fold-batch-norm", {Shape{5, 4}});
    EXPECT_EQ(outcome.changes, 1);
    EXPECT_THAT(outcome.text, HasSubstr(transposed != 0 ? "; 0.125,0)" : "; 0.125,1)"));
    EXPECT_THAT(outcome.text, HasSubstr("beta=1"));
  }
}

TEST(FoldBatchNorm, TakesAScaleAndTheBiasPassWhatIsAddedToIt) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
      .RandomFloats("w", {3, 2, 3, 3}, 1)
      .RandomFloats("b", {3}, 2)
      .RandomFloats("s", {3, 1, 1}, 3)
      .RandomFloats("t", {1, 3, 1, 1}, 4)
      .Node("Conv", {"x", "w", "b"}, {"c"})
      .Node("Mul", {"c", "s"}, {"m"})
      .Node("Add", {"t", "m"}, {"y"})
      .Output("y");
  EXPECT_EQ(RunOne(builder.Build(), "fold-batch-norm", {Shape{2, 2, 6, 6}}).changes, 1);
  auto model = ImportBytes(builder.Build());
  ASSERT_OK(model.status());
  ASSERT_OK(RunPasses(model->graph(), TestPassOptions()).status());
  EXPECT_EQ(NodesText(model->graph()),
            "%7 \"c\" = Conv(%4, weight scale-axis/1(\"w\", \"s\"; 0) f32[3,2,3,3], bias "
            "add-vector/1(bias scale-axis/1(\"b\", \"s\"; 0) f32[3], \"t\"; 1,1) f32[3]) : "
            "f32[N,3,4,4]\n");
}

TEST(FoldBatchNorm, LeavesAConvolutionThatIsReadTwice) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
      .RandomFloats("w", {3, 2, 3, 3}, 1)
      .Node("Conv", {"x", "w"}, {"c"});
  AddNorm(builder, "c", "n", 3).Node("Add", {"n", "c"}, {"y"}).Output("y");
  EXPECT_EQ(RunOne(builder.Build(), "fold-batch-norm", {Shape{2, 2, 6, 6}}).changes, 0);
}

TEST(FuseBias, MakesABiasOfWhatIsAddedPerOutput) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "5", "4"})
                                         .RandomFloats("w", {4, 3}, 1)
                                         .Floats("b", {3}, {1, 2, 3})
                                         .Node("MatMul", {"x", "w"}, {"m"})
                                         .Node("Add", {"b", "m"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fuse-bias", {Shape{2, 5, 4}});
  EXPECT_EQ(outcome.text,
            "%4 \"m\" = paramd.MatMul(%2, weight \"w\" f32[4,3], bias \"b\" f32[3]{1,2,3}) : "
            "f32[N,5,3]\n");
}

TEST(FuseBias, LeavesWhatIsNotOnePerOutput) {
  for (const Ints& shape : {Ints{5, 1}, Ints{5, 3}, Ints{1, 1, 1, 1}}) {
    const PassOutcome outcome = RunOne(OnnxBuilder()
                                           .Input("x", DType::kF32, {"N", "5", "4"})
                                           .RandomFloats("w", {4, 3}, 1)
                                           .RandomFloats("b", shape, 2)
                                           .Node("MatMul", {"x", "w"}, {"m"})
                                           .Node("Add", {"b", "m"}, {"y"})
                                           .Output("y")
                                           .Build(),
                                       "fuse-bias", {Shape{2, 5, 4}});
    EXPECT_EQ(outcome.changes, 0);
  }
}

// PaddlePaddle's learned affine blocks: one number for all channels.
TEST(FuseBias, AndScalesOfOneNumberGoIntoAConvolution) {
  for (const bool biased : {false, true}) {
    OnnxBuilder builder;
    builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
        .RandomFloats("w", {3, 2, 3, 3}, 1)
        .RandomFloats("b", {3}, 2)
        .Floats("s", {1}, {2.5f})
        .Floats("t", {1}, {-0.5f})
        .Node("Conv",
              biased ? std::vector<std::string>{"x", "w", "b"} : std::vector<std::string>{"x", "w"},
              {"c"})
        .Node("Mul", {"s", "c"}, {"m"})
        .Node("Add", {"m", "t"}, {"y"})
        .Output("y");
    const PassOutcome outcome =
        RunPassesOn(builder.Build(), {"fold-batch-norm", "fuse-bias-after-batch-norm"},
                    {{Shape{2, 2, 6, 6}}, {Shape{1, 2, 6, 6}}});
    EXPECT_EQ(outcome.changes, 2);
    EXPECT_THAT(outcome.text, HasSubstr("\"c\" = Conv(%4, weight scale-axis/1("));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
}

TEST(FuseTransposeIntoMatMul, SwapsTheLastTwoDimensions) {
  const PassOutcome outcome =
      RunOne(OnnxBuilder()
                 .Input("q", DType::kF32, {"N", "2", "5", "4"})
                 .Input("k", DType::kF32, {"N", "2", "5", "4"})
                 .Node("Transpose", {"k"}, {"t"}, {{"perm", Ints{0, 1, 3, 2}}})
                 .Node("MatMul", {"q", "t"}, {"y"})
                 .Output("y")
                 .Build(),
             "fuse-transpose-into-matmul", {Shape{2, 2, 5, 4}, Shape{2, 2, 5, 4}});
  EXPECT_EQ(outcome.text, "%3 \"y\" = paramd.MatMul(%0, %1) {transB=1} : f32[N,2,5,5]\n");
}

TEST(FuseActivations, AppendsThemToTheOperatorBefore) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "4"})
                                         .RandomFloats("w", {4, 3}, 1)
                                         .Floats("low", {}, {-0.25})
                                         .Node("Gemm", {"x", "w"}, {"g"})
                                         .Node("Clip", {"g", "low"}, {"c"})
                                         .Node("LeakyRelu", {"c"}, {"l"}, {{"alpha", 0.5f}})
                                         .Node("Tanh", {"l"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fuse-activations", {Shape{5, 4}});
  EXPECT_EQ(outcome.changes, 3);
  EXPECT_THAT(outcome.text, HasSubstr("+clip(-0.25,3.40282347e+38) +leaky_relu(0.5,0) +tanh"));
}

TEST(FuseActivations, LeavesAValueThatIsReadTwiceOrHandedOut) {
  for (const bool handed_out : {false, true}) {
    OnnxBuilder builder;
    builder.Input("x", DType::kF32, {"N", "4"})
        .RandomFloats("w", {4, 3}, 1)
        .Node("MatMul", {"x", "w"}, {"m"})
        .Node("Relu", {"m"}, {"r"})
        .Node("Mul", {"r", handed_out ? "r" : "m"}, {"y"})
        .Output("y");
    if (handed_out) builder.Output("m");
    EXPECT_EQ(RunOne(builder.Build(), "fuse-activations", {Shape{5, 4}}).changes, 0);
  }
}

TEST(FuseResiduals, JoinsTheLaterOfTwoConvolutions) {
  const PassOutcome outcome = RunOne(OnnxBuilder()
                                         .Input("x", DType::kF32, {"N", "2", "6", "6"})
                                         .RandomFloats("v", {3, 2, 1, 1}, 1)
                                         .RandomFloats("w", {3, 2, 1, 1}, 2)
                                         .Node("Conv", {"x", "v"}, {"a"})
                                         .Node("Conv", {"x", "w"}, {"b"})
                                         .Node("Add", {"a", "b"}, {"s"})
                                         .Node("Relu", {"s"}, {"y"})
                                         .Output("y")
                                         .Build(),
                                     "fuse-residuals", {Shape{2, 2, 6, 6}});
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, HasSubstr("\"b\" = Conv(%2, weight \"w\""));
  EXPECT_THAT(outcome.text, HasSubstr(", %3) +add(2) : f32[N,3,6,6]"));
}

TEST(FuseResiduals, LeavesShapesThatMayDiffer) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2", "6", "6"})
      .Input("r", DType::kF32, {"M", "3", "6", "6"})
      .RandomFloats("w", {3, 2, 1, 1}, 2)
      .Node("Conv", {"x", "w"}, {"b"})
      .Node("Add", {"r", "b"}, {"y"})
      .Output("y");
  EXPECT_EQ(
      RunOne(builder.Build(), "fuse-residuals", {Shape{2, 2, 6, 6}, Shape{1, 3, 6, 6}}).changes, 0);
}

// Heads taken apart and joined again by shapes that PyTorch computes.
OnnxBuilder& AddHeads(OnnxBuilder& builder, const std::string& second) {
  return builder.Input("x", DType::kF32, {"N", "S", "12"})
      .RandomFloats("w", {12, 12}, 1)
      .Ints("zero", {}, {0})
      .Ints("one", {}, {1})
      .Ints("first", {1}, {0})
      .Ints("two", {1}, {2})
      .Ints("rest", {1}, {-1})
      .Node("Shape", {"x"}, {"shape"})
      .Node("Gather", {"shape", "zero"}, {"n0"})
      .Node("Unsqueeze", {"n0", "first"}, {"n"})
      .Node("Gather", {"shape", "one"}, {"s0"})
      .Node("Unsqueeze", {"s0", "first"}, {"s"})
      .Node("Mul", {"s", "two"}, {"ss"})
      .Node("Concat", {"n", second, "two", "rest"}, {"heads"}, {{"axis", int64_t{0}}})
      .Node("Reshape", {"x", "heads"}, {"h"})
      .Node("Relu", {"h"}, {"r"})
      .Node("Concat", {"n", "s", "rest"}, {"joined"}, {{"axis", int64_t{0}}})
      .Node("Reshape", {"r", "joined"}, {"j"})
      .Node("MatMul", {"j", "w"}, {"m"})
      .Node("Add", {"m", "x"}, {"y"})
      .Output("y");
}

TEST(NameDimensions, ShowsResidualsThatTheirShapesAreEqual) {
  OnnxBuilder builder;
  const PassOutcome outcome =
      RunPassesOn(AddHeads(builder, "s").Build(), {"name-dimensions", "fuse-residuals"},
                  {{Shape{2, 5, 12}}, {Shape{1, 9, 12}}});
  EXPECT_THAT(outcome.text, HasSubstr("\"r\" = Relu(%14) : f32[N,S,2,6]"));
  EXPECT_THAT(outcome.text, HasSubstr(" +add(2) : f32[N,S,12]")) << outcome.text;
}

TEST(NameDimensions, NamesNothingThatIsOnlyComputedFromADimension) {
  OnnxBuilder builder;
  const PassOutcome outcome = RunPassesOn(AddHeads(builder, "ss").Build(), {"name-dimensions"},
                                          {{Shape{2, 5, 12}}, {Shape{4, 9, 12}}});
  EXPECT_THAT(outcome.text, HasSubstr("\"r\" = Relu(%14) : f32[N,%14.1,%14.2,%14.3]"))
      << outcome.text;
}

// A residual block as exporters write it, through all passes at once.
TEST(Passes, MakeOneOpOfConvolutionNormResidualAndActivation) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "3", "6", "6"})
      .RandomFloats("w", {3, 3, 3, 3}, 1)
      .Node("Conv", {"x", "w"}, {"c"}, {{"pads", Ints{1, 1, 1, 1}}});
  AddNorm(builder, "c", "n", 3).Node("Add", {"n", "x"}, {"s"}).Node("Relu", {"s"}, {"y"});
  builder.Output("y");
  auto model = ImportBytes(builder.Build());
  ASSERT_OK(model.status());
  std::vector<Tensor> inputs;
  inputs.push_back(RandomTensor(Shape{2, 3, 6, 6}, 5));
  ASSERT_OK_AND_ASSIGN(const auto before, RunGraph(model->graph(), *model->checkpoint, inputs));
  ASSERT_OK(RunPasses(model->graph(), TestPassOptions()).status());
  ASSERT_EQ(model->graph().nodes().size(), 1u) << ToText(model->graph());
  EXPECT_THAT(ToText(model->graph()), HasSubstr("+add(3) +relu"));
  EXPECT_THAT(model->graph().nodes()[0].fused, testing::ElementsAre("n", "s", "y"));
  ASSERT_OK_AND_ASSIGN(const auto after, RunGraph(model->graph(), *model->checkpoint, inputs));
  EXPECT_LE(RelativeError(after[0].view(), before[0].view()), 1e-5);
}

TEST(Passes, AFirstOutputThatIsLeftOutIsNotLookedAt) {
  const std::string bytes =
      OnnxBuilder()
          .Input("x", DType::kF32, {"1", "2", "4"})
          .RandomFloats("weights", {1, 12, 4}, 2)
          .RandomFloats("recurrent", {1, 12, 3}, 3)
          .Node("LSTM", {"x", "weights", "recurrent"}, {"", "y"}, {{"hidden_size", int64_t{3}}})
          .Output("y")
          .Build();
  auto model = ImportBytes(bytes);
  ASSERT_OK(model.status());
  std::vector<Tensor> inputs;
  inputs.push_back(RandomTensor(Shape{1, 2, 4}, 5));
  ASSERT_OK_AND_ASSIGN(const auto before, RunGraph(model->graph(), *model->checkpoint, inputs));
  ASSERT_OK(RunPasses(model->graph(), TestPassOptions()).status());
  ASSERT_OK_AND_ASSIGN(const auto after, RunGraph(model->graph(), *model->checkpoint, inputs));
  EXPECT_LE(RelativeError(after[0].view(), before[0].view()), 1e-6);
}

// A file may hold chains of any length, and joins of joins: passes look at a
// bounded part of them.
TEST(Passes, LookAtABoundedPartOfAChain) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "4"}).Floats("two", {}, {2}).Ints("first", {1}, {0});
  std::string last = "x";
  for (int i = 0; i < 20000; ++i) {
    const std::string next = "d" + std::to_string(i);
    builder.Node("Div", {last, "two"}, {next});
    last = next;
  }
  builder.Node("Shape", {"x"}, {"s0"}).Node("Slice", {"s0", "first", "first"}, {"j0"});
  for (int i = 0; i < 10; ++i) {
    builder.Node("Concat", std::vector<std::string>(40, "j" + std::to_string(i)),
                 {"j" + std::to_string(i + 1)}, {{"axis", int64_t{0}}});
  }
  builder.Node("Concat", {"j10", "s0"}, {"shape"}, {{"axis", int64_t{0}}});
  builder.Node("Reshape", {last, "shape"}, {"y"}).Output("y");
  auto model = ImportBytes(builder.Build());
  ASSERT_OK(model.status());
  ASSERT_OK(RunPasses(model->graph(), TestPassOptions()).status());
}

TEST(Passes, CanBeSwitchedOffByName) {
  const std::string bytes = OnnxBuilder()
                                .Input("x", DType::kF32, {"N", "4"})
                                .RandomFloats("w", {4, 3}, 1)
                                .Node("MatMul", {"x", "w"}, {"m"})
                                .Node("Relu", {"m"}, {"y"})
                                .Output("y")
                                .Build();
  auto model = ImportBytes(bytes);
  ASSERT_OK(model.status());
  PassOptions options = TestPassOptions();
  options.disabled = {"fuse-activations", "fuse-activations-after-residuals"};
  ASSERT_OK_AND_ASSIGN(const auto reports, RunPasses(model->graph(), options));
  EXPECT_EQ(reports.size(), AllPasses().size() - 2);
  EXPECT_EQ(model->graph().nodes().size(), 2u);
  options.disabled = {"no-such-pass"};
  EXPECT_THAT(RunPasses(model->graph(), options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no-such-pass")));
}

}  // namespace
}  // namespace paramd
