// The families beside convolution and matmul: agreement with the reference, in
// both layouts where the op keeps its input's, and what is refused.
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include "runtime/backends/onednn/onednn_backend.h"
#include "tests/runtime/backends/onednn/op_testing.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using namespace onednn_testing;  // NOLINT: the test's vocabulary.

OpSpec Spec(OpParams params, std::vector<Operand> inputs, Operand output) {
  OpSpec spec;
  spec.params = std::move(params);
  spec.inputs = std::move(inputs);
  spec.outputs = {std::move(output)};
  return spec;
}

// Expects agreement; the implementation is printed so that a log shows what ran.
void Agrees(const OpSpec& spec, double error_max = 1e-5) {
  const auto op = OnednnBackend().Compile(spec);
  if (spec.inputs[0].dtype == DType::kBF16 && absl::IsUnimplemented(op.status())) return;
  ASSERT_OK(op) << Describe(spec);
  std::cout << Describe(spec) << " " << LayoutName(spec.inputs[0].layout) << " -> "
            << LayoutName((*op)->output_layout(0)) << ": " << (*op)->implementation() << "\n";
  const absl::StatusOr<double> error = ErrorAgainstReference(spec);
  ASSERT_OK(error) << Describe(spec);
  EXPECT_LE(*error, error_max) << Describe(spec);
}

constexpr Layout kLayouts[] = {Layout::kPlain, Layout::kChannelsLast};

TEST(OnednnPool, AgreesInBothLayouts) {
  for (Layout layout : kLayouts) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      for (PoolParams::Kind kind : {PoolParams::Kind::kMax, PoolParams::Kind::kAverage}) {
        for (bool include : {false, true}) {
          const PoolParams pool = {.kind = kind,
                                   .kernel = {3, 3},
                                   .strides = {2, 2},
                                   .dilations = {1, 1},
                                   .pads_begin = {1, 1},
                                   .pads_end = {1, 1},
                                   .count_include_pad = include};
          const double error_max = dtype == DType::kF32 ? 1e-6 : 1e-2;
          Agrees(Spec(pool, {Activation(dtype, {2, 20, 13, 13}, layout)},
                      Activation(dtype, {2, 20, 7, 7})),
                 error_max);
          // Ceil mode: the last window hangs over.
          PoolParams ceil = pool;
          ceil.pads_begin = ceil.pads_end = {0, 0};
          if (include && kind == PoolParams::Kind::kAverage) continue;
          Agrees(Spec(ceil, {Activation(dtype, {2, 20, 12, 12}, layout)},
                      Activation(dtype, {2, 20, 6, 6})),
                 error_max);
        }
      }
    }
  }
}

TEST(OnednnUnary, AgreesForEveryKindThatItTakes) {
  int taken = 0;
  for (int k = 0; k <= static_cast<int>(ActivationKind::kNot); ++k) {
    const auto kind = static_cast<ActivationKind>(k);
    UnaryParams unary = {.kind = kind, .alpha = 0.3f, .beta = 0.6f};
    OpSpec spec = Spec(unary, {Activation(DType::kF32, {3, 5, 7, 2}, Layout::kChannelsLast)},
                       Activation(DType::kF32, {3, 5, 7, 2}));
    const auto op = OnednnBackend().Compile(spec);
    if (!op.ok()) {
      EXPECT_THAT(op, StatusIs(absl::StatusCode::kUnimplemented)) << Describe(spec);
      std::cout << Describe(spec) << " refused: " << op.status().message() << "\n";
      continue;
    }
    ++taken;
    EXPECT_EQ((*op)->output_layout(0), Layout::kChannelsLast);
    EXPECT_EQ((*op)->in_place_input(), 0);
    // The reference reads plain: any order of the elements is as good.
    spec.inputs[0].layout = Layout::kPlain;
    Agrees(spec, kind == ActivationKind::kReciprocal ? 1e-6 : 2e-5);
  }
  EXPECT_GE(taken, 19);
}

