#include "runtime/backends/spec_validation.h"

#include <string>

#include "runtime/backends/reference/reference_backend.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

Operand Activation(const Shape& shape, DType dtype = DType::kF32) {
  return {.kind = OperandKind::kActivation, .dtype = dtype, .shape = shape};
}

OpSpec Spec(OpParams params, std::vector<Operand> inputs, Operand output) {
  return {.params = std::move(params), .inputs = std::move(inputs), .outputs = {std::move(output)}};
}

ConvParams Conv(int64_t stride, int64_t pad, int64_t dilation = 1, int64_t groups = 1) {
  return {{stride, stride}, {dilation, dilation}, {pad, pad}, {pad, pad}, groups};
}

PoolParams Pool(std::vector<int64_t> kernel, int64_t stride) {
  return {PoolParams::Kind::kMax, std::move(kernel), {stride, stride}, {1, 1}, {0, 0}, {0, 0}};
}

struct BadSpec {
  std::string what;  // In the message.
  OpSpec spec;
};

std::vector<BadSpec> BadSpecs() {
  constexpr int64_t kHuge = int64_t{1} << 61;
  std::vector<BadSpec> bad = {
      {"needs 1", Spec(UnaryParams{}, {}, Activation({2}))},
      {"absent", Spec(UnaryParams{}, {Operand{}}, Activation({2}))},
      {"no type", Spec(UnaryParams{}, {Activation({2}, DType::kUndefined)}, Activation({2}))},
      {"no type", Spec(UnaryParams{}, {Activation({2}, static_cast<DType>(200))}, Activation({2}))},
      {"negative", Spec(UnaryParams{}, {Activation({-1})}, Activation({-1}))},
      {"2^62", Spec(UnaryParams{}, {Activation({kHuge, 8})}, Activation({kHuge, 8}))},
      {"output shape is [3], the inputs imply [2]",
       Spec(UnaryParams{}, {Activation({2})}, Activation({3}))},
      {"used by nothing", Spec(UnaryParams{}, {Activation({2}), Activation({2})}, Activation({2}))},
      {"do not broadcast",
       Spec(BinaryParams{}, {Activation({2}), Activation({3})}, Activation({3}))},
      {"expected bool",
       Spec(BinaryParams{BinaryKind::kEqual}, {Activation({2}), Activation({2})}, Activation({2}))},
      {"expected bool", Spec(BinaryParams{BinaryKind::kAnd}, {Activation({2}), Activation({2})},
                             Activation({2}, DType::kBool))},
      {"rank 2", Spec(Conv(1, 0), {Activation({2, 3}), Activation({4, 3})}, Activation({2, 4}))},
      {"stride 0", Spec(Conv(0, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
                        Activation({1, 4, 6, 6}))},
      {"pad -1", Spec(Conv(1, -1), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
                      Activation({1, 4, 4, 4}))},
      {"pad 9223372036854775807",
       Spec(Conv(1, INT64_MAX), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
            Activation({1, 4, 4, 4}))},
      {"dilation 0", Spec(Conv(1, 0, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
                          Activation({1, 4, 6, 6}))},
      {"do not go together",
       Spec(Conv(1, 0, 1, 2), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
            Activation({1, 4, 6, 6}))},
      {"do not go together",
       Spec(Conv(1, 0, 1, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
            Activation({1, 4, 6, 6}))},
      {"the inputs imply [1,4,6,6]",
       Spec(Conv(1, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3})},
            Activation({1, 4, 7, 6}))},
      {"kernel 0", Spec(Conv(1, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 0, 3})},
                        Activation({1, 4, 9, 6}))},
      {"bias is [5]",
       Spec(Conv(1, 0), {Activation({1, 3, 8, 8}), Activation({4, 3, 3, 3}), Activation({5})},
            Activation({1, 4, 6, 6}))},
      {"inner dimensions 3 and 4",
       Spec(MatMulParams{}, {Activation({2, 3}), Activation({4, 5})}, Activation({2, 5}))},
      {"ranks 1 and 2",
       Spec(MatMulParams{}, {Activation({3}), Activation({3, 5})}, Activation({5}))},
      {"does not broadcast",
       Spec(MatMulParams{}, {Activation({2, 3}), Activation({3, 5}), Activation({4})},
            Activation({2, 5}))},
      {"does not broadcast",
       Spec(MatMulParams{}, {Activation({2, 3}), Activation({3, 5}), Activation({7, 2, 5})},
            Activation({2, 5}))},
      {"kernel has 1 values",
       Spec(Pool({2}, 1), {Activation({1, 3, 8, 8})}, Activation({1, 3, 7, 7}))},
      {"takes 7 steps",
       Spec(Pool({2, 2}, 1), {Activation({1, 3, 8, 8})}, Activation({1, 3, 8, 7}))},
      {"axis 2", Spec(SoftmaxParams{.axis = 2}, {Activation({3, 4})}, Activation({3, 4}))},
      {"axis -3", Spec(SoftmaxParams{.axis = -3}, {Activation({3, 4})}, Activation({3, 4}))},
      {"axis -1", Spec(SoftmaxParams{}, {Activation({})}, Activation({}))},
      {"sorted",
       Spec(ReduceParams{ReduceKind::kSum, {1, 0}}, {Activation({3, 4})}, Activation({1, 1}))},
      {"sorted",
       Spec(ReduceParams{ReduceKind::kSum, {0, 0}}, {Activation({3, 4})}, Activation({1, 4}))},
      {"sorted",
       Spec(ReduceParams{ReduceKind::kSum, {2}}, {Activation({3, 4})}, Activation({3, 4}))},
      {"the inputs imply [1,4]",
       Spec(ReduceParams{ReduceKind::kSum, {0}}, {Activation({3, 4})}, Activation({3}))},
      {"size 0", Spec(LrnParams{.size = 0}, {Activation({1, 3, 2, 2})}, Activation({1, 3, 2, 2}))},
      {"along axis 1",
       Spec(ConcatParams{1}, {Activation({2, 3}), Activation({3, 3})}, Activation({2, 6}))},
      {"expected f32", Spec(ConcatParams{1}, {Activation({2, 3}), Activation({2, 3}, DType::kI64)},
                            Activation({2, 6}))},
      {"permutation", Spec(TransposeParams{{0, 0}}, {Activation({2, 3})}, Activation({2, 2}))},
      {"permutation", Spec(TransposeParams{{0, -1}}, {Activation({2, 3})}, Activation({2, 3}))},
      {"perm has 1", Spec(TransposeParams{{0}}, {Activation({2, 3})}, Activation({2, 3}))},
      {"has 6 elements", Spec(ReshapeParams{}, {Activation({2, 3})}, Activation({7}))},
      {"reach outside", Spec(SliceParams{{1}, {2}}, {Activation({6})}, Activation({4}))},
      {"reach outside", Spec(SliceParams{{-1}, {1}}, {Activation({6})}, Activation({1}))},
      {"reach outside", Spec(SliceParams{{INT64_MIN}, {1}}, {Activation({6})}, Activation({1}))},
      {"reach outside", Spec(SliceParams{{5}, {INT64_MIN}}, {Activation({6})}, Activation({2}))},
      {"reach outside", Spec(SliceParams{{0}, {INT64_MAX}}, {Activation({6})}, Activation({3}))},
      {"step of dimension 0 is 0", Spec(SliceParams{{0}, {0}}, {Activation({6})}, Activation({6}))},
      {"expected i32 or i64",
       Spec(GatherParams{0}, {Activation({6}), Activation({2})}, Activation({2}))},
      {"take more",
       Spec(PadParams{PadParams::Mode::kConstant, {-4}, {-4}}, {Activation({6})}, Activation({0}))},
      {"out of range", Spec(PadParams{PadParams::Mode::kConstant, {INT64_MIN}, {INT64_MAX}},
                            {Activation({6})}, Activation({5}))},
      {"no element to repeat",
       Spec(PadParams{PadParams::Mode::kEdge, {1}, {0}}, {Activation({0})}, Activation({1}))},
      {"the inputs imply [3]", Spec(ExpandParams{}, {Activation({3})}, Activation({1}))},
      {"condition is f32",
       Spec(WhereParams{}, {Activation({3}), Activation({3}), Activation({3})}, Activation({3}))},
      {"from f32 to i64", Spec(ReorderParams{}, {Activation({3})}, Activation({3}, DType::kI64))},
  };
  OpSpec add = Spec(UnaryParams{}, {Activation({2})}, Activation({2}));
  add.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 7}};
  bad.push_back({"adds input 7", add});
  add.post_ops[0].operand = -1;
  bad.push_back({"adds input -1", add});
  add.inputs.push_back(Activation({3}));
  add.post_ops[0].operand = 1;
  bad.push_back({"adds [3] to [2]", add});
  OpSpec outputs = Spec(UnaryParams{}, {Activation({2})}, Activation({2}));
  outputs.outputs.push_back(Activation({2}));
  bad.push_back({"2 outputs", outputs});
  outputs.outputs = {Operand{}};
  bad.push_back({"output 0 is no activation", outputs});
  outputs.outputs.clear();
  bad.push_back({"0 outputs", outputs});
  return bad;
}

