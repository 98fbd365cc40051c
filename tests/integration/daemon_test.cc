// The whole daemon in one process, through its wire.
#include <atomic>
#include <chrono>
#include <iostream>
#include <random>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/strings.h"
#include "tests/integration/daemon_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::PredictRequest LinearRequest(float x0, float x1) {
  return Request("linear", "x", {1, 2}, {x0, x1});
}

TEST(Daemon, AnswersFromOneGenerationAndSaysWhich) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response, rig.Predict(LinearRequest(10, 1)));
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_THAT(Values(response.outputs(0)), ElementsAre(34.0f));
  EXPECT_EQ(response.version(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::GetModelInfoResponse info, rig.Info("linear"));
  EXPECT_EQ(response.generation(), info.generation());
  EXPECT_EQ(response.weights_id(), info.weights_id());
  EXPECT_EQ(info.counts().weights(), 2u);
  EXPECT_EQ(info.counts().parameters(), 2u);
  ASSERT_EQ(info.parameters_size(), 1);
  EXPECT_TRUE(info.parameters(0).frozen());
  ASSERT_GE(info.ops_size(), 1);
  EXPECT_FALSE(info.ops(0).backend().empty());
}

TEST(Daemon, TheSameWeightsHaveTheSameIdAndOneCopy) {
  DaemonRig rig;
  const std::string model = SlowModel(256, 2);
  rig.AddModel("one", 1, model);
  rig.AddModel("two", 7, model);
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_OK_AND_ASSIGN(const v1::GetModelInfoResponse one, rig.Info("one"));
  ASSERT_OK_AND_ASSIGN(const v1::GetModelInfoResponse two, rig.Info("two"));
  EXPECT_EQ(one.weights_id(), two.weights_id());
  EXPECT_NE(one.generation(), two.generation());
  // 2 * 256 * 256 * 4 bytes lie there once, and both hold them.
  EXPECT_GE(one.memory().shared_bytes(), 524288u);
  EXPECT_EQ(one.memory().shared_bytes(), two.memory().shared_bytes());
  EXPECT_LT(rig.Metric("paramd_store_sealed_bytes"), 2 * 524288);
}

TEST(Daemon, LabelsAndUnknownNamesAreNotFound) {
  DaemonRig rig;
  rig.AddModel("linear", 3, LinearModel(1, 1));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  v1::PredictRequest request = LinearRequest(1, 1);
  request.set_label("default");
  EXPECT_OK(rig.Predict(request).status());
  request.set_label("stable");
  EXPECT_THAT(rig.Predict(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("stable")));
  request.set_version(2);
  EXPECT_THAT(rig.Predict(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("3")));
  request.set_version(3);
  EXPECT_OK(rig.Predict(request).status());
  request.set_model("absent");
  EXPECT_THAT(rig.Predict(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  EXPECT_EQ(rig.Health("linear"), "SERVING");
  EXPECT_EQ(rig.Health("absent"), "NOT_FOUND");
  EXPECT_EQ(rig.Metric("paramd_requests_total{model=\"unknown\",version=\"\",code=\"NOT_FOUND\"}"),
            3);
}

TEST(Daemon, AModelThatFailsToLoadDoesNotStopTheOthers) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(1, 2));
  rig.AddModel("broken", 1, LinearModel(1, 2).substr(0, 60));
  rig.AddModel("text", 1, "this is not a model");
  ASSERT_NO_FATAL_FAILURE(rig.Start());  // Ready: each model serves or has failed.
  EXPECT_OK(rig.Predict(LinearRequest(1, 1)).status());
  EXPECT_EQ(rig.Health("broken"), "NOT_SERVING");
  ASSERT_OK_AND_ASSIGN(const v1::GetModelInfoResponse info, rig.Info("broken"));
  ASSERT_EQ(info.versions_size(), 1);
  EXPECT_EQ(info.versions(0).state(), v1::VERSION_STATE_FAILED);
  EXPECT_FALSE(info.versions(0).reason().empty());
  ASSERT_OK_AND_ASSIGN(const v1::ListModelsResponse list, rig.List());
  EXPECT_EQ(list.models_size(), 3);
}

