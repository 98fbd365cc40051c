#include "runtime/checkpoints/safetensors_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/runtime/checkpoints/checkpoint_testing.h"

namespace paramd {
namespace {

// The file with this header, whatever it says.
std::string File(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + std::string(header) + std::string(data);
}

constexpr std::string_view kGoodHeader =
    R"({"__metadata__":{"format":"pt"},)"
    R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
    R"("a":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]},)"
    R"("empty":{"dtype":"I64","shape":[0,5],"data_offsets":[12,12]},)"
    R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[16,17]}}   )";
constexpr std::string_view kGoodData = "AAAABBBBCCCCddeeX";

class SafetensorsTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Checkpoint>> Read(const std::string& bytes,
                                                   const SafetensorsLimits& limits = {}) {
    return ReadSafetensors(MustOpen(folder_.Write("model.safetensors", bytes)), limits);
  }
  TempFolder folder_;
};

TEST_F(SafetensorsTest, FindsEveryTensorInTheOrderOfTheFile) {
  ASSERT_OK_AND_ASSIGN(const auto checkpoint, Read(File(kGoodHeader, kGoodData)));
  ASSERT_EQ(checkpoint->tensors().size(), 4u);
  EXPECT_EQ(checkpoint->tensors()[0].name, "a");
  EXPECT_EQ(checkpoint->tensors()[0].dtype, DType::kF32);
  EXPECT_EQ(checkpoint->tensors()[0].shape, (Shape{3, 1}));
  EXPECT_EQ(checkpoint->tensors()[1].name, "empty");
  EXPECT_EQ(checkpoint->total_bytes(), 17u);
  EXPECT_EQ(checkpoint->metadata().at("format"), "pt");
  EXPECT_THAT(ReadBytes(*checkpoint, "a"), IsOkAndHolds("AAAABBBBCCCC"));
  EXPECT_THAT(ReadBytes(*checkpoint, "b"), IsOkAndHolds("ddee"));
  EXPECT_THAT(ReadBytes(*checkpoint, "empty"), IsOkAndHolds(""));
  EXPECT_THAT(ReadBytes(*checkpoint, "scalar"), IsOkAndHolds("X"));
}

TEST_F(SafetensorsTest, ReadsEachByteOnce) {
  const std::string bytes = File(kGoodHeader, kGoodData);
  ASSERT_OK_AND_ASSIGN(const auto checkpoint, Read(bytes));
  EXPECT_EQ(checkpoint->bytes_read(), bytes.size() - kGoodData.size());  // Headers only.
  for (const auto& tensor : checkpoint->tensors()) ASSERT_OK(ReadBytes(*checkpoint, tensor.name));
  EXPECT_EQ(checkpoint->bytes_read(), bytes.size());
}

TEST_F(SafetensorsTest, ATensorLargerThanAPieceIsReadAndHashedWhole) {
  std::string data((5 << 20) + 3, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 8);
  const std::string n = std::to_string(data.size());
  const std::string header =
      R"({"w":{"dtype":"U8","shape":[)" + n + R"(],"data_offsets":[0,)" + n + "]}}";
  ASSERT_OK_AND_ASSIGN(const auto checkpoint, Read(File(header, data)));
  EXPECT_THAT(ReadBytes(*checkpoint, "w"), IsOkAndHolds(data));
}

