// Operations of NamedParams that more than one backend has: every backend
// against the reference, with plain and channels-last inputs, and for two batch
// sizes on weights that were packed once.
#include <cctype>
#include <cstdlib>
#include <iostream>
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

constexpr int64_t kBatches[] = {1, 3};

// ThreadSanitizer does not see the barriers of the distribution's OpenMP, and takes
// what a member of a team writes for a race: there ops run on one thread.
#ifdef PARAMD_TSAN
constexpr bool kRunsTeams = false;
#else
constexpr bool kRunsTeams = true;
#endif

// On older instruction sets oneDNN has fewer kernels.
bool OnWholeCpu() { return std::getenv("DNNL_MAX_CPU_ISA") == nullptr; }

struct Pair {
  Case small, large;
};
// What gtest prints as a failing test's parameter.
[[maybe_unused]] void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.small.name; }

std::vector<Pair> Pairs() {
  std::vector<Case> small = NamedCases(kBatches[0]), large = NamedCases(kBatches[1]);
  std::vector<Pair> pairs;
  for (size_t i = 0; i < small.size(); ++i) {
    pairs.push_back({std::move(small[i]), std::move(large[i])});
  }
  return pairs;
}

class NamedTest : public testing::TestWithParam<Pair> {
 protected:
  static void ExpectClose(const OpSpec& spec, const std::vector<Tensor>& got,
                          const std::vector<Tensor>& right) {
    ASSERT_EQ(got.size(), right.size());
    for (size_t i = 0; i < right.size(); ++i) {
      if (spec.outputs[i].kind == OperandKind::kAbsent) continue;
      const Distance distance = DistanceOf(ToNumbers(got[i].view()), ToNumbers(right[i].view()));
      EXPECT_TRUE(CloseEnough(spec.outputs[i].dtype, distance))
          << "output " << i << ": relative " << distance.relative << ", cosine " << distance.cosine;
    }
  }
  static std::vector<Tensor> InputsOf(const Case& c) {
    std::mt19937_64 random(Seed() ^ std::hash<std::string>()(c.name));
    return FillAll(c, random);
  }
};

TEST_P(NamedTest, EveryBackendAgrees) {
  for (const Case& c : {GetParam().small, GetParam().large}) {
    SCOPED_TRACE(StrCat(c.name, ": ", Describe(c.spec), ", seed ", Seed()));
    ASSERT_OK(ValidateSpec(c.spec));
    const std::vector<Tensor> inputs = InputsOf(c);
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> right,
                         RunOp(*AllBackends().back(), c.spec, inputs));
    for (const Backend* backend : AllBackends()) {
      for (const Layout layout : {Layout::kPlain, Layout::kChannelsLast}) {
        SCOPED_TRACE(StrCat(backend->name(), " ", LayoutName(layout)));
        OpSpec spec = c.spec;
        if (spec.inputs[0].shape.rank() >= 3) spec.inputs[0].layout = layout;
        absl::StatusOr<std::vector<Tensor>> got = RunOp(*backend, spec, inputs);
        if (absl::IsUnimplemented(got.status())) {
          EXPECT_NE(backend->name(), "reference") << got.status();
          EXPECT_FALSE(backend->name() == "onednn" && c.onednn_must_take && OnWholeCpu())
              << got.status();
          std::cout << c.name << ": " << backend->name() << ": " << got.status().message() << "\n";
          continue;
        }
        ASSERT_OK(got.status());
        ExpectClose(spec, *got, right);
      }
    }
  }
}

TEST_P(NamedTest, ParametersArePackedOnceForEveryBatch) {
  const Case &c = GetParam().small, &more = GetParam().large;
  SCOPED_TRACE(StrCat(c.name, ": ", Describe(more.spec), ", seed ", Seed()));
  const std::vector<Tensor> inputs = InputsOf(more);
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> right,
                       RunOp(*AllBackends().back(), more.spec, inputs));
  for (const Backend* backend : AllBackends()) {
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(StrCat(backend->name(), " with ", threads, " threads"));
      const auto first = backend->Compile(c.spec);
      if (!first.ok()) continue;
      OpSpec spec = PackedAs(**first, more.spec);
      spec.threads = threads;
      const auto second = backend->Compile(spec);
      ASSERT_OK(second.status());
      ExpectPackedAlike(**first, **second, spec, inputs);
      if (threads > 1 && !kRunsTeams) continue;
      ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs,
                           RunCompiled(**second, spec, inputs, {}));
      ExpectClose(spec, outputs, right);
    }
  }
}

