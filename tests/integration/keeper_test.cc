// paramd and paramd-worker as they run: what outlives a worker, and what it costs
// to lose one.

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "runtime/base/strings.h"
#include "runtime/base/unique_fd.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/elf_needs.h"
#include "tests/integration/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Retries = KeeperRig::Retries;

v1::PredictRequest LinearRequest(float x0, float x1) {
  return Request("linear", "x", {1, 2}, {x0, x1});
}

bool IsAnswer(const v1::PredictResponse& response, float value) {
  return response.outputs_size() == 1 && Values(response.outputs(0)) == std::vector<float>{value};
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool IsAlive(pid_t pid) { return kill(pid, 0) == 0; }

// A thread of the process by its name; 0: none.
pid_t ThreadOf(pid_t pid, const std::string& name) {
  const std::string tasks = StrCat("/proc/", pid, "/task");
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    if (ReadFile(task.path() / "comm") == name + "\n") {
      return static_cast<pid_t>(std::atoi(task.path().filename().c_str()));
    }
  }
  return 0;
}

TEST(Keeper, NeedsNothingOfGrpcProtobufOrTheKernels) {
  const std::vector<std::string> needs = ElfNeeds(PARAMD_TEST_PROGRAM);
  ASSERT_THAT(needs, Contains(HasSubstr("libc.so")));
  const char* const kForbidden[] = {"libgrpc",       "libproto",    "libdnnl",
                                    "libgomp",       "libiomp",     "libonnx",
                                    "libprometheus", "libcivetweb", "libsystemd"};
  for (const char* const forbidden : kForbidden) {
    EXPECT_THAT(needs, Each(Not(HasSubstr(forbidden))));
  }
  // Nor do the libraries that it names bring one along.
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const std::string maps = ReadFile(StrCat("/proc/", rig.pid(), "/maps"));
  EXPECT_THAT(maps, HasSubstr("libc.so"));
  for (const char* const forbidden : kForbidden) {
    EXPECT_EQ(maps.find(forbidden), std::string::npos) << forbidden;
  }
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(StrCat("/proc/", rig.pid(), "/task")), {}),
      1)
      << "the keeper is one thread";
}

TEST(Keeper, StartsAWorkerAndStopsWithItsStatus) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const pid_t worker = rig.worker();
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response,
                       KeeperRig::Predict(rig.NewChannel(Retries::kNone), LinearRequest(10, 1)));
  EXPECT_TRUE(IsAnswer(response, 34));
  EXPECT_EQ(rig.Stop(), 0);
  EXPECT_FALSE(IsAlive(worker));
  EXPECT_FALSE(std::filesystem::exists(rig.folder().path("admin.sock")));
}

// kill -9 of the keeper; true when its worker has ended too.
bool KillKeeper(KeeperRig* rig) {
  const UniqueFd worker(static_cast<int>(syscall(SYS_pidfd_open, rig->worker(), 0)));
  kill(rig->pid(), SIGKILL);
  EXPECT_EQ(rig->Wait(), 128 + SIGKILL);
  pollfd ended = {.fd = worker.get(), .events = POLLIN, .revents = 0};
  return worker.valid() && poll(&ended, 1, 60'000) == 1;
}

TEST(Keeper, TheWorkerDiesWithIt) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  EXPECT_TRUE(KillKeeper(&rig));
}

TEST(Keeper, ASecondOneOnATakenPortFailsAtOnce) {
  KeeperRig first;
  first.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(first.Start());
  {
    KeeperRig second;
    second.AddModel("linear", 1, LinearModel(1, 1));
    second.grpc_address = StrCat("127.0.0.1:", first.grpc_port());
    ASSERT_NO_FATAL_FAILURE(second.Launch());
    EXPECT_EQ(second.Wait(), 1);
    EXPECT_TRUE(second.log().WaitFor(
        StrCat("cannot listen on 127.0.0.1:", first.grpc_port(), ": the port is taken")));
    EXPECT_EQ(second.log().Count("started worker"), 0);
  }
  {  // The metrics port is the worker's; its refusal is as final.
    KeeperRig second;
    second.AddModel("linear", 1, LinearModel(1, 1));
    const int64_t metrics = first.log().WaitForNumber("metrics are on port ");
    second.flags = {"--metrics-address", StrCat("127.0.0.1:", metrics)};
    ASSERT_NO_FATAL_FAILURE(second.Launch());
    EXPECT_EQ(second.Wait(), 1);
    EXPECT_TRUE(second.log().WaitFor("the worker does not start"));
  }
  {  // And so is an admin socket that somebody listens on.
    KeeperRig second;
    second.AddModel("linear", 1, LinearModel(1, 1));
    second.flags = {"--admin-socket", first.folder().path("admin.sock")};
    ASSERT_NO_FATAL_FAILURE(second.Launch());
    EXPECT_EQ(second.Wait(), 1);
    EXPECT_TRUE(second.log().WaitFor("another process listens on"));
  }
  EXPECT_OK(KeeperRig::Predict(first.NewChannel(Retries::kNone), LinearRequest(1, 1)).status());
}

