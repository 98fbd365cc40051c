// What the reference promises where ONNX leaves it open, and what every backend
// must keep: the table in runtime/backends/reference/README.md.
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/backends/reference/reference_backend.h"
#include "runtime/tensor/half.h"
#include "tests/conformance/op_runner.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;

using ::testing::HasSubstr;

template <typename T>
constexpr T kMin = std::numeric_limits<T>::min();
template <typename T>
constexpr T kMax = std::numeric_limits<T>::max();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename T>
constexpr DType kType = DType::kUndefined;
template <>
constexpr DType kType<float> = DType::kF32;
template <>
constexpr DType kType<double> = DType::kF64;
template <>
constexpr DType kType<int8_t> = DType::kI8;
template <>
constexpr DType kType<uint8_t> = DType::kU8;
template <>
constexpr DType kType<uint16_t> = DType::kU16;
template <>
constexpr DType kType<int32_t> = DType::kI32;
template <>
constexpr DType kType<int64_t> = DType::kI64;
template <>
constexpr DType kType<uint64_t> = DType::kU64;

template <typename T>
Tensor Row(const std::vector<T>& values) {
  return Tensor::Of<T>(kType<T>, {static_cast<int64_t>(values.size())}, values);
}

Tensor Strings(const std::vector<std::string>& values) {
  Tensor tensor(DType::kString, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), static_cast<std::string*>(tensor.view().data));
  return tensor;
}

template <typename T>
std::vector<T> ValuesOf(const Tensor& tensor) {
  const auto span = tensor.view().as<T>();
  return {span.begin(), span.end()};
}

// Runs one op on whole tensors; the output's shape is the first input's unless given.
absl::StatusOr<Tensor> Eval(OpParams params, std::vector<Tensor> inputs, DType to,
                            std::optional<Shape> shape = std::nullopt) {
  OpSpec spec;
  spec.params = std::move(params);
  for (const Tensor& input : inputs) {
    spec.inputs.push_back(
        {.kind = OperandKind::kActivation, .dtype = input.dtype(), .shape = input.shape()});
  }
  spec.outputs = {
      {.kind = OperandKind::kActivation, .dtype = to, .shape = shape.value_or(inputs[0].shape())}};
  absl::StatusOr<std::vector<Tensor>> outputs =
      conformance::RunOp(ReferenceBackend(), spec, inputs);
  if (!outputs.ok()) return outputs.status();
  return std::move((*outputs)[0]);
}

template <typename T>
std::vector<T> Binary(BinaryKind kind, const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<Tensor> inputs;
  inputs.push_back(Row(a));
  inputs.push_back(Row(b));
  absl::StatusOr<Tensor> y = Eval(BinaryParams{kind}, std::move(inputs), kType<T>);
  EXPECT_OK(y.status());
  return y.ok() ? ValuesOf<T>(*y) : std::vector<T>();
}

template <typename From, typename To>
std::vector<To> Cast(const std::vector<From>& x) {
  std::vector<Tensor> inputs;
  inputs.push_back(Row(x));
  absl::StatusOr<Tensor> y = Eval(CastParams{}, std::move(inputs), kType<To>);
  EXPECT_OK(y.status());
  return y.ok() ? ValuesOf<To>(*y) : std::vector<To>();
}

std::vector<float> Unary(UnaryParams params, const std::vector<float>& x) {
  std::vector<Tensor> inputs;
  inputs.push_back(Row(x));
  absl::StatusOr<Tensor> y = Eval(params, std::move(inputs), DType::kF32);
  EXPECT_OK(y.status());
  return y.ok() ? ValuesOf<float>(*y) : std::vector<float>();
}

TEST(Reference, IntegerDivisionNeverTraps) {
  EXPECT_THAT((Binary<int32_t>(BinaryKind::kDiv, {7, -7, 7, 5, 0, kMin<int32_t>, kMin<int32_t>},
                               {2, 2, -2, 0, 0, -1, 0})),
              ElementsAre(3, -3, -3, 0, 0, kMin<int32_t>, 0));
  EXPECT_THAT((Binary<int64_t>(BinaryKind::kDiv, {kMin<int64_t>, 1}, {-1, 0})),
              ElementsAre(kMin<int64_t>, 0));
  EXPECT_THAT((Binary<int8_t>(BinaryKind::kDiv, {-128, 9}, {-1, 0})), ElementsAre(-128, 0));
}

