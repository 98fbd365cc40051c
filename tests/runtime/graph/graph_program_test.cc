#include "runtime/graph/graph_program.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "runtime/graph/arena.h"
#include "runtime/graph/compiled_session.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/op_profile.h"
#include "tests/support/graph_maker.h"
#include "tests/support/graph_program_maker.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Dim kN = Dim::Named("N");

class GraphProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(store_, ParameterStore::Create({.capacity_bytes = 1 << 30}));
    ASSERT_OK_AND_ASSIGN(arena_, Arena::Create(1 << 30));
  }

  // Compiles, prepares, runs; the outputs stay in the session.
  absl::Status Run(const GraphProgram& program, Session& session,
                   const std::vector<Tensor>& inputs) {
    std::vector<Shape> shapes;
    for (const Tensor& input : inputs) shapes.push_back(input.shape());
    PARAMD_RETURN_IF_ERROR(program.Compile(shapes));
    PARAMD_RETURN_IF_ERROR(session.Prepare(shapes));
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::memcpy(session.input(static_cast<int>(i)).data, inputs[i].view().data,
                  inputs[i].view().bytes());
    }
    return session.Run();
  }

  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Arena> arena_;
};

std::vector<Tensor> OneInput(Shape shape, std::vector<float> values) {
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::Of<float>(DType::kF32, std::move(shape), values));
  return inputs;
}

std::vector<float> FloatsOf(const TensorView& view) {
  return {view.as<float>().begin(), view.as<float>().end()};
}

// x [N, 2, 3] -> Reshape to [N, 6] by arithmetic on its own shape.
std::unique_ptr<Graph> ShapeArithmetic() {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN, Dim::Of(2), Dim::Of(3)});
  const ValueId shape = maker.Op("Shape", {x}, {}, DType::kI64);
  const ValueId zero = maker.Ints("zero", Shape{1}, {0});
  const ValueId rows = maker.Op("Gather", {shape, zero}, {}, DType::kI64);
  const ValueId rest = maker.Ints("rest", Shape{1}, {-1});
  const ValueId target = maker.Op("Concat", {rows, rest}, {{"axis", int64_t{0}}}, DType::kI64);
  maker.Output(maker.Op("Reshape", {x, target}), DType::kF32, {kN, Dim::Of(6)});
  return maker.Take();
}

TEST_F(GraphProgramTest, AProfileNamesTheStepsThatRan) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN, Dim::Of(2)});
  maker.Output(maker.Op("Relu", {x}), DType::kF32, {kN, Dim::Of(2)});
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  auto session = program->NewSession(arena_.get());
  const auto inputs = OneInput(Shape{1, 2}, {1, -2});
  OpProfile profile(Clock::Real());
  ASSERT_OK(Run(*program, *session, inputs));
  session->set_profile(&profile);
  for (int i = 0; i < 3; ++i) ASSERT_OK(Run(*program, *session, inputs));
  session->set_profile(nullptr);
  ASSERT_OK(Run(*program, *session, inputs));
  EXPECT_THAT(FloatsOf(session->output(0)), ElementsAre(1, 0));
  ASSERT_EQ(profile.lines().size(), 1u);
  EXPECT_EQ(profile.lines()[0].op, "Relu");
  EXPECT_EQ(profile.lines()[0].runs, 3);
  EXPECT_EQ(profile.lines()[0].dtype, DType::kF32);
  EXPECT_FALSE(profile.lines()[0].implementation.empty());
}

TEST_F(GraphProgramTest, ShapeArithmeticAndRenamingTakeNoStep) {
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(ShapeArithmetic(), store_.get()));
  EXPECT_FALSE(program->interpreted());
  auto session = program->NewSession(arena_.get());
  ASSERT_OK(Run(*program, *session, OneInput(Shape{1, 2, 3}, {1, 2, 3, 4, 5, 6})));
  EXPECT_EQ(session->output(0).shape, (Shape{1, 6}));
  EXPECT_EQ(session->output(0).data, session->input(0).data);
  EXPECT_THAT(FloatsOf(session->output(0)), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(program->ProgramText(std::vector<Shape>{Shape{1, 2, 3}}), HasSubstr("0 steps"));
}