TEST(SpecValidation, RefusesWhatIsInconsistentAndSaysWhy) {
  for (const BadSpec& bad : BadSpecs()) {
    SCOPED_TRACE(Describe(bad.spec));
    EXPECT_THAT(ValidateSpec(bad.spec),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.what)));
    // The backend asks too: a caller may come to it without the planner.
    EXPECT_THAT(ReferenceBackend().Compile(bad.spec),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.what)));
  }
}

TEST(SpecValidation, KnowsWhereThePostOpsOperandsBegin) {
  OpSpec spec =
      Spec(ConcatParams{0}, {Activation({2}), Activation({3}), Activation({5})}, Activation({5}));
  spec.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 2}};
  EXPECT_EQ(OwnInputs(spec), 2);
  EXPECT_OK(ValidateSpec(spec));
  spec.post_ops.clear();
  EXPECT_EQ(OwnInputs(spec), 3);
  EXPECT_THAT(ValidateSpec(spec), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SpecValidation, LetsACeilModePoolTakeOneStepMore) {
  OpSpec spec = Spec(Pool({3, 3}, 2), {Activation({1, 1, 8, 8})}, Activation({1, 1, 4, 4}));
  EXPECT_OK(ValidateSpec(spec));
  spec.outputs[0].shape = {1, 1, 3, 3};
  EXPECT_OK(ValidateSpec(spec));
  spec.outputs[0].shape = {1, 1, 5, 3};
  EXPECT_THAT(ValidateSpec(spec), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SpecValidation, BroadcastsAsNumpyDoes) {
  EXPECT_THAT(BroadcastShapes({2, 1, 5}, {3, 1}), IsOkAndHolds(Shape{2, 3, 5}));
  EXPECT_THAT(BroadcastShapes({}, {4}), IsOkAndHolds(Shape{4}));
  EXPECT_THAT(BroadcastShapes({0}, {1}), IsOkAndHolds(Shape{0}));
  EXPECT_THAT(BroadcastShapes({0}, {3}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