TEST(Reference, ModHasTheDivisorsSignForIntegersAndTheDividendsForFloats) {
  EXPECT_THAT((Binary<int32_t>(BinaryKind::kMod, {7, -7, 7, -7, 5, kMin<int32_t>, 6},
                               {3, 3, -3, -3, 0, -1, -3})),
              ElementsAre(1, 2, -2, -1, 0, 0, 0));
  EXPECT_THAT((Binary<uint8_t>(BinaryKind::kMod, {200, 7}, {7, 0})), ElementsAre(4, 0));
  EXPECT_THAT((Binary<float>(BinaryKind::kMod, {7, -7}, {3, 3})), ElementsAre(1, -1));
}

TEST(Reference, IntegersWrap) {
  EXPECT_THAT((Binary<int32_t>(BinaryKind::kAdd, {kMax<int32_t>}, {1})),
              ElementsAre(kMin<int32_t>));
  EXPECT_THAT((Binary<uint16_t>(BinaryKind::kMul, {65535}, {65535})), ElementsAre(1));
  EXPECT_THAT((Binary<int64_t>(BinaryKind::kMul, {kMin<int64_t>}, {-1})),
              ElementsAre(kMin<int64_t>));
  EXPECT_THAT((Binary<int64_t>(BinaryKind::kSub, {kMin<int64_t>}, {1})),
              ElementsAre(kMax<int64_t>));
}

TEST(Reference, PowOfIntegers) {
  EXPECT_THAT((Binary<int64_t>(BinaryKind::kPow, {2, -3, 2, 1, -1, -1, 0, 0, 2},
                               {10, 3, -1, -5, -5, -4, 0, -1, 64})),
              ElementsAre(1024, -27, 0, 1, -1, 1, 1, 0, 0));
}

TEST(Reference, NaNIsNotSwallowed) {
  for (ActivationKind kind : {ActivationKind::kRelu, ActivationKind::kClip, ActivationKind::kSign,
                              ActivationKind::kLeakyRelu, ActivationKind::kHardSigmoid}) {
    EXPECT_TRUE(std::isnan(Unary({.kind = kind, .alpha = 0, .beta = 1}, {kNaN})[0]))
        << ActivationKindName(kind);
  }
  for (BinaryKind kind : {BinaryKind::kMax, BinaryKind::kMin}) {
    const std::vector<float> y = Binary<float>(kind, {kNaN, 1}, {1, kNaN});
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  }
}

TEST(Reference, ActivationsHoldAtTheEnds) {
  EXPECT_THAT(Unary({.kind = ActivationKind::kSigmoid}, {-1000, 0, 1000}), ElementsAre(0, 0.5f, 1));
  EXPECT_THAT(Unary({.kind = ActivationKind::kSoftplus}, {-1000, 1000}), ElementsAre(0, 1000));
  EXPECT_THAT(Unary({.kind = ActivationKind::kRound}, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f}),
              ElementsAre(0, 2, 2, 0, -2));
  // Low above high: high wins, as ONNX says.
  EXPECT_THAT(Unary({.kind = ActivationKind::kClip, .alpha = 5, .beta = 1}, {0, 3, 9}),
              ElementsAre(1, 1, 1));
}

TEST(Reference, CastsFromFloatsTruncateAndSaturate) {
  EXPECT_THAT((Cast<float, int32_t>({1.9f, -1.9f, 3e9f, -3e9f, kNaN, kInfinity, -kInfinity})),
              ElementsAre(1, -1, kMax<int32_t>, kMin<int32_t>, 0, kMax<int32_t>, kMin<int32_t>));
  EXPECT_THAT((Cast<float, uint8_t>({255.9f, 256, -0.9f, -1, 300})),
              ElementsAre(255, 255, 0, 0, 255));
  EXPECT_THAT((Cast<float, int64_t>({9223372036854775808.0f, -9223372036854775808.0f})),
              ElementsAre(kMax<int64_t>, kMin<int64_t>));
  EXPECT_THAT((Cast<double, uint64_t>({1.8446744073709552e19, 2.0})),
              ElementsAre(kMax<uint64_t>, 2u));
  EXPECT_THAT((Cast<double, float>({1e300, -1e300, 0.1})),
              ElementsAre(kInfinity, -kInfinity, 0.1f));
  EXPECT_THAT((Cast<int32_t, uint8_t>({-1, 257})), ElementsAre(255, 1));
}