TEST_F(GraphProgramTest, AnInputThatDiesIsWrittenOverAndTheGraphsInputsNever) {
  GraphMaker maker;
  ValueId x = maker.Input("x", DType::kF32, {kN, Dim::Of(1024)});
  for (int i = 0; i < 6; ++i) x = maker.Op(i % 2 == 0 ? "Neg" : "Relu", {x});
  maker.Output(x, DType::kF32, {kN, Dim::Of(1024)});
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  auto session = program->NewSession(arena_.get());
  std::vector<float> values(1024, -2);
  ASSERT_OK(Run(*program, *session, OneInput(Shape{1, 1024}, values)));
  // Input and at most two more buffers of 4 KiB.
  EXPECT_LE(arena_->reserved_bytes(), 3 * 4096u);
  const std::vector<float> first = FloatsOf(session->output(0));
  ASSERT_OK(session->Run());
  EXPECT_EQ(FloatsOf(session->output(0)), first);
  EXPECT_EQ(FloatsOf(session->input(0)), values);
}

TEST_F(GraphProgramTest, AValueWithAnotherReaderIsNotWrittenOver) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN, Dim::Of(4)});
  const ValueId a = maker.Op("Abs", {x});
  const ValueId b = maker.Op("Neg", {a});
  const ValueId c = maker.Op("Sqrt", {a});
  maker.Output(maker.Op("Add", {b, c}), DType::kF32, {kN, Dim::Of(4)});
  maker.Output(a, DType::kF32, {kN, Dim::Of(4)});
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  auto session = program->NewSession(arena_.get());
  ASSERT_OK(Run(*program, *session, OneInput(Shape{1, 4}, {-1, 4, -9, 16})));
  EXPECT_THAT(FloatsOf(session->output(0)), ElementsAre(0, -2, -6, -12));
  EXPECT_THAT(FloatsOf(session->output(1)), ElementsAre(1, 4, 9, 16));
}

TEST_F(GraphProgramTest, OutputsMayBeConstantsInputsAndTheSameValueTwice) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN});
  const ValueId w = maker.Floats("w", Shape{2}, {7, 8});
  const ValueId y = maker.Op("Neg", {x});
  maker.Output(w);
  maker.Output(x);
  maker.Output(y, DType::kF32, {kN});
  maker.Output(y);
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  auto session = program->NewSession(arena_.get());
  ASSERT_OK(Run(*program, *session, OneInput(Shape{2}, {1, 2})));
  EXPECT_THAT(FloatsOf(session->output(0)), ElementsAre(7, 8));
  EXPECT_THAT(FloatsOf(session->output(1)), ElementsAre(1, 2));
  EXPECT_THAT(FloatsOf(session->output(2)), ElementsAre(-1, -2));
  EXPECT_THAT(FloatsOf(session->output(3)), ElementsAre(-1, -2));
}

std::unique_ptr<Graph> NegGraph() {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN, Dim::Of(2)});
  maker.Output(maker.Op("Neg", {x}), DType::kF32, {kN, Dim::Of(2)});
  return maker.Take();
}

TEST_F(GraphProgramTest, AShapeThatWasNotCompiledIsUnavailable) {
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(NegGraph(), store_.get()));
  auto session = program->NewSession(arena_.get());
  const std::vector<Shape> five = {Shape{5, 2}};
  EXPECT_FALSE(program->IsCompiled(five));
  EXPECT_THAT(session->Prepare(five), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("[5,2]")));
  ASSERT_OK(program->Compile(five));
  EXPECT_TRUE(program->IsCompiled(five));
  EXPECT_OK(session->Prepare(five));
}