TEST(OnednnBinary, BroadcastsInBothLayouts) {
  struct Case {
    Shape a, b, y;
  };
  const std::vector<Case> cases = {
      {{2, 8, 5, 7}, {2, 8, 5, 7}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {1, 8, 1, 1}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {8, 1, 1}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {2, 8, 1, 1}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {1}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {7}, {2, 8, 5, 7}},
      {{2, 8, 5, 7}, {2, 1, 5, 7}, {2, 8, 5, 7}},
      {{4, 16}, {16}, {4, 16}},
      {{4, 16}, {4, 1}, {4, 16}},
      {{16}, {4, 16}, {4, 16}},
      {{1, 12, 7, 64}, {64}, {1, 12, 7, 64}},
      {{3}, {3}, {3}},
      {{}, {}, {}},
  };
  for (Layout layout : kLayouts) {
    for (const Case& c : cases) {
      for (BinaryKind kind : {BinaryKind::kAdd, BinaryKind::kSub, BinaryKind::kMul,
                              BinaryKind::kMin, BinaryKind::kMax, BinaryKind::kDiv}) {
        for (OperandKind b_kind : {OperandKind::kActivation, OperandKind::kParameter}) {
          OpSpec spec = Spec(BinaryParams{.kind = kind},
                             {Activation(DType::kF32, c.a, layout), Activation(DType::kF32, c.b)},
                             Activation(DType::kF32, c.y));
          spec.inputs[1].kind = b_kind;
          const auto op = OnednnBackend().Compile(spec);
          if (!op.ok()) {
            std::cout << Describe(spec) << " " << LayoutName(layout)
                      << " refused: " << op.status().message() << "\n";
            continue;
          }
          Agrees(spec, kind == BinaryKind::kDiv ? 1e-6 : 1e-7);
        }
      }
    }
  }
}

TEST(OnednnSoftmax, AgreesForEveryAxis) {
  for (Layout layout : kLayouts) {
    for (bool log : {false, true}) {
      for (int axis : {0, 1, 2, 3, -1}) {
        for (bool flattened : {false, true}) {
          Agrees(Spec(SoftmaxParams{.axis = axis, .flattened = flattened, .log = log},
                      {Activation(DType::kF32, {3, 10, 4, 6}, layout)},
                      Activation(DType::kF32, {3, 10, 4, 6})));
        }
      }
    }
  }
  Agrees(Spec(SoftmaxParams{.axis = 1}, {Activation(DType::kF32, {8, 1000})},
              Activation(DType::kF32, {8, 1000})));
}

