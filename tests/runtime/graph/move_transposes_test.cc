// Transposes that cancel, move below other operators, or were taken apart.
#include "tests/runtime/graph/pass_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Ints = std::vector<int64_t>;

const OnnxBuilder::Attrs kToLast = {{"perm", Ints{0, 2, 3, 1}}};
const OnnxBuilder::Attrs kToFirst = {{"perm", Ints{0, 3, 1, 2}}};
const std::vector<std::vector<Shape>> kTwoImages = {{Shape{2, 3, 4, 5}}, {Shape{1, 3, 7, 2}}};

PassOutcome Move(const OnnxBuilder& builder,
                 const std::vector<std::vector<Shape>>& shapes = kTwoImages) {
  return RunPassesOn(builder.Build(), {"move-transposes", "remove-identities-after-transposes"},
                     shapes);
}

OnnxBuilder& Image(OnnxBuilder& builder) {
  return builder.Input("x", DType::kF32, {"N", "3", "H", "W"});
}

TEST(MoveTransposes, TwoThatCancelAreNone) {
  OnnxBuilder b;
  Image(b).Node("Transpose", {"x"}, {"t"}, kToLast).Node("Transpose", {"t"}, {"u"}, kToFirst);
  b.Node("Relu", {"u"}, {"y"}).Output("y");
  EXPECT_EQ(Move(b).text, "%3 \"y\" = Relu(%0) : f32[N,3,H,W]\n");
}

TEST(MoveTransposes, TwoInARowAreOne) {
  OnnxBuilder b;
  Image(b).Node("Transpose", {"x"}, {"t"}, kToLast).Node("Transpose", {"t"}, {"y"}, kToLast);
  b.Output("y");
  EXPECT_EQ(Move(b).text, "%2 \"y\" = Transpose(%0) {perm=[0,3,1,2]} : f32[N,W,3,H]\n");
}

// Keras by tf2onnx: activations and biases in NHWC between two layers in NCHW.
TEST(MoveTransposes, ASandwichIsOpened) {
  OnnxBuilder b;
  Image(b)
      .RandomFloats("c", {3}, 1)
      .RandomFloats("d", {1, 1, 3}, 2)
      .Floats("low", {}, {-0.5f})
      .Floats("two", {1}, {2})
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Add", {"c", "t"}, {"a"})
      .Node("Mul", {"a", "two"}, {"m"})
      .Node("Clip", {"m", "low"}, {"l"})
      .Node("Sub", {"l", "d"}, {"s"})
      .Node("Transpose", {"s"}, {"y"}, kToFirst)
      .Output("y");
  const PassOutcome outcome = Move(b);
  EXPECT_THAT(outcome.text, Not(HasSubstr("Transpose")));
  EXPECT_THAT(outcome.text, HasSubstr("Add(copy/1(\"c\") f32[1,3,1,1], %4) : f32[N,3,H,W]\n"));
}

TEST(MoveTransposes, AConstantOfSeveralDimensionsIsTurnedToo) {
  OnnxBuilder b;
  b.Input("x", DType::kF32, {"N", "3", "4", "5"})
      .RandomFloats("c", {4, 5, 3}, 1)
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Mul", {"t", "c"}, {"m"})
      .Node("Transpose", {"m"}, {"y"}, kToFirst)
      .Output("y");
  const PassOutcome outcome = Move(b, {{Shape{2, 3, 4, 5}}, {Shape{1, 3, 4, 5}}});
  EXPECT_THAT(outcome.text,
              HasSubstr("transpose/1(copy/1(\"c\") f32[1,4,5,3]; 0,3,1,2) f32[1,3,4,5]"));
}

TEST(MoveTransposes, OperandsThatAreTransposedAlikeGoTogether) {
  OnnxBuilder b;
  Image(b)
      .Node("Relu", {"x"}, {"r"})
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Transpose", {"r"}, {"u"}, kToLast)
      .Node("Add", {"t", "u"}, {"s"})
      .Node("Neg", {"r"}, {"n"})
      .Node("Transpose", {"n"}, {"v"}, kToLast)
      .Node("Concat", {"s", "v"}, {"j"}, {{"axis", int64_t{-1}}})
      .Node("Transpose", {"j"}, {"y"}, kToFirst)
      .Output("y");
  const PassOutcome outcome = Move(b);
  EXPECT_THAT(outcome.text, Not(HasSubstr("Transpose")));
  EXPECT_THAT(outcome.text, HasSubstr("Concat(%3, %5) {axis=1} : f32[N,6,H,W]"));
}

