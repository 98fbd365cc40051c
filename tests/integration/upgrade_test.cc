// One binary after the other, while clients ask: paramctl upgrade's way through
// SIGUSR2, the keeper's own next image, and the service manager's store.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "runtime/base/unique_fd.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/keeper_rig.h"
#include "tests/integration/operator.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Retries = KeeperRig::Retries;

constexpr char kDone[] = "upgrade: the new worker serves; the old one has ended";

v1::PredictRequest LinearRequest(float x0, float x1) {
  return Request("linear", "x", {1, 2}, {x0, x1});
}

bool IsAnswer(const v1::PredictResponse& response) {
  return response.outputs_size() == 1 && Values(response.outputs(0)) == std::vector<float>{34};
}

TEST(Upgrade, TenUnderLoadFailNoRequest) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.flags = {"--connection-age-max", "1s", "--connection-age-grace", "10s"};
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  Load load(rig, Retries::kNone, 4, LinearRequest(10, 1), IsAnswer);
  pid_t before = rig.worker();
  for (int round = 1; round <= 10; ++round) {
    load.WaitForAnswers(20);
    kill(rig.pid(), SIGUSR2);
    ASSERT_TRUE(rig.log().WaitFor(kDone, round)) << round;
    EXPECT_NE(rig.worker(), before);
    before = rig.worker();
  }
  load.WaitForAnswers(20);
  load.Stop();
  EXPECT_EQ(load.errors(), 0) << load.errors_text();
  EXPECT_EQ(load.wrong(), 0);
  std::cout << load.answers() << " answers over 10 upgrades, the slowest took "
            << load.slowest_seconds() << " s\n";
  EXPECT_EQ(rig.Stop(), 0);
}

TEST(Upgrade, AWorkerThatDoesNotBecomeReadyLeavesTheOldOneServing) {
  KeeperRig rig;
  rig.CopyPrograms();
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.flags = {"--upgrade-deadline", "2s"};
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const auto channel = rig.NewChannel(Retries::kNone);
  const auto replace = [&](const std::string& script) {
    std::filesystem::remove(rig.program("paramd-worker"));
    std::ofstream(rig.program("paramd-worker")) << script;
    std::filesystem::permissions(rig.program("paramd-worker"), std::filesystem::perms::owner_all);
  };
  replace("#!/bin/sh\nexit 3\n");
  kill(rig.pid(), SIGUSR2);
  ASSERT_TRUE(
      rig.log().WaitFor("upgrade: the new worker did not become ready: it ended with status 3; the "
                        "old one serves on"));
  EXPECT_OK(KeeperRig::Predict(channel, LinearRequest(10, 1)).status());
  replace("#!/bin/sh\nexec tail -f /dev/null\n");  // Says nothing, for ever.
  kill(rig.pid(), SIGUSR2);
  ASSERT_TRUE(rig.log().WaitFor(
      "upgrade: the new worker did not become ready: it was not ready within 2s; the old one "
      "serves on"));
  EXPECT_OK(KeeperRig::Predict(channel, LinearRequest(10, 1)).status());
  EXPECT_EQ(rig.Stop(), 0);
}

TEST(Upgrade, TheOldOneDyingMeanwhileIsFollowedByTheNewOne) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const pid_t old = rig.worker();
  kill(rig.pid(), SIGUSR2);
  ASSERT_TRUE(rig.log().WaitFor("started the new worker "));
  kill(old, SIGKILL);
  ASSERT_TRUE(rig.log().WaitFor(" is ready", 2));
  EXPECT_OK(KeeperRig::Predict(rig.NewChannel(Retries::kStandard), LinearRequest(10, 1)).status());
}

