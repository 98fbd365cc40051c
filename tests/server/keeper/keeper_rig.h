// A keeper in the test's hand: a core, a socket for each worker, and either
// Step() by the test or a thread of its own.
//
// Life: Start (if at all) after construction; the destructor joins. Clients go
// before the rig.
// Thread-safety: AddWorker, RemoveWorker, Attach and Do may be called from any
// thread; Step only while there is no thread.
#ifndef PARAMD_TESTS_SERVER_KEEPER_KEEPER_RIG_H_
#define PARAMD_TESTS_SERVER_KEEPER_KEEPER_RIG_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/mutex.h"
#include "runtime/params/content_id.h"
#include "runtime/params/sealed_memory.h"
#include "server/keeper/frame_socket.h"
#include "server/keeper/keeper_client.h"
#include "server/keeper/keeper_core.h"
#include "server/keeper/keeper_protocol.h"
#include "tests/support/status_testing.h"

namespace paramd {

// How many descriptors this process has.
inline size_t OpenDescriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

inline ContentId TestKey(int i) {
  return DerivedKey({.transform = "keeper-test", .layout = std::to_string(i)});
}

// Sealed memory whose every byte is `fill`.
inline UniqueFd SealedFd(uint64_t bytes, char fill = 0) {
  auto memory = WritableMemory::Create("keeper-test", bytes);
  for (std::byte& byte : memory->bytes()) byte = static_cast<std::byte>(fill);
  return std::move(*memory).Seal()->TakeFd();
}

// Remembers what it was told.
class FakeKeeperEvents final : public KeeperEvents {
 public:
  absl::StatusOr<KeeperWelcome> Welcome(WorkerId, const WorkerHello& hello) override {
    hellos.push_back(hello);
    if (!refusal.ok()) return refusal;
    KeeperWelcome welcome;
    welcome.grpc_listener = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    welcome.events = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    welcome.successor = hellos.size() > 1;
    welcome.crashes = 2;
    welcome.quarantined = {{.version = "digits/3", .reason = "crashed 3 times"}};
    return welcome;
  }
  void Ready(WorkerId worker) override { ready.push_back(worker); }
  void Healthy(WorkerId, std::string_view version) override { healthy.emplace_back(version); }
  absl::Status RequestUpgrade(WorkerId) override { return upgrade_answer; }
  UpgradeStatus upgrade_status() override { return upgrade; }
  void Send(WorkerId worker, KeeperEvent event) override {
    if (event == KeeperEvent::kStateSet) return state_set.push_back(worker);
    changed.push_back(worker);
    if (on_changed) on_changed(worker);
  }
  void SegmentAdded(const std::string& name, int fd) override {
    EXPECT_TRUE(segments.emplace(name, fd).second) << name;
    EXPECT_GE(::fcntl(fd, F_GETFD), 0) << name;
  }
  void SegmentRemoved(const std::string& name) override {
    EXPECT_EQ(segments.erase(name), 1u) << name;
  }

