#include "server/state/desired_state.h"

#include <string>
#include <vector>

#include "runtime/base/strings.h"
#include "server/state/state_store.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

DesiredState FullState() {
  DesiredState state;
  WantedModel& model = state.models.emplace_back();
  model.name = "digits";
  model.config = "max_batch_size: 8\n# \"quoted\", \ttabbed\n";
  model.policy = "latest 2";
  model.error = "config.pbtxt line 3: what?";
  model.memory_first = true;
  model.auto_promote = false;
  model.highest_promoted = 3;
  model.versions = {
      {.number = 2,
       .directory = "digits/2",
       .revision = "abc",
       .attempt = 7,
       .requested = true,
       .keep_until = absl::FromUnixMicros(1'700'000'000'123'456)},
      {.number = 3, .directory = "digits/3", .revision = "def", .selected = true},
      {.number = INT64_MAX, .unloaded = true},
  };
  model.versions.back().error = "no model.onnx";
  model.names = {{.name = "default", .version = 3, .previous = 2},
                 {.name = "stable", .version = 2}};
  WantedModel& gone = state.models.emplace_back();
  gone.name = "house-price";
  gone.unloaded = true;
  return state;
}

TEST(DesiredState, ComesBackAsItWas) {
  const DesiredState state = FullState();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState(state));
  ASSERT_OK_AND_ASSIGN(const DesiredState again, DecodeState(bytes));
  EXPECT_EQ(again, state);
  // And the same state is the same bytes, on every machine.
  ASSERT_OK_AND_ASSIGN(const std::string same, EncodeState(again));
  EXPECT_EQ(same, bytes);
}

TEST(DesiredState, AnEmptyOneIsOneToo) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState({}));
  ASSERT_OK_AND_ASSIGN(const DesiredState again, DecodeState(bytes));
  EXPECT_TRUE(again.models.empty());
}

TEST(DesiredState, TextThatIsNoUtf8DoesNotStopIt) {
  DesiredState state;
  state.models.emplace_back().name = "m";
  state.models[0].config = "# caf\xe9\n";
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState(state));
  ASSERT_OK_AND_ASSIGN(const DesiredState again, DecodeState(bytes));
  EXPECT_THAT(again.models[0].config, HasSubstr("# caf"));
}