TEST(Keeper, TheAdminSocketIsPrivateAndReplacesAStaleOne) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  struct stat found = {};
  ASSERT_EQ(stat(rig.folder().path("admin.sock").c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response,
                       KeeperRig::Predict(rig.AdminChannel(), LinearRequest(10, 1)));
  EXPECT_TRUE(IsAnswer(response, 34));
  ASSERT_TRUE(KillKeeper(&rig));  // Leaves the file.
  ASSERT_TRUE(std::filesystem::exists(rig.folder().path("admin.sock")));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  EXPECT_OK(KeeperRig::Predict(rig.AdminChannel(), LinearRequest(10, 1)).status());
}

TEST(Keeper, NoKeeperIsTheWorkerAlone) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.flags = {"--no-keeper"};
  ASSERT_NO_FATAL_FAILURE(rig.Launch());
  ASSERT_TRUE(rig.log().WaitFor("paramd serves "));
  EXPECT_THAT(std::filesystem::read_symlink(StrCat("/proc/", rig.pid(), "/exe")).string(),
              HasSubstr("paramd-worker"));
  EXPECT_EQ(rig.Stop(), 0);
}

TEST(Keeper, ANewWorkerServesWithoutOpeningAModelFile) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("slow", 1, SlowModel(256, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const v1::PredictRequest slow = Request("slow", "x", {1, 256}, std::vector<float>(256, 0.5f));
  const auto channel = rig.NewChannel(Retries::kNone);
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse before, KeeperRig::Predict(channel, slow));
  const double sealed = rig.Metric("paramd_store_sealed_bytes");
  const double segments = rig.Metric("paramd_store_segments");
  rig.DestroyModelFiles();
  for (int round = 0; round < 3; ++round) {
    const pid_t worker = rig.worker();
    ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
    EXPECT_NE(rig.worker(), worker);
    const auto next = rig.NewChannel(Retries::kNone);
    ASSERT_OK_AND_ASSIGN(const v1::PredictResponse after, KeeperRig::Predict(next, slow));
    EXPECT_EQ(after.generation(), before.generation());
    EXPECT_EQ(after.weights_id(), before.weights_id());
    EXPECT_EQ(after.outputs(0).raw(), before.outputs(0).raw());
    ASSERT_OK_AND_ASSIGN(const v1::PredictResponse linear,
                         KeeperRig::Predict(next, LinearRequest(10, 1)));
    EXPECT_TRUE(IsAnswer(linear, 34));
    EXPECT_EQ(rig.Metric("paramd_store_sealed_bytes"), sealed);
    EXPECT_EQ(rig.Metric("paramd_store_segments"), segments);
    EXPECT_EQ(rig.Metric("paramd_worker_crashes_total"), round + 1);
  }
}

TEST(Keeper, AClientThatRetriesSeesNoError) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Load load(rig, Retries::kStandard, 4, LinearRequest(10, 1),
            [](const v1::PredictResponse& response) { return IsAnswer(response, 34); });
  for (int round = 0; round < 3; ++round) {
    load.WaitForAnswers(50);
    ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
  }
  load.WaitForAnswers(50);
  load.Stop();
  EXPECT_EQ(load.errors(), 0) << load.errors_text();
  EXPECT_EQ(load.wrong(), 0);
  std::cout << load.answers() << " answers over 3 kills, the slowest took "
            << load.slowest_seconds() << " s\n";
}

TEST(Keeper, WithoutRetriesExactlyTheRequestsInFlightFail) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  constexpr int kThreads = 4;  // One request in flight each.
  Load load(rig, Retries::kNone, kThreads, LinearRequest(10, 1),
            [](const v1::PredictResponse& response) { return IsAnswer(response, 34); });
  load.WaitForAnswers(50);
  ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
  load.WaitForAnswers(50);
  load.Stop();
  EXPECT_LE(load.errors(), kThreads) << load.errors_text();
  EXPECT_EQ(load.wrong(), 0);
}

TEST(Keeper, ACrashLoopBacksOffAndIsVisible) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
  EXPECT_TRUE(rig.log().WaitFor("1 in a row); starting the next one"));
  for (int row = 2; row <= 4; ++row) {
    ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
  }
  EXPECT_TRUE(rig.log().WaitFor("2 in a row); the next one starts in 100ms"));
  EXPECT_TRUE(rig.log().WaitFor("3 in a row); the next one starts in 200ms"));
  EXPECT_TRUE(rig.log().WaitFor("4 in a row); the next one starts in 400ms"));
  EXPECT_EQ(rig.Metric("paramd_worker_crashes_total"), 4);
  EXPECT_THAT(rig.HttpGet("/statusz"), HasSubstr("4 crashes"));
  // While the next one waits for its time there is nobody to call itself healthy.
  kill(rig.worker(), SIGKILL);
  ASSERT_TRUE(rig.log().WaitFor("5 in a row"));
  EXPECT_EQ(rig.HttpGet("/healthz"), "");
  ASSERT_TRUE(rig.log().WaitFor(" is ready", 6));
}