TEST(Daemon, StrictReadinessWaitsForAll) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(1, 2));
  rig.AddModel("broken", 1, "no model");
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  EXPECT_OK(rig.worker().readiness());
  rig.Stop();
  rig.config.strict_readiness = true;
  absl::StatusOr<std::unique_ptr<Worker>> strict = Worker::Start(rig.config, Clock::Real());
  ASSERT_OK(strict.status());
  while (!(*strict)->status().settled) std::this_thread::yield();
  EXPECT_THAT((*strict)->readiness(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("broken")));
}

TEST(Daemon, ASecondOneOnATakenPortFailsAtOnce) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(1, 2));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ServerConfig second = rig.config;
  second.grpc_address = StrCat("127.0.0.1:", rig.worker().grpc_port());
  EXPECT_THAT(Worker::Start(second, Clock::Real()).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("taken")));
  second.grpc_address = "127.0.0.1:0";
  second.metrics_address = StrCat("127.0.0.1:", rig.worker().metrics_port());
  EXPECT_THAT(Worker::Start(second, Clock::Real()).status(),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(rig.Predict(LinearRequest(1, 1)).status());
}

TEST(Daemon, AClientThatGoesAwayHarmsNobody) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("slow", 1, SlowModel(512, 8));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const std::vector<float> rows(64 * 512, 0.5f);
  for (int round = 0; round < 20; ++round) {
    // A connection of its own, torn down while its call is somewhere inside.
    auto channel = rig.NewChannel();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::microseconds(200 * (round + 1)));
    v1::PredictResponse ignored;
    const grpc::Status status = v1::PredictService::NewStub(channel)->Predict(
        &context, Request("slow", "x", {64, 512}, rows), &ignored);
    channel.reset();
    EXPECT_THAT(status.error_code(),
                AnyOf(grpc::StatusCode::OK, grpc::StatusCode::DEADLINE_EXCEEDED,
                      grpc::StatusCode::UNAVAILABLE));
    ASSERT_OK_AND_ASSIGN(const v1::PredictResponse good, rig.Predict(LinearRequest(1, 1)));
    EXPECT_THAT(Values(good.outputs(0)), ElementsAre(7.0f));
  }
}

TEST(Daemon, AFullQueueRefusesAndEveryCallIsAnsweredOnce) {
  DaemonRig rig;
  rig.config.queue_requests_max = 2;
  rig.AddModel("slow", 1, SlowModel(512, 8));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const v1::PredictRequest request =
      Request("slow", "x", {16, 512}, std::vector<float>(16 * 512, 0.5f));
  std::atomic<int> good = 0, refused = 0, other = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      for (int round = 0; round < 8; ++round) {
        const absl::Status status = rig.Predict(request).status();
        ++(status.ok() ? good : absl::IsResourceExhausted(status) ? refused : other);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good + refused, 16 * 8);
  EXPECT_EQ(other, 0);
  EXPECT_GT(good, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(rig.Metric("paramd_requests_total{model=\"slow\",version=\"1\","
                       "code=\"RESOURCE_EXHAUSTED\"}"),
            refused.load());
}

TEST(Daemon, AThousandMalformedRequestsBetweenGoodOnes) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  for (int i = 0; i < 1000; ++i) {
    v1::PredictRequest bad = LinearRequest(1, 2);
    switch (random() % 7) {
      case 0:
        bad.mutable_inputs(0)->mutable_raw()->resize(random() % 8);
        break;
      case 1:
        bad.mutable_inputs(0)->set_name("nobody");
        break;
      case 2:
        bad.mutable_inputs(0)->set_shape(1, static_cast<int64_t>(random() % 1000) + 3);
        break;
      case 3:
        bad.mutable_inputs(0)->set_dtype(v1::DATA_TYPE_I64);
        break;
      case 4:
        bad.clear_inputs();
        break;
      case 5:
        *bad.add_inputs() = bad.inputs(0);
        break;
      default:
        bad.add_outputs("nobody");
        break;
    }
    EXPECT_THAT(rig.Predict(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << i;
    const auto x = static_cast<float>(i);
    const absl::StatusOr<v1::PredictResponse> good = rig.Predict(LinearRequest(x, 1));
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_THAT(Values(good->outputs(0)), ElementsAre(3 * x + 4));
  }
}

TEST(Daemon, ColdShapesBesideWarmOnes) {
  DaemonRig rig;
  rig.AddModel("open", 1, OpenShapeModel());
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  std::atomic<bool> failed = false;
  std::thread warm([&] {
    for (int i = 0; i < 200 && !failed; ++i) {
      if (!rig.Predict(LinearRequest(1, 1)).ok()) failed = true;
    }
  });
  for (int64_t width = 1; width <= 40; ++width) {
    const std::vector<float> row(static_cast<size_t>(width), 1.5f);
    const auto response = rig.Predict(Request("open", "x", {1, width}, row));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(Values(response->outputs(0)), std::vector<float>(row.size(), 3.0f));
  }
  warm.join();
  EXPECT_FALSE(failed);
}

TEST(Daemon, ALargeRequestRunsInSeveralBatches) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(1, 0));
  rig.AddConfig("linear", "max_batch_size: 4");
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  std::vector<float> values, expected;
  for (int i = 0; i < 11; ++i) {
    values.insert(values.end(), {static_cast<float>(i), 100.0f});
    expected.push_back(static_cast<float>(i));
  }
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response,
                       rig.Predict(Request("linear", "x", {11, 2}, values)));
  EXPECT_EQ(Values(response.outputs(0)), expected);
}

