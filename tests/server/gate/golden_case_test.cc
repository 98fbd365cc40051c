#include "server/gate/golden_case.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kGood[] =
    R"({"inputs": {"x": {"dtype": "f32", "shape": [1, 2], "data": [[0.5, -1]]},
                   "n": {"dtype": "i64", "shape": [], "data": 7}},
        "outputs": {"y": {"dtype": "bool", "shape": [2], "data": [true, false]},
                    "s": {"dtype": "string", "shape": [1], "data": ["cat"]}},
        "tolerance": 0.25})";

TEST(GoldenCase, JsonOfEveryKind) {
  ASSERT_OK_AND_ASSIGN(const GoldenCase golden, ParseGoldenJson("golden/a.json", kGood));
  EXPECT_EQ(golden.file, "golden/a.json");
  EXPECT_EQ(golden.inputs.at("x").view().as<float>()[1], -1.0f);
  EXPECT_EQ(golden.inputs.at("n").view().as<int64_t>()[0], 7);
  EXPECT_EQ(golden.outputs.at("y").view().as<uint8_t>()[0], 1);
  EXPECT_EQ(golden.outputs.at("s").view().as<std::string>()[0], "cat");
  EXPECT_EQ(golden.tolerance, 0.25);
}

std::string WithInput(const std::string& tensor) { return R"({"inputs": {"x": )" + tensor + "}}"; }

TEST(GoldenCase, HostileJsonIsRefusedByName) {
  const std::string deep = std::string(100'000, '[');
  const std::pair<std::string, std::string> table[] = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"{", "not a JSON object"},
      {"{} {}", "not a JSON object"},
      {"{}", "no inputs"},
      {R"({"inputs": []})", "'inputs' is not an object"},
      {R"({"surprise": 1})", "no field 'surprise'"},
      {WithInput("3"), "not an object of dtype"},
      {WithInput(R"({"dtype": "f32", "shape": [1]})"), "not an object of dtype"},
      {WithInput(R"({"dtype": 1, "shape": [1], "data": [1]})"), "no text"},
      {WithInput(R"({"dtype": "f33", "shape": [1], "data": [1]})"), "f33"},
      {WithInput(R"({"dtype": "f32", "shape": 1, "data": [1]})"), "no list"},
      {WithInput(R"({"dtype": "f32", "shape": [-1], "data": [1]})"), "no size"},
      {WithInput(R"({"dtype": "f32", "shape": [1.5], "data": [1]})"), "no size"},
      {WithInput(R"({"dtype": "f32", "shape": [1099511627776, 1099511627776], "data": [1]})"),
       "elements"},
      {WithInput(R"({"dtype": "f32", "shape": [1000000], "data": [1]})"), "has 1 elements"},
      {WithInput(R"({"dtype": "f32", "shape": [2], "data": [1]})"), "has 1 elements"},
      {WithInput(R"({"dtype": "f32", "shape": [1], "data": ["1"]})"), "no f32"},
      {WithInput(R"({"dtype": "i8", "shape": [1], "data": [128]})"), "no i8"},
      {WithInput(R"({"dtype": "u8", "shape": [1], "data": [-1]})"), "no u8"},
      {WithInput(R"({"dtype": "i64", "shape": [1], "data": [1.5]})"), "no i64"},
      {WithInput(R"({"dtype": "bool", "shape": [1], "data": [1]})"), "no bool"},
      {WithInput(R"({"dtype": "string", "shape": [1], "data": [null]})"), "no string"},
      {WithInput(R"({"dtype": "c64", "shape": [1], "data": [1]})"), "c64"},
      {R"({"inputs": {"x": {"dtype": "f32", "shape": [1], "data": [1]}}, "tolerance": "0"})",
       "no number"},
      {R"({"inputs": {"x": {"dtype": "f32", "shape": [1], "data": [1]}}, "tolerance": -1})",
       "tolerance is -1"},
      {WithInput(deep), "nested deeper"},
      {std::string(kGoldenJsonBytesMax + 1, ' '), "the limit is"},
  };
  for (const auto& [text, what] : table) {
    EXPECT_THAT(ParseGoldenJson("golden/bad.json", text).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("golden/bad.json"), HasSubstr(what))))
        << text.substr(0, 100);
  }
}

TEST(GoldenCase, DamagedJsonNeverDoesHarm) {
  constexpr unsigned kSeed = 20261124;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  const std::string good = kGood;
  for (int round = 0; round < 5'000; ++round) {
    std::string damaged = good;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      damaged[random() % damaged.size()] = "[]{}\",:0-9e\\x"[random() % 13];
    }
    const auto parsed = ParseGoldenJson("golden/a.json", damaged);
    if (!parsed.ok()) {
      EXPECT_THAT(parsed, StatusIs(absl::StatusCode::kInvalidArgument));
    }
  }
}

TEST(GoldenCase, AllOfAFolderByName) {
  TempFolder folder;
  folder.Write("model.onnx", "");
  ASSERT_OK_AND_ASSIGN(const auto version, Directory::Open(folder.path()));
  EXPECT_TRUE(ReadGoldenCases(*version)->empty());
  folder.Write("golden/b.json", kGood);
  folder.Write("golden/readme.txt", "not a request");
  std::filesystem::copy("tests/golden/gate/deflated.npz", folder.path("golden/a.npz"));
  ASSERT_OK_AND_ASSIGN(const std::vector<GoldenCase> cases, ReadGoldenCases(*version));
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].file, "golden/a.npz");
  EXPECT_EQ(cases[0].tolerance, 0.001);
  EXPECT_EQ(cases[0].outputs.at("y").view().as<float>()[0], 3.5f);
  EXPECT_EQ(cases[1].file, "golden/b.json");

  folder.Write("golden/c.npz", "PK");
  EXPECT_THAT(ReadGoldenCases(*version).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("golden/c.npz")));
}

TEST(GoldenCase, ALinkOutOfTheFolderIsNotFollowed) {
  TempFolder outside;
  outside.Write("a.json", kGood);
  TempFolder folder;
  folder.MakeFolder("golden");
  folder.Link(outside.path("a.json"), "golden/a.json");
  ASSERT_OK_AND_ASSIGN(const auto version, Directory::Open(folder.path()));
  const auto cases = ReadGoldenCases(*version);
  EXPECT_TRUE(!cases.ok() || cases->empty());
}

TEST(GoldenCase, MoreThanTheLimitIsRefused) {
  TempFolder folder;
  for (size_t i = 0; i <= kGoldenCasesMax; ++i) {
    folder.Write("golden/" + std::to_string(i) + ".json", kGood);
  }
  ASSERT_OK_AND_ASSIGN(const auto version, Directory::Open(folder.path()));
  EXPECT_THAT(ReadGoldenCases(*version).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