TEST(Reference, CastsStringsBothWaysAndSaysWhereOneIsNoNumber) {
  std::vector<Tensor> texts;
  texts.push_back(Strings({"3.5", "-1e2", "NaN", "inf"}));
  ASSERT_OK_AND_ASSIGN(const Tensor numbers, Eval(CastParams{}, std::move(texts), DType::kF32));
  EXPECT_THAT(ValuesOf<float>(numbers), ElementsAre(3.5f, -100, testing::IsNan(), kInfinity));
  std::vector<Tensor> words;
  words.push_back(Strings({"1", "abacus"}));
  EXPECT_THAT(Eval(CastParams{}, std::move(words), DType::kI32),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("position 1")));
  std::vector<Tensor> too_large;
  too_large.push_back(Strings({"300"}));
  EXPECT_THAT(Eval(CastParams{}, std::move(too_large), DType::kU8),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::vector<Tensor> back;
  back.push_back(Row<float>({0.1f, -2}));
  ASSERT_OK_AND_ASSIGN(const Tensor text, Eval(CastParams{}, std::move(back), DType::kString));
  EXPECT_THAT(ValuesOf<std::string>(text), ElementsAre("0.1", "-2"));
}

TEST(Reference, MovesStrings) {
  std::vector<Tensor> concat;
  concat.push_back(Strings({"a", "a long string that lives on the heap"}));
  concat.push_back(Strings({"c"}));
  ASSERT_OK_AND_ASSIGN(const Tensor all,
                       Eval(ConcatParams{0}, std::move(concat), DType::kString, Shape{3}));
  EXPECT_THAT(ValuesOf<std::string>(all),
              ElementsAre("a", "a long string that lives on the heap", "c"));
  std::vector<Tensor> slice;
  slice.push_back(Tensor::CopyOf(all.view()));
  ASSERT_OK_AND_ASSIGN(const Tensor backwards,
                       Eval(SliceParams{{2}, {-2}}, std::move(slice), DType::kString, Shape{2}));
  EXPECT_THAT(ValuesOf<std::string>(backwards), ElementsAre("c", "a"));
  std::vector<Tensor> gather;
  gather.push_back(Tensor::CopyOf(all.view()));
  gather.push_back(Row<int64_t>({-1, 0, 0}));
  ASSERT_OK_AND_ASSIGN(const Tensor picked,
                       Eval(GatherParams{0}, std::move(gather), DType::kString, Shape{3}));
  EXPECT_THAT(ValuesOf<std::string>(picked), ElementsAre("c", "a", "a"));
  std::vector<Tensor> equal;
  equal.push_back(Strings({"x", "y"}));
  equal.push_back(Strings({"x", "z"}));
  ASSERT_OK_AND_ASSIGN(const Tensor same,
                       Eval(BinaryParams{BinaryKind::kEqual}, std::move(equal), DType::kBool));
  EXPECT_THAT(ValuesOf<uint8_t>(same), ElementsAre(1, 0));
}

