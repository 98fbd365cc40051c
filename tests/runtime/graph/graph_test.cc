#include "runtime/graph/graph.h"

#include "absl/strings/match.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ValueId AddInput(Graph& graph, std::string name, SymbolicShape shape) {
  Value value;
  value.name = std::move(name);
  value.type = {ValueType::Kind::kTensor, DType::kF32, std::move(shape)};
  const ValueId id = graph.AddValue(std::move(value));
  graph.inputs.push_back(id);
  return id;
}

ValueId Apply(Graph& graph, std::string op, std::vector<ValueId> inputs, std::string name) {
  Value value;
  value.name = name;
  value.type = {ValueType::Kind::kTensor, DType::kF32, SymbolicShape{Dim::Named("N")}};
  const ValueId id = graph.AddValue(std::move(value));
  Node node;
  node.name = std::move(name);
  node.op = std::move(op);
  node.opset = 17;
  node.inputs = std::move(inputs);
  node.outputs = {id};
  graph.AddNode(std::move(node));
  return id;
}

std::vector<std::string> Ops(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.nodes()) ops.push_back(node.op);
  return ops;
}

TEST(GraphCompact, KeepsAnOrderThatIsRightAndDropsWhatNobodyReads) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  const ValueId a = Apply(graph, "Relu", {x}, "a");
  Apply(graph, "Exp", {a}, "unread");
  const ValueId b = Apply(graph, "Tanh", {a}, "b");
  graph.outputs = {Apply(graph, "Add", {b, a}, "y")};
  ASSERT_OK(graph.Compact());
  EXPECT_THAT(Ops(graph), ElementsAre("Relu", "Tanh", "Add"));
  EXPECT_OK(Verify(graph));
}

TEST(GraphCompact, SortsProducersFirst) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  Value late;
  late.name = "late";
  const ValueId a = graph.AddValue(std::move(late));
  const ValueId y = Apply(graph, "Tanh", {a}, "y");
  Node node;
  node.name = "late";
  node.op = "Relu";
  node.inputs = {x};
  node.outputs = {a};
  graph.AddNode(std::move(node));
  graph.outputs = {y};
  EXPECT_THAT(Verify(graph), StatusIs(absl::StatusCode::kInternal, HasSubstr("before it is made")));
  ASSERT_OK(graph.Compact());
  EXPECT_THAT(Ops(graph), ElementsAre("Relu", "Tanh"));
  EXPECT_OK(Verify(graph));
}

TEST(GraphCompact, NamesANodeOfACycle) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  Value looped;
  looped.name = "looped";
  const ValueId loop = graph.AddValue(std::move(looped));
  const ValueId a = Apply(graph, "Add", {x, loop}, "in-the-cycle");
  Node node;
  node.name = "also-in-the-cycle";
  node.op = "Relu";
  node.inputs = {a};
  node.outputs = {loop};
  graph.AddNode(std::move(node));
  graph.outputs = {Apply(graph, "Exp", {loop}, "behind-the-cycle")};
  EXPECT_THAT(graph.Compact(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("in-the-cycle")));
}

TEST(GraphCompact, TakesAChainOfAHundredThousandNodes) {
  Graph graph;
  ValueId value = AddInput(graph, "x", {Dim::Named("N")});
  for (int i = 0; i < 100'000; ++i) value = Apply(graph, "Relu", {value}, "n");
  graph.outputs = {value};
  ASSERT_OK(graph.Compact());
  EXPECT_EQ(graph.nodes().size(), 100'000u);
  EXPECT_OK(Verify(graph));
}

TEST(GraphVerify, RefusesAValueThatIsMadeTwice) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  const ValueId y = Apply(graph, "Relu", {x}, "y");
  Node again;
  again.name = "again";
  again.op = "Exp";
  again.inputs = {x};
  again.outputs = {y};
  graph.AddNode(std::move(again));
  graph.outputs = {y};
  EXPECT_THAT(Verify(graph), StatusIs(absl::StatusCode::kInternal));
}

TEST(GraphVerify, RefusesIdsOutOfRange) {
  for (const ValueId wrong : {-7, 99}) {
    Graph graph;
    const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
    graph.outputs = {Apply(graph, "Relu", {x}, "y")};
    graph.node(0).inputs[0] = wrong;
    EXPECT_THAT(Verify(graph), StatusIs(absl::StatusCode::kInternal, HasSubstr("reads the id")));
  }
}

TEST(GraphVerify, RefusesPostOpsWithoutTheirOperand) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  graph.outputs = {Apply(graph, "Relu", {x}, "y")};
  PostOp post_op;
  post_op.kind = PostOp::Kind::kAdd;
  post_op.operand = 1;
  graph.node(0).post_ops = {post_op};
  EXPECT_THAT(Verify(graph), StatusIs(absl::StatusCode::kInternal, HasSubstr("adds operand 1")));
}

TEST(GraphVerify, RefusesADerivationOfItself) {
  Graph graph;
  Constant constant;
  constant.dtype = DType::kF32;
  constant.shape = Shape{2};
  constant.source = Derivation{"copy/1", {0}, {}};
  const ValueId w = graph.AddConstantValue(std::move(constant));
  graph.outputs = {Apply(graph, "Relu", {w}, "y")};
  EXPECT_THAT(Verify(graph), StatusIs(absl::StatusCode::kInternal, HasSubstr("derived from 0")));
}

