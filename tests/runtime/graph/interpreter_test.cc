#include "runtime/graph/interpreter.h"

#include <string>
#include <vector>

#include "runtime/backends/backend_list.h"
#include "tests/support/graph_maker.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Named: GCC 14 takes the moved temporary of an empty Shape for uninitialised.
const Shape kScalar;

Tensor Floats(Shape shape, std::vector<float> values) {
  return Tensor::Of<float>(DType::kF32, std::move(shape), values);
}
RuntimeValue Vector(Shape shape, std::vector<float> values) {
  return RuntimeValue::Of(Floats(std::move(shape), std::move(values)));
}
RuntimeValue Int(int64_t number) {
  return RuntimeValue::Of(Tensor::Of<int64_t>(DType::kI64, kScalar, {number}));
}
RuntimeValue Bool(bool truth) {
  return RuntimeValue::Of(
      Tensor::Of<uint8_t>(DType::kBool, kScalar, {static_cast<uint8_t>(truth)}));
}
std::vector<float> FloatsOf(const RuntimeValue& value) {
  return {value.view().as<float>().begin(), value.view().as<float>().end()};
}
std::vector<int64_t> IntsOf(const RuntimeValue& value) {
  return {value.view().as<int64_t>().begin(), value.view().as<int64_t>().end()};
}

class InterpreterTest : public testing::Test {
 protected:
  Interpreter interpreter_{{.backends = AllBackends(), .loop_rounds_max = 1000}};
};

// cond, x -> cond ? x + w : x * x, where x and w come from outside the branches.
std::unique_ptr<Graph> IfGraph() {
  GraphMaker outer("outer");
  const ValueId cond = outer.Input("cond", DType::kBool, {});
  const ValueId x = outer.Input("x", DType::kF32, {Dim::Named("N")});
  const ValueId w = outer.Floats("w", Shape{1}, {10});
  GraphMaker then("then");
  then.Output(then.Op("Add", {then.Capture(x, DType::kF32, {Dim::Named("N")}),
                              then.Capture(w, DType::kF32, {Dim::Of(1)})}));
  GraphMaker otherwise("else");
  const ValueId captured = otherwise.Capture(x, DType::kF32, {Dim::Named("N")});
  otherwise.Output(otherwise.Op("Mul", {captured, captured}));
  outer.Output(
      outer.Op("If", {cond},
               {{"then_branch", then.TakeSubgraph()}, {"else_branch", otherwise.TakeSubgraph()}}));
  return outer.Take();
}

TEST_F(InterpreterTest, IfTakesTheBranchOfTheCondition) {
  const std::unique_ptr<Graph> graph = IfGraph();
  const RuntimeValue x = Vector(Shape{3}, {1, 2, 3});
  ASSERT_OK_AND_ASSIGN(auto taken, interpreter_.Run(*graph, {Bool(true), x}));
  EXPECT_THAT(FloatsOf(taken[0]), ElementsAre(11, 12, 13));
  ASSERT_OK_AND_ASSIGN(auto other, interpreter_.Run(*graph, {Bool(false), x}));
  EXPECT_THAT(FloatsOf(other[0]), ElementsAre(1, 4, 9));
}

// rounds, x -> x doubled `rounds` times, and every value on the way.
std::unique_ptr<Graph> LoopGraph(bool endless) {
  GraphMaker body("body");
  body.Input("round", DType::kI64, {});
  const ValueId go_on = body.Input("cond", DType::kBool, {});
  const ValueId state = body.Input("state", DType::kF32, {Dim::Of(2)});
  const ValueId doubled = body.Op("Add", {state, state});
  body.Output(body.Op("Identity", {go_on}, {}, DType::kBool));
  body.Output(doubled);
  body.Output(body.Op("Identity", {doubled}), DType::kF32, {Dim::Of(2)});
  GraphMaker outer("outer");
  const ValueId rounds = outer.Input("rounds", DType::kI64, {});
  const ValueId x = outer.Input("x", DType::kF32, {Dim::Of(2)});
  const std::vector<ValueId> results =
      outer.Ops("Loop", {endless ? kNone : rounds, kNone, x}, 2, {{"body", body.TakeSubgraph()}});
  outer.Output(results[0]);
  outer.Output(results[1]);
  return outer.Take();
}

