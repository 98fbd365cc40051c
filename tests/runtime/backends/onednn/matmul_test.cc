#include <set>
#include <string>
#include <vector>

#include "runtime/backends/onednn/onednn_backend.h"
#include "tests/runtime/backends/onednn/op_testing.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using namespace onednn_testing;  // NOLINT: the test's vocabulary.

constexpr double kF32Error = 1e-5;
constexpr double kBf16Error = 2e-2;

TEST(OnednnMatMul, AgreesWithTheReferenceForEveryWayToScaleAndTranspose) {
  for (bool trans_a : {false, true}) {
    for (bool trans_b : {false, true}) {
      for (float alpha : {1.0f, 0.5f}) {
        for (float beta : {1.0f, -2.0f, 0.0f}) {
          OpSpec spec;
          spec.params =
              MatMulParams{.trans_a = trans_a, .trans_b = trans_b, .alpha = alpha, .beta = beta};
          spec.inputs = {Activation(DType::kF32, trans_a ? Shape{40, 5} : Shape{5, 40}),
                         Parameter(DType::kF32, trans_b ? Shape{24, 40} : Shape{40, 24}),
                         Parameter(DType::kF32, {24})};
          spec.outputs = {Activation(DType::kF32, {5, 24})};
          ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
          EXPECT_LE(error, kF32Error) << Describe(spec) << " " << alpha << " " << beta;
        }
      }
    }
  }
}

TEST(OnednnMatMul, TakesABiasOfAnyShapeButOneElementARow) {
  OpSpec spec;
  spec.params = MatMulParams{};
  spec.inputs = {Activation(DType::kF32, {5, 40}), Parameter(DType::kF32, {40, 24}),
                 Parameter(DType::kF32, {})};
  spec.outputs = {Activation(DType::kF32, {5, 24})};
  for (const Shape& bias :
       {Shape{}, Shape{1}, Shape{24}, Shape{1, 24}, Shape{5, 24}, Shape{1, 1}}) {
    spec.inputs[2].shape = bias;
    ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
    EXPECT_LE(error, kF32Error) << Describe(spec);
  }
  spec.inputs[2].shape = {5, 1};
  EXPECT_THAT(OnednnBackend().Compile(spec), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(OnednnMatMul, BatchesProducts) {
  struct Case {
    Shape a, b, y;
    bool trans_b;
  };
  for (const Case& c : std::vector<Case>{
           {{2, 3, 7, 16}, {2, 3, 16, 9}, {2, 3, 7, 9}, false},
           {{2, 3, 7, 16}, {2, 3, 9, 16}, {2, 3, 7, 9}, true},
           {{2, 3, 7, 16}, {3, 16, 9}, {2, 3, 7, 9}, false},
           {{2, 3, 7, 16}, {16, 9}, {2, 3, 7, 9}, false},
           {{2, 1, 7, 16}, {1, 3, 16, 9}, {2, 3, 7, 9}, false},
           {{7, 16}, {3, 16, 9}, {3, 7, 9}, false},
       }) {
    for (OperandKind kind : {OperandKind::kActivation, OperandKind::kParameter}) {
      OpSpec spec;
      spec.params = MatMulParams{.trans_b = c.trans_b, .alpha = 0.25f};
      spec.inputs = {Activation(DType::kF32, c.a), Activation(DType::kF32, c.b)};
      spec.inputs[1].kind = kind;
      spec.outputs = {Activation(DType::kF32, c.y)};
      ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
      EXPECT_LE(error, kF32Error) << Describe(spec);
    }
  }
}

TEST(OnednnMatMul, FusesActivationAndResidual) {
  OpSpec spec = LinearSpec(DType::kF32, 6, 64, 48);
  spec.inputs.push_back(Activation(DType::kF32, {6, 48}));
  spec.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 3},
                   {.activation = ActivationKind::kGeluErf}};
  ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
  EXPECT_LE(error, kF32Error);
}

TEST(OnednnMatMul, ComputesInBf16FromF32OrBf16Weights) {
  OpSpec spec = LinearSpec(DType::kBF16, 6, 64, 48);
  const absl::StatusOr<double> error = ErrorAgainstReference(spec);
  if (absl::IsUnimplemented(error.status())) GTEST_SKIP() << error.status();
  ASSERT_OK(error);
  EXPECT_LE(*error, kBf16Error);
}

