// Every case on every backend: the reference against the oracle, the others
// against the reference, with plain and with channels-last inputs. At the end a
// table says how much each backend took, and why it refused the rest.
#include <cctype>
#include <iostream>
#include <map>
#include <random>

#include "runtime/backends/backend_list.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/comparison.h"
#include "tests/conformance/data.h"
#include "tests/conformance/op_runner.h"
#include "tests/conformance/oracle.h"
#include "tests/conformance/packing_testing.h"
#include "tests/support/status_testing.h"

namespace paramd::conformance {
namespace {

// What each backend said to the cases, printed when all have run.
class Tally : public testing::Environment {
 public:
  static Tally& Get() {
    static Tally* tally = new Tally;  // Owned by gtest once added.
    return *tally;
  }
  void Took(std::string_view backend) { ++rows_[std::string(backend)].took; }
  void Refused(std::string_view backend, const std::string& name, std::string_view reason) {
    rows_[std::string(backend)].refused[std::string(reason)].push_back(name);
  }
  void TearDown() override {
    for (const auto& [backend, row] : rows_) {
      size_t refused = 0;
      for (const auto& [reason, names] : row.refused) refused += names.size();
      std::cout << backend << " took " << row.took << " of " << row.took + refused << " cases\n";
      for (const auto& [reason, names] : row.refused) {
        std::cout << "  " << names.size() << " refused: " << reason << " (" << names.front()
                  << (names.size() > 1 ? ", ..." : "") << ")\n";
      }
    }
    std::cout << "seed " << Seed() << "\n";
  }