  absl::Status refusal;
  absl::Status upgrade_answer;
  UpgradeStatus upgrade;
  std::function<void(WorkerId)> on_changed;
  std::vector<WorkerHello> hellos;
  std::vector<WorkerId> ready;
  std::vector<std::string> healthy;
  std::vector<WorkerId> changed;
  std::vector<WorkerId> state_set;
  std::map<std::string, int> segments;
};

class KeeperRig {
 public:
  explicit KeeperRig(const KeeperCoreOptions& options = {.capacity_bytes = 10 * kPageBytes,
                                                         .generation_start = 1'000})
      : state_(*MemoryStateStore::Open("")), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    events.on_changed = [this](WorkerId worker) {
      MutexLock lock(&mutex_);
      const auto client = clients_.find(worker);
      if (client != clients_.end()) client->second->NoticeChanged();
    };
    core = std::make_unique<KeeperCore>(options, state_.get(), &events);
  }
  ~KeeperRig() {
    if (!thread_.joinable()) return;
    Do([this](KeeperCore&) { stop_ = true; });
    thread_.join();
  }

  void Start() {
    thread_ = std::thread([this] {
      while (!stop_) Step(-1);
    });
  }
  // Runs `what` between two steps and waits for it.
  void Do(const std::function<void(KeeperCore&)>& what) {
    if (!thread_.joinable()) return what(*core);
    MutexLock lock(&mutex_);
    CondVar done_changed;
    bool done = false;
    posted_.push_back([&] {
      what(*core);
      MutexLock inner(&mutex_);
      done = true;
      done_changed.SignalAll();
    });
    Wake();
    while (!done) done_changed.Wait(&mutex_);
  }

  // The worker's end of a new connection.
  UniqueFd AddWorker(WorkerId* id = nullptr) {
    SocketPair pair = *MakeSocketPair();
    Do([&](KeeperCore& keeper) {
      const WorkerId worker = keeper.Connect();
      channels_.emplace(worker, FrameChannel(std::move(pair.first)));
      if (id != nullptr) *id = worker;
    });
    return std::move(pair.second);
  }
  // A client that hears of changes until Detach.
  std::unique_ptr<KeeperClient> AddClient(WorkerId* id = nullptr, KeeperClient::OnLost lost = {}) {
    WorkerId worker = 0;
    auto client =
        KeeperClient::Connect(AddWorker(&worker), {.pid = 7, .build = "test"}, std::move(lost));
    EXPECT_OK(client.status());
    if (!client.ok()) return nullptr;
    {
      MutexLock lock(&mutex_);
      clients_[worker] = client->get();
    }
    if (id != nullptr) *id = worker;
    return *std::move(client);
  }
  // Before the client goes.
  void Detach(WorkerId worker) {
    MutexLock lock(&mutex_);
    clients_.erase(worker);
  }
  // As if the worker's connection broke.
  void Cut(WorkerId worker) {
    Do([&](KeeperCore& keeper) {
      channels_.erase(worker);
      keeper.Disconnect(worker);
    });
  }
  // Until nobody is connected but the first `count`.
  void WaitForWorkers(size_t count) {
    bool there = false;
    while (!there) {
      Do([&](KeeperCore& keeper) { there = keeper.workers().size() == count; });
      if (!there) std::this_thread::yield();
    }
  }

  // One turn of the loop. Returns false when nothing was there.
  bool Step(int timeout_ms = 0) {
    std::vector<pollfd> polls = {{.fd = wake_.get(), .events = POLLIN}};
    std::vector<WorkerId> ids = {0};
    for (const auto& [id, channel] : channels_) {
      polls.push_back({.fd = channel.fd(), .events = channel.poll_events()});
      ids.push_back(id);
    }
    if (::poll(polls.data(), polls.size(), timeout_ms) <= 0) return false;
    for (size_t i = 1; i < polls.size(); ++i) {
      if (polls[i].revents != 0 && !Serve(ids[i], polls[i].revents)) {
        channels_.erase(ids[i]);
        core->Disconnect(ids[i]);
      }
    }
    if (polls[0].revents != 0) RunPosted();
    return true;
  }
  void StepUntilQuiet() {
    while (Step()) {
    }
  }

  MemoryStateStore* state() { return state_.get(); }

  FakeKeeperEvents events;
  std::unique_ptr<KeeperCore> core;
  std::vector<absl::Status> errors;  // Of connections that were closed for them.

 private:
  bool Serve(WorkerId id, short revents) {
    FrameChannel& channel = channels_.at(id);
    if ((revents & POLLOUT) != 0 && !channel.Flush().ok()) return false;
    std::vector<Frame> frames;
    const absl::StatusOr<bool> open = channel.Receive(&frames);
    for (Frame& frame : frames) {
      std::vector<Frame> replies;
      const absl::Status status = core->Handle(id, std::move(frame), &replies);
      for (Frame& reply : replies) {
        if (!channel.Send(std::move(reply)).ok()) return false;
      }
      if (!status.ok()) {
        errors.push_back(status);
        return false;
      }
    }
    if (!open.ok()) errors.push_back(open.status());
    return open.ok() && *open;
  }
  void RunPosted() {
    uint64_t count = 0;
    static_cast<void>(!::read(wake_.get(), &count, sizeof(count)));
    std::vector<std::function<void()>> posted;
    {
      MutexLock lock(&mutex_);
      posted.swap(posted_);
    }
    for (const auto& what : posted) what();
  }
  void Wake() {
    const uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof(one)));
  }

  const std::unique_ptr<MemoryStateStore> state_;
  std::map<WorkerId, FrameChannel> channels_;
  const UniqueFd wake_;
  bool stop_ = false;
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  std::map<WorkerId, KeeperClient*> clients_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SERVER_KEEPER_KEEPER_RIG_H_