TEST_F(SafetensorsTest, EveryTruncationIsRefused) {
  const std::string bytes = File(kGoodHeader, kGoodData);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(Read(bytes.substr(0, length)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << length;
  }
  EXPECT_THAT(Read(bytes + "x").status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SafetensorsTest, HostileFilesAreRefused) {
  const auto one = [](std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return R"({"a":{"dtype":")" + std::string(dtype) + R"(","shape":)" + std::string(shape) +
           R"(,"data_offsets":)" + std::string(offsets) + "}}";
  };
  const std::string deep = "{\"a\":" + std::string(100'000, '[');
  const struct {
    const char* why;
    std::string header;
    std::string data;
  } kCases[] = {
      {"no JSON", "{", ""},
      {"no object", "[]", ""},
      {"a list inside", R"({"a":[]})", ""},
      {"a number inside", R"({"a":1})", ""},
      {"deep nesting", deep, ""},
      {"deep metadata", R"({"__metadata__":{"a":{}}})", ""},
      {"text after the end", "{} {}", ""},
      {"a missing field", R"({"a":{"dtype":"U8","shape":[1]}})", "x"},
      {"no shape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x"},
      {"an unknown field", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"z":1}})", "x"},
      {"a field twice", R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       "x"},
      {"a name twice",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       "xy"},
      {"a name twice, escaped",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       "xy"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", ""},
      {"a negative dimension", one("U8", "[-1]", "[0,1]"), "x"},
      {"a fractional dimension", one("U8", "[1.0]", "[0,1]"), "x"},
      {"a product that wraps to 0", one("U8", "[4294967296,4294967296]", "[0,0]"), ""},
      {"a dimension above 2^63", one("U8", "[9223372036854775808]", "[0,1]"), "x"},
      {"a number above 2^64", one("U8", "[18446744073709551617]", "[0,1]"), "x"},
      {"too many dimensions", one("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), "x"},
      {"offsets backwards", one("U8", "[1]", "[1,0]"), "x"},
      {"offsets beyond the file", one("U8", "[2]", "[0,2]"), "x"},
      {"offsets that wrap", one("F64", "[1]", "[18446744073709551608,18446744073709551615]"), "x"},
      {"one offset", one("U8", "[1]", "[0]"), "x"},
      {"three offsets", one("U8", "[1]", "[0,1,2]"), "x"},
      {"a size that is not the shape's", one("F32", "[1]", "[0,2]"), "xy"},
      {"a gap at the start", one("U8", "[1]", "[1,2]"), "xy"},
      {"bytes after the last tensor", one("U8", "[1]", "[0,1]"), "xy"},
      {"an overlap",
       R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       "xyz"},
      {"two tensors on the same bytes",
       R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
       "xy"},
      {"a gap",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       "xyz"},
      {"no UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "x"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(Read(File(test.header, test.data)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << test.why;
  }
  EXPECT_THAT(Read(File(one("F4", "[1]", "[0,1]"), "x")).status(),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(SafetensorsTest, ErrorsDoNotQuoteTheFile) {
  const auto status = Read(File(R"({"a": SECRET})", "")).status();
  EXPECT_EQ(std::string(status.message()).find("SECRET"), std::string::npos) << status;
}

TEST_F(SafetensorsTest, LimitsHold) {
  const std::string good = File(kGoodHeader, kGoodData);
  EXPECT_OK(Read(good, {.header_bytes_max = kGoodHeader.size()}).status());
  EXPECT_THAT(Read(good, {.header_bytes_max = kGoodHeader.size() - 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Read(good, {.tensors_max = 3}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // A length that lies allocates nothing.
  std::string huge = good;
  huge.replace(0, 8, std::string(7, '\xff') + '\x7f');
  EXPECT_THAT(Read(huge).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SafetensorsTest, AFileTruncatedOrRewrittenWhileItIsReadIsDataLoss) {
  const std::string path = folder_.Write("model.safetensors", File(kGoodHeader, kGoodData));
  ASSERT_OK_AND_ASSIGN(const auto checkpoint, ReadSafetensors(MustOpen(path)));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 8);
  EXPECT_THAT(ReadBytes(*checkpoint, "scalar"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ReadBytes(*checkpoint, "a"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(checkpoint->CheckUnchanged(), StatusIs(absl::StatusCode::kDataLoss));
}

class ShardedTest : public SafetensorsTest {
 protected:
  void SetUp() override {
    folder_.Write("m/model-1.safetensors",
                  File(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("extra":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                       "ae"));
    folder_.Write("m/model-2.safetensors",
                  File(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("extra":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                       "bE"));
  }
  absl::StatusOr<std::unique_ptr<Checkpoint>> ReadWith(std::string_view index,
                                                       const SafetensorsLimits& limits = {}) {
    folder_.Write("m/model.safetensors.index.json", index);
    return ReadSafetensorsFolder(*MustOpenFolder(folder_.path("m")), limits);
  }
};

TEST_F(ShardedTest, TakesWhatTheIndexSaysFromWhereItSays) {
  ASSERT_OK_AND_ASSIGN(
      const auto checkpoint,
      ReadWith(R"({"metadata":{"total_size":3,"more":[1,{"x":null}]},"weight_map":)"
               R"({"a":"model-1.safetensors","b":"model-2.safetensors",)"
               R"("extra":"model-2.safetensors"}})"));
  EXPECT_EQ(checkpoint->files().size(), 2u);
  ASSERT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_THAT(ReadBytes(*checkpoint, "a"), IsOkAndHolds("a"));
  EXPECT_THAT(ReadBytes(*checkpoint, "b"), IsOkAndHolds("b"));
  EXPECT_THAT(ReadBytes(*checkpoint, "extra"), IsOkAndHolds("E"));
}

TEST_F(ShardedTest, HostileIndexesAreRefused) {
  folder_.Write("outside.safetensors", File(kGoodHeader, kGoodData));
  folder_.Link("../outside.safetensors", "m/link.safetensors");
  folder_.Write("m/sub/x.safetensors", File(kGoodHeader, kGoodData));
  const struct {
    const char* index;
    absl::StatusCode code;
  } kCases[] = {
      {R"({})", absl::StatusCode::kInvalidArgument},
      {R"([])", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":[]})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":1}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":{}}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":"model-1.safetensors","a":"model-2.safetensors"}})",
       absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{},"weight_map":{}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"b":"model-1.safetensors"}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":"none.safetensors"}})", absl::StatusCode::kNotFound},
      {R"({"weight_map":{"a":"../outside.safetensors"}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":"/etc/passwd"}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":"sub/x.safetensors"}})", absl::StatusCode::kInvalidArgument},
      {R"({"weight_map":{"a":"link.safetensors"}})", absl::StatusCode::kPermissionDenied},
      {R"({"weight_map":{"a":".."}})", absl::StatusCode::kPermissionDenied},
      {R"({"weight_map":{"a":""}})", absl::StatusCode::kInvalidArgument},
      {R"({"metadata":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]],"weight_map":{}})",
       absl::StatusCode::kInvalidArgument},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(ReadWith(test.index).status(), StatusIs(test.code)) << test.index;
  }
  EXPECT_THAT(ReadWith(R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})",
                       {.shards_max = 1})
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ShardedTest, AFolderWithoutEitherIsNotFound) {
  folder_.MakeFolder("empty");
  EXPECT_THAT(ReadSafetensorsFolder(*MustOpenFolder(folder_.path("empty"))).status(),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace paramd