TEST(GraphUses, ReplaceUsesReachesNodesOutputsAndCaptures) {
  Graph graph;
  const ValueId x = AddInput(graph, "x", {Dim::Named("N")});
  const ValueId a = Apply(graph, "Relu", {x}, "a");
  const ValueId b = Apply(graph, "Exp", {x}, "b");
  auto body = std::make_shared<Graph>();
  Value inner;
  inner.name = "inner";
  body->captures = {{a, body->AddValue(std::move(inner))}};
  body->outputs = {Apply(*body, "Neg", {0}, "negated")};
  const ValueId y = Apply(graph, "If", {x}, "y");
  graph.node(2).attributes["then_branch"] = body;
  graph.outputs = {a, y};
  ASSERT_OK(Verify(graph));
  EXPECT_THAT(graph.Consumers(a), ElementsAre(2));
  EXPECT_EQ(graph.AllConsumers()[static_cast<size_t>(a)], graph.Consumers(a));
  graph.ReplaceUses(a, b);
  EXPECT_TRUE(graph.IsOutput(b));
  EXPECT_THAT(graph.Consumers(a), ElementsAre());
  EXPECT_THAT(graph.Consumers(b), ElementsAre(2));
  ASSERT_OK(graph.Compact());
  EXPECT_THAT(Ops(graph), ElementsAre("Exp", "If"));
}

TEST(GraphUses, ConstantsInUseReachThroughDerivations) {
  Graph graph;
  const auto add = [&](std::vector<ConstantId> parents) {
    Constant constant;
    constant.dtype = DType::kF32;
    constant.shape = Shape{1};
    constant.source = Derivation{"copy/1", std::move(parents), {}};
    return graph.AddConstantValue(std::move(constant));
  };
  add({});
  add({});
  const ValueId derived = add({1});
  graph.outputs = {Apply(graph, "Relu", {derived}, "y")};
  EXPECT_THAT(graph.ConstantsInUse(), ElementsAre(false, true, true));
}

// What the spine does not import yet, the IR holds all the same.
TEST(GraphText, ShowsSubgraphsOptionalInputsSequencesAndUnknownShapes) {
  Graph graph;
  graph.name = "shows";
  const ValueId x = AddInput(graph, "x", {Dim::Named("N"), Dim::Of(3)});
  auto body = std::make_shared<Graph>();
  body->name = "body";
  Value inner;
  inner.name = "x in body";
  body->captures = {{x, body->AddValue(std::move(inner))}};
  body->outputs = {Apply(*body, "Relu", {0}, "r")};

  Value list;
  list.name = "list";
  list.type = {ValueType::Kind::kSequence, DType::kBF16, std::nullopt};
  Value rows;
  rows.name = "rows";
  rows.type = {ValueType::Kind::kTensor, DType::kI64, SymbolicShape{Dim::Of(2), Dim::Unknown()}};
  Value nibbles;
  nibbles.name = "nibbles";
  nibbles.type = {ValueType::Kind::kOptional, DType::kI4, SymbolicShape{}};
  Node node;
  node.name = "several \"outputs\"\n";
  node.domain = "example";
  node.op = "Op";
  node.inputs = {kNone, x};
  node.outputs = {graph.AddValue(std::move(list)), kNone, graph.AddValue(std::move(rows)),
                  graph.AddValue(std::move(nibbles))};
  node.attributes["body"] = body;
  node.attributes["f"] = 0.5f;
  node.attributes["i"] = int64_t{-3};
  node.attributes["s"] = std::string("text");
  node.attributes["list"] = std::vector<int64_t>{1, 2};
  PostOp relu;
  node.post_ops = {relu};
  graph.outputs = {node.outputs[2]};
  graph.AddNode(std::move(node));
  ASSERT_OK(Verify(graph));
  EXPECT_EQ(ToText(graph), R"(graph "shows"
input %0 "x" : f32[N,3]
%1, -, %2, %3 "several \"outputs\"\x0a" = example.Op(-, %0) {f=0.5 i=-3 list=[1,2] s="text"} +relu : sequence(bf16[*]), i64[2,?], optional(i4[])
  body:
  graph "body"
  capture %0 = outer %0
  %1 "r" = Relu(%0) : f32[N]
  output %1 "r" : f32[N]
output %2 "rows" : i64[2,?]
)");
}

TEST(GraphVerify, RefusesSubgraphsThatAreNestedTooDeep) {
  auto inner = std::make_shared<Graph>();
  const ValueId x = AddInput(*inner, "x", {});
  inner->outputs = {Apply(*inner, "Relu", {x}, "y")};
  for (int i = 0; i < kSubgraphDepthMax + 1; ++i) {
    auto outer = std::make_shared<Graph>();
    const ValueId id = AddInput(*outer, "x", {});
    outer->outputs = {Apply(*outer, "Loop", {id}, "y")};
    outer->node(0).attributes["body"] = inner;
    inner = outer;
  }
  EXPECT_THAT(Verify(*inner), StatusIs(absl::StatusCode::kInternal, HasSubstr("deeper than")));
  EXPECT_THAT(ToText(*inner), HasSubstr("body:"));
}

}  // namespace
}  // namespace paramd
