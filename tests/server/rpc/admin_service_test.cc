// ModelAdmin through gRPC in one process, over a fake.
#include "server/rpc/admin_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/support/fake_model_admin.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRoot[] = "/srv/secret/models";

class AdminServiceTest : public ::testing::Test {
 protected:
  void Serve(AdminServiceOptions options = {}) {
    options.repository_root = kRoot;
    service_ = std::make_unique<AdminService>(std::move(options),
                                              AdminServiceParts{.admin = &admin_,
                                                                .request_upgrade = request_upgrade_,
                                                                .upgrade_status = upgrade_status_});
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::ModelAdmin::NewStub(server_->InProcessChannel({}));
  }
  void TearDown() override { Stop(); }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    stub_.reset();
    server_.reset();
    service_.reset();
  }

  struct Loaded {
    std::vector<v1::LoadProgress> progress;
    std::vector<v1::LoadOutcome> outcomes;
    grpc::Status status;
  };
  Loaded Load(const std::string& model, int64_t version, bool dry_run = false) {
    grpc::ClientContext context;
    v1::LoadRequest request;
    request.set_model(model);
    request.set_version(version);
    request.set_dry_run(dry_run);
    Loaded loaded;
    const auto reader = stub_->Load(&context, request);
    v1::LoadResponse message;
    while (reader->Read(&message)) {
      if (message.has_outcome()) {
        loaded.outcomes.push_back(message.outcome());
      } else {
        EXPECT_TRUE(loaded.outcomes.empty()) << "the outcome is last";
        loaded.progress.push_back(message.progress());
      }
    }
    loaded.status = reader->Finish();
    return loaded;
  }

  FakeModelAdmin admin_;
  std::function<absl::Status()> request_upgrade_;
  std::function<KeeperClient::UpgradeStatus()> upgrade_status_;
  std::unique_ptr<AdminService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ModelAdmin::Stub> stub_;
};

TEST_F(AdminServiceTest, ALoadTellsItsProgressAndLastItsOutcome) {
  admin_.load = [](const LoadCommand&, const std::function<void(const LoadEvent&)>& progress)
      -> absl::StatusOr<std::vector<LoadPlan>> {
    for (uint64_t done = 1; done <= 100; ++done) {
      progress({.version = 3,
                .state = "loading",
                .stage = "parameters",
                .bytes_done = done,
                .bytes_total = 100,
                .seconds = 0.5});
    }
    return std::vector<LoadPlan>{{.model = "digits",
                                  .version = 3,
                                  .parameter_bytes = 1,
                                  .resident_bytes = 2,
                                  .scratch_bytes = 3,
                                  .arena_bytes = 4,
                                  .freed_bytes = 5,
                                  .needed_bytes = 6,
                                  .left_bytes = 7,
                                  .capacity_bytes = 8}};
  };
  Serve();
  const Loaded loaded = Load("digits", 3);
  EXPECT_TRUE(loaded.status.ok()) << loaded.status.error_message();
  // A slow reader may miss some of them, never the newest.
  ASSERT_FALSE(loaded.progress.empty());
  const v1::LoadProgress& last = loaded.progress.back();
  EXPECT_EQ(last.bytes_done(), 100u);
  EXPECT_EQ(last.version(), 3);
  EXPECT_EQ(last.state(), v1::VERSION_STATE_LOADING);
  EXPECT_EQ(last.stage(), "parameters");
  EXPECT_EQ(last.bytes_total(), 100u);
  EXPECT_EQ(last.seconds(), 0.5);
  ASSERT_EQ(loaded.outcomes.size(), 1u);
  ASSERT_EQ(loaded.outcomes[0].plans_size(), 1);
  const v1::LoadPlan& plan = loaded.outcomes[0].plans(0);
  EXPECT_EQ(plan.model(), "digits");
  EXPECT_EQ(plan.version(), 3);
  EXPECT_THAT(
      (std::vector<uint64_t>{plan.parameter_bytes(), plan.resident_bytes(), plan.scratch_bytes(),
                             plan.arena_bytes(), plan.freed_bytes(), plan.needed_bytes(),
                             plan.left_bytes(), plan.capacity_bytes()}),
      ElementsAre(1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u));
  EXPECT_TRUE(plan.fits());
  EXPECT_THAT(admin_.calls(), ElementsAre("load digits 3"));
}

