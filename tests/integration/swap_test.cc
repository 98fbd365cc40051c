// Versions of real models that come, move and go while the daemon serves, through
// the admin socket and the wire.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/strings.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/operator.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::PredictRequest Ask() { return Request("linear", "x", {1, 2}, {10, 1}); }
v1::PredictRequest AskVersion(int64_t version) {
  v1::PredictRequest request = Ask();
  request.set_version(version);
  return request;
}
v1::PredictRequest AskLabel(const std::string& label) {
  v1::PredictRequest request = Ask();
  request.set_label(label);
  return request;
}

TEST(Swap, ANewVersionComesByAdminAndGoingBackIsOneCall) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Operator op(rig.config.admin_socket);
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse before, rig.Predict(Ask()));
  EXPECT_THAT(Values(before.outputs(0)), ElementsAre(34.0f));

  rig.AddModel("linear", 2, LinearModel(5, 6));
  ASSERT_OK(op.Load("linear"));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse after, rig.Predict(Ask()));
  EXPECT_THAT(Values(after.outputs(0)), ElementsAre(56.0f));
  EXPECT_EQ(after.version(), 2);
  EXPECT_GT(after.generation(), before.generation());
  // Both by number, the old one from the same load as before.
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse old, rig.Predict(AskVersion(1)));
  EXPECT_EQ(old.generation(), before.generation());

  ASSERT_OK(op.Rollback("linear"));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse back, rig.Predict(Ask()));
  EXPECT_EQ(back.generation(), before.generation());  // Nothing was loaded for it.
  ASSERT_OK(op.Promote("linear", 2, "canary"));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse canary, rig.Predict(AskLabel("canary")));
  EXPECT_EQ(canary.generation(), after.generation());
  ASSERT_OK_AND_ASSIGN(const v1::ListModelsResponse list, rig.List());
  EXPECT_EQ(list.models(0).labels().at("default"), 1);
  EXPECT_EQ(list.models(0).labels().at("canary"), 2);
  EXPECT_EQ(list.models(0).default_version(), 1);
  EXPECT_THAT(list.models(0).versions(1).why(), HasSubstr("named by canary"));
  EXPECT_EQ(rig.Metric(R"(paramd_name_version{model="linear",name="canary"})"), 2);

  EXPECT_THAT(op.Unload("linear", 2), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const v1::GetStateResponse state, op.State());
  EXPECT_TRUE(state.converged());
  EXPECT_EQ(state.models(0).versions_size(), 2);
}

TEST(Swap, WithoutKeepPreviousTheOldVersionGoesAtOnce) {
  DaemonRig rig;
  rig.config.keep_previous = absl::ZeroDuration();
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Operator op(rig.config.admin_socket);
  rig.AddModel("linear", 2, LinearModel(5, 6));
  ASSERT_OK(op.Load("linear"));
  EXPECT_THAT(rig.Predict(AskVersion(1)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(op.Rollback("linear"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(rig.Predict(Ask()).status());
}

TEST(Swap, AVersionThatFailsChangesNothingAndSaysWhyUntilItIsFixed) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("other", 1, LinearModel(1, 1));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Operator op(rig.config.admin_socket);
  rig.AddModel("linear", 2, LinearModel(5, 6).substr(0, 60));
  const absl::Status failed = op.Load("linear");
  EXPECT_FALSE(failed.ok());
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse still, rig.Predict(Ask()));
  EXPECT_EQ(still.version(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::GetModelInfoResponse info, rig.Info("linear"));
  ASSERT_EQ(info.versions_size(), 2);
  EXPECT_EQ(info.versions(1).state(), v1::VERSION_STATE_FAILED);
  EXPECT_FALSE(info.versions(1).reason().empty());
  EXPECT_EQ(info.labels().at("default"), 1);
  EXPECT_EQ(rig.Health(""), "SERVING");  // One bad version makes nobody unready.
  rig.AddModel("linear", 2, LinearModel(5, 6));
  ASSERT_OK(op.Load("linear"));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse fixed, rig.Predict(Ask()));
  EXPECT_EQ(fixed.version(), 2);
}

TEST(Swap, NamesOutliveTheProcessInAStateFile) {
  DaemonRig rig;
  rig.config.state_file = StrCat(rig.config.model_repository, "/../", "paramd_swap_state_",
                                 static_cast<int64_t>(getpid()), ".json");
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("linear", 2, LinearModel(5, 6));
  rig.AddConfig("linear", "version_policy { all {} }");
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  {
    Operator op(rig.config.admin_socket);
    ASSERT_OK(op.Load("linear"));
    ASSERT_OK(op.Promote("linear", 1));
    ASSERT_OK(op.Promote("linear", 2, "canary"));
  }
  rig.Stop();
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse by_default, rig.Predict(Ask()));
  EXPECT_EQ(by_default.version(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse canary, rig.Predict(AskLabel("canary")));
  EXPECT_EQ(canary.version(), 2);
  std::remove(rig.config.state_file.c_str());
}

// Clients under way while `default` moves back and forth: none fails, and each
// answer is that of the version it names.
TEST(Swap, NoRequestFailsAndNoneMixesVersions) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("linear", 2, LinearModel(5, 6));
  rig.AddConfig("linear", "version_policy { all {} }");
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Operator op(rig.config.admin_socket);
  ASSERT_OK(op.Load("linear"));
  std::atomic<bool> stop{false};
  std::atomic<int64_t> answered{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 2; ++c) {
    clients.emplace_back([&] {
      while (!stop) {
        const absl::StatusOr<v1::PredictResponse> response = rig.Predict(Ask());
        EXPECT_OK(response.status());
        if (!response.ok()) continue;
        EXPECT_EQ(Values(response->outputs(0))[0], response->version() == 1 ? 34.0f : 56.0f);
        ++answered;
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    const int64_t version = 1 + i % 2;
    ASSERT_OK(op.Promote("linear", version));
    const absl::StatusOr<v1::PredictResponse> response = rig.Predict(Ask());
    ASSERT_OK(response.status());
    EXPECT_EQ(response->version(), version);
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GT(answered, 0);
}

}  // namespace
}  // namespace paramd