// What the panel "latency by stage" promises: nothing of a request's time is missing
// from its stages, and nothing counts twice.
TEST(Daemon, TheStagesOfRequestsAddUpToTheirWhole) {
  DaemonRig rig;
  rig.AddModel("tiny", 1, LinearModel(1, 2));
  rig.AddModel("slow", 1, SlowModel(256, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  for (const std::string model : {"tiny", "slow"}) {
    const int64_t width = model == "tiny" ? 2 : 256;
    // Alone, several rows in one call, and calls that ride together.
    std::vector<std::thread> clients;
    for (int64_t client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        for (int64_t i = 0; i < 50; ++i) {
          const int64_t rows = 1 + (client * i) % 40;
          const std::vector<float> values(static_cast<size_t>(rows * width), 1.0f);
          EXPECT_OK(rig.Predict(Request(model, "x", {rows, width}, values)));
        }
      });
    }
    for (std::thread& client : clients) client.join();
    const std::string labels = StrCat("{model=\"", model, "\",version=\"1\"");
    const double whole = rig.Metric(StrCat("paramd_request_seconds_sum", labels, "}"));
    EXPECT_EQ(rig.Metric(StrCat("paramd_request_seconds_count", labels, "}")), 200);
    double sum = 0;
    for (const char* stage : {"decode", "queue", "batch", "compute", "encode"}) {
      const std::string of_stage = StrCat(labels, ",stage=\"", stage, "\"}");
      EXPECT_EQ(rig.Metric("paramd_request_stage_seconds_count" + of_stage), 200) << stage;
      sum += rig.Metric("paramd_request_stage_seconds_sum" + of_stage);
    }
    EXPECT_GT(whole, 0) << model;
    EXPECT_NEAR(sum, whole, 0.05 * whole) << model;
  }
}

TEST(Daemon, MessagesBeyondTheLimitAreRefused) {
  DaemonRig rig;
  rig.config.message_bytes_max = 64 << 10;
  rig.AddModel("linear", 1, LinearModel(1, 0));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  EXPECT_THAT(rig.Predict(Request("linear", "x", {10000, 2}, std::vector<float>(20000, 1.0f))),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(rig.Predict(LinearRequest(1, 1)).status());
}

TEST(Daemon, StopsInOrder) {
  DaemonRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("slow", 1, SlowModel(512, 8));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  rig.worker().StopAccepting();
  EXPECT_EQ(rig.Health(""), "NOT_SERVING");
  EXPECT_FALSE(rig.worker().readiness().ok());
  EXPECT_OK(rig.Predict(LinearRequest(1, 1)).status());  // The grace period.
  // What is under way when draining begins is finished; what comes later is told
  // to go elsewhere.
  std::vector<std::thread> clients;
  std::atomic<int> good = 0, turned_away = 0, other = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      const absl::Status status =
          rig.Predict(Request("slow", "x", {16, 512}, std::vector<float>(16 * 512, 0.5f))).status();
      ++(status.ok() ? good : absl::IsUnavailable(status) ? turned_away : other);
    });
  }
  while (rig.Metric("paramd_requests_open") < 1 && good == 0) std::this_thread::yield();
  rig.worker().Drain(absl::Now() + absl::Seconds(60));
  for (std::thread& client : clients) client.join();
  EXPECT_GE(good, 1);
  EXPECT_EQ(good + turned_away, 4);
  EXPECT_EQ(other, 0);
  rig.Stop();
}

}  // namespace
}  // namespace paramd
