#include "server/status_page.h"

#include <nlohmann/json.hpp>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

StatusPageInput Input() {
  StatusPageInput input = {.build = "paramd 1.2.3",
                           .now = absl::FromUnixSeconds(1000),
                           .started = absl::FromUnixSeconds(400),
                           .readiness = absl::UnavailableError("waiting for digits"),
                           .streams = 2,
                           .threads_per_stream = 1};
  ModelStatus model;
  model.name = "digits";
  model.default_version = 7;
  model.names = {{"default", 7}, {"canary", 8}};
  VersionStatus serving;
  serving.number = 7;
  serving.state = VersionState::kServing;
  serving.since = absl::FromUnixSeconds(500);
  serving.weights = {.generation = 1'795'527'974'818'450, .weights_id = "21d7"};
  serving.desired = true;
  serving.why = "latest 1";
  VersionStatus loading;
  loading.number = 8;
  loading.state = VersionState::kLoading;
  loading.progress = {"parameters", 30, 100};
  VersionStatus failed;
  failed.number = 9;
  failed.state = VersionState::kFailed;
  failed.reason = "byte \xff is \"wrong\"";
  model.versions = {serving, loading, failed};
  input.serving.models = {model};
  input.scalars[{"digits", 7}] = {.weights = 9000, .biases = 90};
  return input;
}

TEST(StatusPage, TheTextNamesWhatAPersonLooksFor) {
  const std::string page = StatusPage(Input());
  EXPECT_THAT(page, HasSubstr("not ready: waiting for digits"));
  EXPECT_THAT(page, HasSubstr("canary->8"));
  EXPECT_THAT(page, HasSubstr("generation 1795527974818450"));
}

TEST(StatusPage, TheJsonSaysTheSame) {
  const auto json = nlohmann::json::parse(StatusJson(Input()));
  EXPECT_EQ(json["now"], 1000);
  EXPECT_EQ(json["ready"], false);
  EXPECT_EQ(json["not_ready"], "waiting for digits");
  const auto& model = json["models"][0];
  EXPECT_EQ(model["model"], "digits");
  EXPECT_EQ(model["default_version"], 7);
  EXPECT_EQ(model["names"][1]["name"], "canary");
  EXPECT_EQ(model["names"][1]["version"], 8);
  const auto& serving = model["versions"][0];
  EXPECT_EQ(serving["state"], "serving");
  EXPECT_EQ(serving["generation"], "1795527974818450");  // Not rounded by any reader.
  EXPECT_EQ(serving["weights"], 9000);
  EXPECT_EQ(serving["biases"], 90);
  EXPECT_FALSE(serving.contains("bytes_total"));
  const auto& loading = model["versions"][1];
  EXPECT_EQ(loading["stage"], "parameters");
  EXPECT_EQ(loading["bytes_done"], 30);
  EXPECT_EQ(loading["bytes_total"], 100);
  EXPECT_FALSE(loading.contains("generation"));
  // What is no UTF-8 does not break the document.
  EXPECT_EQ(model["versions"][2]["reason"], "byte \xef\xbf\xbd is \"wrong\"");
}

}  // namespace
}  // namespace paramd
