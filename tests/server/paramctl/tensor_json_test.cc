#include "server/paramctl/tensor_json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Tensor> RoundTrip(const json& values, DType dtype) {
  v1::Tensor tensor;
  PARAMD_RETURN_IF_ERROR(TensorFromJson("x", values, dtype, &tensor));
  return ToTensor(tensor);
}

TEST(TensorJson, NestedListsBecomeATensor) {
  ASSERT_OK_AND_ASSIGN(const Tensor tensor, RoundTrip(json::parse("[[1,2],[3,4.5]]"), DType::kF32));
  EXPECT_EQ(tensor.shape(), (Shape{2, 2}));
  EXPECT_THAT(tensor.view().as<float>(), ElementsAre(1, 2, 3, 4.5f));
  ASSERT_OK_AND_ASSIGN(const Tensor scalar, RoundTrip(json(7), DType::kI64));
  EXPECT_EQ(scalar.shape().rank(), 0);
  ASSERT_OK_AND_ASSIGN(const Tensor empty, RoundTrip(json::parse("[[],[]]"), DType::kF32));
  EXPECT_EQ(empty.shape(), (Shape{2, 0}));
}

TEST(TensorJson, RefusesWhatIsNoTensor) {
  const struct {
    const char* values;
    DType dtype;
    const char* message;
  } kCases[] = {
      {"[[1,2],[3]]", DType::kF32, "lists of 2 and of 1"},
      {"[[1],2]", DType::kF32, "side by side"},
      {"[1,[2]]", DType::kF32, "side by side"},
      {"[\"a\"]", DType::kF32, "expected numbers"},
      {"[1.5]", DType::kI64, "expected integers"},
      {"[3000000000]", DType::kI32, "does not fit"},
      {"[-1]", DType::kU32, "negative"},
      {"[1]", DType::kBool, "true or false"},
      {"[1]", DType::kString, "expected strings"},
      {"[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", DType::kF32, "dimensions"},
      {"[300]", DType::kU8, "range"},
  };
  for (const auto& bad : kCases) {
    EXPECT_THAT(RoundTrip(json::parse(bad.values), bad.dtype),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << bad.values;
  }
}

TEST(TensorJson, NumbersComeOutShortAndTrue) {
  const std::vector<float> values = {0.1f, 16777216.0f, std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN()};
  const Tensor tensor = Tensor::Of<float>(DType::kF32, {4}, values);
  v1::Tensor message;
  TensorFromView("y", tensor.view(), &message);
  ASSERT_OK_AND_ASSIGN(const nlohmann::ordered_json object, TensorToJson(message));
  EXPECT_EQ(object.dump(),
            "{\"name\":\"y\",\"dtype\":\"f32\",\"shape\":[4],\"data\":[0.1,"
            "16777216.0,\"Infinity\",\"NaN\"]}");
}

}  // namespace
}  // namespace paramd
