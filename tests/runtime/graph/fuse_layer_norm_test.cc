// LayerNormalization as exporters write it out before opset 17.
#include "tests/runtime/graph/pass_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;

const std::vector<std::vector<Shape>> kTwoShapes = {{Shape{2, 5, 6}}, {Shape{1, 9, 6}}};

struct Written {
  int64_t opset = 13;
  Ints axes = {-1};
  bool twice = false;            // x - mean(x) is written twice, as PyTorch's first exporters did.
  bool by_mul = false;           // The square, and the division as a product.
  Ints scale = {6}, bias = {6};  // Empty: none.
  bool computed_epsilon = false;
  std::string also_out;  // Handed out too.
};

std::string Build(const Written& w) {
  OnnxBuilder b(w.opset);
  b.Input("x", DType::kF32, {"N", "S", "6"}).Floats("two", {}, {2}).Floats("one", {}, {1});
  if (w.computed_epsilon) {
    b.Node("ReduceMax", {"x"}, {"top"}, {{"keepdims", int64_t{0}}}).Node("Abs", {"top"}, {"eps"});
  } else {
    b.Floats("eps", {}, {1e-3f});
  }
  const auto mean = [&](const std::string& from, const std::string& to) {
    if (w.opset < 18) {
      b.Node("ReduceMean", {from}, {to}, {{"axes", w.axes}});
    } else {
      b.Ints(to + "_axes", {static_cast<int64_t>(w.axes.size())}, w.axes);
      b.Node("ReduceMean", {from, to + "_axes"}, {to});
    }
  };
  mean("x", "mu");
  b.Node("Sub", {"x", "mu"}, {"d"});
  std::string again = "d";
  if (w.twice) {
    mean("x", "mu2");
    b.Node("Sub", {"x", "mu2"}, {"d2"});
    again = "d2";
  }
  if (w.by_mul) {
    b.Node("Mul", {again, again}, {"sq"});
  } else {
    b.Node("Pow", {again, "two"}, {"sq"});
  }
  mean("sq", "var");
  b.Node("Add", {"var", "eps"}, {"ve"}).Node("Sqrt", {"ve"}, {"sd"});
  std::string result = "n";
  if (w.by_mul) {
    b.Node("Reciprocal", {"sd"}, {"r"}).Node("Mul", {"d", "r"}, {"n"});
  } else {
    b.Node("Div", {"d", "sd"}, {"n"});
  }
  if (!w.scale.empty()) {
    b.RandomFloats("gamma", w.scale, 5).Node("Mul", {"n", "gamma"}, {"g"});
    result = "g";
  }
  if (!w.bias.empty()) {
    b.RandomFloats("beta", w.bias, 6).Node("Add", {result, "beta"}, {"y"});
    result = "y";
  }
  b.Output(result);
  if (!w.also_out.empty()) b.Output(w.also_out);
  return b.Build();
}

TEST(FuseLayerNorm, MakesOneOperatorOfNine) {
  const PassOutcome outcome = RunPassesOn(Build({}), {"fuse-layer-norm"}, kTwoShapes);
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, HasSubstr("\"y\" = LayerNormalization(%"));
  EXPECT_THAT(outcome.text, HasSubstr("\"gamma\" f32[6]"));
  EXPECT_THAT(outcome.text, HasSubstr("\"beta\" f32[6]"));
  EXPECT_THAT(outcome.text, HasSubstr("{axis=2 epsilon=0.00100000005} : f32[N,S,6]\n"));
  EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

TEST(FuseLayerNorm, TakesTheFormsOfExporters) {
  const Written forms[] = {
      {.twice = true}, {.by_mul = true},          {.opset = 18, .twice = true, .by_mul = true},
      {.bias = {}},    {.scale = {}, .bias = {}}, {.scale = {1, 1, 6}, .bias = {1, 6}},
  };
  for (const Written& form : forms) {
    const PassOutcome outcome = RunPassesOn(Build(form), {"fuse-layer-norm"}, kTwoShapes);
    EXPECT_EQ(outcome.changes, 1);
    EXPECT_THAT(outcome.text, HasSubstr(" = LayerNormalization(%"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
}

TEST(FuseLayerNorm, LeavesAScaleOfAnotherShapeOutside) {
  Written form;
  form.scale = {1};
  const PassOutcome outcome = RunPassesOn(Build(form), {"fuse-layer-norm"}, kTwoShapes);
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, HasSubstr("fill/1(1) f32[6]"));
  EXPECT_THAT(outcome.text, HasSubstr(" = Mul(%"));
}

TEST(FuseLayerNorm, LeavesWhatIsNone) {
  const Written forms[] = {
      {.axes = {1}},     // Not the last dimension.
      {.axes = {1, 2}},  // One of them open: no scale could be named for it.
      {.computed_epsilon = true},
      {.also_out = "sd"},
      {.also_out = "d"},
  };
  for (const Written& form : forms) {
    EXPECT_EQ(RunPassesOn(Build(form), {"fuse-layer-norm"}, kTwoShapes).changes, 0);
  }
}

TEST(FuseLayerNorm, TakesSeveralDimensions) {
  OnnxBuilder b(13);
  b.Input("x", DType::kF32, {"N", "3", "4"}).Floats("two", {}, {2}).Floats("eps", {}, {1e-5f});
  b.RandomFloats("gamma", {3, 4}, 5);
  const OnnxBuilder::Attrs axes = {{"axes", Ints{1, 2}}};
  b.Node("ReduceMean", {"x"}, {"mu"}, axes).Node("Sub", {"x", "mu"}, {"d"});
  b.Node("Pow", {"d", "two"}, {"sq"}).Node("ReduceMean", {"sq"}, {"var"}, axes);
  b.Node("Add", {"eps", "var"}, {"ve"})
      .Node("Sqrt", {"ve"}, {"sd"})
      .Node("Div", {"d", "sd"}, {"n"});
  b.Node("Mul", {"gamma", "n"}, {"y"}).Output("y");
  const PassOutcome outcome =
      RunPassesOn(b.Build(), {"fuse-layer-norm"}, {{Shape{2, 3, 4}}, {Shape{5, 3, 4}}});
  EXPECT_THAT(outcome.text, HasSubstr("{axis=1 epsilon="));
}

}  // namespace
}  // namespace paramd
