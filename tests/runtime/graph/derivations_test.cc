#include "runtime/graph/derivations.h"

#include <cmath>

#include "runtime/tensor/half.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

Tensor F32(Shape shape, std::vector<float> values) {
  return Tensor::Of<float>(DType::kF32, std::move(shape), values);
}

TEST(Derivations, FillCopyAndTranspose) {
  Tensor filled(DType::kF32, Shape{3});
  ASSERT_OK(Derive("fill/1", {}, {0.25}, filled.view()));
  EXPECT_THAT(filled.view().as<float>(), ElementsAre(0.25, 0.25, 0.25));

  const Tensor x = F32(Shape{2, 3}, {1, 2, 3, 4, 5, 6});
  Tensor copied(DType::kF32, Shape{6});
  ASSERT_OK(Derive("copy/1", {x.view()}, {}, copied.view()));
  EXPECT_THAT(copied.view().as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  Tensor turned(DType::kF32, Shape{3, 2});
  ASSERT_OK(Derive("transpose/1", {x.view()}, {1, 0}, turned.view()));
  EXPECT_THAT(turned.view().as<float>(), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(Derivations, BatchNormIsTheFormula) {
  const Tensor w = F32(Shape{2, 2}, {1, 2, 3, 4});
  const Tensor scale = F32(Shape{2}, {2, 3}), shift = F32(Shape{2}, {10, 20});
  const Tensor mean = F32(Shape{2}, {1, 2}), variance = F32(Shape{2}, {3, 8});
  Tensor rows(DType::kF32, Shape{2, 2}), columns(DType::kF32, Shape{2, 2});
  ASSERT_OK(Derive("bn-weight/1", {w.view(), scale.view(), variance.view()}, {1, 0}, rows.view()));
  EXPECT_THAT(rows.view().as<float>(), ElementsAre(1, 2, 3, 4));  // 2 / sqrt 4, 3 / sqrt 9
  ASSERT_OK(
      Derive("bn-weight/1", {w.view(), scale.view(), variance.view()}, {0, 1}, columns.view()));
  EXPECT_THAT(columns.view().as<float>()[1], FloatNear(2 * 3 / std::sqrt(8.0f), 1e-6f));
  const Tensor bias = F32(Shape{1}, {5});  // One for all.
  Tensor shifted(DType::kF32, Shape{2});
  ASSERT_OK(Derive("bn-bias/1",
                   {scale.view(), shift.view(), mean.view(), variance.view(), bias.view()}, {1, 2},
                   shifted.view()));
  EXPECT_THAT(shifted.view().as<float>(), ElementsAre(10 + (10 - 1) * 1, 20 + (10 - 2) * 1));
}

TEST(Derivations, WorkInTheTypeOfTheParameters) {
  const std::vector<uint16_t> ones{FloatToBF16(1), FloatToBF16(2)};
  const Tensor x = Tensor::Of<uint16_t>(DType::kBF16, Shape{2}, ones);
  Tensor scaled(DType::kBF16, Shape{2}), widened(DType::kF64, Shape{2});
  ASSERT_OK(Derive("scale-axis/1", {x.view(), x.view()}, {0}, scaled.view()));
  EXPECT_EQ(BF16ToFloat(scaled.view().as<uint16_t>()[1]), 4);
  ASSERT_OK(Derive("cast/1", {x.view()}, {}, widened.view()));
  EXPECT_THAT(widened.view().as<double>(), ElementsAre(1, 2));
}

TEST(Derivations, BytesAreWidened) {
  const std::vector<int8_t> bytes{-128, 1, 127, 4, 5, -6};
  const Tensor x = Tensor::Of<int8_t>(DType::kI8, Shape{2, 3}, bytes);
  Tensor y(DType::kF32, Shape{2, 3});
  ASSERT_OK(Derive("cast/1", {x.view()}, {}, y.view()));
  EXPECT_THAT(y.view().as<float>(), ElementsAre(-128, 1, 127, 4, 5, -6));
  const Tensor scale = F32(Shape{3}, {1, 2, 0.5f});
  const Tensor zero = Tensor::Of<int8_t>(DType::kI8, Shape{3}, std::vector<int8_t>{0, 1, -1});
  ASSERT_OK(Derive("dequantize/1", {x.view(), scale.view(), zero.view()}, {1}, y.view()));
  EXPECT_THAT(y.view().as<float>(), ElementsAre(-128, 0, 64, 4, 8, -2.5f));
  const Tensor one = F32(Shape{}, {0.5f});
  ASSERT_OK(Derive("dequantize/1", {x.view(), one.view()}, {0}, y.view()));
  EXPECT_THAT(y.view().as<float>(), ElementsAre(-64, 0.5f, 63.5f, 2, 2.5f, -3));
  EXPECT_FALSE(Derive("dequantize/1", {x.view(), scale.view()}, {0}, y.view()).ok());
  EXPECT_FALSE(Derive("dequantize/1", {x.view(), scale.view()}, {2}, y.view()).ok());
  EXPECT_FALSE(Derive("dequantize/1", {x.view(), scale.view(), scale.view()}, {1}, y.view()).ok());
}

TEST(Derivations, RefuseWhatDoesNotFit) {
  const Tensor x = F32(Shape{2, 3}, {1, 2, 3, 4, 5, 6}), two = F32(Shape{2}, {1, 2});
  Tensor y(DType::kF32, Shape{2, 3}), i(DType::kI64, Shape{2, 3});
  const auto refuses = [&](std::string_view transform, std::vector<TensorView> parents,
                           std::vector<double> args, const MutableTensorView& result) {
    return !Derive(transform, parents, args, result).ok();
  };
  EXPECT_TRUE(refuses("no-such/1", {}, {}, y.view()));
  EXPECT_TRUE(refuses("fill/1", {}, {}, y.view()));
  EXPECT_TRUE(refuses("fill/1", {}, {1}, i.view()));
  EXPECT_TRUE(refuses("copy/1", {two.view()}, {}, y.view()));
  EXPECT_TRUE(refuses("transpose/1", {x.view()}, {0, 0}, y.view()));
  EXPECT_TRUE(refuses("transpose/1", {x.view()}, {1, 0}, y.view()));
  EXPECT_TRUE(refuses("transpose/1", {x.view()}, {-1, 7}, y.view()));
  EXPECT_TRUE(refuses("scale-axis/1", {x.view(), two.view()}, {1}, y.view()));
  EXPECT_TRUE(refuses("scale-axis/1", {x.view(), two.view()}, {2}, y.view()));
  EXPECT_TRUE(refuses("cast/1", {x.view()}, {}, i.view()));
  EXPECT_TRUE(refuses("bn-weight/1", {x.view(), two.view()}, {0, 0}, y.view()));
}

}  // namespace
}  // namespace paramd
