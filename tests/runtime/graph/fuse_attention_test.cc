// Attention as exporters write it out, with their masks and scales.
#include <cmath>

#include "runtime/graph/batch_safety.h"
#include "tests/runtime/graph/pass_testing.h"
#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Ints = std::vector<int64_t>;

// Two heads of eight; x [N, S, 16] is projected to q, k and v, all [N, 2, S, 8]
// (k transposed to [N, 2, 8, S]); `scores` writes from "qk" to "s", the softmax's
// input. m [N, S] is a mask to be made of.
struct Written {
  std::string q_scale, k_scale;  // Multiplied to q and k^T.
  void (*scores)(OnnxBuilder& b) = nullptr;
  bool nan_to_zero = false;
  std::string also_out;
  int64_t axis = -1;
};

OnnxBuilder& AddAttention(OnnxBuilder& b, const Written& w) {
  b.Input("x", DType::kF32, {"N", "S", "16"}).Input("m", DType::kF32, {"N", "S"});
  b.Ints("heads", {4}, {0, 0, 2, 8}).Ints("joined", {3}, {0, 0, 16});
  b.Floats("root", {}, {std::sqrt(8.0f)}).Floats("quarter", {}, {0.25f}).Floats("zero", {}, {0});
  b.Floats("low", {}, {-1e4f})
      .Floats("least", {}, {-3.4028234663852886e+38f})
      .Floats("one", {}, {1});
  b.Ints("axes12", {2}, {1, 2});
  for (const std::string p : {"q", "k", "v"}) {
    b.RandomFloats("w" + p, {16, 16}, p[0]).Node("MatMul", {"x", "w" + p}, {p + "1"});
    b.Node("Reshape", {p + "1", "heads"}, {p + "2"});
    b.Node("Transpose", {p + "2"}, {p + "3"},
           {{"perm", p == "k" ? Ints{0, 2, 3, 1} : Ints{0, 2, 1, 3}}});
  }
  std::string q = "q3", k = "k3", weights = "p";
  if (!w.q_scale.empty()) b.Node("Mul", {q, w.q_scale}, {"q4"}), q = "q4";
  if (!w.k_scale.empty()) b.Node("Mul", {k, w.k_scale}, {"k4"}), k = "k4";
  b.Node("MatMul", {q, k}, {"qk"});
  if (w.scores != nullptr) w.scores(b);
  b.Node("Softmax", {w.scores == nullptr ? "qk" : "s"}, {"p"}, {{"axis", w.axis}});
  if (w.nan_to_zero) {
    b.Node("IsNaN", {"p"}, {"nan"}).Node("Where", {"nan", "zero", "p"}, {"p2"});
    weights = "p2";
  }
  b.Node("MatMul", {weights, "v3"}, {"pv"});
  b.Node("Transpose", {"pv"}, {"yt"}, {{"perm", Ints{0, 2, 1, 3}}});
  b.Node("Reshape", {"yt", "joined"}, {"y"}).Output("y");
  if (!w.also_out.empty()) b.Output(w.also_out);
  return b;
}

// Of two and of one row, five and thirty-three tokens.
const std::vector<std::vector<Shape>> kTwoShapes = {{Shape{2, 5, 16}, Shape{2, 5}},
                                                    {Shape{1, 33, 16}, Shape{1, 33}}};

PassOutcome Fuse(const Written& w,
                 const std::vector<std::string_view>& passes = {"fuse-attention"}) {
  OnnxBuilder b;
  return RunPassesOn(AddAttention(b, w).Build(), passes, kTwoShapes);
}

// BERT's mask by Hugging Face: (1 - m) times the least float, for every query.
void BertMask(OnnxBuilder& b) {
  b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Sub", {"one", "m4"}, {"inverse"});
  b.Node("Mul", {"inverse", "low"}, {"bias"});
  b.Node("Div", {"qk", "root"}, {"d"}).Node("Add", {"d", "bias"}, {"s"});
}

TEST(FuseAttention, TakesBertWithItsTransposesAndMask) {
  const PassOutcome outcome = Fuse({.scores = BertMask});
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, Not(HasSubstr("Transpose")));
  EXPECT_THAT(outcome.text, Not(HasSubstr("Softmax")));
  EXPECT_THAT(outcome.text,
              HasSubstr(" \"yt\" = paramd.Attention(%15, %18, %21, %26) {kPerm=[0,2,1,3] "
                        "qPerm=[0,2,1,3] scale=0.353553385 vPerm=[0,2,1,3] yPerm=[0,2,1,3]} : "
                        "f32[N,S,2,8]\n"))
      << outcome.text;
}

TEST(FuseAttention, TakesScaledQueriesAndKeys) {
  EXPECT_THAT(Fuse({}).text, HasSubstr(" scale=1 "));
  EXPECT_THAT(Fuse({.q_scale = "quarter"}).text, HasSubstr(" scale=0.25 "));
  EXPECT_THAT(Fuse({.q_scale = "quarter", .k_scale = "root"}).text,
              HasSubstr(" scale=0.707106769 "));
  const auto scale = [](OnnxBuilder& b) { b.Node("Mul", {"quarter", "qk"}, {"s"}); };
  EXPECT_THAT(Fuse({.scores = scale}).text, HasSubstr(" scale=0.25 "));
}