TEST_F(GraphProgramTest, TheCacheIsBoundedAndKeepsWhatWasUsedLastAndWarm) {
  ASSERT_OK_AND_ASSIGN(auto program,
                       MakeGraphProgram(NegGraph(), store_.get(), {.programs_max = 3}));
  CompiledSession session(program.get(), arena_.get());
  const auto shapes = [](int64_t rows) { return std::vector<Shape>{Shape{rows, 2}}; };
  ASSERT_OK(program->CompileAndKeep(shapes(100)));
  for (int64_t rows = 11; rows <= 13; ++rows) ASSERT_OK(program->Compile(shapes(rows)));
  ASSERT_OK(session.Prepare(shapes(12)));
  ASSERT_OK(session.Prepare(shapes(13)));
  ASSERT_OK(session.Prepare(shapes(11)));
  EXPECT_EQ(session.bound_programs(), 3u);
  ASSERT_OK(program->Compile(shapes(14)));  // 12 was used longest ago.
  EXPECT_FALSE(program->IsCompiled(shapes(12)));
  EXPECT_TRUE(program->IsCompiled(shapes(11)));
  EXPECT_TRUE(program->IsCompiled(shapes(13)));
  ASSERT_OK(session.Prepare(shapes(11)));
  EXPECT_EQ(session.bound_programs(), 2u);  // The bindings of 12 went with it.
  for (int64_t rows = 20; rows < 60; ++rows) ASSERT_OK(program->Compile(shapes(rows)));
  EXPECT_TRUE(program->IsCompiled(shapes(100)));
  EXPECT_EQ(program->cache().snapshot()->size(), 4u);
  EXPECT_THAT(session.Prepare(shapes(11)), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(session.bound_programs(), 0u);
}

TEST_F(GraphProgramTest, CallsAreCheckedAgainstTheDescription) {
  GraphMaker maker;
  const ValueId a = maker.Input("a", DType::kF32, {kN, Dim::Of(2)});
  const ValueId b = maker.Input("b", DType::kF32, {kN, Dim::Of(2)});
  maker.Output(maker.Op("Add", {a, b}), DType::kF32, {kN, Dim::Of(2)});
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  program->description_to_fill().batch_rows_max = 8;
  const auto check = [&](DType dtype, Shape first, Shape second) {
    const TensorView views[] = {{dtype, std::move(first), nullptr},
                                {DType::kF32, std::move(second), nullptr}};
    return program->CheckCall(views);
  };
  EXPECT_OK(check(DType::kF32, {3, 2}, {3, 2}));
  EXPECT_THAT(check(DType::kI64, {3, 2}, {3, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'a' is i64, expected f32")));
  EXPECT_THAT(check(DType::kF32, {3, 3}, {3, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[3,3], expected [N,2]")));
  EXPECT_THAT(check(DType::kF32, {3}, {3, 2}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(check(DType::kF32, {3, 2}, {4, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("N is 3 in input 'a' and 4")));
  EXPECT_THAT(check(DType::kF32, {0, 2}, {0, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no rows")));
  EXPECT_THAT(program->CheckCall({}), StatusIs(absl::StatusCode::kInvalidArgument));
  const TensorView rows[] = {{DType::kF32, Shape{5, 2}, nullptr},
                             {DType::kF32, Shape{5, 2}, nullptr}};
  const TensorView fewer[] = {{DType::kF32, Shape{1, 2}, nullptr},
                              {DType::kF32, Shape{1, 2}, nullptr}};
  EXPECT_EQ(program->BatchCost(rows), 5);
  EXPECT_EQ(program->BatchKey(rows), program->BatchKey(fewer));
}

// A graph that only the interpreter can run is a Model like any other.
TEST_F(GraphProgramTest, DataDependentShapesFallBackToTheInterpreter) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN});
  maker.Output(maker.Op("NonZero", {x}, {}, DType::kI64), DType::kI64,
               {Dim::Of(1), Dim::Unknown()});
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get()));
  EXPECT_TRUE(program->interpreted());
  auto session = program->NewSession(arena_.get());
  ASSERT_OK(Run(*program, *session, OneInput(Shape{4}, {0, 5, 0, 6})));
  EXPECT_EQ(session->output(0).shape, (Shape{1, 2}));
  EXPECT_THAT(session->output(0).as<int64_t>(), ElementsAre(1, 3));
  ASSERT_OK(Run(*program, *session, OneInput(Shape{2}, {0, 0})));
  EXPECT_EQ(session->output(0).shape, (Shape{1, 0}));
}

TEST_F(GraphProgramTest, ANodeThatNobodyCanRunIsNamedBeforeAnythingIsLoaded) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {kN});
  maker.Output(maker.Op("Frobnicate", {x}));
  EXPECT_THAT(MakeGraphProgram(maker.Take(), store_.get()).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Frobnicate")));
}

// ---- random graphs: a program must compute what the interpreter computes.

struct RandomGraph {
  std::unique_ptr<Graph> graph;
  std::string text;
};

RandomGraph MakeRandomGraph(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](size_t count) { return static_cast<size_t>(random() % count); };
  const auto weights = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    std::normal_distribution<float> normal(0, 0.4f);
    for (float& value : values) value = normal(random);
    return values;
  };
  GraphMaker maker;
  const SymbolicShape shape = {kN, Dim::Of(4), Dim::Of(6), Dim::Of(6)};
  // All values have the same shape, so that any may meet any.
  std::vector<ValueId> values = {maker.Input("x", DType::kF32, shape)};
  const size_t ops = 4 + pick(14);
  for (size_t i = 0; i < ops; ++i) {
    const ValueId a = values[pick(values.size())];
    const ValueId b = values[pick(values.size())];
    const std::string n = std::to_string(i);
    switch (pick(9)) {
      case 0: {
        const ValueId w = maker.Floats("w" + n, Shape{4, 4, 3, 3}, weights(4 * 4 * 9));
        const ValueId bias = maker.Floats("b" + n, Shape{4}, weights(4));
        values.push_back(
            maker.Op("Conv", {a, w, bias}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
        break;
      }
      case 1: {
        const ValueId w = maker.Floats("w" + n, Shape{4, 4, 1, 1}, weights(16));
        values.push_back(maker.Op("Conv", {a, w}));
        break;
      }
      case 2:
        values.push_back(maker.Op("Add", {a, b}));
        break;
      case 3:
        values.push_back(maker.Op("Relu", {a}));
        break;
      case 4:
        values.push_back(maker.Op("MaxPool", {a},
                                  {{"kernel_shape", std::vector<int64_t>{3, 3}},
                                   {"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
        break;
      case 5: {
        // Flat and back: a renaming that forces the plain layout.
        const ValueId flat = maker.Ints("flat" + n, Shape{2}, {0, -1});
        const ValueId back = maker.Ints("back" + n, Shape{4}, {0, 4, 6, 6});
        const ValueId flattened = maker.Op("Reshape", {a, flat});
        values.push_back(maker.Op("Reshape", {maker.Op("Tanh", {flattened}), back}));
        break;
      }
      case 6: {
        const ValueId w = maker.Floats("w" + n, Shape{4, 8, 1, 1}, weights(32));
        const ValueId both = maker.Op("Concat", {a, b}, {{"axis", int64_t{1}}});
        values.push_back(maker.Op("Conv", {both, w}));
        break;
      }
      case 7: {
        const ValueId scale = maker.Floats("s" + n, Shape{1, 4, 1, 1}, weights(4));
        values.push_back(maker.Op("Mul", {a, scale}));
        break;
      }
      default: {
        const ValueId swapped =
            maker.Op("Transpose", {a}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
        values.push_back(maker.Op("Sigmoid", {swapped}));
      }
    }
  }
  maker.Output(values.back(), DType::kF32, shape);
  const ValueId other = values[pick(values.size())];
  if (other != values.back()) maker.Output(other, DType::kF32, shape);
  RandomGraph made;
  made.graph = maker.Take();
  EXPECT_OK(made.graph->Compact());
  made.text = ToText(*made.graph);
  return made;
}

class RandomGraphs : public GraphProgramTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Backends, RandomGraphs, testing::Values("all", "reference", "bf16"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RandomGraphs, AProgramComputesWhatTheInterpreterComputes) {
  const std::string mode = GetParam();
  const double tolerance = mode == "bf16" ? 0.1 : 1e-4;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const RandomGraph want_graph = MakeRandomGraph(seed);
    RandomGraph made = MakeRandomGraph(seed);
    GraphProgramMakerOptions options;
    if (mode == "reference") options.backends = AllBackends().last(1);
    options.bf16 = mode == "bf16";
    ASSERT_OK_AND_ASSIGN(auto program,
                         MakeGraphProgram(std::move(made.graph), store_.get(), options));
    EXPECT_FALSE(program->interpreted()) << made.text;
    Interpreter interpreter({.backends = AllBackends().last(1)});
    auto session = program->NewSession(arena_.get());
    for (const int64_t rows : {int64_t{1}, int64_t{3}}) {
      Tensor x(DType::kF32, Shape{rows, 4, 6, 6});
      std::mt19937 random(seed + 1000);
      std::normal_distribution<float> normal;
      for (float& value : x.view().as<float>()) value = normal(random);
      std::vector<Tensor> inputs;
      inputs.push_back(Tensor::CopyOf(x.view()));
      ASSERT_OK(Run(*program, *session, inputs));
      ASSERT_OK(session->Run());  // Again, on the same input.
      ASSERT_OK_AND_ASSIGN(const auto want,
                           interpreter.Run(*want_graph.graph, {RuntimeValue::Borrow(x.view())}));
      for (size_t o = 0; o < want.size(); ++o) {
        const TensorView got = session->output(static_cast<int>(o));
        ASSERT_EQ(got.shape, want[o].shape());
        double worst = 0, scale = 1e-6;
        for (size_t i = 0; i < got.as<float>().size(); ++i) {
          const double expected = want[o].view().as<float>()[i];
          worst = std::max(worst, std::abs(got.as<float>()[i] - expected));
          scale = std::max(scale, std::abs(expected));
        }
        ASSERT_LE(worst / scale, tolerance)
            << made.text << program->ProgramText(std::vector<Shape>{x.shape()});
      }
    }
  }
}

}  // namespace
}  // namespace paramd