TEST(Reference, GatherRefusesIndicesOutsideWithoutRepeatingThem) {
  for (const std::vector<int64_t>& indices :
       {std::vector<int64_t>{0, 3}, {0, -4}, {0, kMin<int64_t>}, {0, kMax<int64_t>}}) {
    std::vector<Tensor> inputs;
    inputs.push_back(Row<float>({1, 2, 3}));
    inputs.push_back(Row<int64_t>(indices));
    EXPECT_THAT(Eval(GatherParams{0}, std::move(inputs), DType::kF32, Shape{2}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         "gather: the index at position 1 is outside [-3,3)"));
  }
  // Also where no element would move.
  std::vector<Tensor> empty;
  empty.push_back(Tensor(DType::kF32, {3, 0}));
  empty.push_back(Row<int64_t>({7}));
  EXPECT_THAT(Eval(GatherParams{0}, std::move(empty), DType::kF32, Shape{1, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Reference, ReductionsOfNothing) {
  const auto reduce = [](ReduceKind kind, DType dtype) {
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor(dtype, {2, 0}));
    absl::StatusOr<Tensor> y = Eval(ReduceParams{kind, {1}}, std::move(inputs), dtype, Shape{2});
    EXPECT_OK(y.status());
    return std::move(y).value();
  };
  EXPECT_THAT(ValuesOf<float>(reduce(ReduceKind::kSum, DType::kF32)), ElementsAre(0, 0));
  EXPECT_THAT(ValuesOf<float>(reduce(ReduceKind::kProd, DType::kF32)), ElementsAre(1, 1));
  EXPECT_THAT(ValuesOf<float>(reduce(ReduceKind::kMax, DType::kF32)),
              ElementsAre(-kInfinity, -kInfinity));
  EXPECT_TRUE(std::isnan(ValuesOf<float>(reduce(ReduceKind::kMean, DType::kF32))[0]));
  EXPECT_THAT(ValuesOf<int32_t>(reduce(ReduceKind::kMean, DType::kI32)), ElementsAre(0, 0));
  EXPECT_THAT(ValuesOf<int32_t>(reduce(ReduceKind::kMin, DType::kI32)),
              ElementsAre(kMax<int32_t>, kMax<int32_t>));
}

TEST(Reference, WindowsOfNothingButPadding) {
  const auto pool = [](PoolParams::Kind kind) {
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::Of<float>(DType::kF32, {1, 1, 1}, std::vector<float>{5}));
    return Eval(PoolParams{kind, {1}, {1}, {1}, {1}, {1}}, std::move(inputs), DType::kF32,
                Shape{1, 1, 3});
  };
  ASSERT_OK_AND_ASSIGN(const Tensor most, pool(PoolParams::Kind::kMax));
  EXPECT_THAT(ValuesOf<float>(most), ElementsAre(-kInfinity, 5, -kInfinity));
  ASSERT_OK_AND_ASSIGN(const Tensor average, pool(PoolParams::Kind::kAverage));
  EXPECT_THAT(ValuesOf<float>(average), ElementsAre(0, 5, 0));
}

TEST(Reference, BoolsAreAnyByteButZero) {
  Tensor condition(DType::kBool, {3});
  auto* bytes = static_cast<uint8_t*>(condition.view().data);
  bytes[0] = 2, bytes[1] = 0, bytes[2] = 255;
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::CopyOf(std::as_const(condition).view()));
  ASSERT_OK_AND_ASSIGN(const Tensor inverse, Eval(UnaryParams{.kind = ActivationKind::kNot},
                                                  std::move(inputs), DType::kBool));
  EXPECT_THAT(ValuesOf<uint8_t>(inverse), ElementsAre(0, 1, 0));
  std::vector<Tensor> cast;
  cast.push_back(Tensor::CopyOf(std::as_const(condition).view()));
  ASSERT_OK_AND_ASSIGN(const Tensor numbers, Eval(CastParams{}, std::move(cast), DType::kF32));
  EXPECT_THAT(ValuesOf<float>(numbers), ElementsAre(1, 0, 1));
}

TEST(Reference, RoundsBf16OnceAfterThePostOps) {
  // 256 + 1 is 256 in bf16, and minus 256 nothing would be left.
  OpSpec spec;
  const Operand one{.kind = OperandKind::kActivation, .dtype = DType::kBF16, .shape = {1}};
  spec.params = BinaryParams{BinaryKind::kAdd};
  spec.inputs = {one, one, one};
  spec.outputs = {one};
  spec.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 2}};
  std::vector<Tensor> inputs;
  for (float x : {256.0f, 1.0f, -256.0f}) {
    inputs.push_back(Tensor::Of<uint16_t>(DType::kBF16, {1}, std::vector{FloatToBF16(x)}));
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> y,
                       conformance::RunOp(ReferenceBackend(), spec, inputs));
  EXPECT_EQ(BF16ToFloat(ValuesOf<uint16_t>(y[0])[0]), 1.0f);
}

OpSpec LinearBf16() {
  OpSpec spec;
  spec.params = MatMulParams{};
  spec.inputs = {{.kind = OperandKind::kActivation, .dtype = DType::kBF16, .shape = {1, 2}},
                 {.kind = OperandKind::kParameter, .dtype = DType::kBF16, .shape = {2, 1}}};
  spec.outputs = {{.kind = OperandKind::kActivation, .dtype = DType::kBF16, .shape = {1, 1}}};
  return spec;
}