TEST(Upgrade, WhoIsStillConnectedToTheOldOneSeesWhatIsPromotedInTheNewOne) {
  KeeperRig rig;
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.flags = {"--connection-age-max", "1h"};  // Nobody is asked to go.
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  const auto connected = rig.NewChannel(Retries::kNone);
  ASSERT_OK(KeeperRig::Predict(connected, LinearRequest(10, 1)).status());
  kill(rig.pid(), SIGUSR2);
  ASSERT_TRUE(rig.log().WaitFor("this worker serves from now on"));

  rig.AddModel("linear", 2, LinearModel(5, 6));
  Operator op(rig.folder().path("admin.sock"));
  const auto answers_with = [&](const std::shared_ptr<grpc::Channel>& channel, float value) {
    return KeeperRig::WaitUntil([&] {
      const auto answer = KeeperRig::Predict(channel, LinearRequest(10, 1));
      return answer.ok() && Values(answer->outputs(0)) == std::vector<float>{value};
    });
  };
  ASSERT_OK(op.Load("linear"));
  EXPECT_TRUE(answers_with(connected, 56));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse old,
                       KeeperRig::Predict(connected, LinearRequest(10, 1)));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse fresh,
                       KeeperRig::Predict(rig.NewChannel(Retries::kNone), LinearRequest(10, 1)));
  EXPECT_EQ(old.generation(), fresh.generation());  // Restored there, not loaded.
  EXPECT_EQ(rig.log().Count("restored linear/2 from memory"), 1);
  ASSERT_OK(op.Rollback("linear"));
  EXPECT_TRUE(answers_with(connected, 34));
  EXPECT_EQ(rig.log().Count("retired with"), 0);  // That was the old worker.
}

TEST(Upgrade, TheKeeperExecutesItsOwnNewBinary) {
  KeeperRig rig;
  rig.CopyPrograms();
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.flags = {"--connection-age-max", "1s", "--connection-age-grace", "10s"};
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse before,
                       KeeperRig::Predict(rig.NewChannel(Retries::kNone), LinearRequest(10, 1)));
  rig.DestroyModelFiles();
  Load load(rig, Retries::kNone, 4, LinearRequest(10, 1), IsAnswer);
  for (int round = 1; round <= 3; ++round) {
    load.WaitForAnswers(20);
    // Another file under the same name, as a package manager would leave it.
    std::filesystem::copy_file(rig.program("paramd"), rig.program("next"));
    std::filesystem::rename(rig.program("next"), rig.program("paramd"));
    kill(rig.pid(), SIGUSR2);
    ASSERT_TRUE(rig.log().WaitFor("this is the keeper's next image; its workers go on", round));
    ASSERT_TRUE(rig.log().WaitFor(kDone, round)) << round;
  }
  load.WaitForAnswers(20);
  load.Stop();
  EXPECT_EQ(load.errors(), 0) << load.errors_text();
  EXPECT_EQ(load.wrong(), 0);
  // The table came along: what is served is what was loaded first.
  ASSERT_NO_FATAL_FAILURE(rig.KillWorker(SIGKILL));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse after,
                       KeeperRig::Predict(rig.NewChannel(Retries::kNone), LinearRequest(10, 1)));
  EXPECT_EQ(after.generation(), before.generation());
  EXPECT_EQ(rig.Stop(), 0);
}

// The service manager's part of the protocol: a datagram socket, and a store.
class FakeServiceManager {
 public:
  explicit FakeServiceManager(const std::string& path) {
    socket_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    reader_ = std::thread([this] {
      while (ReadOne()) {
      }
    });
  }
  ~FakeServiceManager() {
    shutdown(socket_.get(), SHUT_RD);
    reader_.join();
  }

