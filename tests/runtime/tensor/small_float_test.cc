#include "runtime/tensor/small_float.h"

#include <cmath>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr DType kSmallFloats[] = {DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2,
                                  DType::kF8E5M2FNUZ, DType::kF4E2M1};

TEST(SmallFloat, EveryNumberSurvivesTheRoundTrip) {
  for (const DType dtype : kSmallFloats) {
    SCOPED_TRACE(std::string(DTypeName(dtype)));
    for (int code = 0; code < (1 << DTypeBits(dtype)); ++code) {
      const float value = SmallFloatToFloat(dtype, static_cast<uint8_t>(code));
      if (!std::isfinite(value)) continue;
      EXPECT_EQ(FloatToSmallFloat(dtype, value), code) << value;
    }
  }
}

// Values from ONNX's tables.
TEST(SmallFloat, KnownNumbers) {
  EXPECT_EQ(SmallFloatToFloat(DType::kF8E4M3FN, 0x7e), 448.0f);
  EXPECT_EQ(SmallFloatToFloat(DType::kF8E4M3FN, 0x01), 0x1p-9f);
  EXPECT_EQ(SmallFloatToFloat(DType::kF8E4M3FNUZ, 0x7f), 240.0f);
  EXPECT_EQ(SmallFloatToFloat(DType::kF8E5M2, 0x7b), 57344.0f);
  EXPECT_TRUE(std::isinf(SmallFloatToFloat(DType::kF8E5M2, 0x7c)));
  EXPECT_EQ(SmallFloatToFloat(DType::kF8E5M2FNUZ, 0x7f), 57344.0f);
  EXPECT_EQ(SmallFloatToFloat(DType::kF4E2M1, 0x7), 6.0f);
  EXPECT_TRUE(std::isnan(SmallFloatToFloat(DType::kF8E4M3FN, 0x7f)));
  EXPECT_TRUE(std::isnan(SmallFloatToFloat(DType::kF8E4M3FNUZ, 0x80)));
}

TEST(SmallFloat, RoundsTiesToEvenAndSaturates) {
  EXPECT_EQ(FloatToSmallFloat(DType::kF4E2M1, 2.5f), 0x4);  // Between 2 and 3: 2 is even.
  EXPECT_EQ(FloatToSmallFloat(DType::kF4E2M1, 3.5f), 0x6);  // Between 3 and 4: 4 is even.
  EXPECT_EQ(FloatToSmallFloat(DType::kF4E2M1, -100.0f), 0xf);
  EXPECT_EQ(FloatToSmallFloat(DType::kF8E4M3FN, 1e9f), 0x7e);
  EXPECT_EQ(FloatToSmallFloat(DType::kF8E4M3FNUZ, -0.0f), 0);  // It has one zero.
  EXPECT_TRUE(std::isnan(
      SmallFloatToFloat(DType::kF8E5M2, FloatToSmallFloat(DType::kF8E5M2, std::nanf("")))));
}

}  // namespace
}  // namespace paramd
