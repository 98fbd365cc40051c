// GELU, SiLU, HardSwish and HardSigmoid as exporters write them out.
#include <algorithm>
#include <cmath>
#include <memory>

#include "tests/runtime/graph/pass_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Shapes = std::vector<std::vector<Shape>>;

const Shapes kTwoShapes = {{Shape{2, 5, 4}}, {Shape{1, 33, 4}}};

// x [N, S, 4] and numbers that formulas are made of; y is the output.
class Formula {
 public:
  Formula() {
    builder_->Input("x", DType::kF32, {"N", "S", "4"});
  }
  Formula& Number(const std::string& name, float value, const std::vector<int64_t>& dims = {}) {
    builder_->Floats(name, dims, {value});
    return *this;
  }
  Formula& Node(std::string_view op, const std::vector<std::string>& inputs, const std::string& to,
                const OnnxBuilder::Attrs& attrs = {}) {
    builder_->Node(op, inputs, {to}, attrs);
    return *this;
  }
  Formula& Output(const std::string& name) {
    builder_->Output(name);
    return *this;
  }
  std::string Build() { return builder_->Output("y").Build(); }

 private:
  std::unique_ptr<OnnxBuilder> builder_ = std::make_unique<OnnxBuilder>();
};

int ChangesOf(const std::string& bytes, std::string_view pass) {
  return RunPassesOn(bytes, {pass}, kTwoShapes).changes;
}

TEST(FuseGelu, TakesEveryOrderOfTheFactorsOfTheErrorFunction) {
  for (const int form : {0, 1, 2, 3}) {
    Formula f;
    f.Number("half", 0.5f).Number("one", 1, {1}).Number("root", std::sqrt(2.0f));
    f.Number("inverse", std::sqrt(0.5f));
    if (form == 3) {
      f.Node("Mul", {"inverse", "x"}, "u");
    } else {
      f.Node("Div", {"x", "root"}, "u");
    }
    f.Node("Erf", {"u"}, "e").Node("Add", {form == 1 ? "one" : "e", form == 1 ? "e" : "one"}, "s");
    if (form == 0) f.Node("Mul", {"x", "s"}, "m").Node("Mul", {"m", "half"}, "y");  // PyTorch
    if (form == 1) f.Node("Mul", {"half", "s"}, "m").Node("Mul", {"x", "m"}, "y");  // its Dynamo
    if (form >= 2) f.Node("Mul", {"half", "x"}, "m").Node("Mul", {"m", "s"}, "y");  // TensorFlow
    const PassOutcome outcome = RunPassesOn(f.Build(), {"fuse-gelu"}, kTwoShapes);
    EXPECT_EQ(outcome.changes, 1) << form;
    EXPECT_THAT(outcome.text, HasSubstr("\"y\" = Gelu(%4) {approximate=\"none\"} : f32[N,S,4]\n"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1);
  }
}

TEST(FuseGelu, TakesTheFormsByTanh) {
  for (const int form : {0, 1, 2}) {
    Formula f;
    f.Number("half", 0.5f).Number("one", 1).Number("three", 3).Number("c", 0.044715f);
    f.Number("root", std::sqrt(2 / 3.14159265f));
    if (form == 0) {  // PyTorch
      f.Node("Pow", {"x", "three"}, "p").Node("Mul", {"p", "c"}, "q").Node("Add", {"x", "q"}, "s");
    } else if (form == 1) {  // jax2tf
      f.Node("Mul", {"c", "x"}, "p").Node("Mul", {"x", "p"}, "q").Node("Mul", {"x", "q"}, "r");
      f.Node("Add", {"x", "r"}, "s");
    } else {  // Hugging Face's gelu_fast
      f.Node("Mul", {"x", "c"}, "p").Node("Mul", {"p", "x"}, "q").Node("Add", {"one", "q"}, "r");
      f.Node("Mul", {"x", "root"}, "t").Node("Mul", {"t", "r"}, "u");
    }
    if (form < 2) f.Node("Mul", {"root", "s"}, "u");
    f.Node("Tanh", {"u"}, "e").Node("Add", {"one", "e"}, "v");
    f.Node("Mul", {"half", "v"}, "w").Node("Mul", {"x", "w"}, "y");
    const PassOutcome outcome = RunPassesOn(f.Build(), {"fuse-gelu"}, kTwoShapes);
    EXPECT_EQ(outcome.changes, 1) << form;
    EXPECT_THAT(outcome.text, HasSubstr("\"y\" = Gelu(%5) {approximate=\"tanh\"} : f32[N,S,4]\n"));
  }
}

TEST(FuseGelu, LeavesWhatOnlyLooksLikeIt) {
  const auto gelu = [](float root, float half, const char* outer) {
    Formula f;
    f.Number("half", half).Number("one", 1).Number("root", root).Node("Relu", {"x"}, "other");
    f.Node("Div", {"x", "root"}, "u").Node("Erf", {"u"}, "e").Node("Add", {"e", "one"}, "s");
    f.Node("Mul", {outer, "s"}, "m").Node("Mul", {"m", "half"}, "y");
    return f;
  };
  EXPECT_EQ(ChangesOf(gelu(1.5f, 0.5f, "x").Build(), "fuse-gelu"), 0);
  EXPECT_EQ(ChangesOf(gelu(std::sqrt(2.0f), 0.4f, "x").Build(), "fuse-gelu"), 0);
  EXPECT_EQ(ChangesOf(gelu(std::sqrt(2.0f), 0.5f, "other").Build(), "fuse-gelu"), 0);
  // What lies between is handed out.
  EXPECT_EQ(ChangesOf(gelu(std::sqrt(2.0f), 0.5f, "x").Output("e").Build(), "fuse-gelu"), 0);
}

TEST(FuseGelu, LeavesANumberThatAddsDimensions) {
  Formula f;
  f.Number("half", 0.5f, {1, 1, 1, 1}).Number("one", 1).Number("root", std::sqrt(2.0f));
  f.Node("Div", {"x", "root"}, "u").Node("Erf", {"u"}, "e").Node("Add", {"e", "one"}, "s");
  f.Node("Mul", {"x", "s"}, "m").Node("Mul", {"m", "half"}, "y");
  EXPECT_EQ(ChangesOf(f.Build(), "fuse-gelu"), 0);
}

TEST(FuseSilu, MakesOneOpOfTwo) {
  const PassOutcome outcome =
      RunPassesOn(Formula().Node("Sigmoid", {"x"}, "s").Node("Mul", {"s", "x"}, "y").Build(),
                  {"fuse-silu"}, kTwoShapes);
  EXPECT_EQ(outcome.text, "%2 \"y\" = paramd.Silu(%0) : f32[N,S,4]\n");
}

TEST(FuseSilu, TakesAFactorInsideTheSigmoid) {
  for (const float factor : {1.0f, 1.702f}) {  // PaddlePaddle's swish; CLIP's QuickGELU.
    Formula f;
    f.Number("beta", factor, {1}).Node("Mul", {"x", "beta"}, "b");
    f.Node("Sigmoid", {"b"}, "s").Node("Mul", {"x", "s"}, "y");
    const PassOutcome outcome = RunPassesOn(f.Build(), {"fuse-silu"}, kTwoShapes);
    EXPECT_THAT(outcome.text,
                HasSubstr(factor == 1 ? "paramd.Silu(%1) : " : "paramd.Silu(%1) {alpha=1.70"));
  }
}

TEST(FuseSilu, LeavesAGateOfSomethingElse) {
  EXPECT_EQ(ChangesOf(Formula()
                          .Node("Relu", {"x"}, "r")
                          .Node("Sigmoid", {"r"}, "s")
                          .Node("Mul", {"s", "x"}, "y")
                          .Build(),
                      "fuse-silu"),
            0);
  EXPECT_EQ(ChangesOf(Formula()
                          .Node("Sigmoid", {"x"}, "s")
                          .Node("Mul", {"s", "x"}, "m")
                          .Node("Add", {"m", "s"}, "y")
                          .Build(),
                      "fuse-silu"),
            0);
}

// The forms of MobileNetV3, by PyTorch's old exporter and PaddlePaddle's.
TEST(FuseHardSwish, TakesItWrittenOut) {
  for (const int form : {0, 1, 2, 3}) {
    Formula f;
    f.Number("three", 3, {1}).Number("zero", 0).Number("six", 6).Number("sixth", 1.0f / 6);
    if (form == 3) {
      f.Node("HardSigmoid", {"x"}, "g", {{"alpha", 1.0f / 6}, {"beta", 0.5f}});
      f.Node("Mul", {"x", "g"}, "y");
    } else {
      f.Node("Add", {"x", "three"}, "a").Node("Clip", {"a", "zero", "six"}, "c");
    }
    if (form == 0) f.Node("Mul", {"x", "c"}, "m").Node("Div", {"m", "six"}, "y");
    if (form == 1) f.Node("Div", {"c", "six"}, "d").Node("Mul", {"d", "x"}, "y");
    if (form == 2) f.Node("Mul", {"c", "sixth"}, "d").Node("Mul", {"x", "d"}, "y");
    const PassOutcome outcome = RunPassesOn(f.Build(), {"fuse-hard-swish"}, kTwoShapes);
    EXPECT_THAT(outcome.text, HasSubstr("\"y\" = HardSwish(%4) : f32[N,S,4]\n")) << form;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1);
  }
}

