#include "runtime/loading/finite_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace paramd {
namespace {

template <typename T>
std::optional<int64_t> FirstOf(DType dtype, const std::vector<T>& values) {
  const Tensor tensor =
      Tensor::Of<T>(dtype, Shape{static_cast<int64_t>(values.size())}, absl::MakeConstSpan(values));
  return FirstNaN(tensor.view());
}

TEST(FiniteCheck, FindsTheFirstNaNWhereverItIs) {
  for (const size_t at : {0, 1, 4095, 4096, 4097, 9999}) {
    std::vector<float> values(10'000, -1.5f);
    values[at] = -std::nanf("");
    values.back() = std::nanf("");
    EXPECT_EQ(FirstOf(DType::kF32, values), static_cast<int64_t>(at));
  }
  EXPECT_EQ(FirstOf<float>(DType::kF32, std::vector<float>(10'000, 3e38f)), std::nullopt);
  EXPECT_EQ(FirstOf<float>(DType::kF32, {}), std::nullopt);
}

TEST(FiniteCheck, InfinitiesAreNumbers) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(FirstOf<float>(DType::kF32, {infinity, -infinity, 0.0f}), std::nullopt);
}

TEST(FiniteCheck, EveryFloatTypeHasItsOwn) {
  EXPECT_EQ(FirstOf<double>(DType::kF64, {1, std::nan(""), 2}), 1);
  EXPECT_EQ(FirstOf<uint16_t>(DType::kF16, {0x7c00, 0xfc00, 0x7c01}), 2);
  EXPECT_EQ(FirstOf<uint16_t>(DType::kBF16, {0x7f80, 0xff80, 0xffc0}), 2);
  EXPECT_EQ(FirstOf<int32_t>(DType::kI32, {-1}), std::nullopt);  // The bits of a NaN.
}

}  // namespace
}  // namespace paramd
