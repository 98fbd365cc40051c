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

std::vector<OpSpec> Convolutions(DType dtype, int64_t n) {
  return {SquareConv(dtype, n, 3, 32, 16, 3, 2, 1),
          SquareConv(dtype, n, 3, 35, 24, 11, 4, 2),
          SquareConv(dtype, n, 1, 28, 6, 5, 1, 2),
          SquareConv(dtype, n, 64, 14, 64, 3, 1, 1),
          SquareConv(dtype, n, 17, 19, 23, 3, 1, 1),
          SquareConv(dtype, n, 256, 14, 1024, 1),
          SquareConv(dtype, n, 24, 14, 144, 1),
          SquareConv(dtype, n, 64, 15, 32, 1, 2),
          SquareConv(dtype, n, 48, 1, 16, 1),
          SquareConv(dtype, n, 144, 14, 144, 3, 1, 1, 144),
          SquareConv(dtype, n, 20, 15, 20, 5, 2, 2, 20),
          SquareConv(dtype, n, 96, 13, 256, 5, 1, 2, 2),
          SquareConv(dtype, n, 64, 14, 64, 3, 1, 1, 16),
          SquareConv(dtype, n, 12, 14, 36, 3, 1, 1, 6),
          SquareConv(dtype, n, 32, 16, 32, 3, 1, 2, 1, 2),
          SquareConv(dtype, n, 512, 7, 512, 3, 1, 1)};
}

TEST(OnednnConv, AgreesWithTheReference) {
  for (int64_t n : {1, 3}) {
    for (OpSpec& spec : Convolutions(DType::kF32, n)) {
      for (int threads : {1, 2}) {
        spec.threads = threads;
        ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
        EXPECT_LE(error, kF32Error) << Describe(spec);
      }
    }
  }
}

TEST(OnednnConv, AgreesWithTheReferenceInBf16) {
  for (const OpSpec& spec : Convolutions(DType::kBF16, 2)) {
    const absl::StatusOr<double> error = ErrorAgainstReference(spec);
    if (absl::IsUnimplemented(error.status())) GTEST_SKIP() << error.status();
    ASSERT_OK(error);
    EXPECT_LE(*error, kBf16Error) << Describe(spec);
  }
}

TEST(OnednnConv, RunsInOneAndThreeDimensions) {
  ASSERT_OK_AND_ASSIGN(
      const double line,
      ErrorAgainstReference(
          ConvSpec(DType::kF32, {2, 8, 50}, {12, 8, 5}, {2, 12, 25},
                   {.strides = {2}, .dilations = {1}, .pads_begin = {2}, .pads_end = {2}})));
  EXPECT_LE(line, kF32Error);
  ASSERT_OK_AND_ASSIGN(const double volume,
                       ErrorAgainstReference(ConvSpec(DType::kF32, {2, 8, 6, 7, 8},
                                                      {12, 8, 3, 3, 3}, {2, 12, 6, 7, 8},
                                                      {.strides = {1, 1, 1},
                                                       .dilations = {1, 1, 1},
                                                       .pads_begin = {1, 1, 1},
                                                       .pads_end = {1, 1, 1}})));
  EXPECT_LE(volume, kF32Error);
}

TEST(OnednnConv, FusesEveryActivationAndAResidual) {
  struct Case {
    ActivationKind kind;
    float alpha, beta;
  };
  const std::vector<Case> cases = {
      {ActivationKind::kRelu, 0, 0},
      {ActivationKind::kLeakyRelu, 0.1f, 0},
      {ActivationKind::kClip, 0, 0.5f},
      {ActivationKind::kSigmoid, 0, 0},
      {ActivationKind::kTanh, 0, 0},
      {ActivationKind::kElu, 1, 0},
      {ActivationKind::kHardSigmoid, 0.2f, 0.5f},
      {ActivationKind::kHardSwish, 0, 0},
      {ActivationKind::kSilu, 1, 0},
      {ActivationKind::kGeluErf, 0, 0},
      {ActivationKind::kGeluTanh, 0, 0},
      {ActivationKind::kSelu, 1.67f, 1.05f},
  };
  for (const Case& c : cases) {
    for (int64_t kernel : {1, 3}) {
      for (int64_t groups : {1, 32}) {
        for (int residual : {0, 1, 2}) {  // None, before the activation, after it.
          OpSpec spec = SquareConv(DType::kF32, 2, 32, 9, 32, kernel, 1, kernel / 2, groups);
          const PostOp activation = {.activation = c.kind, .alpha = c.alpha, .beta = c.beta};
          spec.post_ops = {activation};
          if (residual > 0) {
            spec.inputs.push_back(Activation(DType::kF32, spec.outputs[0].shape));
            spec.post_ops.insert(spec.post_ops.begin() + (residual - 1),
                                 {.kind = PostOp::Kind::kAdd, .operand = 3});
          }
          ASSERT_OK_AND_ASSIGN(const double error, ErrorAgainstReference(spec));
          EXPECT_LE(error, 5e-5) << Describe(spec);
        }
      }
    }
  }
}

TEST(OnednnConv, PacksOnceForEveryBatchAndTeam) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const size_t count = Convolutions(dtype, 1).size();
    for (size_t i = 0; i < count; ++i) {
      PackedLayout first;
      for (int threads : {1, 2}) {
        for (int64_t n : {1, 2, 3, 4, 7, 8, 16, 32, 64}) {
          OpSpec spec = Convolutions(dtype, n)[i];
          spec.threads = threads;
          const auto op = OnednnBackend().Compile(spec);
          if (dtype == DType::kBF16 && absl::IsUnimplemented(op.status())) continue;
          ASSERT_OK(op) << Describe(spec);
          const PackedLayout layout = (*op)->parameter_layout(1);
          ASSERT_FALSE(layout.plain());
          if (first.plain()) first = layout;
          // Older instruction sets have other kernels, some of which block by batch and team.
          if (OnednnBackend().fingerprint().find("avx512") != std::string_view::npos) {
            EXPECT_EQ(layout, first)
                << Describe(spec) << " threads " << threads << " " << (*op)->implementation();
          }
          // Everywhere, what one batch has packed another one reads.
          spec.inputs[1].packed = first;
          const auto again = OnednnBackend().Compile(spec);
          ASSERT_OK(again) << Describe(spec) << " threads " << threads;
          EXPECT_EQ((*again)->parameter_layout(1), first);
        }
      }
    }
  }
}

TEST(OnednnConv, WantsChannelsLastAndLeavesIt) {
  for (int64_t kernel : {1, 3}) {
    ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(SquareConv(DType::kF32, 1, 8, 9, 8,
                                                                           kernel, 1, kernel / 2)));
    EXPECT_EQ(op->input_layout(0), Layout::kChannelsLast);
    EXPECT_EQ(op->output_layout(0), Layout::kChannelsLast);
    EXPECT_FALSE(op->implementation().starts_with("ref")) << op->implementation();
  }
}

}  // namespace
}  // namespace paramd
