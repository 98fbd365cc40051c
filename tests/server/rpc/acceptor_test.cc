#include "server/rpc/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <deque>
#include <vector>

#include "absl/time/clock.h"
#include "runtime/base/mutex.h"
#include "server/keeper/listening_socket.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

UniqueFd ConnectTo(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

class AcceptorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenOnTcp("127.0.0.1:0", "--grpc-address"));
    port_ = PortOf(listener.get());
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    keeper_ = UniqueFd(ends[0]);
    AcceptorParts parts;
    parts.listeners.push_back({std::move(listener), [this](UniqueFd fd) {
                                 MutexLock lock(&mutex_);
                                 taken_.push_back(std::move(fd));
                                 changed_.SignalAll();
                               }});
    parts.events = UniqueFd(ends[1]);
    parts.on_event = [this](uint8_t event) {
      MutexLock lock(&mutex_);
      events_.push_back(event);
      changed_.SignalAll();
    };
    parts.on_events_end = [this] {
      MutexLock lock(&mutex_);
      ended_ = true;
      changed_.SignalAll();
    };
    ASSERT_OK_AND_ASSIGN(acceptor_, Acceptor::Start(std::move(parts)));
  }
  void TearDown() override { acceptor_.reset(); }

  template <typename Condition>
  bool WaitUntil(Condition condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    MutexLock lock(&mutex_);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      changed_.WaitUntil(&mutex_, deadline);
    }
    return true;
  }

  int port_ = 0;
  UniqueFd keeper_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<UniqueFd> taken_;
  std::vector<uint8_t> events_;
  bool ended_ = false;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, ConnectionsWaitUntilItAcceptsAndAgainWhenItStops) {
  const UniqueFd early = ConnectTo(port_);
  acceptor_->SetAccepting(true);
  ASSERT_TRUE(WaitUntil([&] { return taken_.size() == 1; }));
  int no_delay = 0;
  socklen_t bytes = sizeof(no_delay);
  ASSERT_EQ(getsockopt(taken_[0].get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &bytes), 0);
  EXPECT_NE(no_delay, 0);
  acceptor_->SetAccepting(false);
  const UniqueFd late = ConnectTo(port_);  // In the backlog: nobody refuses it.
  EXPECT_EQ(acceptor_->open_connections(), 1u);
  acceptor_->SetAccepting(true);
  ASSERT_TRUE(WaitUntil([&] { return taken_.size() == 2; }));
}

TEST_F(AcceptorTest, CountsTheConnectionsThatAreStillOpen) {
  acceptor_->SetAccepting(true);
  std::vector<UniqueFd> clients;
  for (size_t i = 1; i <= 200; ++i) {
    clients.push_back(ConnectTo(port_));
    ASSERT_TRUE(WaitUntil([&] { return taken_.size() == i; }));
  }
  EXPECT_EQ(acceptor_->open_connections(), 200u);
  MutexLock lock(&mutex_);
  taken_.resize(3);
  // Numbers that were theirs are somebody else's now.
  const UniqueFd other(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(acceptor_->open_connections(), 3u);
}

TEST_F(AcceptorTest, HearsTheKeeperAlsoWhenItDoesNotAccept) {
  ASSERT_EQ(send(keeper_.get(), "SR", 2, 0), 2);
  ASSERT_TRUE(WaitUntil([&] { return events_.size() == 2; }));
  EXPECT_EQ(events_, (std::vector<uint8_t>{'S', 'R'}));
  keeper_.Reset();
  EXPECT_TRUE(WaitUntil([&] { return ended_; }));
}

TEST_F(AcceptorTest, OutOfDescriptorsItLeavesConnectionsWaitingAndDoesNotSpin) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UndefinedBehaviorSanitizer looks at types through a pipe, and there is none left";
#endif
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd client = ConnectTo(port_);
  const UniqueFd highest(dup(client.get()));
  // No number above those that are taken is left.
  const rlimit none = {.rlim_cur = static_cast<rlim_t>(highest.get()) + 1,
                       .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  rusage start = {};
  getrusage(RUSAGE_SELF, &start);
  acceptor_->SetAccepting(true);
  {
    MutexLock lock(&mutex_);
    const absl::Time end = absl::Now() + absl::Milliseconds(500);
    while (absl::Now() < end) changed_.WaitUntil(&mutex_, end);
    EXPECT_TRUE(taken_.empty());
  }
  rusage end = {};
  getrusage(RUSAGE_SELF, &end);
  const auto seconds = [](const rusage& usage) {
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  EXPECT_LT(seconds(end) - seconds(start), 0.2);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(WaitUntil([&] { return taken_.size() == 1; }));
}

}  // namespace
}  // namespace paramd
