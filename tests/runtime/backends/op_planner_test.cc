#include "runtime/backends/op_planner.h"

#include "runtime/backends/backend_list.h"
#include "runtime/backends/reference/reference_backend.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Says the same to every spec.
class RefusingBackend final : public Backend {
 public:
  RefusingBackend(std::string name, absl::Status answer)
      : name_(std::move(name)), answer_(std::move(answer)) {}
  std::string_view name() const override { return name_; }
  std::string_view fingerprint() const override { return name_; }
  absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec&) const override {
    return answer_;
  }

 private:
  const std::string name_;
  const absl::Status answer_;
};

OpSpec Relu(const Shape& shape) {
  const Operand operand{.kind = OperandKind::kActivation, .dtype = DType::kF32, .shape = shape};
  return {.params = UnaryParams{}, .inputs = {operand}, .outputs = {operand}};
}

TEST(OpPlanner, TakesTheFirstThatAcceptsAndKeepsTheRefusals) {
  const RefusingBackend first("first", absl::UnimplementedError("too small for me"));
  const RefusingBackend broken("broken", absl::InternalError("its library failed"));
  const Backend* const backends[] = {&first, &broken, &ReferenceBackend()};
  ASSERT_OK_AND_ASSIGN(const PlannedOp planned, PlanOp(backends, Relu({2})));
  EXPECT_EQ(planned.backend, &ReferenceBackend());
  EXPECT_EQ(planned.op->implementation(), "plain loops");
  EXPECT_THAT(planned.refusals, ElementsAre(Pair("first", "too small for me"),
                                            Pair("broken", "INTERNAL: its library failed")));
}

TEST(OpPlanner, SaysEveryReasonWhenAllRefuse) {
  const RefusingBackend a("a", absl::UnimplementedError("no relu"));
  const RefusingBackend b("b", absl::UnimplementedError("no f32"));
  const Backend* const backends[] = {&a, &b};
  EXPECT_THAT(PlanOp(backends, Relu({2})),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("relu f32[2] -> [2] (a: no relu; b: no f32)")));
}

TEST(OpPlanner, DoesNotAskAnybodyAboutAWrongSpec) {
  OpSpec spec = Relu({2});
  spec.outputs[0].shape = {3};
  EXPECT_THAT(PlanOp(AllBackends(), spec), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(BackendList, EndsWithTheReference) {
  ASSERT_FALSE(AllBackends().empty());
  EXPECT_EQ(AllBackends().back(), &ReferenceBackend());
  for (const Backend* backend : AllBackends()) EXPECT_EQ(FindBackend(backend->name()), backend);
  EXPECT_EQ(FindBackend("abacus"), nullptr);
}

TEST(OpSpecs, DescribesAnOpInOneLine) {
  OpSpec spec;
  spec.params = ConvParams{{2, 2}, {1, 1}, {3, 3}, {3, 3}, 1};
  spec.inputs = {
      {.kind = OperandKind::kActivation,
       .dtype = DType::kF32,
       .shape = {1, 3, 224, 224},
       .layout = Layout::kChannelsLast},
      {.kind = OperandKind::kParameter, .dtype = DType::kF32, .shape = {64, 3, 7, 7}},
      {},
      {.kind = OperandKind::kActivation, .dtype = DType::kF32, .shape = {1, 64, 112, 112}}};
  spec.outputs = {
      {.kind = OperandKind::kActivation, .dtype = DType::kF32, .shape = {1, 64, 112, 112}}};
  spec.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 3},
                   {.activation = ActivationKind::kRelu}};
  EXPECT_EQ(Describe(spec),
            "conv f32[1,3,224,224]@channels_last x f32[64,3,7,7] x f32[1,64,112,112] -> "
            "[1,64,112,112] +add(3) +relu");
  EXPECT_EQ(OpName(ReduceParams{ReduceKind::kMean, {}}), "reduce_mean");
  EXPECT_EQ(OpName(BinaryParams{BinaryKind::kLessOrEqual}), "less_or_equal");
}

}  // namespace
}  // namespace paramd
