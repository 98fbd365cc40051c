#include "runtime/graph/batch_safety.h"

#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/passes/pass_list.h"
#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;

struct Case {
  const char* name;
  // x [N, 4], i [N, 3, 8, 8] and integers ids [N, S] are there, y is the output.
  void (*make)(OnnxBuilder& builder);
  const char* why_not;                 // Empty: safe.
};

class BatchSafetyTable : public ::testing::TestWithParam<Case> {};

TEST_P(BatchSafetyTable, ProvesOrSaysWhyNot) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "4"}).Input("i", DType::kF32, {"N", "3", "8", "8"});
  builder.Input("ids", DType::kI64, {"N", "S"});
  GetParam().make(builder);
  auto model = ImportBytes(builder.Output("y").Build());
  ASSERT_OK(model.status());
  const BatchSafety before = ProveBatchSafety(model->graph());
  EXPECT_EQ(before.safe, GetParam().why_not[0] == '\0') << before.reason;
  EXPECT_THAT(before.reason, HasSubstr(GetParam().why_not));
  // Passes change how a graph is written, not what it does.
  PassOptions options;
  options.evaluate = ReferenceEvaluator();
  ASSERT_OK(RunPasses(model->graph(), options).status());
  EXPECT_EQ(ProveBatchSafety(model->graph()).safe, before.safe)
      << ProveBatchSafety(model->graph()).reason << "\n"
      << ToText(model->graph());
}

// y = a row of a table for each of ids + the first `count` rows of another, as encoders have them.
void AddPositions(OnnxBuilder& b, const char* count) {
  b.RandomFloats("words", {9, 4}, 1).RandomFloats("places", {3, 4}, 2);
  b.Ints("numbers", {1, 3}, {0, 1, 2});
  b.Ints("from", {1}, {0}).Ints("inner", {1}, {1});
  b.Node("Slice", {"numbers", "from", count, "inner"}, {"first"});
  b.Node("Gather", {"places", "first"}, {"p"});
  b.Node("Gather", {"words", "ids"}, {"w"}).Node("Add", {"w", "p"}, {"y"});
}