TEST_F(AdminServiceTest, TwoVersionsOfOneLoadDoNotHideEachOther) {
  admin_.load = [](const LoadCommand&, const std::function<void(const LoadEvent&)>& progress)
      -> absl::StatusOr<std::vector<LoadPlan>> {
    progress({.version = 1, .state = "serving"});
    progress({.version = 2, .state = "serving"});
    return std::vector<LoadPlan>();
  };
  Serve();
  const Loaded loaded = Load("digits", 0);
  EXPECT_EQ(loaded.progress.size(), 2u);
  EXPECT_THAT(admin_.calls(), ElementsAre("load digits 0"));
}

TEST_F(AdminServiceTest, AFailedLoadEndsWithItsOwnErrorAndWithoutTheRepositorysPath) {
  admin_.load = [](const LoadCommand&, const std::function<void(const LoadEvent&)>&) {
    return absl::DataLossError(
        "version 3: /srv/secret/models/digits/3/model.onnx has 10 bytes, expected 20");
  };
  Serve();
  const Loaded loaded = Load("digits", 3);
  EXPECT_TRUE(loaded.outcomes.empty());
  EXPECT_EQ(loaded.status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(loaded.status.error_message(),
            "version 3: digits/3/model.onnx has 10 bytes, expected 20");
}

TEST_F(AdminServiceTest, ADryRunSaysWhatWouldNotFit) {
  admin_.load =
      [](const LoadCommand& command,
         const std::function<void(const LoadEvent&)>&) -> absl::StatusOr<std::vector<LoadPlan>> {
    EXPECT_TRUE(command.dry_run);
    EXPECT_FALSE(command.version.has_value());
    return std::vector<LoadPlan>{
        {.model = "digits", .verdict = absl::ResourceExhaustedError("needs 9 bytes, 5 are left")}};
  };
  Serve();
  const Loaded loaded = Load("digits", 0, /*dry_run=*/true);
  EXPECT_TRUE(loaded.status.ok());
  ASSERT_EQ(loaded.outcomes.size(), 1u);
  EXPECT_TRUE(loaded.outcomes[0].dry_run());
  EXPECT_FALSE(loaded.outcomes[0].plans(0).fits());
  EXPECT_EQ(loaded.outcomes[0].plans(0).refusal(), "needs 9 bytes, 5 are left");
}

// Loads that never end until the test lets them. Outlives them.
class BlockedLoads {
 public:
  FakeModelAdmin::LoadFn Fn() {
    return [this](const LoadCommand&, const std::function<void(const LoadEvent&)>& progress)
               -> absl::StatusOr<std::vector<LoadPlan>> {
      progress({.version = 1, .state = "loading"});
      release_.WaitForNotification();
      ++ended_;
      return std::vector<LoadPlan>();
    };
  }
  void Release() {
    if (!release_.HasBeenNotified()) release_.Notify();
  }
  int ended() const { return ended_; }

 private:
  absl::Notification release_;
  std::atomic<int> ended_{0};
};

TEST_F(AdminServiceTest, WaitingLoadsAreBoundedAndHoldUpNothingElse) {
  BlockedLoads blocked;
  admin_.load = blocked.Fn();
  admin_.name = {.name = "default", .version = 1, .previous = 2};
  Serve({.loads_max = 2});
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::LoadResponse>>> readers;
  v1::LoadRequest request;
  request.set_model("digits");
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(stub_->Load(contexts.back().get(), request));
    v1::LoadResponse message;
    ASSERT_TRUE(readers.back()->Read(&message));  // It runs.
  }
  const Loaded third = Load("digits", 0);
  EXPECT_EQ(third.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(third.status.error_message(), HasSubstr("2 loads"));

  grpc::ClientContext context;
  v1::RollbackRequest rollback;
  rollback.set_model("digits");
  v1::RollbackResponse answer;
  const grpc::Status status = stub_->Rollback(&context, rollback, &answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer.name().version(), 1);
  EXPECT_EQ(answer.name().previous(), 2);

  blocked.Release();
  for (auto& reader : readers) {
    v1::LoadResponse message;
    while (reader->Read(&message)) {
    }
    EXPECT_TRUE(reader->Finish().ok());
  }
}

TEST_F(AdminServiceTest, ACallerThatGoesAwayDoesNotCancelItsLoad) {
  BlockedLoads blocked;
  admin_.load = blocked.Fn();
  Serve();
  grpc::ClientContext context;
  v1::LoadRequest request;
  request.set_model("digits");
  const auto reader = stub_->Load(&context, request);
  v1::LoadResponse message;
  ASSERT_TRUE(reader->Read(&message));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(blocked.ended(), 0);
  blocked.Release();
  Stop();  // Waits for the load.
  EXPECT_EQ(blocked.ended(), 1);
}

TEST_F(AdminServiceTest, AServerThatStopsDoesNotWaitForALoad) {
  BlockedLoads blocked;
  admin_.load = blocked.Fn();
  Serve();
  grpc::ClientContext context;
  v1::LoadRequest request;
  request.set_model("digits");
  const auto reader = stub_->Load(&context, request);
  v1::LoadResponse message;
  ASSERT_TRUE(reader->Read(&message));
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  EXPECT_FALSE(reader->Finish().ok());
  EXPECT_EQ(blocked.ended(), 0);
  blocked.Release();
  Stop();  // The load looks at `blocked` until it ends.
}

TEST_F(AdminServiceTest, NamesArePointedAndTheErrorIsTheAdmins) {
  admin_.name = {.name = "stable", .version = 4, .previous = 3};
  Serve();
  {
    grpc::ClientContext context;
    v1::PromoteRequest request;
    request.set_model("digits");
    request.set_version(4);
    request.set_name("stable");
    v1::PromoteResponse response;
    EXPECT_TRUE(stub_->Promote(&context, request, &response).ok());
    EXPECT_EQ(response.name().name(), "stable");
    EXPECT_EQ(response.name().version(), 4);
    EXPECT_EQ(response.name().previous(), 3);
  }
  admin_.status = absl::FailedPreconditionError("version 5 does not serve: it failed");
  {
    grpc::ClientContext context;
    v1::PromoteRequest request;
    request.set_model("digits");
    request.set_version(5);
    v1::PromoteResponse response;
    const grpc::Status status = stub_->Promote(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(), "version 5 does not serve: it failed");
  }
  {
    grpc::ClientContext context;
    v1::UnloadRequest request;
    request.set_model("digits");
    request.set_version(4);
    request.set_force(true);
    v1::UnloadResponse response;
    EXPECT_FALSE(stub_->Unload(&context, request, &response).ok());
  }
  admin_.status = absl::OkStatus();
  {
    grpc::ClientContext context;
    v1::SetAutoPromoteRequest request;
    request.set_model("digits");
    v1::SetAutoPromoteResponse response;
    EXPECT_TRUE(stub_->SetAutoPromote(&context, request, &response).ok());
  }
  {
    grpc::ClientContext context;
    v1::RemoveNameRequest request;
    request.set_model("digits");
    request.set_name("stable");
    v1::RemoveNameResponse response;
    EXPECT_TRUE(stub_->RemoveName(&context, request, &response).ok());
  }
  EXPECT_THAT(admin_.calls(), ElementsAre("promote digits stable 4", "promote digits default 5",
                                          "force-unload digits 4", "auto-promote digits off",
                                          "remove-name digits stable"));
}

TEST_F(AdminServiceTest, WhatIsNoNameOrNumberNeverReachesTheAdmin) {
  Serve();
  for (const std::string& model : {std::string(), std::string("../etc"), std::string("a/b"),
                                   std::string(200, 'a'), std::string("nul\0", 4)}) {
    EXPECT_EQ(Load(model, 1).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << model;
  }
  EXPECT_EQ(Load("digits", -1).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto promote = [this](int64_t version, const std::string& name) {
    grpc::ClientContext context;
    v1::PromoteRequest request;
    request.set_model("digits");
    request.set_version(version);
    request.set_name(name);
    v1::PromoteResponse response;
    return stub_->Promote(&context, request, &response).error_code();
  };
  EXPECT_EQ(promote(0, "stable"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(promote(1, "7"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(promote(1, "a b"), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext context;
  v1::RemoveNameRequest request;
  request.set_model("digits");
  request.set_name("default");
  v1::RemoveNameResponse response;
  EXPECT_EQ(stub_->RemoveName(&context, request, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(admin_.calls().empty());
}

TEST_F(AdminServiceTest, StateVerifyAndPlanAreTold) {
  admin_.state = StateReport{
      .revision = 17,
      .converged = true,
      .models = {{.model = "digits",
                  .auto_promote = false,
                  .names = {{.name = "default", .version = 2, .previous = 1}},
                  .versions = {{.version = 2,
                                .desired = true,
                                .why = "latest",
                                .state = "failed",
                                .reason = "/srv/secret/models/digits/2/model.onnx is cut off",
                                .generation = 9,
                                .weights_id = "abc"}}},
                 {.model = "price", .error = "no version"}}};
  admin_.verify = std::vector<VerifyReport>{
      {.model = "digits", .version = 2, .entries = 4, .bytes = 40, .seconds = 0.25},
      {.model = "price", .version = 1, .status = absl::DataLossError("tensor 'w' differs")}};
  admin_.plan = std::vector<LoadPlan>{{.model = "digits", .version = 2, .needed_bytes = 5}};
  Serve();
  {
    grpc::ClientContext context;
    v1::GetStateResponse state;
    ASSERT_TRUE(stub_->GetState(&context, {}, &state).ok());
    EXPECT_EQ(state.revision(), 17u);
    EXPECT_TRUE(state.converged());
    ASSERT_EQ(state.models_size(), 2);
    const v1::ModelAdminState& digits = state.models(0);
    EXPECT_FALSE(digits.auto_promote());
    EXPECT_EQ(digits.names(0).previous(), 1);
    EXPECT_EQ(digits.versions(0).state(), v1::VERSION_STATE_FAILED);
    EXPECT_EQ(digits.versions(0).why(), "latest");
    EXPECT_EQ(digits.versions(0).reason(), "digits/2/model.onnx is cut off");
    EXPECT_EQ(digits.versions(0).generation(), 9u);
    EXPECT_EQ(digits.versions(0).weights_id(), "abc");
    EXPECT_TRUE(digits.versions(0).desired());
    EXPECT_EQ(state.models(1).error(), "no version");
  }
  {
    grpc::ClientContext context;
    v1::GetStateRequest request;
    request.set_model("price");
    v1::GetStateResponse state;
    ASSERT_TRUE(stub_->GetState(&context, request, &state).ok());
    ASSERT_EQ(state.models_size(), 1);
    EXPECT_EQ(state.models(0).model(), "price");
  }
  {
    grpc::ClientContext context;
    v1::GetStateRequest request;
    request.set_model("absent");
    v1::GetStateResponse state;
    EXPECT_EQ(stub_->GetState(&context, request, &state).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  {
    grpc::ClientContext context;
    v1::VerifyResponse verify;
    ASSERT_TRUE(stub_->Verify(&context, {}, &verify).ok());
    ASSERT_EQ(verify.reports_size(), 2);
    EXPECT_TRUE(verify.reports(0).intact());
    EXPECT_EQ(verify.reports(0).bytes(), 40u);
    EXPECT_FALSE(verify.reports(1).intact());
    EXPECT_EQ(verify.reports(1).difference(), "tensor 'w' differs");
  }
  {
    grpc::ClientContext context;
    v1::PlanRequest request;
    request.set_model("digits");
    v1::PlanResponse plan;
    ASSERT_TRUE(stub_->Plan(&context, request, &plan).ok());
    EXPECT_EQ(plan.plans(0).needed_bytes(), 5u);
  }
  EXPECT_THAT(admin_.calls(), ElementsAre("verify ", "plan digits"));
}

TEST_F(AdminServiceTest, UpgradesNeedAKeeper) {
  Serve();
  grpc::ClientContext context;
  v1::UpgradeResponse response;
  const grpc::Status status = stub_->Upgrade(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("--no-keeper"));
}

TEST_F(AdminServiceTest, AnUpgradeIsAskedForAndFollowed) {
  int asked = 0;
  request_upgrade_ = [&asked] {
    return ++asked == 1 ? absl::OkStatus() : absl::FailedPreconditionError("one is on its way");
  };
  upgrade_status_ = [] {
    return KeeperClient::UpgradeStatus{.phase = KeeperClient::UpgradeStatus::Phase::kDraining,
                                       .serving_pid = 77,
                                       .message = "3 connections are left"};
  };
  Serve();
  {
    grpc::ClientContext context;
    v1::UpgradeResponse response;
    EXPECT_TRUE(stub_->Upgrade(&context, {}, &response).ok());
  }
  {
    grpc::ClientContext context;
    v1::UpgradeResponse response;
    EXPECT_EQ(stub_->Upgrade(&context, {}, &response).error_code(),
              grpc::StatusCode::FAILED_PRECONDITION);
  }
  grpc::ClientContext context;
  v1::UpgradeStatusResponse status;
  ASSERT_TRUE(stub_->UpgradeStatus(&context, {}, &status).ok());
  EXPECT_EQ(status.phase(), v1::UPGRADE_PHASE_DRAINING);
  EXPECT_EQ(status.serving_pid(), 77);
  EXPECT_EQ(status.message(), "3 connections are left");
}

}  // namespace
}  // namespace paramd