TEST(MoveTransposes, StayWhereTheyAreStillRead) {
  OnnxBuilder read_twice;
  Image(read_twice)
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Relu", {"t"}, {"r"})
      .Node("Softmax", {"t"}, {"z"})
      .Output("r")
      .Output("z");
  EXPECT_EQ(Move(read_twice).changes, 0);
  OnnxBuilder handed_out;
  Image(handed_out)
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Relu", {"t"}, {"r"})
      .Output("t")
      .Output("r");
  EXPECT_EQ(Move(handed_out).changes, 0);
}

TEST(MoveTransposes, StayAboveWhatBroadcastsTheirResult) {
  OnnxBuilder b;  // The constant is larger than what it is added to.
  b.Input("x", DType::kF32, {"N", "3", "1", "1"})
      .RandomFloats("c", {2, 2, 3}, 1)
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Add", {"t", "c"}, {"y"})
      .Output("y");
  EXPECT_EQ(Move(b, {{Shape{2, 3, 1, 1}}}).changes, 0);
  OnnxBuilder other;  // So may the other operand be, or not of the same order.
  Image(other)
      .Input("z", DType::kF32, {"N", "H", "W", "3"})
      .Node("Transpose", {"x"}, {"t"}, kToLast)
      .Node("Add", {"t", "z"}, {"y"})
      .Output("y");
  EXPECT_EQ(Move(other, {{Shape{2, 3, 4, 5}, Shape{2, 4, 5, 3}}}).changes, 0);
}

// What PyTorch's exporters write for the transpose of keys.
OnnxBuilder& AddFlatTranspose(OnnxBuilder& b, int64_t second_axis) {
  b.Input("x", DType::kF32, {"N", "H", "S", "8"})
      .Ints("minus", {1}, {-1})
      .Ints("minus2", {1}, {-2})
      .Ints("least", {1}, {INT64_MIN})
      .Ints("most", {1}, {INT64_MAX})
      .Node("Shape", {"x"}, {"shape"}, {{"start", int64_t{0}}})
      .Node("Slice", {"shape", "minus", "most"}, {"last"})
      .Node("Slice", {"shape", "minus2", "minus"}, {"second"})
      .Node("Slice", {"shape", "least", "minus2"}, {"outer"})
      .Node("Concat", {"minus", "second", "last"}, {"flat"}, {{"axis", int64_t{0}}})
      .Node("Reshape", {"x", "flat"}, {"f"})
      .Node("Transpose", {"f"}, {"t"}, {{"perm", Ints{0, second_axis, 3 - second_axis}}})
      .Node("Concat", {"outer", "last", "second"}, {"full"}, {{"axis", int64_t{0}}})
      .Node("Reshape", {"t", "full"}, {"y"});
  return b;
}

TEST(UnflattenTransposes, MakesOneOfThree) {
  OnnxBuilder b;
  AddFlatTranspose(b, 2).Output("y");
  const PassOutcome outcome =
      RunPassesOn(b.Build(), {"unflatten-transposes"}, {{Shape{2, 3, 5, 8}}, {Shape{1, 2, 33, 8}}});
  EXPECT_EQ(outcome.changes, 1);
  EXPECT_THAT(outcome.text, HasSubstr("\"y\" = Transpose(%4) {perm=[0,1,3,2]} : f32["));
  EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

TEST(UnflattenTransposes, LeavesOtherShapesAndReaders) {
  OnnxBuilder handed_out;
  AddFlatTranspose(handed_out, 2).Output("y").Output("t");
  EXPECT_EQ(RunOne(handed_out.Build(), "unflatten-transposes", {Shape{2, 3, 5, 8}}).changes, 0);
  OnnxBuilder b;  // Put together in another order than it was taken apart.
  b.Input("x", DType::kF32, {"N", "2", "4", "4"})
      .Ints("flat", {3}, {-1, 4, 4})
      .Ints("full", {4}, {2, -1, 4, 4})
      .Node("Reshape", {"x", "flat"}, {"f"})
      .Node("Transpose", {"f"}, {"t"}, {{"perm", Ints{0, 2, 1}}})
      .Node("Reshape", {"t", "full"}, {"y"})
      .Output("y");
  EXPECT_EQ(RunOne(b.Build(), "unflatten-transposes", {Shape{3, 2, 4, 4}}).changes, 0);
}

}  // namespace
}  // namespace paramd