// Beyond the caches a kernel of this room reads oneDNN's packed weights.
TEST(OnednnMatMul, ReadsLargeWeightsForFewRowsItself) {
  if (OnednnBackend().fingerprint().find("avx512") == std::string_view::npos) {
    GTEST_SKIP() << "here oneDNN packs in no blocks: " << OnednnBackend().fingerprint();
  }
  const std::vector<std::vector<PostOp>> fusions = {
      {},
      {{.activation = ActivationKind::kRelu}},
      {{.activation = ActivationKind::kLeakyRelu, .alpha = 0.1f}},
      {{.activation = ActivationKind::kClip, .alpha = -1, .beta = 2}}};
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t rows : {1, 2, 3, 4, 5}) {
      for (int threads : {1, 2}) {
        for (const auto& post_ops : fusions) {
          // Neither fits the blocks evenly.
          OpSpec spec = LinearSpec(dtype, rows, dtype == DType::kF32 ? 2049 : 4097, 1001);
          spec.threads = threads;
          spec.post_ops = post_ops;
          const auto op = OnednnBackend().Compile(spec);
          if (dtype == DType::kBF16 && absl::IsUnimplemented(op.status())) continue;
          ASSERT_OK(op);
          EXPECT_EQ((*op)->implementation().starts_with("gemv:"), rows <= 4)
              << (*op)->implementation();
          ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
          // The clip cuts off the large values that errors are measured against.
          EXPECT_LE(error, dtype == DType::kF32 ? 5 * kF32Error : kBf16Error) << Describe(spec);
        }
      }
    }
  }
  for (bool trans_a : {false, true}) {
    for (const Shape& bias : {Shape{}, Shape{1000}}) {
      OpSpec spec;
      spec.params = MatMulParams{.trans_a = trans_a, .alpha = 0.5f, .beta = -2};
      spec.inputs = {Activation(DType::kF32, trans_a ? Shape{2100, 3} : Shape{3, 2100}),
                     Parameter(DType::kF32, {2100, 1000}), Parameter(DType::kF32, bias)};
      spec.outputs = {Activation(DType::kF32, {3, 1000})};
      ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
      EXPECT_LE(error, kF32Error) << Describe(spec);
    }
  }
  // A 1x1 convolution of few pixels keeps its layout.
  OpSpec conv = SquareConv(DType::kF32, 1, 2100, 2, 1000, 1);
  ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(conv));
  EXPECT_TRUE(op->implementation().starts_with("gemv:")) << op->implementation();
  EXPECT_EQ(op->input_layout(0), Layout::kChannelsLast);
  EXPECT_EQ(op->output_layout(0), Layout::kChannelsLast);
  ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(conv));
  EXPECT_LE(error, kF32Error);
}

TEST(OnednnMatMul, PacksOnceForEveryNumberOfRowsAndThreads) {
  struct Size {
    int64_t inner, columns;
  };
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Size& size : std::vector<Size>{{2, 1},
                                              {1, 1},
                                              {64, 128},
                                              {128, 10},
                                              {7, 3},
                                              {48, 1000},
                                              {1280, 1000},
                                              {9216, 4096},
                                              {384, 1536},
                                              {1536, 384},
                                              {17, 19},
                                              {96, 16},
                                              {1152, 48}}) {
      std::set<std::string> layouts;
      PackedLayout first;
      for (int threads : {1, 2}) {
        for (int64_t rows : {1, 2, 3, 5, 8, 16, 33, 49, 196, 784, 4096}) {
          OpSpec spec = LinearSpec(dtype, rows, size.inner, size.columns);
          spec.threads = threads;
          auto op = OnednnBackend().Compile(spec);
          if (dtype == DType::kBF16 && absl::IsUnimplemented(op.status())) continue;
          ASSERT_OK(op) << Describe(spec);
          const PackedLayout layout = (*op)->parameter_layout(1);
          EXPECT_FALSE(layout.plain());
          if (layouts.insert(layout.descriptor).second && layouts.size() > 1) {
            ADD_FAILURE() << Describe(spec) << " threads " << threads << " "
                          << (*op)->implementation() << ": " << layout.bytes << " bytes, first "
                          << first.bytes;
          }
          if (first.plain()) first = layout;
          spec.inputs[1].packed = first;
          auto again = OnednnBackend().Compile(spec);
          ASSERT_OK(again) << Describe(spec) << " threads " << threads;
          EXPECT_EQ((*again)->parameter_layout(1), first);
        }
      }
    }
  }
}

}  // namespace
}  // namespace paramd