TEST_F(InterpreterTest, LoopCarriesItsStateAndStacksWhatItScans) {
  const std::unique_ptr<Graph> graph = LoopGraph(/*endless=*/false);
  ASSERT_OK_AND_ASSIGN(auto out, interpreter_.Run(*graph, {Int(3), Vector(Shape{2}, {1, -1})}));
  EXPECT_THAT(FloatsOf(out[0]), ElementsAre(8, -8));
  EXPECT_EQ(out[1].shape(), (Shape{3, 2}));
  EXPECT_THAT(FloatsOf(out[1]), ElementsAre(2, -2, 4, -4, 8, -8));
}

TEST_F(InterpreterTest, ALoopThatNeverRunsGivesItsStateAndNoRows) {
  const std::unique_ptr<Graph> graph = LoopGraph(/*endless=*/false);
  ASSERT_OK_AND_ASSIGN(auto out, interpreter_.Run(*graph, {Int(0), Vector(Shape{2}, {5, 6})}));
  EXPECT_THAT(FloatsOf(out[0]), ElementsAre(5, 6));
  EXPECT_EQ(out[1].shape(), (Shape{0, 2}));
}

TEST_F(InterpreterTest, AnEndlessLoopIsRefusedAfterItsRounds) {
  const std::unique_ptr<Graph> graph = LoopGraph(/*endless=*/true);
  EXPECT_THAT(interpreter_.Run(*graph, {Int(0), Vector(Shape{2}, {0, 0})}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000 rounds")));
}

// Running sums over the first axis, read backwards if asked.
std::unique_ptr<Graph> ScanGraph(int64_t direction) {
  GraphMaker body("body");
  const ValueId sum = body.Input("sum", DType::kF32, {Dim::Of(2)});
  const ValueId row = body.Input("row", DType::kF32, {Dim::Of(2)});
  const ValueId next = body.Op("Add", {sum, row});
  body.Output(next);
  body.Output(body.Op("Identity", {next}));
  GraphMaker outer("outer");
  const ValueId start = outer.Input("start", DType::kF32, {Dim::Of(2)});
  const ValueId rows = outer.Input("rows", DType::kF32, {Dim::Unknown(), Dim::Of(2)});
  const std::vector<ValueId> results =
      outer.Ops("Scan", {start, rows}, 2,
                {{"body", body.TakeSubgraph()},
                 {"num_scan_inputs", int64_t{1}},
                 {"scan_input_directions", std::vector<int64_t>{direction}},
                 {"scan_output_directions", std::vector<int64_t>{direction}}});
  outer.Output(results[0]);
  outer.Output(results[1]);
  return outer.Take();
}

TEST_F(InterpreterTest, ScanRunsOverRowsInBothDirections) {
  const RuntimeValue start = Vector(Shape{2}, {100, 200});
  const RuntimeValue rows = Vector(Shape{3, 2}, {1, 2, 3, 4, 5, 6});
  const std::unique_ptr<Graph> forwards = ScanGraph(0);
  ASSERT_OK_AND_ASSIGN(auto out, interpreter_.Run(*forwards, {start, rows}));
  EXPECT_THAT(FloatsOf(out[0]), ElementsAre(109, 212));
  EXPECT_THAT(FloatsOf(out[1]), ElementsAre(101, 202, 104, 206, 109, 212));
  const std::unique_ptr<Graph> backwards = ScanGraph(1);
  ASSERT_OK_AND_ASSIGN(auto back, interpreter_.Run(*backwards, {start, rows}));
  EXPECT_THAT(FloatsOf(back[0]), ElementsAre(109, 212));
  EXPECT_THAT(FloatsOf(back[1]), ElementsAre(109, 212, 108, 210, 105, 206));
}

TEST_F(InterpreterTest, SequencesHoldTensorsOfDifferentShapes) {
  GraphMaker maker;
  const ValueId a = maker.Input("a", DType::kF32, {Dim::Unknown()});
  const ValueId b = maker.Input("b", DType::kF32, {Dim::Unknown()});
  const ValueId zero = maker.Ints("zero", kScalar, {0});
  const ValueId last = maker.Ints("last", kScalar, {-1});
  const ValueId pair = maker.Op("SequenceConstruct", {a, b});
  const ValueId three = maker.Op("SequenceInsert", {pair, b, zero});
  maker.Output(maker.Op("SequenceLength", {three}, {}, DType::kI64));
  maker.Output(maker.Op("SequenceAt", {three, last}));
  maker.Output(maker.Op("ConcatFromSequence", {maker.Op("SequenceErase", {three, last})},
                        {{"axis", int64_t{0}}}));
  const std::unique_ptr<Graph> graph = maker.Take();
  ASSERT_OK_AND_ASSIGN(auto out,
                       interpreter_.Run(*graph, {Vector(Shape{1}, {1}), Vector(Shape{2}, {2, 3})}));
  EXPECT_THAT(IntsOf(out[0]), ElementsAre(3));
  EXPECT_THAT(FloatsOf(out[1]), ElementsAre(2, 3));
  EXPECT_THAT(FloatsOf(out[2]), ElementsAre(2, 3, 1));
}

TEST_F(InterpreterTest, APositionOutsideOfASequenceIsAnErrorOfTheRequest) {
  GraphMaker maker;
  const ValueId a = maker.Input("a", DType::kF32, {Dim::Unknown()});
  const ValueId at = maker.Input("at", DType::kI64, {});
  maker.Output(maker.Op("SequenceAt", {maker.Op("SequenceConstruct", {a}), at}));
  const std::unique_ptr<Graph> graph = maker.Take();
  for (const int64_t position : {int64_t{1}, int64_t{-2}, INT64_MAX, INT64_MIN}) {
    EXPECT_THAT(interpreter_.Run(*graph, {Vector(Shape{1}, {1}), Int(position)}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("outside a sequence of 1")));
  }
}

// What NonZero finds decides the shape of everything after it.
TEST_F(InterpreterTest, ShapesThatOnlyTheRunKnowsFlowOn) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {Dim::Unknown(), Dim::Unknown()});
  const ValueId indices = maker.Op("NonZero", {x}, {}, DType::kI64);
  const ValueId transposed =
      maker.Op("Transpose", {indices}, {{"perm", std::vector<int64_t>{1, 0}}}, DType::kI64);
  maker.Output(transposed);
  maker.Output(maker.Op("Shape", {transposed}, {}, DType::kI64));
  const std::unique_ptr<Graph> graph = maker.Take();
  ASSERT_OK_AND_ASSIGN(auto out, interpreter_.Run(*graph, {Vector(Shape{2, 2}, {0, 1, 2, 0})}));
  EXPECT_THAT(IntsOf(out[0]), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(IntsOf(out[1]), ElementsAre(2, 2));
  ASSERT_OK_AND_ASSIGN(auto none, interpreter_.Run(*graph, {Vector(Shape{1, 3}, {0, 0, 0})}));
  EXPECT_THAT(IntsOf(none[1]), ElementsAre(0, 2));
}

TEST_F(InterpreterTest, AbsentOptionalInputsAndUnnamedOutputs) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {Dim::Unknown()});
  const ValueId top = maker.Floats("top", kScalar, {2});
  // Clip without a lower bound; Dropout whose mask nobody named.
  const ValueId clipped = maker.Op("Clip", {x, kNone, top});
  Node dropout;
  dropout.name = "dropout";
  dropout.op = "Dropout";
  dropout.opset = 17;
  dropout.inputs = {clipped, kNone, kNone};
  paramd::Value y;
  y.name = "y";
  const ValueId id = maker.graph().AddValue(std::move(y));
  dropout.outputs = {id, kNone};
  maker.graph().AddNode(std::move(dropout));
  maker.Output(id);
  maker.Output(maker.Op("OptionalHasElement", {maker.Op("Optional", {kNone})}, {}, DType::kBool));
  const std::unique_ptr<Graph> graph = maker.Take();
  ASSERT_OK_AND_ASSIGN(auto out, interpreter_.Run(*graph, {Vector(Shape{3}, {-5, 1, 9})}));
  EXPECT_THAT(FloatsOf(out[0]), ElementsAre(-5, 1, 2));
  EXPECT_EQ(*static_cast<const uint8_t*>(out[1].view().data), 0);
}