 private:
  struct Row {
    int took = 0;
    std::map<std::string, std::vector<std::string>> refused;
  };
  std::map<std::string, Row> rows_;
};

// The same spec with its images as a producer that works in channels-last
// leaves them; false if it has none.
bool WithChannelsLast(OpSpec* spec) {
  if (std::holds_alternative<ReorderParams>(spec->params)) return false;
  bool any = false;
  for (Operand& input : spec->inputs) {
    // Whole bytes only: half a byte has no place of its own.
    const bool image = input.kind == OperandKind::kActivation && input.shape.rank() >= 3 &&
                       DTypeBits(input.dtype) >= 8;
    if (image) input.layout = Layout::kChannelsLast;
    any = any || image;
  }
  return any;
}

class ConformanceTest : public testing::TestWithParam<Case> {};

TEST_P(ConformanceTest, EveryBackendAgrees) {
  const Case& c = GetParam();
  SCOPED_TRACE(StrCat(c.name, ": ", Describe(c.spec), ", seed ", Seed()));
  ASSERT_OK(ValidateSpec(c.spec));
  std::mt19937_64 random(Seed() ^ std::hash<std::string>()(c.name));
  const std::vector<Tensor> inputs = FillAll(c, random);
  std::vector<Numbers> numbers;
  for (const Tensor& input : inputs) {
    const bool absent = input.dtype() == DType::kUndefined;
    numbers.push_back(absent ? Numbers() : ToNumbers(input.view()));
  }
  // The reference first: it accepts everything, and is right.
  const Backend& reference = *AllBackends().back();
  ASSERT_EQ(reference.name(), "reference");
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> right, RunOp(reference, c.spec, inputs));
  const DType dtype = c.spec.outputs[0].dtype;
  const Numbers expected = ToNumbers(right[0].view());
  {
    // The oracle's number as the type would store it, for the types that only
    // have a few.
    const Numbers oracle = Oracle(c.spec, numbers);
    const Numbers stored =
        ReferenceBound(dtype) > 0
            ? oracle
            : ToNumbers(std::as_const(static_cast<const Tensor&>(
                                          FromNumbers(dtype, c.spec.outputs[0].shape, oracle)))
                            .view());
    EXPECT_LE(DistanceOf(expected, stored).relative, ReferenceBound(dtype));
  }
  for (const Backend* backend : AllBackends()) {
    for (bool channels_last : {false, true}) {
      OpSpec spec = c.spec;
      if (channels_last && !WithChannelsLast(&spec)) continue;
      const std::string name = StrCat(backend->name(), "/", c.name, channels_last ? "/last" : "");
      SCOPED_TRACE(name);
      absl::StatusOr<std::vector<Tensor>> result = RunOp(*backend, spec, inputs);
      if (absl::IsUnimplemented(result.status())) {
        Tally::Get().Refused(backend->name(), name, FromAbsl(result.status().message()));
        EXPECT_NE(backend->name(), "reference") << result.status();
        if (backend->name() == "onednn") {
          EXPECT_FALSE(c.onednn_must_take) << result.status();
        }
        continue;
      }
      ASSERT_OK(result.status());
      Tally::Get().Took(backend->name());
      const Numbers got = ToNumbers(std::as_const((*result)[0]).view());
      const Distance distance = DistanceOf(got, expected);
      EXPECT_TRUE(CloseEnough(dtype, distance))
          << "relative " << distance.relative << ", cosine " << distance.cosine;
      if (backend == &reference) {
        EXPECT_EQ(distance.relative, 0) << "its answer depends on the layout";
      }
      for (size_t i = 1; i < right.size(); ++i) {  // Indices.
        EXPECT_EQ(ToNumbers(std::as_const((*result)[i]).view()), ToNumbers(right[i].view()));
      }
    }
  }
  if (right.size() > 1) {
    const Numbers indices = ToNumbers(right[1].view());
    for (size_t i = 0; i < indices.size(); ++i) {
      ASSERT_EQ(numbers[0][static_cast<size_t>(indices[i])], expected[i]);
    }
  }
}

// The case with five rows or images more.
Case WithLargerBatch(Case c) {
  for (Operand& operand : c.spec.inputs) {
    if (operand.kind != OperandKind::kActivation) continue;
    operand.shape.set_dim(0, operand.shape.dim(0) + 5);
  }
  c.spec.outputs[0].shape.set_dim(0, c.spec.outputs[0].shape.dim(0) + 5);
  return c;
}

// Convolutions and matmuls whose batch may grow.
std::vector<Case> BatchedCases() {
  std::vector<Case> cases;
  for (Case& c : AllCases()) {
    const bool weighted = (std::holds_alternative<ConvParams>(c.spec.params) ||
                           std::holds_alternative<MatMulParams>(c.spec.params)) &&
                          c.spec.inputs[1].kind == OperandKind::kParameter;
    if (weighted && c.spec.outputs[0].shape.elements() > 0 &&
        ValidateSpec(WithLargerBatch(c).spec).ok()) {
      cases.push_back(std::move(c));
    }
  }
  return cases;
}

class PackingTest : public testing::TestWithParam<Case> {};

// One packed layout a parameter: what the first batch size chose is what every
// other one compiles against, and the same bytes serve both.
TEST_P(PackingTest, ParametersArePackedOnceForEveryBatch) {
  const Case& c = GetParam();
  SCOPED_TRACE(StrCat(c.name, ": ", Describe(c.spec), ", seed ", Seed()));
  const Case more = WithLargerBatch(c);
  ASSERT_OK(ValidateSpec(more.spec));
  std::mt19937_64 random(Seed() ^ std::hash<std::string>()(c.name));
  const std::vector<Tensor> inputs = FillAll(more, random);
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> right,
                       RunOp(*AllBackends().back(), more.spec, inputs));
  for (const Backend* backend : AllBackends()) {
    SCOPED_TRACE(backend->name());
    const auto first = backend->Compile(c.spec);
    if (!first.ok()) continue;
    const OpSpec spec = PackedAs(**first, more.spec);
    const auto second = backend->Compile(spec);
    ASSERT_OK(second.status());
    ExpectPackedAlike(**first, **second, spec, inputs);
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs,
                         RunCompiled(**second, spec, inputs, {}));
    EXPECT_TRUE(CloseEnough(spec.outputs[0].dtype,
                            DistanceOf(ToNumbers(outputs[0].view()), ToNumbers(right[0].view()))));
  }
}

std::string TestName(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Ops, ConformanceTest, testing::ValuesIn(AllCases()), TestName);
INSTANTIATE_TEST_SUITE_P(Ops, PackingTest, testing::ValuesIn(BatchedCases()), TestName);

const testing::Environment* const kTally = testing::AddGlobalTestEnvironment(&Tally::Get());

}  // namespace

// What gtest prints as a failing test's parameter.
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

}  // namespace paramd::conformance
