#include "server/keeper/frame_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/byte_writer.h"
#include "tests/server/keeper/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// A descriptor that can be told from others: a memfd with this text in it.
UniqueFd Named(const std::string& text) {
  UniqueFd fd(::memfd_create("frame-test", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return fd;
}
std::string TextOf(const UniqueFd& fd) {
  char text[64];
  const ssize_t bytes = ::pread(fd.get(), text, sizeof(text), 0);
  return std::string(text, bytes < 0 ? 0 : static_cast<size_t>(bytes));
}

Frame Plain(std::string body, uint32_t request = 0) {
  return {.type = FrameType::kHoldings, .request = request, .body = std::move(body)};
}
Frame With(std::vector<std::string> names, std::string body = "") {
  Frame frame = Plain(std::move(body));
  for (const std::string& name : names) frame.fds.push_back(Named(name));
  return frame;
}

// What a peer that is not ours can do: any bytes with any descriptors.
void SendRaw(int socket, std::string_view bytes, const std::vector<int>& fds) {
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ASSERT_EQ(::sendmsg(socket, &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

class FrameSocketTest : public ::testing::Test {
 protected:
  FrameSocketTest() : pair_(*MakeSocketPair()), peer_(pair_.first.get()) {
    channel_.emplace(std::move(pair_.second));
  }
  std::vector<Frame> Received() {
    std::vector<Frame> frames;
    EXPECT_THAT(channel_->Receive(&frames), IsOkAndHolds(true));
    return frames;
  }
  absl::Status Refusal() {
    std::vector<Frame> frames;
    return channel_->Receive(&frames).status();
  }

  SocketPair pair_;
  const int peer_;
  std::optional<FrameChannel> channel_;
};

TEST_F(FrameSocketTest, AFrameArrivesByteByByte) {
  const std::string bytes = EncodeFrame(Plain("body", 0x01020304));
  ASSERT_EQ(bytes.size(), kFrameHeaderBytes + 4);
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    SendRaw(peer_, bytes.substr(i, 1), {});
    EXPECT_TRUE(Received().empty());
    EXPECT_FALSE(channel_->idle());
  }
  SendRaw(peer_, bytes.substr(bytes.size() - 1), {});
  const std::vector<Frame> frames = Received();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].type, FrameType::kHoldings);
  EXPECT_EQ(frames[0].request, 0x01020304u);
  EXPECT_EQ(frames[0].body, "body");
  EXPECT_TRUE(channel_->idle());
}

TEST_F(FrameSocketTest, DescriptorsStayWithTheirFrames) {
  FrameSocket sender(std::move(pair_.first));
  ASSERT_OK(sender.Send(Plain("none")));
  ASSERT_OK(sender.Send(With({"a"}, "one")));
  ASSERT_OK(sender.Send(With({"b", "c"}, "two")));
  ASSERT_OK(sender.Send(Plain("none again")));
  ASSERT_OK(sender.Send(With({"d"})));
  const std::vector<Frame> frames = Received();
  ASSERT_EQ(frames.size(), 5u);
  EXPECT_TRUE(frames[0].fds.empty());
  ASSERT_EQ(frames[1].fds.size(), 1u);
  EXPECT_EQ(TextOf(frames[1].fds[0]), "a");
  ASSERT_EQ(frames[2].fds.size(), 2u);
  EXPECT_EQ(TextOf(frames[2].fds[0]), "b");
  EXPECT_EQ(TextOf(frames[2].fds[1]), "c");
  EXPECT_TRUE(frames[3].fds.empty());
  ASSERT_EQ(frames[4].fds.size(), 1u);
  EXPECT_EQ(TextOf(frames[4].fds[0]), "d");
  // No program that is started later inherits them.
  EXPECT_EQ(::fcntl(frames[1].fds[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(FrameSocketTest, AsManyDescriptorsAsAFrameMayHave) {
  FrameSocket sender(std::move(pair_.first));
  Frame frame = Plain("many");
  for (size_t i = 0; i < kFrameDescriptorsMax; ++i) frame.fds.push_back(Named(std::to_string(i)));
  ASSERT_OK(sender.Send(frame));
  const std::vector<Frame> frames = Received();
  ASSERT_EQ(frames.size(), 1u);
  ASSERT_EQ(frames[0].fds.size(), kFrameDescriptorsMax);
  EXPECT_EQ(TextOf(frames[0].fds.back()), "127");
  frame.fds.push_back(Named("one too many"));
  EXPECT_THAT(sender.Send(frame), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FrameSocketTest, LargeFramesCrossInPiecesBothWays) {
  FrameSocket worker(std::move(pair_.first));
  const std::string large(8u << 20, 'x');
  std::thread blocking([&] {
    ASSERT_OK(worker.Send(With({"there"}, large)));
    auto back = worker.Receive();
    ASSERT_OK(back.status());
    EXPECT_EQ(back->body, large + "!");
    ASSERT_EQ(back->fds.size(), 1u);
    EXPECT_EQ(TextOf(back->fds[0]), "back");
  });
  std::vector<Frame> frames;
  while (frames.empty()) {
    pollfd entry{.fd = channel_->fd(), .events = channel_->poll_events()};
    ASSERT_EQ(::poll(&entry, 1, -1), 1);
    ASSERT_THAT(channel_->Receive(&frames), IsOkAndHolds(true));
  }
  EXPECT_EQ(frames[0].body, large);
  ASSERT_EQ(frames[0].fds.size(), 1u);
  EXPECT_EQ(TextOf(frames[0].fds[0]), "there");
  ASSERT_OK(channel_->Send(With({"back"}, large + "!")));
  while (channel_->output_bytes() > 0) {
    pollfd entry{.fd = channel_->fd(), .events = POLLOUT};
    ASSERT_EQ(::poll(&entry, 1, -1), 1);
    ASSERT_OK(channel_->Flush());
  }
  blocking.join();
}

TEST_F(FrameSocketTest, APeerThatIsGoneIsNoticedByBoth) {
  FrameSocket worker(std::move(pair_.first));
  ASSERT_OK(worker.Send(Plain("last words")));
  { const FrameSocket gone = std::move(worker); }
  std::vector<Frame> frames;
  EXPECT_THAT(channel_->Receive(&frames), IsOkAndHolds(false));
  ASSERT_EQ(frames.size(), 1u);  // What it said before counts.
  EXPECT_EQ(frames[0].body, "last words");
  EXPECT_THAT(channel_->Send(Plain("hello?")), StatusIs(absl::StatusCode::kUnavailable));

  SocketPair other = *MakeSocketPair();
  FrameSocket lonely(std::move(other.first));
  other.second.Reset();
  EXPECT_THAT(lonely.Send(Plain("hello?")), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(lonely.Receive().status(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(FrameSocketTest, LengthsThatCannotBeAreRefusedAtOnce) {
  for (const uint32_t length : {0u, 6u, kFrameBytesMax + 1, UINT32_MAX}) {
    SocketPair pair = *MakeSocketPair();
    FrameChannel channel(std::move(pair.second));
    ByteWriter out;
    out.U32(length);
    SendRaw(pair.first.get(), out.bytes(), {});
    std::vector<Frame> frames;
    EXPECT_THAT(channel.Receive(&frames).status(), StatusIs(absl::StatusCode::kInvalidArgument))
        << length;
  }
}

TEST_F(FrameSocketTest, DescriptorsThatNoFrameAnnouncesAreClosed) {
  const UniqueFd fd = Named("hostile");
  const std::vector<int> two = {fd.get(), fd.get()};
  const std::string plain = EncodeFrame(Plain("announces none"));
  const std::string one = EncodeFrame(With({"x"}));
  const std::vector<std::pair<std::string, std::vector<int>>> hostile = {
      {plain, {fd.get()}},                     // None announced, one came.
      {one, two},                              // One announced, two came.
      {one, {}},                               // One announced, none came.
      {one + plain, {fd.get()}},               // With the wrong one of two.
      {one, std::vector<int>(253, fd.get())},  // All that the kernel takes.
  };
  const size_t before = OpenDescriptors();
  for (const auto& [bytes, fds] : hostile) {
    SocketPair pair = *MakeSocketPair();
    FrameChannel channel(std::move(pair.second));
    SendRaw(pair.first.get(), bytes, fds);
    std::vector<Frame> frames;
    EXPECT_THAT(channel.Receive(&frames).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(FrameSocketTest, DescriptorsInTheMiddleOfAFrameAreRefused) {
  const size_t before = OpenDescriptors();
  {
    const UniqueFd fd = Named("hostile");
    const std::string bytes = EncodeFrame(With({"x"}, "some body"));
    SendRaw(peer_, bytes.substr(0, 5), {fd.get()});
    EXPECT_TRUE(Received().empty());
    SendRaw(peer_, bytes.substr(5, 3), {fd.get()});
    EXPECT_THAT(Refusal(), StatusIs(absl::StatusCode::kInvalidArgument));
    channel_.reset();
  }
  EXPECT_EQ(OpenDescriptors(), before - 1);  // The channel's own socket.
}

TEST_F(FrameSocketTest, WhatIsHalfReadIsClosedWithTheChannel) {
  const size_t before = OpenDescriptors();
  const UniqueFd fd = Named("half");
  SendRaw(peer_, EncodeFrame(With({"x"}, "some body")).substr(0, 12), {fd.get()});
  EXPECT_TRUE(Received().empty());
  EXPECT_EQ(OpenDescriptors(), before + 2);
  channel_.reset();
  EXPECT_EQ(OpenDescriptors(), before);  // Less the socket, plus `fd`.
}

// A process without descriptors left is told so, frame by frame; none is ever taken for another's.
TEST_F(FrameSocketTest, DescriptorsThatThisProcessCannotTakeAreReportedAsLost) {
  FrameSocket sender(std::move(pair_.first));
  ASSERT_OK(sender.Send(With({"a"}, "first")));
  ASSERT_OK(sender.Send(With({"b", "c"}, "second")));
  ASSERT_OK(sender.Send(Plain("third")));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  // Room for exactly one more than the lowest that is free.
  const int lowest = ::dup(channel_->fd());
  ASSERT_EQ(::close(lowest), 0);
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(lowest) + 2;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  std::vector<Frame> frames;
  const absl::StatusOr<bool> open = channel_->Receive(&frames);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_THAT(open, IsOkAndHolds(true));
  ASSERT_EQ(frames.size(), 3u);
  ASSERT_EQ(frames[0].fds.size(), 1u);
  EXPECT_EQ(TextOf(frames[0].fds[0]), "a");
  EXPECT_FALSE(frames[0].fds_lost);
  EXPECT_TRUE(frames[1].fds_lost);
  EXPECT_TRUE(frames[1].fds.empty());
  EXPECT_FALSE(frames[2].fds_lost);
}

TEST_F(FrameSocketTest, APeerThatDoesNotReadIsNotReadFromAndThenGivenUp) {
  const std::string megabytes(3u << 20, 'x');
  ASSERT_OK(channel_->Send(Plain(megabytes)));
  EXPECT_EQ(channel_->poll_events(), POLLIN | POLLOUT);
  ASSERT_OK(channel_->Send(Plain(megabytes)));
  EXPECT_EQ(channel_->poll_events(), POLLOUT);
  absl::Status status;
  while (status.ok()) status = channel_->Send(Plain(megabytes));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LE(channel_->output_bytes(), kChannelOutputBytesMax);
  EXPECT_FALSE(channel_->idle());
}

TEST_F(FrameSocketTest, AMessageThatFitsNoFrameIsRefusedBeforeItIsSent) {
  EXPECT_THAT(channel_->Send(Plain(std::string(kFrameBytesMax, 'x'))),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(channel_->idle());
}

TEST_F(FrameSocketTest, ASocketThatDoesNotBlockIsWaitedFor) {
  ASSERT_EQ(::fcntl(peer_, F_SETFL, O_NONBLOCK), 0);
  FrameSocket worker(std::move(pair_.first));
  std::thread later([&] {
    pollfd entry{.fd = channel_->fd(), .events = POLLIN};
    ASSERT_EQ(::poll(&entry, 1, -1), 1);
    ASSERT_EQ(Received().size(), 1u);
    ASSERT_OK(channel_->Send(Plain("answer")));
  });
  ASSERT_OK(worker.Send(Plain("question")));
  ASSERT_OK_AND_ASSIGN(const Frame answer, worker.Receive());
  EXPECT_EQ(answer.body, "answer");
  later.join();
}

}  // namespace
}  // namespace paramd