TEST(FuseHardSwish, TakesTheGateAlone) {
  Formula f;
  f.Number("three", 3).Number("zero", 0).Number("six", 6);
  f.Node("Add", {"three", "x"}, "a").Node("Clip", {"a", "zero", "six"}, "c");
  f.Node("Div", {"c", "six"}, "y");
  EXPECT_THAT(RunPassesOn(f.Build(), {"fuse-hard-swish"}, kTwoShapes).text,
              HasSubstr("\"y\" = HardSigmoid(%3) {alpha=0.166666672 beta=0.5}"));
}

TEST(FuseHardSwish, LeavesOtherBoundsAndValuesThatAreReadTwice) {
  const auto gate = [](float shift, float low, float high) {
    Formula f;
    f.Number("shift", shift).Number("low", low).Number("high", high).Number("six", 6);
    f.Node("Add", {"x", "shift"}, "a").Node("Clip", {"a", "low", "high"}, "c");
    f.Node("Mul", {"x", "c"}, "m").Node("Div", {"m", "six"}, "y");
    return f;
  };
  EXPECT_EQ(ChangesOf(gate(2, 0, 6).Build(), "fuse-hard-swish"), 0);
  EXPECT_EQ(ChangesOf(gate(3, -1, 6).Build(), "fuse-hard-swish"), 0);
  EXPECT_EQ(ChangesOf(gate(3, 0, 5).Build(), "fuse-hard-swish"), 0);
  EXPECT_EQ(ChangesOf(gate(3, 0, 6).Output("c").Build(), "fuse-hard-swish"), 0);
}

}  // namespace
}  // namespace paramd