  // A message that holds `text` has come.
  bool WaitFor(const std::string& text) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    MutexLock lock(&mutex_);
    while (said_.find(text) == std::string::npos) {
      if (absl::Now() > deadline) return false;
      changed_.WaitUntil(&mutex_, deadline);
    }
    return true;
  }
  bool Has(const std::string& name) {
    MutexLock lock(&mutex_);
    return store_.contains(name);
  }

  // What a child gets: LISTEN_FDS from 3 on, and their names.
  struct Store {
    std::string names;
    std::vector<int> fds;
  };
  Store store() {
    MutexLock lock(&mutex_);
    Store store;
    for (const auto& [name, fd] : store_) {
      StrAppend(&store.names, store.names.empty() ? "" : ":", name);
      store.fds.push_back(fd.get());
    }
    return store;
  }
  static void Inherit(const Store& store) {
    std::vector<int> high;
    for (const int fd : store.fds) high.push_back(fcntl(fd, F_DUPFD, 1000));  // Out of the way.
    for (size_t i = 0; i < high.size(); ++i) {
      dup2(high[i], 3 + static_cast<int>(i));
      close(high[i]);
    }
  }

 private:
  static std::string ValueOf(const std::string& message, const std::string& key) {
    const size_t at = message.find(key);
    if (at == std::string::npos) return "";
    const size_t begin = at + key.size();
    return message.substr(begin, message.find('\n', begin) - begin);
  }

  bool ReadOne() {
    char bytes[4096];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    if (got <= 0) return false;
    const std::string message(bytes, static_cast<size_t>(got));
    UniqueFd fd;
    if (const cmsghdr* const rights = CMSG_FIRSTHDR(&header); rights != nullptr) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(rights), sizeof(int));
      fd = UniqueFd(number);
    }
    const std::string name = ValueOf(message, "FDNAME=");
    MutexLock lock(&mutex_);
    if (message.starts_with("FDSTORE=1") && fd.valid()) store_[name] = std::move(fd);
    if (message.starts_with("FDSTOREREMOVE=1")) store_.erase(name);
    StrAppend(&said_, message, "\n");
    changed_.SignalAll();
    return true;
  }

  UniqueFd socket_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, UniqueFd> store_ ABSL_GUARDED_BY(mutex_);
  std::string said_ ABSL_GUARDED_BY(mutex_);
  std::thread reader_;
};

TEST(ServiceManager, KeepsSocketsAndParametersOverTheKeepersOwnRestart) {
  KeeperRig rig;
  FakeServiceManager manager(rig.folder().path("notify"));
  rig.AddModel("linear", 1, LinearModel(3, 4));
  rig.AddModel("slow", 1, SlowModel(256, 4));
  rig.environment = {StrCat("NOTIFY_SOCKET=", rig.folder().path("notify"))};
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  ASSERT_TRUE(manager.WaitFor("READY=1"));
  const v1::PredictRequest slow = Request("slow", "x", {1, 256}, std::vector<float>(256, 0.5f));
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse before,
                       KeeperRig::Predict(rig.NewChannel(Retries::kNone), slow));
  const int port = rig.grpc_port();
  EXPECT_EQ(rig.Stop(), 0);
  ASSERT_TRUE(manager.WaitFor("STOPPING=1"));
  EXPECT_TRUE(manager.Has("grpc-listener"));
  EXPECT_TRUE(manager.Has("admin-listener"));
  const FakeServiceManager::Store kept = manager.store();
  EXPECT_GT(kept.fds.size(), 5u);
  rig.DestroyModelFiles();

  // A client that comes while nobody is there waits in the backlog.
  Load early(rig, Retries::kNone, 1, slow, [&](const v1::PredictResponse& response) {
    return response.generation() == before.generation() &&
           response.outputs(0).raw() == before.outputs(0).raw();
  });
  rig.grpc_address = StrCat("127.0.0.1:", port);
  rig.environment.push_back(StrCat("LISTEN_FDS=", kept.fds.size()));
  rig.environment.push_back(StrCat("LISTEN_FDNAMES=", kept.names));
  std::string pid_variable;
  rig.in_child = [&] {
    FakeServiceManager::Inherit(kept);
    pid_variable = StrCat("LISTEN_PID=", getpid());
    putenv(pid_variable.data());
  };
  ASSERT_NO_FATAL_FAILURE(rig.Start());
  EXPECT_TRUE(rig.log().WaitFor("the service manager kept "));
  EXPECT_EQ(rig.grpc_port(), port);
  early.WaitForAnswers(5);
  early.Stop();
  EXPECT_EQ(early.errors(), 0) << early.errors_text();
  EXPECT_EQ(early.wrong(), 0);
  EXPECT_EQ(rig.log().Count("] restored "), 2);
  EXPECT_EQ(rig.log().Count("] loaded "), 0) << "everything is restored";
}

}  // namespace
}  // namespace paramd