const Case kCases[] = {
    {"mlp",
     [](OnnxBuilder& b) {
       b.RandomFloats("w", {4, 3}, 1).RandomFloats("b", {3}, 2);
       b.Node("Gemm", {"x", "w", "b"}, {"g"}).Node("Relu", {"g"}, {"r"});
       b.Node("Softmax", {"r"}, {"y"});
     },
     ""},
    {"convolution",
     [](OnnxBuilder& b) {
       b.RandomFloats("w", {3, 3, 3, 3}, 1);
       b.Node("Conv", {"i", "w"}, {"c"}, {{"pads", Ints{1, 1, 1, 1}}});
       b.Node("Add", {"c", "i"}, {"r"}).Node("GlobalAveragePool", {"r"}, {"p"});
       b.Node("Flatten", {"p"}, {"y"});
     },
     ""},
    {"attention_within_rows",
     [](OnnxBuilder& b) {
       b.Node("Transpose", {"i"}, {"t"}, {{"perm", Ints{0, 1, 3, 2}}});
       b.Node("MatMul", {"i", "t"}, {"s"}).Node("Softmax", {"s"}, {"p"});
       b.Node("MatMul", {"p", "i"}, {"y"});
     },
     ""},
    {"attention_between_rows",
     [](OnnxBuilder& b) {
       b.Ints("heads", {3}, {0, 2, 2}).Node("Reshape", {"x", "heads"}, {"h"});
       b.Node("Transpose", {"h"}, {"q"}, {{"perm", Ints{1, 0, 2}}});
       b.Node("Transpose", {"h"}, {"k"}, {{"perm", Ints{1, 2, 0}}});
       b.Node("MatMul", {"q", "k"}, {"s"}).Node("Softmax", {"s"}, {"p"});
       b.Node("MatMul", {"p", "q"}, {"pv"});
       b.Node("Transpose", {"pv"}, {"y"}, {{"perm", Ints{1, 0, 2}}});
     },
     "moves the batch"},
    {"a_position_for_each_of_a_sentence",
     [](OnnxBuilder& b) {
       b.Node("Shape", {"ids"}, {"sizes"});
       b.Ints("one", {1}, {1}).Node("Gather", {"sizes", "one"}, {"s"});
       AddPositions(b, "s");
     },
     ""},
    {"a_position_for_each_row",
     [](OnnxBuilder& b) {
       b.Node("Shape", {"ids"}, {"sizes"});
       b.Ints("n", {1}, {0}).Node("Gather", {"sizes", "n"}, {"s"});
       AddPositions(b, "s");
     },
     "computes data from the number of rows"},
    {"a_position_for_each_of_a_dimension_made_of_the_batch",
     [](OnnxBuilder& b) {
       b.Node("Shape", {"ids"}, {"sizes"});
       b.Ints("n", {1}, {0}).Node("Gather", {"sizes", "n"}, {"N"});
       b.Ints("rest", {1}, {-1}).Node("Concat", {"N", "N", "rest"}, {"to"}, {{"axis", int64_t{0}}});
       b.Node("Reshape", {"ids", "to"}, {"square"}).Node("Shape", {"square"}, {"sides"});
       b.Ints("one", {1}, {1}).Node("Gather", {"sides", "one"}, {"s"});
       AddPositions(b, "s");
     },
     "node '"},
    {"resize_by_scales",
     [](OnnxBuilder& b) {
       b.Floats("s", {4}, {1, 1, 2, 2});
       b.Node("Resize", {"i", "", "s"}, {"y"});
     },
     ""},
    {"resize_of_the_batch",
     [](OnnxBuilder& b) {
       b.Floats("s", {4}, {2, 1, 1, 1});
       b.Node("Resize", {"i", "", "s"}, {"y"});
     },
     "not proved"},
    {"the_best_of_each_row",
     [](OnnxBuilder& b) {
       b.Node("ArgMax", {"x"}, {"a"}, {{"axis", int64_t{1}}});
       b.Node("Cast", {"a"}, {"y"}, {{"to", int64_t{1}}});
     },
     ""},
    {"the_best_row",
     [](OnnxBuilder& b) {
       b.Node("ArgMax", {"x"}, {"a"}, {{"axis", int64_t{0}}});
       b.Node("Cast", {"a"}, {"y"}, {{"to", int64_t{1}}});
     },
     "along the batch"},
    {"running_sums_have_no_rule",
     [](OnnxBuilder& b) {
       b.Ints("a", {}, {1});
       b.Node("CumSum", {"x", "a"}, {"y"});
     },
     "no rule"},
    {"reshape_to_the_batch_it_reads",
     [](OnnxBuilder& b) {
       b.Ints("zero", {1}, {0}).Ints("rest", {1}, {-1}).Node("Shape", {"i"}, {"s"});
       b.Node("Gather", {"s", "zero"}, {"n"});
       b.Node("Concat", {"n", "rest"}, {"t"}, {{"axis", int64_t{0}}});
       b.Node("Reshape", {"i", "t"}, {"y"});
     },
     ""},
    {"attention",
     [](OnnxBuilder& b) {
       b.Node("Transpose", {"i"}, {"t"}, {{"perm", Ints{0, 1, 3, 2}}});
       b.Node("MatMul", {"i", "t"}, {"m"}).Node("Softmax", {"m"}, {"s"});
       b.Node("MatMul", {"s", "i"}, {"y"});
     },
     ""},
    {"softmax_over_the_batch",
     [](OnnxBuilder& b) {
       b.Node("Softmax", {"x"}, {"y"}, {{"axis", int64_t{0}}});
     },
     "works along the batch"},
    {"mean_over_the_batch",
     [](OnnxBuilder& b) {
       b.Node("ReduceMean", {"x"}, {"m"}, {{"axes", Ints{0}}}).Node("Sub", {"x", "m"}, {"y"});
     },
     "reduces the batch"},
    {"maximum_of_everything",
     [](OnnxBuilder& b) {
       b.Node("ReduceMax", {"x"}, {"m"}).Node("Sub", {"x", "m"}, {"y"});
     },
     "reduces the batch"},
    {"rows_by_rows",
     [](OnnxBuilder& b) {
       b.Node("Transpose", {"x"}, {"t"}, {{"perm", Ints{1, 0}}}).Node("MatMul", {"x", "t"}, {"y"});
     },
     "moves the batch"},
    {"reversed",
     [](OnnxBuilder& b) {
       b.Ints("s", {1}, {-1}).Ints("e", {1}, {INT64_MIN}).Ints("a", {1}, {0}).Ints("m", {1}, {-1});
       b.Node("Slice", {"x", "s", "e", "a", "m"}, {"y"});
     },
     "node 'y' (Slice)"},
    {"first_row_only",
     [](OnnxBuilder& b) {
       b.Ints("zero", {1}, {0}).Node("Gather", {"x", "zero"}, {"f"}).Node("Add", {"x", "f"}, {"y"});
     },
     "node 'f' (Gather)"},
    {"a_row_for_each",
     [](OnnxBuilder& b) {
       b.RandomFloats("c", {5, 4}, 1).Node("Add", {"x", "c"}, {"y"});
     },
     "first dimension"},
    {"divided_by_the_number_of_rows",
     [](OnnxBuilder& b) {
       b.Ints("zero", {}, {0}).Node("Shape", {"x"}, {"s"}).Node("Gather", {"s", "zero"}, {"n"});
       b.Node("Cast", {"n"}, {"f"}, {{"to", int64_t{1}}}).Node("Div", {"x", "f"}, {"y"});
     },
     "computes with the number of rows"},
    {"concatenated_along_the_batch",
     [](OnnxBuilder& b) {
       b.Node("Concat", {"x", "x"}, {"y"}, {{"axis", int64_t{0}}});
     },
     "node 'y' (Concat)"},
    {"reshaped_across_the_batch",
     [](OnnxBuilder& b) {
       b.Ints("s", {2}, {2, -1}).Node("Reshape", {"x", "s"}, {"y"});
     },
     "keep the batch"},
    {"fixed_output",
     [](OnnxBuilder& b) {
       b.Floats("c", {2}, {1, 2}).Node("Exp", {"c"}, {"y"});
     },
     "output 'y' does not have the batch"},
};

INSTANTIATE_TEST_SUITE_P(Cases, BatchSafetyTable, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(BatchSafety, NeedsOneNameForAllFirstDimensions) {
  for (const char* other : {"M", "2", ""}) {
    auto model = ImportBytes(OnnxBuilder()
                                 .Input("a", DType::kF32, {"N", "4"})
                                 .Input("b", DType::kF32, {other, "4"})
                                 .Node("Relu", {"a"}, {"y"})
                                 .Node("Relu", {"b"}, {"z"})
                                 .Output("y")
                                 .Output("z")
                                 .Build());
    ASSERT_OK(model.status());
    EXPECT_FALSE(ProveBatchSafety(model->graph()).safe) << other;
  }
}

TEST(BatchSafety, RefusesTheBatchAsAnotherDimensionToo) {
  auto model = ImportBytes(OnnxBuilder()
                               .Input("a", DType::kF32, {"N", "N"})
                               .Node("Relu", {"a"}, {"y"})
                               .Output("y")
                               .Build());
  ASSERT_OK(model.status());
  EXPECT_THAT(ProveBatchSafety(model->graph()).reason, HasSubstr("more than its first dimension"));
}

}  // namespace
}  // namespace paramd