// PyTorch's scaled_dot_product_attention: a mask of bool, NaN rows zeroed.
TEST(FuseAttention, TakesRowsThatAreMaskedWhole) {
  const auto mask = [](OnnxBuilder& b) {
    b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Greater", {"m4", "quarter"}, {"keep"});
    b.Floats("infinite", {}, {-std::numeric_limits<float>::infinity()});
    b.Node("Where", {"keep", "zero", "infinite"}, {"bias"}).Node("Add", {"qk", "bias"}, {"s"});
  };
  const PassOutcome outcome = Fuse({.scores = mask, .nan_to_zero = true});
  EXPECT_THAT(outcome.text, HasSubstr(" zeroNan=1}"));
  EXPECT_THAT(outcome.text, Not(HasSubstr("IsNaN")));
}

// GPT-2: a causal Where over scaled scores, then a mask that is added.
TEST(FuseAttention, TakesWhereBeforeAdd) {
  const auto mask = [](OnnxBuilder& b) {
    b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Greater", {"m4", "quarter"}, {"keep"});
    b.Node("Div", {"qk", "root"}, {"d"}).Node("Where", {"keep", "d", "low"}, {"w"});
    b.Node("Mul", {"m4", "one"}, {"bias"}).Node("Add", {"bias", "w"}, {"s"});
  };
  EXPECT_THAT(Fuse({.scores = mask}).text, HasSubstr("{fill=-10000 "));
}

// DistilBERT: Where the mask is 0, the least float; spread to the scores' shape.
TEST(FuseAttention, TakesAMaskThatIsExpanded) {
  const auto mask = [](OnnxBuilder& b) {
    b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Less", {"m4", "quarter"}, {"out"});
    b.Node("Shape", {"qk"}, {"shape"}).Node("Expand", {"out", "shape"}, {"wide"});
    b.Node("Where", {"wide", "least", "qk"}, {"s"});
  };
  const PassOutcome outcome = Fuse({.q_scale = "quarter", .scores = mask});
  EXPECT_THAT(outcome.text, HasSubstr("{drop=1 "));
  EXPECT_THAT(outcome.text, Not(HasSubstr("Expand")));
  EXPECT_THAT(outcome.text, Not(HasSubstr("Shape(")));
}

TEST(FuseAttention, LeavesWhatItIsNot) {
  const auto scale_after = [](OnnxBuilder& b) {  // The mask is scaled too.
    b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Add", {"qk", "m4"}, {"a"});
    b.Node("Mul", {"a", "quarter"}, {"s"});
  };
  const auto computed_scale = [](OnnxBuilder& b) {
    b.Node("ReduceMax", {"m"}, {"top"}, {{"keepdims", int64_t{0}}});
    b.Node("Mul", {"qk", "top"}, {"s"});
  };
  const auto two_masks = [](OnnxBuilder& b) {
    b.Node("Unsqueeze", {"m", "axes12"}, {"m4"}).Node("Add", {"qk", "m4"}, {"a"});
    b.Node("Add", {"a", "m4"}, {"s"});
  };
  EXPECT_EQ(Fuse({.scores = scale_after}).changes, 0);
  EXPECT_EQ(Fuse({.scores = computed_scale}).changes, 0);
  EXPECT_EQ(Fuse({.scores = two_masks}).changes, 0);
  EXPECT_EQ(Fuse({.axis = 2}).changes, 0);
  EXPECT_EQ(Fuse({.also_out = "p"}).changes, 0);
  EXPECT_EQ(Fuse({.also_out = "qk"}).changes, 0);
}

// A vision transformer: one projection, taken apart after a transpose of five
// dimensions; queries scaled.
TEST(FuseAttention, TakesAJointProjection) {
  OnnxBuilder b;
  b.Input("x", DType::kF32, {"N", "9", "16"}).RandomFloats("w", {16, 48}, 1);
  b.Ints("parts", {5}, {0, 9, 3, 2, 8}).Ints("joined", {3}, {0, 0, 16}).Ints("first", {1}, {0});
  b.Floats("scale", {1}, {0.35f});
  b.Node("MatMul", {"x", "w"}, {"qkv"}).Node("Reshape", {"qkv", "parts"}, {"r"});
  b.Node("Transpose", {"r"}, {"t"}, {{"perm", Ints{2, 0, 3, 1, 4}}});
  for (int64_t i = 0; i < 3; ++i) {
    const std::string name(1, "qkv"[i]);
    b.Ints("index" + name, {}, {i}).Node("Gather", {"t", "index" + name}, {name});
  }
  b.Node("Mul", {"q", "scale"}, {"qs"});
  b.Node("Transpose", {"k"}, {"kt"}, {{"perm", Ints{0, 1, 3, 2}}});
  b.Node("MatMul", {"qs", "kt"}, {"s"}).Node("Softmax", {"s"}, {"p"}, {{"axis", int64_t{3}}});
  b.Node("MatMul", {"p", "v"}, {"pv"});
  b.Node("Transpose", {"pv"}, {"yt"}, {{"perm", Ints{0, 2, 1, 3}}});
  b.Node("Reshape", {"yt", "joined"}, {"y"}).Output("y");
  const PassOutcome outcome =
      RunPassesOn(b.Build(), {"fuse-attention"}, {{Shape{2, 9, 16}}, {Shape{3, 9, 16}}});
  EXPECT_THAT(outcome.text, HasSubstr("{scale=0.349999994 yPerm=[0,2,1,3]} : f32[N,9,2,8]"))
      << outcome.text;
}

