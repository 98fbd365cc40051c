#include "server/gate/gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Tensor Floats(const Shape& shape, const std::vector<float>& values) {
  return Tensor::Of<float>(DType::kF32, shape, absl::MakeConstSpan(values));
}

// Two rows; the fake answers y = {sum of the row, 2}, z = {its first}.
GoldenCase Rows(std::vector<float> x, std::vector<float> y) {
  GoldenCase golden{.file = "golden/rows.json"};
  golden.inputs["x"] = Floats({2, 2}, x);
  golden.outputs["y"] = Floats({2, 2}, y);
  return golden;
}

absl::StatusOr<GateReport> Pass(const Model& model, std::vector<GoldenCase> cases,
                                const Model* serving = nullptr, GateOptions options = {}) {
  FakeClock clock;
  return PassGate(model, serving, cases, nullptr, clock, options);
}
template <typename... Cases>
std::vector<GoldenCase> List(Cases... cases) {
  std::vector<GoldenCase> list;
  (list.push_back(std::move(cases)), ...);
  return list;
}

TEST(Gate, EqualAnswersPass) {
  const FakeModel model({});
  ASSERT_OK_AND_ASSIGN(const GateReport report,
                       Pass(model, List(Rows({1, 2, 3, 4}, {3, 2, 7, 2}))));
  EXPECT_EQ(report.cases, 1u);
  EXPECT_EQ(report.worst_error, 0);
}

TEST(Gate, AnotherAnswerIsRefusedWithFileOutputPlaceAndBothNumbers) {
  const FakeModel model({});
  EXPECT_THAT(Pass(model, List(Rows({1, 2, 3, 4}, {3, 2, 7.5, 2}))).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("golden/rows.json, output 'y'"), HasSubstr("answers 7 "),
                             HasSubstr("[1,0]"), HasSubstr("expected 7.5"), HasSubstr("0.001"))));
}

TEST(Gate, TheFilesToleranceIsBeforeTheModelsAndTheModelsBeforeTheDefault) {
  const FakeModel model({});
  const auto wrong = [] { return Rows({1, 2, 3, 4}, {3, 2, 7.5, 2}); };
  ASSERT_OK_AND_ASSIGN(const GateReport report,
                       Pass(model, List(wrong()), nullptr, {.tolerance = 0.1}));
  EXPECT_NEAR(report.worst_error, 0.5 / 7.5, 1e-6);
  EXPECT_EQ(report.worst_at, "golden/rows.json, output 'y'");
  GoldenCase strict = wrong();
  strict.tolerance = 0.01;
  EXPECT_THAT(Pass(model, List(std::move(strict)), nullptr, {.tolerance = 0.1}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(Gate, WhatIsNotFiniteIsRefusedUnlessTheFileExpectsIt) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  const FakeModel bad({.scale = nan});
  EXPECT_THAT(
      Pass(bad, List(Rows({1, 2, 3, 4}, {3, 2, 7, 2}))).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("answers nan"), HasSubstr("[0,0]"), HasSubstr("expected 3"))));
  const FakeModel large({.scale = infinity});
  EXPECT_THAT(Pass(large, List(Rows({1, 2, 3, 4}, {3, 2, 7, 2}))).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("answers inf")));
  EXPECT_OK(Pass(large, List(Rows({1, 2, 3, 4}, {infinity, 2, infinity, 2}))).status());
  // An output that the file does not name is looked at too.
  GoldenCase unnamed = Rows({1, 2, 3, 4}, {0, 0, 0, 0});
  unnamed.outputs.clear();
  EXPECT_THAT(Pass(bad, List(std::move(unnamed))).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("output 'y'")));
}

TEST(Gate, WithoutGoldenRequestsWhatIsNotFiniteIsAWarning) {
  const FakeModel bad({.scale = std::nanf("")});
  ASSERT_OK_AND_ASSIGN(const GateReport report, Pass(bad, {}));
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_THAT(report.warnings[0], AllOf(HasSubstr("output 'y'"), HasSubstr("nan")));
  ASSERT_OK_AND_ASSIGN(const GateReport fine, Pass(FakeModel({}), {}));
  EXPECT_TRUE(fine.warnings.empty());
}

TEST(Gate, ARequestThatDoesNotFitTheModelIsTheFilesFault) {
  const FakeModel model({});
  const auto invalid = [](const char* what) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    AllOf(HasSubstr("golden/rows.json"), HasSubstr(what)));
  };
  GoldenCase golden = Rows({1, 2, 3, 4}, {3, 2, 7, 2});
  golden.inputs.clear();
  EXPECT_THAT(Pass(model, List(std::move(golden))).status(), invalid("no input 'x'"));
  golden = Rows({1, 2, 3, 4}, {3, 2, 7, 2});
  golden.inputs["w"] = Floats({1}, {1});
  EXPECT_THAT(Pass(model, List(std::move(golden))).status(), invalid("no input 'w'"));
  golden = Rows({1, 2, 3, 4}, {3, 2, 7, 2});
  golden.outputs["q"] = Floats({1}, {1});
  EXPECT_THAT(Pass(model, List(std::move(golden))).status(), invalid("no output 'q'"));
  golden = Rows({1, 2, 3, 4}, {3, 2, 7, 2});
  golden.inputs["x"] = Floats({4}, {1, 2, 3, 4});
  EXPECT_THAT(Pass(model, List(std::move(golden))).status(), invalid("expected f32"));
  golden = Rows({1, 2, 3, 4}, {3, 2, 7, 2});
  golden.outputs["y"] = Floats({4}, {3, 2, 7, 2});
  EXPECT_THAT(Pass(model, List(std::move(golden))).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expected f32[4]")));
}

TEST(Gate, AVersionThatCannotRunTheRequestIsRefused) {
  const FakeModel model({});
  EXPECT_THAT(Pass(model, List(Rows({kPoison, 2, 3, 4}, {3, 2, 7, 2}))).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("poisoned")));
}

TEST(Gate, AMuchSlowerVersionIsRefusedWithBothTimes) {
  FakeClock clock;
  const FakeModel serving({.clock = &clock, .row_cost = absl::Milliseconds(2)});
  const FakeModel slow({.clock = &clock, .row_cost = absl::Milliseconds(30)});
  const auto cases = List(Rows({1, 2, 3, 4}, {3, 2, 7, 2}));
  const auto pass = [&](const Model& model, GateOptions options = {}) {
    return PassGate(model, &serving, cases, nullptr, clock, options);
  };
  EXPECT_THAT(pass(slow).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("60ms"), HasSubstr("4ms"), HasSubstr("10 times"))));
  ASSERT_OK_AND_ASSIGN(const GateReport report, pass(slow, {.latency_factor = 20}));
  EXPECT_EQ(report.took, absl::Milliseconds(60));
  EXPECT_EQ(report.took_before, absl::Milliseconds(4));
  EXPECT_OK(pass(slow, {.latency_factor = 0}).status());
  const FakeModel other({.width = 3, .clock = &clock, .row_cost = absl::Milliseconds(1)});
  EXPECT_OK(PassGate(slow, &other, cases, nullptr, clock, {}).status());  // Another interface.
  // Ten times of next to nothing is nothing.
  const FakeModel quick({.clock = &clock, .row_cost = absl::Microseconds(5)});
  const FakeModel slower({.clock = &clock, .row_cost = absl::Microseconds(100)});
  EXPECT_OK(PassGate(slower, &quick, cases, nullptr, clock, {}).status());
}

}  // namespace
}  // namespace paramd