std::string TestName(const testing::TestParamInfo<Pair>& info) {
  std::string name = info.param.small.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Ops, NamedTest, testing::ValuesIn(Pairs()), TestName);

// --- What ValidateSpec refuses -------------------------------------------------------

Case FindCase(std::string_view name) {
  for (Case& c : NamedCases(1)) {
    if (c.name == name) return std::move(c);
  }
  ADD_FAILURE() << "no case " << name;
  return {};
}

struct Hostile {
  std::string_view of;  // The case that is bent.
  void (*bend)(OpSpec& spec);
  std::string_view message;
};

NamedParams& Named(OpSpec& spec) { return std::get<NamedParams>(spec.params); }

TEST(NamedValidationTest, HostileOperandsAreRefusedWithWhatWasExpected) {
  const Hostile table[] = {
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.inputs[0].dtype = DType::kI32; },
       "input 0 is i32, expected u8 or i8"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.inputs[1].shape.set_dim(0, 383); },
       "inner dimensions differ"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.outputs[0].shape.set_dim(1, 38); },
       "the inputs imply"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.outputs[0].dtype = DType::kF32; },
       "the result is f32, expected i32"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.inputs[2].dtype = DType::kI8; },
       "input 2 is i8, expected u8"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.inputs[3].shape = Shape{36}; },
       "has 36 values, expected 1 or 37"},
      {"matmul_integer/usual/u8i8", [](OpSpec& s) { s.inputs[0].shape = Shape{384}; },
       "ranks below 2"},
      {"qlinear_matmul/usual/u8i8", [](OpSpec& s) { s.inputs[4] = Absent(); }, "lacks input 4"},
      {"qlinear_matmul/usual/u8i8", [](OpSpec& s) { s.inputs.resize(5); }, "lacks input"},
      {"qlinear_conv/stride2/u8i8", [](OpSpec& s) { s.inputs[8].shape = Shape{7}; },
       "the bias has 7 values, expected 8"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { Named(s).ints[0] = 0; }, "groups do not fit"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { Named(s).ints[1] = 0; }, "out of range"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { Named(s).ints[3] = INT64_MAX; }, "out of range"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { Named(s).ints[5] = -1; }, "out of range"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { Named(s).ints.pop_back(); }, "numbers"},
      {"conv_integer/3x3/u8i8", [](OpSpec& s) { s.outputs[0].shape.set_dim(1, 23); },
       "does not fit"},
      {"lstm/forward", [](OpSpec& s) { Named(s).ints[1] = INT64_MAX / 2; }, "hidden size"},
      {"lstm/forward", [](OpSpec& s) { Named(s).ints[1] = 21; }, "does not fit"},
      {"lstm/forward", [](OpSpec& s) { Named(s).ints[5] = 99; }, "activation 99"},
      {"lstm/forward", [](OpSpec& s) { Named(s).ints.pop_back(); }, "activations"},
      {"lstm/forward", [](OpSpec& s) { Named(s).ints[0] = 3; }, "direction 3"},
      {"lstm/forward", [](OpSpec& s) { s.inputs[2].shape.set_dim(1, 79); }, "input 2"},
      {"lstm/forward", [](OpSpec& s) { s.outputs[0].shape.set_dim(0, 6); }, "output 0"},
      {"gru/both", [](OpSpec& s) { s.inputs[3].dtype = DType::kF64; }, "input 3 is f64"},
  };
  for (const Hostile& hostile : table) {
    SCOPED_TRACE(hostile.message);
    OpSpec spec = FindCase(hostile.of).spec;
    ASSERT_OK(ValidateSpec(spec));
    hostile.bend(spec);
    const absl::Status status = ValidateSpec(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find(ToAbsl(hostile.message)), std::string::npos) << status;
    for (const Backend* backend : AllBackends()) {
      EXPECT_FALSE(backend->Compile(spec).ok()) << backend->name();
    }
  }
}

}  // namespace
}  // namespace paramd::conformance