// nn.MultiheadAttention: batches and heads are one dimension, the middle one.
TEST(FuseAttention, TakesThreeDimensions) {
  OnnxBuilder b;
  b.Input("q", DType::kF32, {"L", "B", "8"}).Input("k", DType::kF32, {"S", "B", "8"});
  b.Input("v", DType::kF32, {"S", "B", "4"}).Input("mask", DType::kF32, {"L", "S"});
  b.Node("Transpose", {"q"}, {"qt"}, {{"perm", Ints{1, 0, 2}}});
  b.Node("Transpose", {"k"}, {"kt"}, {{"perm", Ints{1, 2, 0}}});
  b.Node("Transpose", {"v"}, {"vt"}, {{"perm", Ints{1, 0, 2}}});
  b.Node("MatMul", {"qt", "kt"}, {"qk"}).Node("Add", {"mask", "qk"}, {"s"});
  b.Node("Softmax", {"s"}, {"p"}).Node("MatMul", {"p", "vt"}, {"pv"});
  b.Node("Transpose", {"pv"}, {"y"}, {{"perm", Ints{1, 0, 2}}}).Output("y");
  const PassOutcome outcome =
      RunPassesOn(b.Build(), {"fuse-attention"},
                  {{Shape{5, 3, 8}, Shape{7, 3, 8}, Shape{7, 3, 4}, Shape{5, 7}},
                   {Shape{1, 2, 8}, Shape{34, 2, 8}, Shape{34, 2, 4}, Shape{1, 34}}});
  EXPECT_THAT(outcome.text, HasSubstr("\"y\" = paramd.Attention(%0, %1, %2, %3) {kPerm=[1,0,2] "
                                      "qPerm=[1,0,2] scale=1 vPerm=[1,0,2] yPerm=[1,0,2]}"))
      << outcome.text;
}

// Masks and heads that broadcast against scores of which one dimension is 1.
TEST(FuseAttention, BroadcastsAsTheProductsDid) {
  OnnxBuilder b;
  b.Input("q", DType::kF32, {"1", "H", "A", "8"}).Input("k", DType::kF32, {"N", "1", "8", "B"});
  b.Input("v", DType::kF32, {"N", "1", "B", "4"}).Input("mask", DType::kF32, {"C", "B"});
  b.Node("MatMul", {"q", "k"}, {"qk"}).Node("Add", {"mask", "qk"}, {"s"});
  b.Node("Softmax", {"s"}, {"p"}).Node("MatMul", {"p", "v"}, {"y"}).Output("y");
  const PassOutcome outcome =
      RunPassesOn(b.Build(), {"fuse-attention"},
                  {{Shape{1, 3, 1, 8}, Shape{2, 1, 8, 5}, Shape{2, 1, 5, 4}, Shape{6, 5}},
                   {Shape{1, 2, 4, 8}, Shape{3, 1, 8, 5}, Shape{3, 1, 5, 4}, Shape{1, 5}}});
  EXPECT_EQ(outcome.changes, 1);
}

TEST(FuseAttention, KeepsTheProofThatRowsStayApart) {
  OnnxBuilder b;
  auto model = ImportBytes(AddAttention(b, {.scores = BertMask}).Build());
  ASSERT_OK(model.status());
  EXPECT_TRUE(ProveBatchSafety(model->graph()).safe) << ProveBatchSafety(model->graph()).reason;
  ASSERT_OK(RunPasses(model->graph(), TestPassOptions()).status());
  EXPECT_THAT(NodesText(model->graph()), HasSubstr("paramd.Attention"));
  EXPECT_TRUE(ProveBatchSafety(model->graph()).safe) << ProveBatchSafety(model->graph()).reason;
}

// Everything at once, as a model is loaded: transposes that PyTorch wrote in
// three steps, then all other passes.
TEST(FuseAttention, SurvivesThePassesBeforeIt) {
  std::vector<std::string_view> all;
  for (const Pass& pass : AllPasses()) all.push_back(pass.name);
  const PassOutcome outcome = Fuse({.q_scale = "quarter", .scores = BertMask}, all);
  EXPECT_THAT(outcome.text, HasSubstr("paramd.Attention"));
  EXPECT_THAT(outcome.text, Not(HasSubstr("Transpose")));
}

}  // namespace
}  // namespace paramd