TEST(OnednnLrn, AgreesAsAlexNetUsesIt) {
  for (Layout layout : kLayouts) {
    Agrees(Spec(LrnParams{.size = 5, .alpha = 1e-4f, .beta = 0.75f, .bias = 1},
                {Activation(DType::kF32, {2, 96, 27, 27}, layout)},
                Activation(DType::kF32, {2, 96, 27, 27})));
  }
  EXPECT_THAT(
      OnednnBackend().Compile(Spec(LrnParams{.size = 4}, {Activation(DType::kF32, {2, 96, 27, 27})},
                                   Activation(DType::kF32, {2, 96, 27, 27}))),
      StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(OnednnNorm, AgreesInBothLayouts) {
  for (Layout layout : kLayouts) {
    for (const Shape& shape : {Shape{2, 20, 9, 9}, Shape{2, 20}, Shape{2, 20, 9}}) {
      std::vector<Operand> inputs = {Activation(DType::kF32, shape, layout)};
      for (int i = 0; i < 4; ++i) inputs.push_back(Parameter(DType::kF32, {20}));
      Agrees(Spec(BatchNormParams{}, inputs, Activation(DType::kF32, shape)));
    }
  }
  for (bool bias : {false, true}) {
    std::vector<Operand> inputs = {Activation(DType::kF32, {2, 7, 384}),
                                   Parameter(DType::kF32, {384})};
    if (bias) inputs.push_back(Parameter(DType::kF32, {384}));
    Agrees(Spec(LayerNormParams{.axis = -1}, inputs, Activation(DType::kF32, {2, 7, 384})));
  }
}

TEST(OnednnConcat, AgreesForEveryAxisAndLayout) {
  for (Layout layout : kLayouts) {
    for (int axis = 0; axis < 4; ++axis) {
      for (DType dtype : {DType::kF32, DType::kBF16}) {
        Shape a{2, 8, 3, 5}, b = a, y = a;
        b.set_dim(axis, 4);
        y.set_dim(axis, a.dim(axis) + 4);
        Agrees(Spec(ConcatParams{.axis = axis},
                    {Activation(dtype, a, layout), Activation(dtype, b, layout)},
                    Activation(dtype, y)),
               0);
      }
    }
  }
}

TEST(OnednnReduce, AgreesOverPixelsAndRows) {
  for (Layout layout : kLayouts) {
    for (ReduceKind kind : {ReduceKind::kMean, ReduceKind::kMax, ReduceKind::kSum}) {
      for (const Shape& y : {Shape{2, 20, 1, 1}, Shape{2, 20}}) {
        OpSpec spec =
            Spec(ReduceParams{.kind = kind, .axes = {2, 3}},
                 {Activation(DType::kF32, {2, 20, 7, 7}, layout)}, Activation(DType::kF32, y));
        Agrees(spec);
      }
    }
  }
  for (ReduceKind kind : {ReduceKind::kMean, ReduceKind::kMax, ReduceKind::kSum, ReduceKind::kMin,
                          ReduceKind::kProd}) {
    Agrees(Spec(ReduceParams{.kind = kind, .axes = {1}}, {Activation(DType::kF32, {6, 100})},
                Activation(DType::kF32, {6})));
  }
}

TEST(OnednnTranspose, AgreesForImagesAndHeads) {
  for (Layout layout : kLayouts) {
    Agrees(
        Spec(TransposeParams{.perm = {0, 2, 3, 1}}, {Activation(DType::kF32, {2, 8, 5, 7}, layout)},
             Activation(DType::kF32, {2, 5, 7, 8})),
        0);
    Agrees(Spec(TransposeParams{.perm = {0, 2, 1, 3}},
                {Activation(DType::kF32, {2, 12, 5, 32}, layout)},
                Activation(DType::kF32, {2, 5, 12, 32})),
           0);
  }
  Agrees(Spec(TransposeParams{.perm = {1, 0}}, {Activation(DType::kF32, {30, 70})},
              Activation(DType::kF32, {70, 30})),
         0);
  Agrees(Spec(TransposeParams{.perm = {4, 1, 3, 0, 2}}, {Activation(DType::kF32, {2, 3, 4, 5, 6})},
              Activation(DType::kF32, {6, 3, 5, 2, 4})),
         0);
}

TEST(OnednnReorder, ChangesLayoutAndType) {
  for (Layout from : kLayouts) {
    for (Layout to : kLayouts) {
      for (DType x_type : {DType::kF32, DType::kBF16}) {
        for (DType y_type : {DType::kF32, DType::kBF16}) {
          for (const Shape& shape : {Shape{2, 3, 9, 9}, Shape{1, 64, 5, 5}, Shape{2, 5, 6},
                                     Shape{2, 5, 3, 4, 6}, Shape{4, 7}}) {
            const OpSpec spec = Spec(ReorderParams{}, {Activation(x_type, shape, from)},
                                     Activation(y_type, shape, to));
            ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
            EXPECT_EQ(op->input_layout(0), from);
            EXPECT_EQ(op->output_layout(0), to);
            std::vector<Tensor> inputs = RandomInputs(spec, 3);
            ASSERT_OK_AND_ASSIGN(const auto bound, BindTo(*op, spec, inputs));
            ASSERT_OK(bound->op->Run());
            const Tensor plain = Relaid(bound->output.view(), to, Layout::kPlain);
            const auto want = Floats(inputs[0].view());
            const auto got = Floats(plain.view());
            for (size_t i = 0; i < want.size(); ++i) {
              const float error_max = y_type == DType::kBF16 ? std::abs(want[i]) / 256 : 0;
              ASSERT_NEAR(got[i], want[i], error_max) << Describe(spec) << " at " << i;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace paramd
