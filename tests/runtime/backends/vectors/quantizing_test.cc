#include "runtime/backends/vectors/quantizing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace paramd {
namespace {

constexpr int64_t kCountMax = 70;

std::vector<float> RandomFloats(int64_t count, std::mt19937& random) {
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = std::normal_distribution<float>(0.5f, 4)(random);
  return x;
}

template <typename Y>
void ExpectQuantized(const std::vector<float>& x, float scale, float zero) {
  std::vector<Y> y(x.size() + 1, 77);
  Quantize(x.data(), static_cast<int64_t>(x.size()), scale, zero, y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const float right = std::clamp(std::nearbyint(x[i] / scale) + zero,
                                   static_cast<float>(std::numeric_limits<Y>::min()),
                                   static_cast<float>(std::numeric_limits<Y>::max()));
    ASSERT_EQ(y[i], static_cast<Y>(right)) << x[i];
  }
  EXPECT_EQ(y.back(), 77) << "wrote behind the row";
  std::vector<float> back(x.size() + 1, 77);
  Dequantize(y.data(), static_cast<int64_t>(x.size()), scale, static_cast<int32_t>(zero),
             back.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(back[i], static_cast<float>(y[i] - static_cast<int32_t>(zero)) * scale);
  }
  EXPECT_EQ(back.back(), 77) << "wrote behind the row";
}

TEST(QuantizingTest, HasTheBitsOfThePlainLoop) {
  std::mt19937 random(9);
  for (int64_t count = 0; count <= kCountMax; ++count) {
    const std::vector<float> x = RandomFloats(count, random);
    ExpectQuantized<uint8_t>(x, 0.05f, 120);
    ExpectQuantized<int8_t>(x, 0.05f, -3);
  }
  // Halves go to the even number.
  ExpectQuantized<uint8_t>({0.5f, 1.5f, 2.5f, 3.5f, 1e9f, -1e9f}, 1, 0);
}

TEST(QuantizingTest, TheRangeHoldsZeroAndEveryNumber) {
  std::mt19937 random(10);
  for (int64_t count = 0; count <= kCountMax; ++count) {
    const std::vector<float> x = RandomFloats(count, random);
    float low = 0, high = 0;
    for (const float value : x) low = std::min(low, value), high = std::max(high, value);
    const ValueRange range = RangeWithZero(x.data(), count);
    EXPECT_EQ(range.low, low);
    EXPECT_EQ(range.high, high);
  }
}

}  // namespace
}  // namespace paramd
