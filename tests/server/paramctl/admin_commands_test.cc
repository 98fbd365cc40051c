// paramctl's admin commands, whole, against the real service over a fake.
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proto/paramd/v1/model.grpc.pb.h"
#include "server/paramctl/admin_client.h"
#include "server/paramctl/paramctl.h"
#include "server/rpc/admin_service.h"
#include "tests/support/fake_model_admin.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Phase = KeeperClient::UpgradeStatus::Phase;

struct Ran {
  int status = -1;
  std::string out;
  std::string err;
};

Ran Command(std::vector<const char*> args) {
  args.insert(args.begin(), "paramctl");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Ran ran;
  ran.status = RunParamctl(static_cast<int>(args.size()), args.data());
  ran.out = ::testing::internal::GetCapturedStdout();
  ran.err = ::testing::internal::GetCapturedStderr();
  return ran;
}

class AdminCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    service_ = std::make_unique<AdminService>(
        AdminServiceOptions(),
        AdminServiceParts{.admin = &admin_,
                          .request_upgrade = [this] { return admin_.status; },
                          .upgrade_status =
                              [this] {
                                const size_t asked = asked_++;
                                return phases_[std::min(asked, phases_.size() - 1)];
                              }});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void TearDown() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  Ran Ctl(std::vector<const char*> args) {
    args.insert(args.begin(), {"--admin-socket", socket_.c_str()});
    return Command(std::move(args));
  }
  nlohmann::json Json(std::vector<const char*> args) {
    args.push_back("--json");
    const Ran ran = Ctl(std::move(args));
    const nlohmann::json json = nlohmann::json::parse(ran.out, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << ran.out << ran.err;
    return json;
  }

  TempFolder folder_;
  const std::string socket_ = folder_.path("admin.sock");
  FakeModelAdmin admin_;
  std::vector<KeeperClient::UpgradeStatus> phases_ = {{.phase = Phase::kDone, .serving_pid = 7}};
  std::atomic<size_t> asked_{0};
  std::unique_ptr<AdminService> service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(AdminCommandsTest, LoadShowsLinesWhereNoTerminalIs) {
  admin_.load = [](const LoadCommand&, const std::function<void(const LoadEvent&)>& progress)
      -> absl::StatusOr<std::vector<LoadPlan>> {
    progress({.version = 3,
              .state = "serving",
              .bytes_done = 243'900'000,
              .bytes_total = 243'900'000,
              .seconds = 0.5});
    return std::vector<LoadPlan>{{.model = "alexnet",
                                  .version = 3,
                                  .parameter_bytes = 243'900'000,
                                  .resident_bytes = 227'500'000}};
  };
  const Ran ran = Ctl({"load", "alexnet", "3"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.err, "alexnet version 3: serving, 243.9 MB of 243.9 MB, 487.8 MB/s, 0.5 s\n");
  EXPECT_THAT(ran.out, ::testing::StartsWith("alexnet version 3 serves: 243.9 MB, in "));
  EXPECT_THAT(admin_.calls(), ElementsAre("load alexnet 3"));

  const nlohmann::json json = Json({"load", "alexnet"});
  EXPECT_EQ(json["plans"][0]["resident_bytes"], "227500000");  // 64 bits are text in JSON.
}

TEST_F(AdminCommandsTest, ALoadThatFailsIsTheCommandsFailure) {
  admin_.load = [](const LoadCommand&, const std::function<void(const LoadEvent&)>&) {
    return absl::DataLossError("version 3: model.onnx is cut off");
  };
  const Ran ran = Ctl({"load", "alexnet", "3"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err, "paramctl: DATA_LOSS: version 3: model.onnx is cut off\n");
  EXPECT_THAT(ran.out, IsEmpty());
}

TEST_F(AdminCommandsTest, ADryRunAndAPlanPrintTheTableAndFailIfSomethingDoesNotFit) {
  const std::vector<LoadPlan> plans = {
      {.model = "alexnet",
       .version = 2,
       .parameter_bytes = 244'000'000,
       .resident_bytes = 227'600'000,
       .scratch_bytes = 16'400'000,
       .needed_bytes = 32'800'000,
       .left_bytes = 600'000'000,
       .capacity_bytes = 900'000'000},
      {.model = "vgg",
       .version = 1,
       .parameter_bytes = 575'000'000,
       .needed_bytes = 900'000'000,
       .left_bytes = 600'000'000,
       .capacity_bytes = 900'000'000,
       .verdict = absl::ResourceExhaustedError("needs 900 MB, 600 MB are left")}};
  admin_.plan = plans;
  admin_.load = [&plans](const LoadCommand&, const std::function<void(const LoadEvent&)>&)
      -> absl::StatusOr<std::vector<LoadPlan>> { return std::vector<LoadPlan>{plans[0]}; };
  const Ran fits = Ctl({"load", "alexnet", "--dry-run"});
  EXPECT_EQ(fits.status, 0) << fits.err;
  EXPECT_EQ(fits.out,
            "MODEL    VERSION  PARAMETERS  RESIDENT  SCRATCH  ARENA  FREED   NEEDED      LEFT  "
            "CAPACITY\n"
            "alexnet        2    244.0 MB  227.6 MB  16.4 MB    0 B    0 B  32.8 MB  600.0 MB  "
            "900.0 MB  fits\n");
  const Ran plan = Ctl({"plan"});
  EXPECT_EQ(plan.status, 1);
  EXPECT_THAT(plan.out, HasSubstr("vgg version 1: needs 900 MB, 600 MB are left\n"));
  EXPECT_EQ(plan.err, "paramctl: RESOURCE_EXHAUSTED: 1 of 2 loads do not fit\n");
  EXPECT_THAT(admin_.calls(), ElementsAre("dry-run alexnet 0", "plan "));
  EXPECT_EQ(Json({"plan"})["plans"][1]["fits"], false);
}

TEST(PlanFolder, IsMadeWithoutADaemonAndCountsWhatCameBefore) {
  TempFolder folder;
  const std::string model = OnnxBuilder()
                                .Input("x", DType::kF32, {"N", "256"})
                                .RandomFloats("w", {256, 256}, 1, 0.1f)
                                .Node("MatMul", {"x", "w"}, {"y"})
                                .Output("y", DType::kF32, {"N", "256"})
                                .Build();
  folder.Write("a/1/model.onnx", model);
  folder.Write("b/1/model.onnx", model);
  folder.Write("broken/1/model.onnx", "no model");
  const std::string root = folder.path();
  const Ran all = Command({"plan", root.c_str()});
  EXPECT_EQ(all.status, 1);
  EXPECT_THAT(all.err, HasSubstr("1 of 3 loads do not fit"));
  EXPECT_THAT(all.out, HasSubstr("broken version 1: "));
  const Ran one = Command({"plan", root.c_str(), "--model", "a", "--json"});
  EXPECT_EQ(one.status, 0) << one.err;
  const nlohmann::json plan = nlohmann::json::parse(one.out)["plans"][0];
  EXPECT_GE(std::stoul(plan["parameter_bytes"].get<std::string>()), 256u * 256 * 4);
  // Room for one of the two.
  const Ran tight = Command({"plan", root.c_str(), "--capacity-bytes", "400000"});
  EXPECT_EQ(tight.status, 1);
  EXPECT_THAT(tight.err, HasSubstr("2 of 3"));
  EXPECT_THAT(tight.out, HasSubstr("b version 1: "));
  EXPECT_EQ(Command({"plan", root.c_str(), "--model", "absent"}).status, 1);
}

TEST_F(AdminCommandsTest, NamesAreMovedAndSaidWhereTheyPoint) {
  admin_.name = {.name = "default", .version = 3, .previous = 2};
  EXPECT_EQ(Ctl({"promote", "digits", "3"}).out, "default of digits is version 3, was version 2\n");
  EXPECT_EQ(Ctl({"rollback", "digits"}).status, 0);
  EXPECT_EQ(Ctl({"label", "set", "digits", "canary", "3"}).status, 0);
  EXPECT_EQ(Ctl({"label", "remove", "digits", "canary"}).out,
            "canary of digits is removed; it was version 3\n");
  EXPECT_EQ(Ctl({"label", "auto-promote", "digits", "off"}).out,
            "default of digits does not move by itself\n");
  EXPECT_EQ(Ctl({"promote", "digits", "3", "--name", "stable"}).status, 0);
  EXPECT_EQ(Ctl({"unload", "digits", "2", "--force"}).status, 0);
  EXPECT_EQ(Ctl({"unload", "digits"}).out, "digits is not desired any more\n");
  EXPECT_THAT(admin_.calls(), ElementsAre("promote digits default 3", "rollback digits default",
                                          "promote digits canary 3", "remove-name digits canary",
                                          "auto-promote digits off", "promote digits stable 3",
                                          "force-unload digits 2", "unload digits 0"));
  EXPECT_EQ(Json({"promote", "digits", "3"})["name"]["previous"], "2");
  EXPECT_TRUE(Json({"unload", "digits", "3"}).is_object());
}

TEST_F(AdminCommandsTest, WhatIsNoVersionIsNotSent) {
  for (const char* version : {"0", "-1", "1.5", "stable", "9223372036854775808"}) {
    EXPECT_NE(Ctl({"promote", "digits", version}).status, 0) << version;
    EXPECT_NE(Ctl({"load", "digits", version}).status, 0) << version;
  }
  EXPECT_NE(Ctl({"label", "auto-promote", "digits", "perhaps"}).status, 0);
  EXPECT_THAT(admin_.calls(), IsEmpty());
}

TEST_F(AdminCommandsTest, StateIsDesiredBesideActual) {
  admin_.state = StateReport{.revision = 12,
                             .converged = true,
                             .models = {{.model = "digits",
                                         .auto_promote = false,
                                         .names = {{.name = "default", .version = 3, .previous = 2},
                                                   {.name = "stable", .version = 3}},
                                         .versions = {{.version = 2,
                                                       .desired = true,
                                                       .why = "kept until 12:03:11",
                                                       .state = "serving",
                                                       .generation = 41,
                                                       .weights_id = "0123456789abcdef"},
                                                      {.version = 3,
                                                       .desired = true,
                                                       .why = "latest",
                                                       .state = "serving",
                                                       .generation = 42,
                                                       .weights_id = "fedcba9876543210"},
                                                      {.version = 4,
                                                       .desired = true,
                                                       .why = "asked for",
                                                       .state = "failed",
                                                       .reason = "model.onnx is cut off"}}},
                                        {.model = "price", .error = "no version"}}};
  const Ran ran = Ctl({"state"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(
      ran.out,
      "revision 12, converged\n"
      "\n"
      "MODEL   VERSION  NAMES             DESIRED              ACTUAL   GENERATION  WEIGHTS\n"
      "digits        2  (default before)  kept until 12:03:11  serving          41  0123456789ab\n"
      "digits        3  default, stable   latest               serving          42  fedcba987654\n"
      "digits        4                    asked for            failed                             "
      "model.onnx is cut off\n"
      "price                                                                                      "
      "no version\n"
      "\n"
      "digits: auto-promote is off, 'default' moves by promote only\n");
  EXPECT_EQ(Json({"state", "price"})["models"].size(), 1u);
  EXPECT_EQ(Ctl({"state", "absent"}).status, 1);
}

TEST_F(AdminCommandsTest, VerifyFailsIfSomethingDiffers) {
  admin_.verify = std::vector<VerifyReport>{
      {.model = "digits", .version = 1, .entries = 4, .bytes = 37'888, .seconds = 0.25}};
  EXPECT_EQ(Ctl({"verify", "digits"}).out,
            "MODEL   VERSION  ENTRIES   BYTES       TOOK\n"
            "digits        1        4  37,888  250.00 ms  intact\n");
  admin_.verify->push_back(
      {.model = "price", .version = 1, .status = absl::DataLossError("tensor 'w' differs")});
  const Ran ran = Ctl({"verify"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.out, HasSubstr("tensor 'w' differs"));
  EXPECT_THAT(ran.err, HasSubstr("DATA_LOSS: 1 of 2"));
  EXPECT_EQ(Json({"verify"})["reports"][1]["intact"], false);
}

TEST_F(AdminCommandsTest, AnUpgradeIsFollowedThroughItsPhases) {
  phases_ = {{.phase = Phase::kStarting, .serving_pid = 7, .message = "2 of 3 models"},
             {.phase = Phase::kDraining, .serving_pid = 8},
             {.phase = Phase::kDone, .serving_pid = 8}};
  const Ran ran = Ctl({"upgrade"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("the successor starts and loads: 2 of 3 models\n"));
  EXPECT_THAT(ran.err, HasSubstr("the successor serves"));
  EXPECT_THAT(ran.out, HasSubstr("process 8 serves"));
  EXPECT_EQ(Json({"upgrade"})["phase"], "UPGRADE_PHASE_DONE");
}

TEST_F(AdminCommandsTest, AnUpgradeThatFailsSaysWhy) {
  phases_ = {{.phase = Phase::kFailed, .serving_pid = 7, .message = "it ended with status 1"}};
  const Ran ran = Ctl({"upgrade"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("the old worker serves on: it ended with status 1"));
  admin_.status = absl::FailedPreconditionError("one is on its way");
  EXPECT_THAT(Ctl({"upgrade"}).err, HasSubstr("FAILED_PRECONDITION: one is on its way"));
}

TEST_F(AdminCommandsTest, HelpHasExamples) {
  for (const char* command :
       {"load", "unload", "promote", "rollback", "label", "state", "verify", "plan", "upgrade"}) {
    const Ran ran = Command({command, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, HasSubstr(std::string("  paramctl ")));
    EXPECT_THAT(ran.out, HasSubstr(command));
  }
}

TEST(AdminTarget, IsTheSocketIfThereIsOneAndTheAddressIfNot) {
  GlobalOptions options;
  EXPECT_EQ(ChooseAdminTarget(options, "/run/paramd/admin.sock", true).target,
            "unix:/run/paramd/admin.sock");
  const AdminTarget none = ChooseAdminTarget(options, "/run/paramd/admin.sock", false);
  EXPECT_EQ(none.target, "127.0.0.1:8001");
  EXPECT_THAT(none.hint, HasSubstr("no admin socket at /run/paramd/admin.sock"));
  EXPECT_THAT(ChooseAdminTarget(options, "", false).hint, HasSubstr("XDG_RUNTIME_DIR"));
  options.address_given = true;
  EXPECT_EQ(ChooseAdminTarget(options, "/run/paramd/admin.sock", true).target, "127.0.0.1:8001");
  options.admin_socket = "/tmp/other.sock";
  EXPECT_EQ(ChooseAdminTarget(options, "/run/paramd/admin.sock", true).target,
            "unix:/tmp/other.sock");
}

TEST(AdminTarget, WhereNobodyAnswersTheErrorSaysWhatElseThereIs) {
  TempFolder folder;
  const std::string socket = folder.path("none.sock");
  const Ran ran = Command({"--admin-socket", socket.c_str(), "state"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("UNAVAILABLE: no paramd answers at unix:" + socket));
  EXPECT_THAT(ran.err, HasSubstr("--admin-socket"));
}

TEST(AdminTarget, WhereNoAdminCallsAreTakenTheErrorNamesTheFlag) {
  TempFolder folder;
  const std::string socket = folder.path("other.sock");
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  v1::ModelService::CallbackService other;
  builder.RegisterService(&other);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const Ran ran = Command({"--admin-socket", socket.c_str(), "state"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("--admin-on-tcp"));
  server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace
}  // namespace paramd