TEST(DesiredState, RefusesAnotherFormat) {
  EXPECT_THAT(DecodeState(R"({"format": 2, "models": []})"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("format 2")));
  // Whatever else a later format brings.
  EXPECT_THAT(DecodeState(R"({"format": 9, "planets": [1]})"),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(DecodeState(R"({"models": []})"), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(DesiredState, RefusesADocumentThatWouldBeTooLarge) {
  DesiredState state;
  for (int i = 0; i < 20; ++i) {
    WantedModel& model = state.models.emplace_back();
    model.name = StrCat("m", 10 + i);
    model.config = std::string(kStateTextBytesMax - 1, 'x');
  }
  EXPECT_THAT(EncodeState(state), StatusIs(absl::StatusCode::kInvalidArgument));
}

std::string OneModel(const std::string& members) {
  return StrCat(R"({"format": 1, "models": [{"name": "m", )", members, "}]}");
}
std::string OneVersion(const std::string& members) {
  return OneModel(StrCat(R"("versions": [{)", members, "}]"));
}

TEST(DesiredState, RefusesHostileDocuments) {
  const struct {
    std::string bytes, says;
  } cases[] = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"{", "not a JSON object"},
      {"\xff\xfe{}", "not a JSON object"},
      {R"({"format": 1, "models": []} trailing)", "not a JSON object"},
      {std::string(100'000, '['), "nested too deeply"},
      {R"({"format": 1, "models": [{"name": "m", "versions": [{"number": [1]}]}]})",
       "nested too deeply"},
      {R"({"format": "1"})", "'format' is not a whole number"},
      {R"({"format": 1, "models": {}})", "'models' is not a list"},
      {R"({"format": 1, "models": [7]})", "model 0 is not an object"},
      {R"({"format": 1, "models": [], "secrets": 1})", "'secrets', which is not known"},
      {R"({"format": 1, "models": [{}]})", "is empty"},
      {R"({"format": 1, "models": [{"name": "../m"}]})", "letter or digit"},
      {R"({"format": 1, "models": [{"name": "b"}, {"name": "a"}]})", "do not ascend"},
      {R"({"format": 1, "models": [{"name": "a"}, {"name": "a"}]})", "do not ascend"},
      {OneModel(R"("config": 3)"), "'config' is not a text"},
      {OneModel(R"("config": "a\u0000b")"), "zero byte"},
      {OneModel(StrCat(R"("error": ")", std::string(5000, 'e'), "\"")), "allowed are 4096"},
      {OneModel(R"("auto_promote": "yes")"), "neither true nor false"},
      {OneModel(R"("highest_promoted": -1)"), "whole number"},
      {OneVersion(""), "has no 'number'"},
      {OneVersion(R"("number": 0)"), "whole number from 1"},
      {OneVersion(R"("number": 9223372036854775808)"), "whole number from 1"},
      {OneVersion(R"("number": 1.5)"), "whole number from 1"},
      {OneVersion(R"("number": 1e30)"), "whole number from 1"},
      {OneVersion(R"("number": 1, "directory": "/etc")"), "outside the repository"},
      {OneVersion(R"("number": 1, "directory": "m/../../etc")"), "outside the repository"},
      {OneVersion(R"("number": 1, "directory": "..")"), "outside the repository"},
      {OneVersion(R"("number": 1, "keep_until_us": -4)"), "whole number from 0"},
      {OneModel(R"("versions": [{"number": 2}, {"number": 1}])"), "do not ascend"},
      {OneModel(R"("names": [{"name": "default", "version": 1}])"), "not in 'versions'"},
      {OneModel(R"("versions": [{"number": 1}], "names": [{"name": "7", "version": 1}])"),
       "is a number"},
      {OneModel(R"("versions": [{"number": 1}], "names": [{"name": "x"}])"), "has no 'version'"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.bytes.substr(0, 100));
    EXPECT_THAT(DecodeState(c.bytes).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.says)));
  }
}

TEST(DesiredState, RefusesTooMuchOfAnything) {
  std::string versions, names, models;
  for (int i = 0; i <= 1000; ++i) {
    StrAppend(&versions, i == 0 ? "" : ",", R"({"number":)", i + 1, "}");
  }
  for (int i = 0; i <= 100; ++i) {
    StrAppend(&names, i == 0 ? "" : ",", R"({"name":"n)", 100 + i, R"(","version":1})");
  }
  for (int i = 0; i <= 10'000; ++i) {
    StrAppend(&models, i == 0 ? "" : ",", R"({"name":"m)", 10'000 + i, R"("})");
  }
  for (const std::string& bytes :
       {OneModel(StrCat(R"("versions": [)", versions, "]")),
        OneModel(StrCat(R"("versions": [{"number": 1}], "names": [)", names, "]")),
        StrCat(R"({"format": 1, "models": [)", models, "]}")}) {
    EXPECT_THAT(DecodeState(bytes),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed are")));
  }
  EXPECT_THAT(DecodeState(std::string(kStateBytesMax + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed are")));
}

// Every way to cut a good document is an error or, at worst, another good one.
TEST(DesiredState, SurvivesBeingCutAndFlipped) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState(FullState()));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(DecodeState(bytes.substr(0, cut)).ok());
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char flip : {'\x01', '\x10', '\x80'}) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ flip);
      const absl::StatusOr<DesiredState> read = DecodeState(flipped);
      if (read.ok()) {
        EXPECT_OK(EncodeState(*read).status());
      }
    }
  }
}

}  // namespace
}  // namespace paramd
