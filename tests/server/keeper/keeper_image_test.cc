#include "server/keeper/keeper_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

KeeperImage Example() {
  KeeperImage image;
  image.sequence = 7;
  image.core = std::string(1000, 'c');
  image.crashes = "crashes";
  image.upgrade = "upgrade";
  image.ever_ready = true;
  image.fds = {{"segment-1", 20}, {"grpc-listener", 5}};
  image.workers.push_back({.pid = 42,
                           .id = 3,
                           .role = WorkerRole::kSuccessor,
                           .ready_since = absl::InfiniteFuture(),
                           .channel = 8,
                           .events = 9,
                           .worker_events = -1,
                           .breadcrumbs = 11});
  return image;
}

TEST(KeeperImage, ComesBackAsItWas) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd file, MakeImageFile());
  ASSERT_OK(WriteImageFile(file.get(), std::string(1 << 20, 'x')));
  ASSERT_OK(WriteImageFile(file.get(), EncodeImage(Example())));  // Shorter than before.
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadImageFile(file.get()));
  ASSERT_OK_AND_ASSIGN(const KeeperImage image, DecodeImage(bytes));
  EXPECT_EQ(image.sequence, 7u);
  EXPECT_EQ(image.core, Example().core);
  EXPECT_EQ(image.crashes, "crashes");
  EXPECT_EQ(image.upgrade, "upgrade");
  EXPECT_TRUE(image.ever_ready);
  ASSERT_EQ(image.fds.size(), 2u);
  EXPECT_EQ(image.fds[0].name, "segment-1");
  EXPECT_EQ(image.fds[0].number, 20);
  ASSERT_EQ(image.workers.size(), 1u);
  EXPECT_EQ(image.workers[0].pid, 42);
  EXPECT_EQ(image.workers[0].role, WorkerRole::kSuccessor);
  EXPECT_EQ(image.workers[0].ready_since, absl::InfiniteFuture());
  EXPECT_EQ(image.workers[0].worker_events, -1);
  EXPECT_EQ(image.workers[0].breadcrumbs, 11);
}

TEST(KeeperImage, HalfOfOneIsNone) {
  const std::string whole = EncodeImage(Example());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(DecodeImage(whole.substr(0, bytes)), StatusIs(absl::StatusCode::kDataLoss));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(DecodeImage(damaged).ok()) << at;
  }
}

}  // namespace
}  // namespace paramd