TEST(Keeper, AVersionThatCrashesItsWorkerIsQuarantinedAndTheOthersServe) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("crasher", 1, SlowModel(512, 8));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const v1::PredictRequest request =
      Request("crasher", "x", {256, 512}, std::vector<float>(256 * 512, 0.5f));
  for (int round = 1; round <= 3; ++round) {
    // Hit on the thread that runs it, as a fault of a kernel would be.
    Load load(rig, Retries::kStandard, 2, request, [](const auto&) { return true; });
    load.WaitForAnswers(2);
    const pid_t worker = rig.worker();
    const std::string blamed = "while running crasher/1#";
    while (rig.log().Count(blamed) < round && IsAlive(worker)) {
      const int ready = rig.log().Count(" is ready");
      syscall(SYS_tgkill, worker, ThreadOf(worker, "stream-0"), SIGSEGV);
      ASSERT_TRUE(rig.log().WaitFor(" is ready", ready + 1));
      break;
    }
    load.Stop();
    if (rig.log().Count(blamed) < round) --round;  // Between two batches: once more.
  }
  EXPECT_TRUE(rig.log().WaitFor("is in quarantine: the worker crashed 3 times while running it"));
  const auto channel = rig.NewChannel(Retries::kStandard);
  EXPECT_THAT(KeeperRig::Predict(channel, request),
              StatusIs(AnyOf(absl::StatusCode::kNotFound, absl::StatusCode::kUnavailable)));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response,
                       KeeperRig::Predict(channel, LinearRequest(10, 1)));
  EXPECT_TRUE(IsAnswer(response, 34));
  EXPECT_THAT(rig.HttpGet("/statusz"), HasSubstr("crashed 3 times while running it"));
  EXPECT_EQ(rig.Metric("paramd_quarantined_versions"), 1);
}

TEST(Keeper, AVersionInWhoseLoadTheWorkerIsKilledIsQuarantined) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("large", 1, SlowModel(1024, 8));  // 8 MB at 1 MB a second.
  rig.flags = {"--load-rate-max", "1MiB"};
  ASSERT_NO_FATAL_FAILURE(rig.Launch());
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(rig.log().WaitFor("metrics are on port ", round));
    // In the middle of its parameters.
    ASSERT_TRUE(rig.WaitUntil([&] { return rig.Metric("paramd_store_reserved_bytes") > 0; }));
    const int started = rig.log().Count("started worker ");
    kill(rig.worker(), SIGKILL);
    ASSERT_TRUE(rig.log().WaitFor("while loading large/1#", round));
    ASSERT_TRUE(rig.log().WaitFor("started worker ", started + 1));
  }
  EXPECT_TRUE(rig.log().WaitFor("is in quarantine: the worker crashed 3 times while loading it"));
  ASSERT_TRUE(rig.log().WaitFor(" is ready"));
  EXPECT_THAT(rig.HttpGet("/statusz"), HasSubstr("crashed 3 times while loading it"));
}

TEST(Keeper, AWorkerKilledInTheMiddleOfALoadLeaksNothing) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("large", 1, SlowModel(512, 16));  // 16 MB.
  // About half a second; and what is not wanted any more goes at once.
  rig.flags = {"--load-rate-max", "32MiB", "--keep-previous", "0s"};
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const double segments = rig.Metric("paramd_store_segments");
  for (int round = 0; round < 6; ++round) {
    // Other weights each time, so that they are read and stored.
    rig.AddModel("large", 2 + round, SlowModel(496 - 16 * round, 16));
    const int loading = rig.log().Count("loading large/");
    kill(rig.pid(), SIGHUP);
    ASSERT_TRUE(rig.log().WaitFor("loading large/", loading + 1));
    // A moment that the store's own numbers choose: after so many segments.
    const double wanted = segments + static_cast<double>(random() % 14);
    ASSERT_TRUE(rig.WaitUntil([&] {
      return rig.Metric("paramd_store_segments") >= wanted ||
             rig.Metric("paramd_loads_in_progress") <= 0;
    }));
    ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
    ASSERT_OK_AND_ASSIGN(const v1::PredictResponse response,
                         KeeperRig::Predict(rig.NewChannel(Retries::kNone), LinearRequest(10, 1)));
    EXPECT_TRUE(IsAnswer(response, 34));
  }
  // What is there in the end is what a daemon holds that was never killed.
  KeeperRig fresh;
  fresh.AddModel("linear", 1, LinearModel(3, 4));
  fresh.AddModel("large", 7, SlowModel(416, 16));
  ASSERT_NO_FATAL_FAILURE(fresh.Start());
  for (const char* const series :
       {"paramd_store_segments", "paramd_store_sealed_bytes", "paramd_store_reserved_bytes"}) {
    const double wanted = fresh.Metric(series);
    EXPECT_TRUE(rig.WaitUntil([&] { return rig.Metric(series) == wanted; }))
        << series << " is " << rig.Metric(series) << ", without kills it is " << wanted;
  }
}

}  // namespace
}  // namespace paramd