TEST(Reference, PacksF32ParametersAsBf16WhereTheSpecSaysSo) {
  std::vector<Tensor> inputs;
  inputs.push_back(
      Tensor::Of<uint16_t>(DType::kBF16, {1, 2}, std::vector{FloatToBF16(2), FloatToBF16(3)}));
  inputs.push_back(Tensor::Of<float>(DType::kF32, {2, 1}, std::vector<float>{0.5f, 4}));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> y,
                       conformance::RunOp(ReferenceBackend(), LinearBf16(), inputs));
  EXPECT_EQ(BF16ToFloat(ValuesOf<uint16_t>(y[0])[0]), 13.0f);
}

TEST(Reference, RefusesParametersPackedForAnotherBackend) {
  OpSpec spec = LinearBf16();
  spec.inputs[1].packed = {"somebody's blocks", 64};
  EXPECT_THAT(ReferenceBackend().Compile(spec), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(Reference, BindRefusesMissingAddresses) {
  ASSERT_OK_AND_ASSIGN(const auto op, ReferenceBackend().Compile(LinearBf16()));
  std::byte bytes[1024] = {};
  const void* const inputs[] = {bytes, bytes};
  const void* const no_weights[] = {bytes, nullptr};
  void* const outputs[] = {bytes + 64};
  EXPECT_OK(op->Bind({inputs, outputs, bytes + 128}));
  EXPECT_THAT(op->Bind({no_weights, outputs, bytes + 128}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input 1")));
  EXPECT_THAT(op->Bind({inputs, outputs, nullptr}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scratch")));
  EXPECT_THAT(op->Bind({absl::MakeSpan(inputs).subspan(0, 1), outputs, bytes}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Reference, IsNotInPlaceOverAnInputThatAPostOpReads) {
  const Operand x{.kind = OperandKind::kActivation, .dtype = DType::kF32, .shape = {4}};
  OpSpec spec{.params = UnaryParams{}, .inputs = {x}, .outputs = {x}};
  ASSERT_OK_AND_ASSIGN(const auto alone, ReferenceBackend().Compile(spec));
  EXPECT_EQ(alone->in_place_input(), 0);
  spec.post_ops = {{.kind = PostOp::Kind::kAdd, .operand = 0}};
  ASSERT_OK_AND_ASSIGN(const auto residual, ReferenceBackend().Compile(spec));
  EXPECT_EQ(residual->in_place_input(), -1);
  // Nor over a parameter, which is sealed.
  spec.post_ops.clear();
  spec.inputs[0].kind = OperandKind::kParameter;
  ASSERT_OK_AND_ASSIGN(const auto sealed, ReferenceBackend().Compile(spec));
  EXPECT_EQ(sealed->in_place_input(), -1);
}

TEST(Reference, CompilesHugeShapesWithoutTouchingThem) {
  constexpr int64_t kHuge = int64_t{1} << 58;
  const auto operand = [](const Shape& shape, DType dtype = DType::kF32) {
    return Operand{.kind = OperandKind::kActivation, .dtype = dtype, .shape = shape};
  };
  OpSpec pad{.params = PadParams{PadParams::Mode::kReflect, {kHuge}, {0}},
             .inputs = {operand({2})},
             .outputs = {operand({kHuge + 2})}};
  EXPECT_OK(ReferenceBackend().Compile(pad));
  OpSpec concat{.params = ConcatParams{0},
                .inputs = {operand({kHuge, 2}), operand({kHuge, 2})},
                .outputs = {operand({2 * kHuge, 2})}};
  EXPECT_OK(ReferenceBackend().Compile(concat));
  // Widening bf16 would take more than there is.
  OpSpec bf16{.params = UnaryParams{},
              .inputs = {operand({int64_t{1} << 60}, DType::kBF16)},
              .outputs = {operand({int64_t{1} << 60}, DType::kBF16)}};
  EXPECT_THAT(ReferenceBackend().Compile(bf16), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Reference, RefusesWhatAnOpIsNotDefinedForWithItsName) {
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor(DType::kI32, {3}));
  EXPECT_THAT(Eval(UnaryParams{.kind = ActivationKind::kTanh}, std::move(inputs), DType::kI32),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("no tanh of i32")));
  std::vector<Tensor> floats;
  floats.push_back(Tensor(DType::kF32, {3}));
  floats.push_back(Tensor(DType::kF32, {3}));
  EXPECT_THAT(Eval(BinaryParams{BinaryKind::kAdd}, std::move(floats), DType::kBool),
              StatusIs(absl::StatusCode::kUnimplemented));
}

}  // namespace
}  // namespace paramd
