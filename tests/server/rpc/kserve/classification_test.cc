#include "server/rpc/kserve/classification.h"

#include <cmath>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;

TEST(Classification, OfEachRowTheLargestWithIndexAndLabel) {
  const float values[] = {0.1f, 0.7f, 0.2f, 5, 4, 6};
  const std::vector<std::string> labels = {"cat", "dog"};
  ASSERT_OK_AND_ASSIGN(const Tensor texts,
                       Classify({DType::kF32, Shape({2, 3}), values}, 2, true, labels));
  EXPECT_EQ(texts.shape().ToString(), "[2,2]");
  EXPECT_THAT(texts.view().as<std::string>(),
              ElementsAre("0.700000:1:dog", "0.200000:2", "6.000000:2", "5.000000:0:cat"));
  ASSERT_OK_AND_ASSIGN(const Tensor all,
                       Classify({DType::kF32, Shape({2, 3}), values}, 100, false, {}));
  EXPECT_EQ(all.shape().ToString(), "[6]");
  EXPECT_EQ(all.view().as<std::string>()[0], "6.000000:5");
}

TEST(Classification, EqualValuesKeepTheirOrderAndNanIsLast) {
  const float values[] = {NAN, 1, 1, NAN, 2};
  ASSERT_OK_AND_ASSIGN(const Tensor texts,
                       Classify({DType::kF32, Shape({5}), values}, 5, false, {}));
  const auto text = texts.view().as<std::string>();
  EXPECT_EQ(text[0], "2.000000:4");
  EXPECT_EQ(text[1], "1.000000:1");
  EXPECT_EQ(text[2], "1.000000:2");
  EXPECT_TRUE(text[3].ends_with(":0"));
  EXPECT_TRUE(text[4].ends_with(":3"));
}

TEST(Classification, OtherTypesAndNothing) {
  const int64_t integers[] = {-5, 3};
  ASSERT_OK_AND_ASSIGN(const Tensor texts,
                       Classify({DType::kI64, Shape({1, 2}), integers}, 1, true, {}));
  EXPECT_THAT(texts.view().as<std::string>(), ElementsAre("3:1"));
  const uint16_t halves[] = {0x3c00, 0x4000};  // 1 and 2.
  ASSERT_OK_AND_ASSIGN(const Tensor f16, Classify({DType::kF16, Shape({2}), halves}, 1, false, {}));
  EXPECT_THAT(f16.view().as<std::string>(), ElementsAre("2.000000:1"));
  ASSERT_OK_AND_ASSIGN(const Tensor none,
                       Classify({DType::kF32, Shape({0, 4}), nullptr}, 2, true, {}));
  EXPECT_EQ(none.shape().dim(0), 0);
  const Tensor strings(DType::kString, Shape({1}));
  EXPECT_THAT(Classify(strings.view(), 1, false, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