TEST_F(InterpreterTest, EveryElementTypePassesThroughMovementAndControlFlow) {
  for (int number = 1; number <= 23; ++number) {
    const DType dtype = *DTypeFromOnnx(number);
    SCOPED_TRACE(DTypeName(dtype));
    GraphMaker branch("branch");
    GraphMaker other("other");
    GraphMaker maker;
    const ValueId cond = maker.Input("cond", DType::kBool, {});
    const ValueId x = maker.Input("x", dtype, {Dim::Of(2), Dim::Of(3)});
    const ValueId six = maker.Ints("six", Shape{1}, {6});
    const ValueId flat = maker.Op("Reshape", {x, six}, {}, dtype);
    for (GraphMaker* each : {&branch, &other}) {
      each->Output(each->Op("Identity", {each->Capture(flat, dtype, {Dim::Of(6)})}, {}, dtype));
    }
    maker.Output(maker.Op(
        "If", {cond},
        {{"then_branch", branch.TakeSubgraph()}, {"else_branch", other.TakeSubgraph()}}, dtype));
    const std::unique_ptr<Graph> graph = maker.Take();
    Tensor tensor(dtype, Shape{2, 3});
    if (dtype == DType::kString) {
      for (std::string& text : tensor.view().as<std::string>()) text = "a string beyond small ones";
    } else {
      auto* const bytes = static_cast<uint8_t*>(tensor.view().data);
      for (uint64_t i = 0; i < tensor.view().bytes(); ++i) bytes[i] = static_cast<uint8_t>(i & 1);
    }
    ASSERT_OK_AND_ASSIGN(
        auto out, interpreter_.Run(*graph, {Bool(true), RuntimeValue::Borrow(tensor.view())}));
    EXPECT_EQ(out[0].dtype(), dtype);
    EXPECT_EQ(out[0].shape(), (Shape{6}));
    if (dtype == DType::kString) {
      EXPECT_EQ(out[0].view().as<std::string>()[5], "a string beyond small ones");
    } else {
      EXPECT_EQ(std::memcmp(out[0].view().data, tensor.view().data, tensor.view().bytes()), 0);
    }
  }
}

TEST_F(InterpreterTest, AnUnknownOperatorIsNamed) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {Dim::Of(1)});
  maker.Output(maker.Op("Frobnicate", {x}));
  const std::unique_ptr<Graph> graph = maker.Take();
  EXPECT_THAT(interpreter_.Run(*graph, {Vector(Shape{1}, {1})}),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Frobnicate")));
}

TEST_F(InterpreterTest, AResultThatIsTooLargeIsRefusedAndNotAllocated) {
  GraphMaker maker;
  const ValueId shape = maker.Input("shape", DType::kI64, {Dim::Of(2)});
  maker.Output(maker.Op("ConstantOfShape", {shape}));
  const std::unique_ptr<Graph> graph = maker.Take();
  const RuntimeValue huge = RuntimeValue::Of(
      Tensor::Of<int64_t>(DType::kI64, Shape{2}, {int64_t{1} << 30, int64_t{1} << 20}));
  EXPECT_THAT(interpreter_.Run(*graph, {huge}), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace paramd
