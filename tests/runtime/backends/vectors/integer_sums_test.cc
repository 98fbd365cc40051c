#include "runtime/backends/vectors/integer_sums.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace paramd {
namespace {

// Every remainder of the widest vector, and a few vectors.
constexpr int64_t kCountMax = 70;

struct Row {
  std::vector<int32_t> sums, column_sums, zeros, bias;
  std::vector<float> scales, addends;
  IntegerColumns columns;
  IntegerRow row;
};

Row RandomRow(int64_t count, std::mt19937& random) {
  Row r;
  const auto integers = [&](int32_t most) {
    std::vector<int32_t> values(static_cast<size_t>(count));
    for (int32_t& value : values) {
      value = std::uniform_int_distribution<int32_t>(-most, most)(random);
    }
    return values;
  };
  const auto floats = [&](float most) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = std::uniform_real_distribution<float>(0, most)(random);
    return values;
  };
  r.sums = integers(1 << 20), r.column_sums = integers(5000), r.zeros = integers(255);
  r.bias = integers(1000), r.scales = floats(0.01f), r.addends = floats(2);
  r.columns = {.sums = r.column_sums.data(),
               .zeros = r.zeros.data(),
               .bias = r.bias.data(),
               .scales = r.scales.data(),
               .addends = nullptr,
               .count = count};
  r.row = {.zero = 117, .rest = -321, .scale = 0.031f, .result_zero = 3};
  return r;
}

int32_t Corrected(const Row& r, int64_t j) {
  const auto i = static_cast<size_t>(j);
  int32_t sum = r.sums[i] - r.row.zero * r.column_sums[i];
  if (r.columns.zeros != nullptr) sum -= r.row.rest * r.zeros[i];
  if (r.columns.bias != nullptr) sum += r.bias[i];
  return sum;
}

template <typename Y>
Y Requantized(const Row& r, int64_t j) {
  const float scaled = static_cast<float>(Corrected(r, j)) * r.row.scale;
  const float value = std::nearbyint(scaled * r.scales[static_cast<size_t>(j)]) + r.row.result_zero;
  return static_cast<Y>(std::clamp(value, static_cast<float>(std::numeric_limits<Y>::min()),
                                   static_cast<float>(std::numeric_limits<Y>::max())));
}

TEST(IntegerSumsTest, RowsHaveTheBitsOfThePlainLoop) {
  std::mt19937 random(7);
  for (int64_t count = 0; count <= kCountMax; ++count) {
    for (const bool all : {false, true}) {
      SCOPED_TRACE(count);
      Row r = RandomRow(count, random);
      if (!all) r.columns.zeros = r.columns.bias = nullptr;
      const auto size = static_cast<size_t>(count);
      std::vector<int32_t> i32(size + 1, 77);
      std::vector<uint8_t> u8(size + 1, 77);
      std::vector<int8_t> i8(size + 1, 77);
      FinishI32(r.sums.data(), r.columns, r.row, i32.data());
      FinishU8(r.sums.data(), r.columns, r.row, u8.data());
      FinishI8(r.sums.data(), r.columns, r.row, i8.data());
      for (int64_t j = 0; j < count; ++j) {
        const auto i = static_cast<size_t>(j);
        ASSERT_EQ(i32[i], Corrected(r, j));
        ASSERT_EQ(u8[i], Requantized<uint8_t>(r, j));
        ASSERT_EQ(i8[i], Requantized<int8_t>(r, j));
      }
      EXPECT_EQ(i32[size], 77) << "wrote behind the row";
      EXPECT_EQ(u8[size], 77) << "wrote behind the row";
      EXPECT_EQ(i8[size], 77) << "wrote behind the row";

      std::vector<float> f32(size + 1, 77);
      r.columns.addends = r.addends.data();
      FinishF32(r.sums.data(), r.columns, r.row, f32.data());
      for (int64_t j = 0; j < count; ++j) {
        const auto i = static_cast<size_t>(j);
        const float right =
            static_cast<float>(Corrected(r, j)) * (r.row.scale * r.scales[i]) + r.addends[i];
        ASSERT_NEAR(f32[i], right, 1e-6f * (std::fabs(right) + 1));
      }
      EXPECT_EQ(f32[size], 77) << "wrote behind the row";

      // In place.
      std::vector<int32_t> own = r.sums;
      FinishI32(own.data(), r.columns, r.row, own.data());
      i32.resize(size);
      EXPECT_EQ(own, i32);
    }
  }
}

TEST(IntegerSumsTest, BytesAreSummedAndFlipped) {
  std::mt19937 random(8);
  for (int64_t count = 0; count <= 300; ++count) {
    std::vector<uint8_t> bytes(static_cast<size_t>(count));
    uint32_t sum = 0;
    for (uint8_t& byte : bytes) sum += byte = static_cast<uint8_t>(random());
    ASSERT_EQ(SumOfBytes(bytes.data(), count), sum) << count;
    std::vector<uint8_t> flipped(bytes.size());
    FlipSigns(bytes.data(), count, flipped.data());
    for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(flipped[i], bytes[i] ^ 0x80) << count;
  }
}

}  // namespace
}  // namespace paramd
